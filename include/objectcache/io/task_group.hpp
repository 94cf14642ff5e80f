// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/io/operation.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstddef>
#include <list>
#include <memory>
#include <utility>

namespace objectcache {

/** Structured concurrency: children that can be cancelled together and joined. An operation that owns buffers runs its
    children in a group and gives the buffers back after `join`.

    The children share the group's state, so a group may be destroyed while they run (it cancels them); whoever does that
    must not own what they use.

    @par Threads Not safe: one thread, or one strand, at a time. */
class task_group {
public:
    explicit task_group(asio::any_io_executor executor)
        : state_(std::make_shared<state>(std::move(executor)))
    {
    }
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;
    ~task_group() { cancel(); }

    /** Start a child. It begins later, never inside this call; after `cancel()` it begins cancelled. */
    void spawn(asio::awaitable<void> child)
    {
        auto shared = state_;
        const auto node = shared->children.emplace(shared->children.end());
        asio::co_spawn(shared->executor, run(std::move(child)),
                       asio::bind_cancellation_slot(node->slot(), [shared, node](std::exception_ptr) {
                           shared->children.erase(node);
                           if (shared->children.empty() && shared->idle)
                               shared->idle->set();
                       }));
        if (shared->cancelled)
            node->emit(asio::cancellation_type::terminal);
    }

    [[nodiscard]] std::size_t size() const noexcept { return state_->children.size(); }

    /** Ask every child, and every later one, to end. */
    void cancel()
    {
        state_->cancelled = true;
        // A child may end inside emit() and leave the list.
        for (auto it = state_->children.begin(); it != state_->children.end();)
            (it++)->emit(asio::cancellation_type::terminal);
    }

    /** Wait until no child is left. Cancelling the wait cancels the children and still waits for them: joining is what
        makes it safe to free what they use.

        @par Resumes On the awaiting coroutine's executor. */
    [[nodiscard]] asio::awaitable<void> join()
    {
        auto shared = state_;
        while (!shared->children.empty()) {
            shared->idle = std::make_unique<latch>(shared->executor);
            const error_code ec = co_await shared->idle->async_wait(asio::use_awaitable);
            shared->idle.reset();
            if (ec) {
                shared->cancelled = true;
                for (auto it = shared->children.begin(); it != shared->children.end();)
                    (it++)->emit(asio::cancellation_type::terminal);
                co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            }
        }
    }

private:
    struct state {
        explicit state(asio::any_io_executor ex) : executor(std::move(ex)) {}
        asio::any_io_executor executor;
        std::list<asio::cancellation_signal> children;
        std::unique_ptr<latch> idle;
        bool cancelled = false;
    };

    static asio::awaitable<void> run(asio::awaitable<void> child)
    {
        co_await without_exceptions();
        co_await std::move(child);
    }

    std::shared_ptr<state> state_;
};

} // namespace objectcache
