// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/task_group.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>

#include <optional>
#include <string>
#include <utility>

namespace objectcache {

namespace detail {

template <class T>
asio::awaitable<void> run_under_alarm(asio::awaitable<T> work, std::optional<T>& outcome, timer& alarm)
{
    outcome.emplace(co_await std::move(work));
    alarm.cancel();
}

} // namespace detail

/** Run `work` under a deadline: when it passes, the work is cancelled *and awaited*, so what it borrowed is free on
    return.

    @tparam T `status` or `result<U>`.
    @par Completion With what `work` returned; with `errc::deadline_exceeded` and `what` as its detail when the work did
         not end well before the deadline.
    @par Resumes On the awaiting coroutine's executor.
    @par Cancellation Terminal, partial and total; passed on to `work` as terminal, and `work` is awaited.
    @par Cost Nothing for a deadline that never passes; otherwise three coroutine frames and a timer. */
template <class T>
[[nodiscard]] asio::awaitable<T> with_deadline(asio::awaitable<T> work, deadline until, std::string what)
{
    if (until == deadline::never())
        co_return co_await std::move(work);
    const auto executor = co_await asio::this_coro::executor;
    timer alarm(executor);
    if (until.passed(alarm.now()))
        co_return T(status(errc::deadline_exceeded, std::move(what)));
    // From here on the work refers to this frame: no cancellation may throw past it.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    alarm.expires_at(until.at());
    task_group child(executor);
    std::optional<T> outcome;
    child.spawn(detail::run_under_alarm(std::move(work), outcome, alarm));
    bool expired = false;
    if (!outcome) {
        const bool time_came = co_await alarm.wait();
        expired = time_came && !outcome;
        if (!outcome)
            child.cancel();
    }
    co_await child.join();
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (!outcome) // the work threw: it ran out of memory
        co_return T(status(errc::exhausted, std::move(what)));
    if (outcome->ok() || !expired)
        co_return std::move(*outcome);
    co_return T(status(errc::deadline_exceeded, std::move(what)));
}

} // namespace objectcache
