// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/clock.hpp>

#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/detached.hpp>
#include <doctest/doctest.h>

using namespace objectcache;
using namespace std::chrono_literals;

namespace clock_test {

asio::awaitable<void> wait_into(timer& t, std::optional<bool>& out)
{
    out = co_await t.wait();
}

} // namespace clock_test

TEST_CASE("a timer on a manual clock fires when the clock is moved, not before")
{
    asio::io_context io;
    auto& time = asio::make_service<testing::manual_clock>(io);
    timer t(io.get_executor());
    t.expires_at(t.now() + 10s);
    std::optional<bool> fired;
    asio::co_spawn(io, clock_test::wait_into(t, fired), asio::detached);

    io.poll();
    time.advance(9s);
    io.restart();
    io.poll();
    CHECK_FALSE(fired.has_value());
    CHECK(time.pending() == 1);

    time.advance(1s);
    io.restart();
    io.poll();
    CHECK(fired == true);
    CHECK(time.pending() == 0);
}

TEST_CASE("a cancelled or rearmed wait says so")
{
    asio::io_context io;
    auto& time = asio::make_service<testing::manual_clock>(io);
    timer t(io.get_executor());
    t.expires_at(t.now() + 10s);
    std::optional<bool> fired;
    asio::co_spawn(io, clock_test::wait_into(t, fired), asio::detached);
    io.poll();

    SUBCASE("cancelled")
    {
        t.cancel();
    }
    SUBCASE("rearmed")
    {
        t.expires_at(t.now() + 20s);
    }
    io.restart();
    io.poll();
    CHECK(fired == false);
    CHECK(time.pending() == 1);
}

TEST_CASE("the real clock runs by itself")
{
    asio::io_context io;
    timer t(io.get_executor());
    t.expires_at(t.now() + 1ms);
    std::optional<bool> fired;
    REQUIRE(testing::run_coroutine(io, clock_test::wait_into(t, fired)));
    CHECK(fired == true);
}
