// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/connection_pool.hpp>

#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <unit/s3/scripted_peer.hpp>

#include <boost/asio/detached.hpp>

#include <doctest/doctest.h>

#include <map>

using namespace objectcache;
using namespace objectcache::s3;

namespace connection_pool_test {

using namespace std::chrono_literals;
using asio::ip::tcp;
using peer_test::answer;
using peer_test::scripted_peer;

/** Leases, held by name until they are given back. */
struct holder {
    asio::io_context& io;
    connection_pool& pool;
    std::map<std::string, connection_pool::lease> held = {};
    std::vector<std::string> order = {};
    std::map<std::string, error_code> failed = {};

    void ask(const std::string& name, const std::string& host = "127.0.0.1",
             priority urgency = priority::load, deadline until = {}, bool fresh = false)
    {
        asio::co_spawn(io, acquire(name, host, urgency, until, fresh), asio::detached);
    }
    asio::awaitable<void> acquire(std::string name, std::string host, priority urgency, deadline until,
                                  bool fresh)
    {
        auto got = co_await pool.acquire(host, urgency, until, fresh);
        order.push_back(name);
        if (got)
            held.emplace(name, std::move(*got));
        else
            failed[name] = got.code();
    }
    void keep(const std::string& name)
    {
        held.at(name).keep();
        held.erase(name);
    }
    /** Runs until `n` leases have been granted or refused, all in all. */
    void settle(std::size_t n)
    {
        REQUIRE(testing::run_until(io, [&] { return order.size() == n; }));
    }
};

TEST_CASE("connection_pool: the first burst gets all connections there may be")
{
    asio::io_context io;
    const endpoint where = *endpoint::parse("http://127.0.0.1:1");
    CHECK(connection_pool(io.get_executor(), where).limit() == connection_options().max_connections);
    connection_options few;
    few.max_connections = 5;
    CHECK(connection_pool(io.get_executor(), where, few).limit() == 5);
    few.control.initial = 3;
    CHECK(connection_pool(io.get_executor(), where, few).limit() == 3);
}

TEST_CASE("pool: bounded, first come first served, loads before stores")
{
    asio::io_context io;
    scripted_peer peer(io, std::vector<std::vector<answer>>(4, std::vector<answer>(1)));
    connection_pool pool(io.get_executor(), *endpoint::parse(peer.url()), {.max_connections = 2});
    holder h{io, pool};
    h.ask("a");
    h.ask("b");
    h.settle(2);
    h.ask("store", "127.0.0.1", priority::store);
    io.restart();
    io.poll();
    h.ask("c");
    h.ask("d");
    io.poll();
    CHECK(pool.waiting() == 3);
    CHECK(pool.in_use() == 2);
    CHECK(peer.connections == 2);
    h.keep("a");
    h.settle(3);
    h.held.erase("b"); // closed, so that the next one is new
    h.settle(4);
    h.keep("c");
    h.settle(5);
    CHECK(h.order == std::vector<std::string>{"a", "b", "c", "d", "store"});
    CHECK(h.held.at("store").reused());
    CHECK_FALSE(h.held.at("d").reused());
    h.held.clear();
    CHECK(pool.in_use() == 0);
    CHECK(pool.idle() == 0);
}

TEST_CASE("pool: the last used connection is used first, old ones are closed")
{
    asio::io_context io;
    auto& clock = asio::make_service<testing::manual_clock>(io);
    scripted_peer peer(io, std::vector<std::vector<answer>>(9, std::vector<answer>(1)));
    connection_pool pool(io.get_executor(), *endpoint::parse(peer.url()),
                         {.max_connections = 3, .max_idle = 20s});
    holder h{io, pool};
    h.ask("a");
    h.settle(1);
    h.ask("b");
    h.settle(2);
    h.keep("a");
    clock.advance(15s);
    h.keep("b");
    CHECK(pool.idle() == 2);
    h.ask("c"); // b's connection
    h.settle(3);
    clock.advance(10s); // a's is 25 s old
    h.keep("c");
    h.ask("d");
    h.settle(4);
    CHECK(h.held.at("d").reused());
    CHECK(pool.idle() == 0);
    CHECK(peer.connections == 2);
    h.keep("d");
    h.ask("e", "127.0.0.1", priority::load, {}, true);
    h.settle(5);
    CHECK_FALSE(h.held.at("e").reused());
    CHECK(pool.idle() == 0);
    h.keep("e");
    pool.close_idle();
    CHECK(pool.idle() == 0);
}

TEST_CASE("pool: connections belong to their host, but share the bound")
{
    asio::io_context io;
    scripted_peer peer(io, std::vector<std::vector<answer>>(9, std::vector<answer>(1)));
    const endpoint where = *endpoint::parse("http://localhost:" + std::to_string(peer.port()));
    connection_pool pool(io.get_executor(), where, {.max_connections = 2});
    holder h{io, pool};
    h.ask("a", "a.localhost");
    h.ask("b", "b.localhost");
    h.settle(2);
    h.keep("a");
    h.keep("b");
    h.ask("c", "c.localhost"); // the oldest makes way
    h.settle(3);
    CHECK(pool.idle() == 1);
    h.ask("b again", "b.localhost");
    h.settle(4);
    CHECK(h.held.at("b again").reused());
    CHECK_FALSE(h.held.at("c").reused());
}

TEST_CASE("pool: a lease may outlive its pool, and a wait in line has an end")
{
    asio::io_context io;
    scripted_peer peer(io, std::vector<std::vector<answer>>(2, std::vector<answer>(1)));
    std::optional<connection_pool> pool(std::in_place, io.get_executor(), *endpoint::parse(peer.url()),
                                        connection_options{.max_connections = 1});
    holder h{io, *pool};
    h.ask("a");
    h.settle(1);
    h.ask("late", "127.0.0.1", priority::load, deadline(std::chrono::steady_clock::now() + 5ms));
    h.settle(2);
    CHECK(h.failed.at("late") == condition::timeout);
    pool.reset();
    h.keep("a");
}

TEST_CASE("pool: what the peer closed is not offered again, and what it left open is")
{
    asio::io_context io;
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    connection_pool pool(
        io.get_executor(),
        *endpoint::parse("http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port())), {});
    holder h{io, pool};
    h.ask("a");
    h.settle(1);
    h.keep("a");
    tcp::socket peer = acceptor.accept();
    h.ask("b");
    h.settle(2);
    CHECK(h.held.at("b").reused());
    h.keep("b");
    peer.close();
    h.ask("c");
    h.settle(3);
    CHECK_FALSE(h.held.at("c").reused());
    CHECK(pool.idle() == 0);

    peer = acceptor.accept();
    h.keep("c");
    asio::write(peer, asio::buffer("HTTP/1.1 408 Request Timeout", 5)); // said to nobody in particular
    h.ask("d");
    h.settle(4);
    CHECK_FALSE(h.held.at("d").reused());
}

asio::awaitable<void> prewarm(connection_pool& pool, std::size_t n, std::optional<status>& out)
{
    std::string host = "127.0.0.1";
    out.emplace(co_await pool.prewarm(std::move(host), n, deadline()));
}

TEST_CASE("pool: connections opened ahead are there when they are needed")
{
    asio::io_context io;
    scripted_peer peer(io, std::vector<std::vector<answer>>(9, std::vector<answer>(1)));
    connection_pool pool(io.get_executor(), *endpoint::parse(peer.url()), {.max_connections = 4});
    std::optional<status> done;
    REQUIRE(testing::run_coroutine(io, prewarm(pool, 3, done)));
    CHECK(done->ok());
    CHECK(pool.idle() == 3);
    CHECK(pool.in_use() == 0);
    REQUIRE(testing::run_coroutine(io, prewarm(pool, 3, done))); // they are there already
    REQUIRE(testing::run_coroutine(io, prewarm(pool, 100, done)));
    CHECK(pool.idle() == 4);
    holder h{io, pool};
    h.ask("a");
    h.settle(1);
    CHECK(h.held.at("a").reused());
    CHECK(pool.idle() == 3);
    CHECK(testing::run_until(io, [&] { return peer.connections == 4; }));
}

TEST_CASE("pool: what cannot be opened ahead says why")
{
    asio::io_context io;
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    const auto where =
        *endpoint::parse("http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()));
    acceptor.close();
    connection_pool pool(io.get_executor(), where, {});
    std::optional<status> done;
    REQUIRE(testing::run_coroutine(io, prewarm(pool, 3, done)));
    CHECK(done->code() == std::errc::connection_refused);
    CHECK(pool.in_use() == 0);
    CHECK(pool.idle() == 0);
}

TEST_CASE("pool: a pool in use closes what grew old; one that nobody uses has no work in the context")
{
    asio::io_context io;
    auto& clock = asio::make_service<testing::manual_clock>(io);
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0}); // nobody accepts: the kernel does
    connection_pool pool(
        io.get_executor(),
        *endpoint::parse("http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port())),
        {.max_idle = 20s});
    holder h{io, pool};
    for (const char* name : {"a", "b", "c"})
        h.ask(name);
    h.settle(3);
    h.keep("a");
    clock.advance(15s);
    h.keep("b");
    CHECK(pool.idle() == 2);
    clock.advance(5s);
    CHECK(testing::run_until(io, [&] { return pool.idle() == 1; }));
    clock.advance(15s);
    CHECK(testing::run_until(io, [&] { return pool.idle() == 0; }));
    h.keep("c");
    CHECK(pool.idle() == 1);
    io.restart();
    io.run(); // returns
    CHECK(pool.idle() == 1);
}

TEST_CASE("pool: the number of connections starts low, follows SlowDown, and never passes the bound")
{
    asio::io_context io;
    asio::make_service<testing::manual_clock>(io);
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    const auto where =
        *endpoint::parse("http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()));
    connection_pool pool(io.get_executor(), where,
                         {.max_connections = 16, .control = {.min = 1, .initial = 4}});
    CHECK(pool.limit() == 4);
    holder h{io, pool};
    for (int i = 0; i < 6; ++i)
        h.ask(std::to_string(i));
    h.settle(4);
    CHECK(pool.in_use() == 4);
    CHECK(pool.waiting() == 2);
    pool.throttled();
    const std::size_t cut = pool.limit();
    CHECK(cut < 4);
    CHECK(cut >= 1);
    h.keep("0"); // one too many: closed, and nobody is served
    io.restart();
    io.poll();
    CHECK(pool.idle() == 0);
    CHECK(h.order.size() == 4);
    for (const char* name : {"1", "2", "3"})
        h.keep(name);
    h.settle(6);
    CHECK(pool.in_use() <= cut);

    CHECK(connection_pool(io.get_executor(), where, {.max_connections = 2}).limit() == 2);
    CHECK(connection_pool(io.get_executor(), where,
                          {.max_connections = 32, .control = {.min = 32, .initial = 32}})
              .limit() == 32);
}

} // namespace connection_pool_test
