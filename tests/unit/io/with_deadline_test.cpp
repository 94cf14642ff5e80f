// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/with_deadline.hpp>

#include <objectcache/io/latch.hpp>
#include <objectcache/testing/manual_clock.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <memory>

using namespace objectcache;
using namespace std::chrono_literals;

namespace with_deadline_test {

struct fixture {
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    latch door{io.get_executor()};
    latch second{io.get_executor()};
    int working = 0;

    /** Waits for the door and answers; it holds something meanwhile. */
    static asio::awaitable<result<int>> work(fixture& f, errc fails = {})
    {
        ++f.working;
        const error_code ec = co_await f.door.wait();
        --f.working;
        if (ec)
            co_return result<int>(status(ec));
        if (fails != errc{})
            co_return result<int>(fails);
        co_return 42;
    }
    /** Does not end when it is cancelled, but when it is ready to. */
    static asio::awaitable<result<int>> stubborn(fixture& f)
    {
        (void)co_await f.door.async_wait(asio::use_awaitable);
        (void)co_await f.second.async_wait(asio::use_awaitable);
        co_return 7;
    }
    static asio::awaitable<result<int>> instant() { co_return 1; }
    static asio::awaitable<void> run(asio::awaitable<result<int>> inner, deadline until,
                                     std::unique_ptr<result<int>>& out)
    {
        std::string what = "the work";
        auto r = co_await with_deadline(std::move(inner), until, std::move(what));
        out = std::make_unique<result<int>>(std::move(r));
    }
    void start(asio::awaitable<result<int>> inner, deadline until)
    {
        asio::co_spawn(io, run(std::move(inner), until, out),
                       asio::bind_cancellation_slot(signal.slot(), asio::detached));
        poll();
    }
    void poll()
    {
        io.restart();
        io.poll();
    }
    asio::cancellation_signal signal;
    std::unique_ptr<result<int>> out;
};

} // namespace with_deadline_test

TEST_CASE_FIXTURE(with_deadline_test::fixture, "what the work returns in time is what comes out")
{
    const deadline until(time.now() + 10s);
    SUBCASE("a value")
    {
        start(work(*this), until);
        door.set();
        poll();
        REQUIRE(out);
        CHECK(**out == 42);
    }
    SUBCASE("a failure")
    {
        start(work(*this, errc::not_found), until);
        door.set();
        poll();
        REQUIRE(out);
        CHECK(out->error() == errc::not_found);
    }
    SUBCASE("a value without any wait")
    {
        start(instant(), until);
        REQUIRE(out);
        CHECK(**out == 1);
    }
    SUBCASE("without a deadline")
    {
        start(work(*this), deadline::never());
        CHECK(time.pending() == 0);
        door.set();
        poll();
        REQUIRE(out);
        CHECK(**out == 42);
    }
    CHECK(time.pending() == 0);
}

TEST_CASE_FIXTURE(with_deadline_test::fixture, "when time is up the work is cancelled and awaited")
{
    start(work(*this), deadline(time.now() + 10s));
    time.advance(9s);
    poll();
    CHECK_FALSE(out);
    CHECK(working == 1);
    time.advance(1s);
    poll();
    REQUIRE(out);
    CHECK(out->error() == errc::deadline_exceeded);
    CHECK(out->error().detail() == "the work");
    CHECK(working == 0);
}

TEST_CASE_FIXTURE(with_deadline_test::fixture,
                  "work that does not let itself be hurried is waited for, and its result counts")
{
    start(stubborn(*this), deadline(time.now() + 10s));
    time.advance(10s);
    poll();
    CHECK_FALSE(out);
    second.set();
    poll();
    REQUIRE(out);
    CHECK(**out == 7);
}

TEST_CASE_FIXTURE(with_deadline_test::fixture, "a deadline in the past: the work never begins")
{
    start(work(*this), deadline(time.now()));
    REQUIRE(out);
    CHECK(out->error() == errc::deadline_exceeded);
    CHECK(working == 0);
}

TEST_CASE_FIXTURE(with_deadline_test::fixture, "a failure of the work's own is not mistaken for the deadline")
{
    start(work(*this, errc::not_found), deadline(time.now() + 10s));
    door.set();
    time.advance(20s); // both are due when the context runs again
    poll();
    REQUIRE(out);
    CHECK((out->error() == errc::not_found || out->error() == errc::deadline_exceeded));
    CHECK(working == 0);
}

TEST_CASE_FIXTURE(with_deadline_test::fixture,
                  "cancellation reaches the work, also where cancelled awaits throw")
{
    // `run` keeps Asio's default: total and partial do not reach it, terminal does and makes awaits throw.
    start(work(*this), deadline(time.now() + 10s));
    signal.emit(asio::cancellation_type::terminal);
    poll();
    REQUIRE(out);
    CHECK(out->error() == errc::cancelled);
    CHECK(working == 0);
    CHECK(time.pending() == 0);
}
