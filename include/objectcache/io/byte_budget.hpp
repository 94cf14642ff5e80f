// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/io/fair_queue.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace objectcache {

/** A bounded quantity (bytes in flight, requests in flight) granted in order: back-pressure that shows in the types.

    @par Threads Not safe: one thread, or one strand, at a time. */
class byte_budget {
    struct state {
        std::uint64_t capacity;
        std::uint64_t used = 0;
        std::shared_ptr<fair_queue> line;

        [[nodiscard]] bool take(std::uint64_t amount) noexcept
        {
            if (used > capacity || amount > capacity - used)
                return false;
            used += amount;
            return true;
        }
    };

public:
    /** A granted share; returned when destroyed. Move only. May outlive the budget. */
    class ticket {
    public:
        ticket() = default;
        ticket(ticket&& other) noexcept : from_(std::move(other.from_)), amount_(other.amount_) {}
        ticket& operator=(ticket other) noexcept
        {
            from_.swap(other.from_);
            std::swap(amount_, other.amount_);
            return *this;
        }
        ~ticket() { release(); }

        void release() noexcept
        {
            if (auto from = std::exchange(from_, nullptr)) {
                from->used -= amount_;
                from->line->serve();
            }
        }
        [[nodiscard]] std::uint64_t amount() const noexcept { return from_ ? amount_ : 0; }

    private:
        friend byte_budget;
        ticket(std::shared_ptr<state> from, std::uint64_t amount) : from_(std::move(from)), amount_(amount) {}

        std::shared_ptr<state> from_;
        std::uint64_t amount_ = 0;
    };

    byte_budget(asio::any_io_executor executor, std::uint64_t capacity)
        : state_(
              std::make_shared<state>(state{capacity, 0, std::make_shared<fair_queue>(std::move(executor))}))
    {}

    /** Grant up to so much from now on. Less than is in use takes nothing away: nobody else is served until enough came
        back. More serves those in line. Who waits for more than the new capacity goes on waiting. */
    void resize(std::uint64_t capacity)
    {
        state_->capacity = capacity;
        state_->line->serve();
    }

    [[nodiscard]] std::uint64_t capacity() const noexcept { return state_->capacity; }
    [[nodiscard]] std::uint64_t in_use() const noexcept { return state_->used; }
    [[nodiscard]] std::size_t waiters() const noexcept { return state_->line->waiters(); }

    /** Wait for a share of `amount`, in line as `fair_queue::wait` says.

        @par Completion With a ticket.
        @par Resumes On the awaiting coroutine's executor.
        @par Cancellation Terminal, partial and total; the place in the line is given up.
        @par Errors `condition::timeout`, `condition::cancelled`, and `condition::exhausted` at once for an amount larger
             than the capacity. */
    [[nodiscard]] asio::awaitable<result<ticket>> acquire(std::uint64_t amount, priority who, deadline until);

    /** A share of `amount` if `acquire` would grant it without a wait: without a coroutine for the usual case.

        @returns Nothing if others are in line before, or too little is left. */
    [[nodiscard]] std::optional<ticket> try_acquire(std::uint64_t amount, priority who)
    {
        if (state_->line->is_free_for(who) && state_->take(amount))
            return ticket(state_, amount);
        return std::nullopt;
    }

private:
    std::shared_ptr<state> state_;
};

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/io/impl/byte_budget.ipp>
#endif
