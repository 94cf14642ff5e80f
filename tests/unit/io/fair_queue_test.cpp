// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/fair_queue.hpp>

#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <optional>
#include <string>

using namespace objectcache;
using namespace std::chrono_literals;

namespace fair_queue_test {

/** A resource of so many pieces; whoever gets one writes down a letter. */
struct fixture {
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    std::shared_ptr<fair_queue> line = std::make_shared<fair_queue>(io.get_executor());
    int pieces = 0;
    std::string order;

    static asio::awaitable<void> one(fixture& f, priority who, deadline until, char name, int need)
    {
        std::function<bool()> take = [&f, need] {
            if (f.pieces < need)
                return false;
            f.pieces -= need;
            return true;
        };
        const error_code ec = co_await f.line->wait(who, until, std::move(take));
        f.order += ec ? (ec == condition::timeout ? 't' : 'c') : name;
    }
    void start(priority who, char name, int need = 1, deadline until = deadline::never())
    {
        asio::co_spawn(io, one(*this, who, until, name, need), asio::detached);
        poll();
    }
    void give(int n)
    {
        pieces += n;
        line->serve();
        poll();
    }
    void poll()
    {
        io.restart();
        io.poll();
    }
};

} // namespace fair_queue_test

TEST_CASE_FIXTURE(fair_queue_test::fixture,
                  "first come, first served, and nobody who fits overtakes who waits")
{
    start(priority::load, 'a', 2);
    start(priority::load, 'b', 1);
    start(priority::load, 'c', 1);
    give(1);
    CHECK(order.empty());
    CHECK(line->waiters() == 3);
    give(1);
    CHECK(order == "a");
    give(2);
    CHECK(order == "abc");
    CHECK(line->waiters() == 0);
}

TEST_CASE_FIXTURE(fair_queue_test::fixture,
                  "a waiting load keeps every store waiting, also a new one that would fit")
{
    start(priority::store, 's');
    start(priority::load, 'l', 3);
    give(2);
    start(priority::store, 'x');
    CHECK(order.empty());
    give(1);
    CHECK(order == "l");
    give(2);
    CHECK(order == "lsx");
}

TEST_CASE_FIXTURE(fair_queue_test::fixture, "whoever gives up lets the next one try")
{
    pieces = 1;
    start(priority::load, 'a', 2, deadline(time.now() + 1s));
    start(priority::load, 'b', 1);
    CHECK(order.empty());
    time.advance(1s);
    poll();
    CHECK(order.size() == 2);
    CHECK(order.find('t') != std::string::npos);
    CHECK(order.find('b') != std::string::npos);
    CHECK(time.pending() == 0);
}

TEST_CASE_FIXTURE(fair_queue_test::fixture, "what is free is taken at once, even after the deadline")
{
    pieces = 1;
    start(priority::load, 'a', 1, deadline(time.now() - 1s));
    CHECK(order == "a");
    start(priority::load, 'b', 1, deadline(time.now() - 1s));
    CHECK(testing::run_until(io, [&] { return order.size() == 2; })); // the kernel's timer
    CHECK(order == "at");
}
