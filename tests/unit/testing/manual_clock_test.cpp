// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/manual_clock.hpp>

#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <doctest/doctest.h>

#include <memory>
#include <string>

using namespace objectcache;
using namespace std::chrono_literals;

namespace manual_clock_test {

struct fixture {
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    std::string order;

    static asio::awaitable<void> wait(fixture& f, timer& t, char name)
    {
        f.order += co_await t.wait() ? name : '-';
    }
    void start(timer& t, char name) { asio::co_spawn(io, wait(*this, t, name), asio::detached); }
    void poll()
    {
        io.restart();
        io.poll();
    }
};

} // namespace manual_clock_test

TEST_CASE_FIXTURE(manual_clock_test::fixture, "it is the clock of its context, seen through every executor")
{
    CHECK(&clock::of(io.get_executor()) == &time);
    CHECK(&clock::of(asio::make_strand(io)) == &time);
    const time_point before = time.now();
    CHECK(before > time_point());
    time.advance(3s);
    CHECK(clock::of(io.get_executor()).now() == before + 3s);
}

TEST_CASE_FIXTURE(manual_clock_test::fixture, "one step of time ends every wait that is due, and no other")
{
    timer a(io.get_executor()), b(io.get_executor()), c(io.get_executor());
    a.expires_at(time.now() + 1s);
    b.expires_at(time.now() + 2s);
    c.expires_at(time.now() + 3s);
    start(a, 'a');
    start(b, 'b');
    start(c, 'c');
    poll();
    CHECK(time.pending() == 3);
    time.advance(2s);
    poll();
    CHECK(order == "ab");
    CHECK(time.pending() == 1);
    time.advance(1s);
    poll();
    CHECK(order == "abc");
}

TEST_CASE_FIXTURE(manual_clock_test::fixture, "a time in the past is due at once, and never is never")
{
    timer past(io.get_executor()), never(io.get_executor());
    past.expires_at(time.now());
    CHECK(time.pending() == 0);
    start(past, 'p');
    CHECK(testing::run_until(io, [&] { return !order.empty(); }));
    CHECK(order == "p");
    never.expires_at(time_point::max());
    start(never, 'n');
    poll();
    time.advance(100'000h);
    poll();
    CHECK(order == "p");
}

TEST_CASE_FIXTURE(manual_clock_test::fixture, "a timer that is destroyed or set anew is forgotten")
{
    {
        timer gone(io.get_executor());
        gone.expires_at(time.now() + 1s);
        CHECK(time.pending() == 1);
    }
    CHECK(time.pending() == 0);
    timer again(io.get_executor());
    again.expires_at(time.now() + 1s);
    again.expires_at(time.now() + 5s);
    CHECK(time.pending() == 1);
    start(again, 'a');
    poll();
    time.advance(1s);
    poll();
    CHECK(order.empty());
    time.advance(4s);
    poll();
    CHECK(order == "a");
}

TEST_CASE_FIXTURE(manual_clock_test::fixture,
                  "time moves on to the nearest wait, and stands still without one")
{
    timer a(io.get_executor()), b(io.get_executor());
    a.expires_at(time.now() + 5s);
    b.expires_at(time.now() + 2s);
    start(a, 'a');
    start(b, 'b');
    const auto begin = time.now();
    poll();
    time.advance_to_next();
    poll();
    CHECK(order == "b");
    CHECK(time.now() == begin + 2s);
    time.advance_to_next();
    poll();
    CHECK(order == "ba");
    time.advance_to_next();
    CHECK(time.now() == begin + 5s);
}

TEST_CASE_FIXTURE(manual_clock_test::fixture, "the date moves with the time")
{
    const auto begin = time.date();
    CHECK(begin == std::chrono::sys_days(std::chrono::year(2030) / 1 / 1));
    time.advance(90min);
    CHECK(time.date() == begin + 90min);
    const objectcache::clock real(io);
    CHECK(real.date() > std::chrono::sys_days(std::chrono::year(2024) / 1 / 1));
}
