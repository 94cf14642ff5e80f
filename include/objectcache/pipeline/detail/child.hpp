// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/latch.hpp>
#include <objectcache/io/operation.hpp>
#include <objectcache/io/task_group.hpp>

#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <utility>

namespace objectcache::detail {

/** What a child and the operation that waits for it share. */
template <class T>
struct child_state {
    explicit child_state(const asio::any_io_executor& ex) : ended(ex), work(ex) {}
    T outcome = failed_operation<T>(errc::exhausted); // until the work says otherwise: it ran out of memory
    latch ended;
    task_group work;
};

template <class T>
asio::awaitable<void> run_work(std::shared_ptr<child_state<T>> shared, asio::awaitable<T> work)
{
    try {
        shared->outcome = co_await std::move(work);
    } catch (...) { // it stays as it was made
    }
    shared->ended.set();
}

template <class T>
asio::awaitable<void> keep_child(std::shared_ptr<child_state<T>> shared, asio::awaitable<T> work)
{
    try {
        shared->work.spawn(run_work(shared, std::move(work)));
        co_await shared->work.join();
    } catch (...) {
        shared->ended.set();
    }
}

/** Run `work` as a child of `owner`, so that whoever cancels and joins that has ended and awaited this work too.

    @par Completion With what the work returned; as `failed_operation(errc::exhausted)` when it threw.
    @par Cancellation Terminal, partial and total; passed on to the work as terminal, and the work is awaited.
    @par Lifetime Keeps nothing that `work` refers to: that is for the work's own frame. */
template <class T>
asio::awaitable<T> run_child(task_group& owner, asio::any_io_executor executor, asio::awaitable<T> work)
{
    const auto shared = std::make_shared<child_state<T>>(executor);
    owner.spawn(keep_child(shared, std::move(work)));
    if (const error_code cancelled = co_await shared->ended.wait()) {
        shared->work.cancel();
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        (void)co_await shared->ended.async_wait(asio::use_awaitable);
    }
    co_return std::move(shared->outcome);
}

} // namespace objectcache::detail
