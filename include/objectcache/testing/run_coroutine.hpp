// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

namespace objectcache::testing {

namespace asio = boost::asio;

/** Run `io` until `done()` says so; it is asked before the first handler and after every one. Further handlers stay for
    the next run.

    Not by `run_for` or `run_one_for`: on io_uring these write to memory that is gone (Asio issue 1284, repaired in
    Boost 1.83).

    @return false when it was not done after `limit` of real time. */
template <class Done>
[[nodiscard]] bool run_until(asio::io_context& io, Done done,
                             std::chrono::steady_clock::duration limit = std::chrono::seconds(20))
{
    asio::steady_timer alarm(io, limit);
    const auto expired = std::make_shared<bool>(false); // the alarm may go off after we have returned
    alarm.async_wait([expired](boost::system::error_code ec) { *expired = !ec; });
    io.restart();
    while (!done() && !*expired)
        io.run_one(); // the alarm is work: this neither waits for ever nor runs dry
    return done();
}

/** Run one coroutine on `io` until it ends, and say whether it did: a test that hangs fails instead of hanging the suite.

    Rethrows what the coroutine threw, so a doctest `REQUIRE` inside it ends the test case. Pass a coroutine whose
    arguments are parameters, not the captures of a temporary lambda: those die with the lambda.

    @code
    REQUIRE(testing::run_coroutine(io, body(io)));
    @endcode
    @return false when it had not finished after `limit` of real time. */
[[nodiscard]] inline bool run_coroutine(asio::io_context& io, asio::awaitable<void> body,
                                        std::chrono::steady_clock::duration limit = std::chrono::seconds(20))
{
    std::optional<std::exception_ptr> ended;
    asio::co_spawn(io, std::move(body), [&](std::exception_ptr failure) { ended = failure; });
    const bool finished = run_until(
        io, [&] { return ended.has_value(); }, limit);
    if (ended && *ended)
        std::rethrow_exception(*ended);
    return finished;
}

/** For programs that measure or check for minutes: run `io` until it has nothing left to do, and return what the coroutine
    returned. Rethrows what it threw.

    @pre Nothing but the coroutine keeps `io` busy. */
template <class T>
[[nodiscard]] T run_to_end(asio::io_context& io, asio::awaitable<T> body)
{
    std::optional<T> out;
    std::exception_ptr failed;
    asio::co_spawn(io, std::move(body), [&](std::exception_ptr e, T value) {
        failed = e;
        if (!e)
            out.emplace(std::move(value));
    });
    io.restart();
    io.run();
    if (failed)
        std::rethrow_exception(failed);
    return std::move(*out);
}

} // namespace objectcache::testing
