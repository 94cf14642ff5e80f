// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/address_book.hpp>

#include <objectcache/s3/connection_pool.hpp>
#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <unit/s3/scripted_peer.hpp>

#include <boost/asio/detached.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace objectcache;
using namespace objectcache::s3;

namespace address_book_test {

using namespace std::chrono_literals;
using asio::ip::tcp;
using peer_test::answer;
using peer_test::scripted_peer;
using s3::detail::address_book;
using s3::detail::addresses;

tcp::endpoint v4(const char* address)
{
    return {asio::ip::make_address(address), 80};
}

TEST_CASE("address book: connections are spread over the addresses of a name")
{
    const time_point now{};
    address_book book(15s, 30s);
    CHECK(book.order("s3", now).empty());
    const auto a = v4("10.0.0.1"), b = v4("10.0.0.2"), c = v4("10.0.0.3");
    book.learn("s3", {a, b, c}, now);
    CHECK(book.order("s3", now) == addresses{a, b, c});
    CHECK(book.order("s3", now) == addresses{b, c, a});
    CHECK(book.order("s3", now) == addresses{c, a, b});
    CHECK(book.order("s3", now) == addresses{a, b, c});
    CHECK(book.order("other", now).empty());
    CHECK_FALSE(book.order("s3", now + 14s).empty());
    CHECK(book.order("s3", now + 15s).empty());
    book.learn("s3", {b}, now + 15s);
    CHECK(book.order("s3", now + 15s) == addresses{b});
}

TEST_CASE("address book: what failed lately comes last, for a while")
{
    const time_point now{};
    address_book book(1h, 30s);
    const auto a = v4("10.0.0.1"), b = v4("10.0.0.2"), c = v4("10.0.0.3");
    book.learn("s3", {a, b, c}, now);
    book.failed(b, now);
    for (int i = 0; i < 4; ++i) {
        const addresses order = book.order("s3", now + 29s);
        CHECK(order.front() == (i % 2 == 0 ? a : c));
        CHECK(order.back() == b);
    }
    book.failed(a, now);
    book.failed(c, now);
    CHECK(book.order("s3", now).size() == 3); // better than none
    book.worked(c);
    CHECK(book.order("s3", now).front() == c);
    std::vector<tcp::endpoint> first;
    for (int i = 0; i < 3; ++i)
        first.push_back(book.order("s3", now + 30s).front());
    std::sort(first.begin(), first.end());
    CHECK(first == addresses{a, b, c});
}

TEST_CASE("address book: the family that the resolver put last is for when the first fails")
{
    const time_point now{};
    address_book book(1h, 30s);
    const auto a = v4("10.0.0.1"), b = v4("10.0.0.2"), six = v4("::1");
    book.learn("s3", {a, six, b}, now);
    CHECK(book.order("s3", now) == addresses{a, b, six});
    CHECK(book.order("s3", now) == addresses{b, a, six});
    book.failed(a, now);
    book.failed(b, now);
    CHECK(book.order("s3", now).front() == six);
}

TEST_CASE("address book: bounded")
{
    const time_point now{};
    address_book book(1h, 1h);
    for (int i = 0; i < 1000; ++i) {
        book.learn(std::to_string(i), {v4("10.0.0.1")}, now);
        book.failed(tcp::endpoint(asio::ip::address_v4(static_cast<unsigned>(i)), 80), now);
    }
    CHECK(book.order("0", now).empty());
    CHECK(book.order("999", now).size() == 1);
}

/** A resolver that a test has in its hands. */
struct scripted_resolver {
    asio::awaitable<result<addresses>> operator()(std::string, std::uint16_t) { return answer_one(shared); }
    struct state {
        result<addresses> next = result<addresses>(errc::unreachable, "no such name");
        int asked = 0;
    };
    static asio::awaitable<result<addresses>> answer_one(std::shared_ptr<state> from)
    {
        ++from->asked;
        const auto executor = co_await asio::this_coro::executor;
        co_await asio::post(executor, asio::use_awaitable);
        co_return from->next;
    }
    std::shared_ptr<state> shared = std::make_shared<state>();
};

asio::awaitable<void> open_one(connection_pool& pool, std::vector<connection_pool::lease>& out, status& ended)
{
    std::string host = "store.example";
    auto got = co_await pool.acquire(std::move(host), priority::load, deadline());
    ended = got ? status() : got.error();
    if (got)
        out.push_back(std::move(*got));
}

struct fixture {
    asio::io_context io;
    testing::manual_clock& clock = asio::make_service<testing::manual_clock>(io);
    scripted_peer one{io, std::vector<std::vector<answer>>(9, std::vector<answer>(1))};
    scripted_peer two{io, std::vector<std::vector<answer>>(9, std::vector<answer>(1))};
    scripted_resolver resolver;
    connection_pool pool{io.get_executor(), *endpoint::parse("http://store.example"), {.resolver = resolver}};
    std::vector<connection_pool::lease> held;

    tcp::endpoint at(std::uint16_t port) const { return {asio::ip::address_v4::loopback(), port}; }
    status open()
    {
        status ended;
        REQUIRE(testing::run_coroutine(io, open_one(pool, held, ended)));
        return ended;
    }
    void accepted(std::size_t by_one, std::size_t by_two)
    {
        CHECK(testing::run_until(io, [&] { return one.connections == by_one && two.connections == by_two; }));
    }
};

TEST_CASE_FIXTURE(fixture, "pool: a name's addresses are asked for once in a while, and all of them used")
{
    resolver.shared->next = addresses{at(one.port()), at(two.port())};
    for (int i = 0; i < 4; ++i)
        REQUIRE(open().ok());
    accepted(2, 2);
    CHECK(resolver.shared->asked == 1);
    clock.advance(16s);
    resolver.shared->next = addresses{at(two.port())};
    REQUIRE(open().ok());
    accepted(2, 3);
    CHECK(resolver.shared->asked == 2);
}

TEST_CASE_FIXTURE(fixture, "pool: an address that refuses is passed over, and left alone for a while")
{
    tcp::acceptor closed(io, {asio::ip::address_v4::loopback(), 0});
    const tcp::endpoint dead = closed.local_endpoint();
    closed.close();
    resolver.shared->next = addresses{dead, at(one.port())};
    for (int i = 0; i < 3; ++i)
        REQUIRE(open().ok());
    accepted(3, 0);
    resolver.shared->next = addresses{dead};
    clock.advance(16s);
    CHECK(open().code() == std::errc::connection_refused);
}

TEST_CASE_FIXTURE(fixture, "pool: many who want the same name ask once")
{
    resolver.shared->next = addresses{at(one.port())};
    std::vector<status> ended(3, status(errc::cancelled));
    for (status& s : ended)
        asio::co_spawn(io, open_one(pool, held, s), asio::detached);
    CHECK(testing::run_until(io, [&] { return held.size() == 3; }));
    CHECK(resolver.shared->asked == 1);
}

TEST_CASE_FIXTURE(fixture,
                  "pool: a name without addresses is an error for all who asked, and asked for again")
{
    std::vector<status> ended(3);
    for (status& s : ended)
        asio::co_spawn(io, open_one(pool, held, s), asio::detached);
    CHECK(testing::run_until(io, [&] { return pool.in_use() == 0 && !ended[2].ok(); }));
    for (const status& s : ended)
        CHECK(s.code() == errc::unreachable);
    CHECK(resolver.shared->asked == 1);
    resolver.shared->next = addresses{};
    CHECK(open().code() == errc::unreachable);
    resolver.shared->next = addresses{at(one.port())};
    CHECK(open().ok());
}

} // namespace address_book_test
