// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/io/clock.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <utility>

namespace objectcache {

/** What waits for a share of something bounded: loads are always served before stores (law 4). */
enum class priority { load, store };

/** The line in front of something bounded: first come, first served within a priority, and a waiting load keeps every
    store waiting. Knows nothing of what is shared; `byte_budget`, `staging_pool` and the S3 connections do.

    Held by `shared_ptr`, because what was granted may come back after the owner is gone.

    @par Threads Not safe: one thread, or one strand, at a time. */
class fair_queue : public std::enable_shared_from_this<fair_queue> {
public:
    explicit fair_queue(asio::any_io_executor executor) : executor_(std::move(executor)) {}

    /** Call `take` as soon as it is this caller's turn, and again after each `serve()`, until it returns true.

        @par Completion Success once `take` has returned true.
        @par Resumes On the awaiting coroutine's executor.
        @par Cancellation Terminal, partial and total; the place in the line is given up.
        @par Errors `condition::timeout` when `until` passed first, `condition::cancelled`. */
    [[nodiscard]] asio::awaitable<error_code> wait(priority who, deadline until, std::function<bool()> take);

    /** Something came back: let those in front try again. */
    void serve();

    /** Would a caller of this priority be the first in line? Then it need not wait to try. */
    [[nodiscard]] bool is_free_for(priority who) const noexcept
    {
        return lines_[static_cast<std::size_t>(who)].empty() && lines_[0].empty();
    }
    [[nodiscard]] std::size_t waiters() const noexcept { return lines_[0].size() + lines_[1].size(); }
    [[nodiscard]] const asio::any_io_executor& executor() const noexcept { return executor_; }

private:
    struct waiter {
        std::function<bool()>* take;
        timer* wake;
        bool served = false;
    };
    /** A frame that is destroyed while it waits (its context is going away) must leave the line too. */
    struct place {
        std::list<waiter*>& line;
        waiter self;
        ~place() { line.remove(&self); }
    };

    asio::any_io_executor executor_;
    std::array<std::list<waiter*>, 2> lines_; // by priority
};

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/io/impl/fair_queue.ipp>
#endif
