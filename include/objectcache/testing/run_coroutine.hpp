// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <utility>

namespace objectcache::testing {

namespace asio = boost::asio;

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
    asio::co_spawn(io, std::move(body), [&](std::exception_ptr failure) {
        ended = failure;
        io.stop(); // what else runs on the context is the test's to look at
    });
    io.restart();
    io.run_for(limit);
    if (ended && *ended)
        std::rethrow_exception(*ended);
    return ended.has_value();
}

} // namespace objectcache::testing
