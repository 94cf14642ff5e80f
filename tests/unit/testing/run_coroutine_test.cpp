// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>

#include <stdexcept>

using namespace objectcache;

namespace run_coroutine_test {

asio::awaitable<void> turns(asio::io_context& io, int n, int& done)
{
    for (; done < n; ++done)
        co_await asio::post(io, asio::use_awaitable);
}

asio::awaitable<void> fails()
{
    throw std::runtime_error("as a failed REQUIRE does");
    co_return;
}

asio::awaitable<void> hangs(asio::io_context& io)
{
    asio::steady_timer never(io, asio::steady_timer::time_point::max());
    co_await never.async_wait(asio::use_awaitable);
}

} // namespace run_coroutine_test

TEST_CASE("a coroutine is run to its end, again and again on one context")
{
    asio::io_context io;
    for (int round = 0; round < 3; ++round) {
        int done = 0;
        CHECK(testing::run_coroutine(io, run_coroutine_test::turns(io, 10, done)));
        CHECK(done == 10);
    }
}

TEST_CASE("what it throws comes out")
{
    asio::io_context io;
    CHECK_THROWS_AS((void)testing::run_coroutine(io, run_coroutine_test::fails()), std::runtime_error);
}

TEST_CASE("a coroutine that hangs is said to, and may be destroyed with its context")
{
    asio::io_context io;
    CHECK_FALSE(testing::run_coroutine(io, run_coroutine_test::hangs(io), std::chrono::milliseconds(1)));
}
