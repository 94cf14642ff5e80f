// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/byte_budget.hpp>

#include <objectcache/testing/manual_clock.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <optional>

using namespace objectcache;
using namespace std::chrono_literals;

namespace byte_budget_test {

using share = std::optional<result<byte_budget::ticket>>;

asio::awaitable<void> take(byte_budget& budget, std::uint64_t amount, priority who, deadline until,
                           share& out)
{
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    out.emplace(co_await budget.acquire(amount, who, until));
}

struct fixture {
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    byte_budget budget{io.get_executor(), 100};

    void start(std::uint64_t amount, priority who, share& out, deadline until = deadline::never())
    {
        asio::co_spawn(io, take(budget, amount, who, until, out), asio::detached);
        poll();
    }
    void poll()
    {
        io.restart();
        io.poll();
    }
};

} // namespace byte_budget_test

TEST_CASE_FIXTURE(byte_budget_test::fixture, "shares are granted in order and come back")
{
    byte_budget_test::share a, b, c;
    start(60, priority::load, a);
    start(60, priority::load, b);
    start(10, priority::load, c); // would fit, but must not overtake
    REQUIRE(a);
    CHECK_FALSE(b);
    CHECK_FALSE(c);
    CHECK(budget.waiters() == 2);

    a.reset();
    poll();
    CHECK(b);
    CHECK(c);
    CHECK(budget.in_use() == 70);
    b.reset();
    c.reset();
    CHECK(budget.in_use() == 0);
}

TEST_CASE_FIXTURE(byte_budget_test::fixture, "loads go ahead of stores that came first")
{
    byte_budget_test::share held, store, load;
    start(100, priority::load, held);
    start(50, priority::store, store);
    start(80, priority::load, load);
    held.reset();
    poll();
    CHECK(load);
    CHECK_FALSE(store);
    load.reset();
    poll();
    CHECK(store);
}

TEST_CASE_FIXTURE(byte_budget_test::fixture,
                  "what needs no wait is granted without one, and overtakes nobody")
{
    auto first = budget.try_acquire(60, priority::store);
    REQUIRE(first);
    CHECK(first->amount() == 60);
    CHECK(budget.in_use() == 60);
    CHECK_FALSE(budget.try_acquire(41, priority::load));  // does not fit now
    CHECK_FALSE(budget.try_acquire(101, priority::load)); // nor ever

    byte_budget_test::share waiting;
    start(50, priority::store, waiting);
    CHECK_FALSE(budget.try_acquire(10, priority::store)); // fits, but somebody is before it
    CHECK(budget.try_acquire(10, priority::load));        // stores wait for loads; given back at once
    CHECK(budget.in_use() == 60);

    byte_budget_test::share load;
    start(50, priority::load, load);
    CHECK_FALSE(budget.try_acquire(10, priority::load));
    CHECK(budget.waiters() == 2);

    first.reset();
    poll();
    CHECK(load);
    CHECK(waiting);
    CHECK(budget.in_use() == 100);

    budget.resize(50); // less than is in use
    CHECK_FALSE(budget.try_acquire(1, priority::load));
    load.reset();
    waiting.reset();
    CHECK(budget.in_use() == 0);
    CHECK(budget.try_acquire(50, priority::load));
}

TEST_CASE_FIXTURE(byte_budget_test::fixture, "a waiter that gives up frees its place")
{
    byte_budget_test::share held, big, small;
    start(50, priority::load, held);
    start(80, priority::load, big, deadline(time.now() + 5s));
    start(50, priority::load, small);
    CHECK_FALSE(small);
    time.advance(5s);
    poll();
    REQUIRE(big);
    CHECK(big->error() == condition::timeout);
    CHECK(small);
}

TEST_CASE_FIXTURE(byte_budget_test::fixture, "a waiter can be cancelled before and while it waits")
{
    byte_budget_test::share held, waiting;
    start(100, priority::load, held);
    asio::cancellation_signal signal;
    asio::co_spawn(io, byte_budget_test::take(budget, 10, priority::load, deadline::never(), waiting),
                   asio::bind_cancellation_slot(signal.slot(), asio::detached));
    SUBCASE("while")
    {
        poll();
    }
    SUBCASE("before") {}
    signal.emit(asio::cancellation_type::total);
    poll();
    REQUIRE(waiting);
    CHECK(waiting->error() == condition::cancelled);
    CHECK(budget.waiters() == 0);
}

TEST_CASE_FIXTURE(byte_budget_test::fixture, "what can never fit is refused at once")
{
    byte_budget_test::share out;
    start(101, priority::load, out);
    REQUIRE(out);
    CHECK(out->error() == condition::exhausted);
}

TEST_CASE_FIXTURE(byte_budget_test::fixture,
                  "a budget that shrinks takes nothing away, one that grows serves the line")
{
    byte_budget_test::share a, b, c, d;
    start(60, priority::load, a);
    start(40, priority::load, b);
    budget.resize(50);
    start(20, priority::load, c);
    start(60, priority::load, d);
    REQUIRE(d);
    CHECK(d->error() == condition::exhausted); // at the capacity of now
    CHECK(budget.in_use() == 100);
    b.reset();
    poll();
    CHECK_FALSE(c); // 60 of 50 are still out
    a.reset();
    poll();
    CHECK(c);

    d.reset();
    start(50, priority::load, d); // waits for c
    byte_budget_test::share e;
    budget.resize(30);
    start(10, priority::load, e);
    c.reset();
    poll();
    CHECK_FALSE(d); // more than there is; it keeps its place
    CHECK_FALSE(e);
    budget.resize(60);
    poll();
    CHECK(d);
    CHECK(e);
}

TEST_CASE("a ticket may outlive its budget, and a waiter its context")
{
    byte_budget_test::share a, b;
    {
        byte_budget_test::fixture f;
        f.start(100, priority::load, a);
        f.start(1, priority::load, b);
    }
    CHECK(a);
    CHECK_FALSE(b);
    a.reset();
}
