// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/io/operation.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
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
    explicit task_group(asio::any_io_executor executor) : state_(std::make_shared<state>(std::move(executor)))
    {}
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;
    ~task_group() { cancel(); }

    /** Start a child. On the group's executor it runs up to its first wait inside this call, elsewhere later; its end is
        always seen later. After `cancel()` it begins cancelled: what it awaits ends at once. */
    void spawn(asio::awaitable<void> child)
    {
        auto shared = state_;
        const auto node = shared->children.emplace(shared->children.end());
        try {
            asio::co_spawn(shared->executor, run(shared, *node, std::move(child)),
                           asio::bind_cancellation_slot(node->slot(), [shared, node](std::exception_ptr) {
                               shared->children.erase(node);
                               if (shared->children.empty() && shared->idle)
                                   shared->idle->set();
                           }));
        } catch (...) { // no memory: a child that never began is not waited for
            shared->children.erase(node);
            throw;
        }
    }

    [[nodiscard]] std::size_t size() const noexcept { return state_->children.size(); }

    /** Ask every child, and every later one, to end. */
    void cancel() { state_->cancel(); }
    /** Whether they were asked, by whomever. */
    [[nodiscard]] bool cancelled() const noexcept { return state_->cancelled; }

    /** Wait until no child is left. Several may wait.

        @par Completion When no child is left, cancelled or not: joining is what makes it safe to free what they use.
        @par Resumes On the awaiting coroutine's executor.
        @par Cancellation Terminal, partial and total; cancels the children, and goes on waiting for them. */
    [[nodiscard]] asio::awaitable<void> join()
    {
        auto shared = state_;
        const bool throws = co_await asio::this_coro::throw_if_cancelled();
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (cancellation.cancelled() != asio::cancellation_type::none)
            shared->cancel();
        while (!shared->children.empty()) {
            if (!shared->idle || shared->idle->is_set())
                shared->idle = std::make_shared<latch>(shared->executor);
            auto idle = shared->idle; // whoever joins after this round makes a latch of its own
            const error_code ec = co_await idle->async_wait(asio::use_awaitable);
            if (ec)
                shared->cancel();
        }
        co_await asio::this_coro::throw_if_cancelled(throws);
    }

private:
    struct state {
        explicit state(asio::any_io_executor ex) : executor(std::move(ex)) {}
        asio::any_io_executor executor;
        std::list<detail::cancel_relay> children;
        std::shared_ptr<latch> idle;
        bool cancelled = false;

        void cancel()
        {
            cancelled = true;
            // A child may end inside request() and leave the list.
            for (auto it = children.begin(); it != children.end();)
                (it++)->request();
        }
    };

    static asio::awaitable<void> run(std::shared_ptr<state> shared, detail::cancel_relay& self,
                                     asio::awaitable<void> child)
    {
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        co_await asio::this_coro::throw_if_cancelled(false);
        if (shared->cancelled)
            self.request();
        self.begin();
        co_await std::move(child);
    }

    std::shared_ptr<state> state_;
};

} // namespace objectcache
