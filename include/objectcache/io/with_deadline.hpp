// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/io/clock.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>

#include <string>
#include <utility>

namespace objectcache {

/** Run `work` under a deadline: when it passes, the work is cancelled *and awaited*, so what it borrowed is free on
    return.

    @tparam T `status` or `result<U>`.
    @par Completion With what `work` returned, or `errc::deadline_exceeded` with `what` as its detail.
    @par Resumes On the awaiting coroutine's executor.
    @par Cancellation Passed on to `work`.
    @par Cost Nothing for a deadline that never passes; otherwise two coroutine frames and a timer. */
template <class T>
[[nodiscard]] asio::awaitable<T> with_deadline(asio::awaitable<T> work, deadline until, std::string what)
{
    using namespace asio::experimental::awaitable_operators;
    if (until == deadline::never())
        co_return co_await std::move(work);
    timer alarm(co_await asio::this_coro::executor);
    if (until.passed(alarm.now()))
        co_return T(status(errc::deadline_exceeded, std::move(what)));
    alarm.expires_at(until.at());
    auto first = co_await (std::move(work) || alarm.wait());
    if (first.index() == 0)
        co_return std::move(std::get<0>(first));
    // The alarm ends early only when this whole operation is cancelled.
    co_return T(status(until.passed(alarm.now()) ? errc::deadline_exceeded : errc::cancelled, std::move(what)));
}

} // namespace objectcache
