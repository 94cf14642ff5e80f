// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/http_fetch.hpp>

#include <objectcache/io/operation.hpp>
#include <objectcache/testing/manual_clock.hpp>

#include <unit/s3/credentials_fixture.hpp>
#include <unit/s3/scripted_peer.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>

#include <support/run.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using namespace objectcache::s3;
using namespace std::chrono_literals;
using s3::detail::http_fetch;
using s3::detail::http_request;
using s3::detail::http_response;
using s3::detail::request_for;

namespace http_fetch_test {

using credentials_fixture::has;
using peer_test::answer;
using peer_test::page;
using peer_test::scripted_peer;

constexpr auto close_it = answer::then::close;
constexpr auto stall = answer::then::stall;

result<http_response> fetch(asio::io_context& io, http_request what, duration limit = 10s)
{
    const deadline until(objectcache::clock::of(io.get_executor()).now() + limit);
    return support::run(io, http_fetch(std::move(what), connection_options(), until));
}

asio::awaitable<void> failing_fetch(http_request what, deadline until, std::optional<status>& out)
{
    co_await without_exceptions();
    connection_options how;
    const auto got = co_await http_fetch(std::move(what), std::move(how), until);
    out = got.error();
}

http_request to(const scripted_peer& peer, const std::string& target = "/a?b=SECRET")
{
    return *request_for(peer.url() + target);
}

/** One connection for each answer, as every request makes its own. */
std::vector<std::vector<answer>> in_turn(std::vector<answer> answers)
{
    std::vector<std::vector<answer>> out;
    for (answer& a : answers)
        out.push_back({std::move(a)});
    return out;
}

TEST_CASE("http_fetch: URLs")
{
    const auto whole = request_for("https://host:81/a/b?c=d/e");
    REQUIRE(whole);
    CHECK(whole->where.url() == "https://host:81");
    CHECK(whole->target == "/a/b?c=d/e");
    CHECK(describe(*whole) == "GET https://host:81/a/b");
    CHECK(request_for("http://h")->target == "/");
    CHECK(request_for("http://h?q")->target == "/?q");
    CHECK(request_for("http://[fd00:ec2::23]/v1")->where.host == "fd00:ec2::23");
    for (const char* url :
         {"", "h", "/a", "ftp://h/", "http:///a", "http://u@h/", "http://h:0/", "http://h/a b",
          "http://h/a\r\nX: y", "http://h/#f", "http://h#f", "http://h/\xc3\xa9", "http://h/a\x7f"})
        CHECK_MESSAGE(request_for(url).error() == condition::invalid, url);
}

TEST_CASE("http_fetch: one request, with its headers and its body")
{
    asio::io_context io;
    scripted_peer peer(io, in_turn({{page("200 OK", "hello")}, {page("404 Not Found", "nothing")}}));
    http_request what = to(peer);
    what.method = "POST";
    what.headers.emplace_back("X-Some", "thing");
    what.body = "body";
    const auto got = fetch(io, what);
    REQUIRE(got);
    CHECK(got->code == 200);
    CHECK(got->text == "hello");
    const std::string& sent = peer.requests.at(0);
    CHECK(sent.starts_with("POST /a?b=SECRET HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(peer.port()) +
                           "\r\n"));
    CHECK(has(sent, "\r\nX-Some: thing\r\nContent-Length: 4\r\n"));
    CHECK(has(sent, "\r\nConnection: close\r\n"));
    CHECK(sent.ends_with("\r\n\r\nbody"));
    const auto no = fetch(io, to(peer));
    REQUIRE(no);
    CHECK(no->code == 404);
    CHECK(no->text == "nothing");
    CHECK_FALSE(has(peer.requests.at(1), "Content-Length"));

    what.headers.emplace_back("X-Other", "SECRET\r\nX-Smuggled: 1");
    const auto bad = fetch(io, what);
    CHECK(bad.error() == condition::invalid);
    CHECK_FALSE(has(bad.error().message(), "SECRET"));
    CHECK(peer.connections == 2);
}

TEST_CASE("http_fetch: again after what may pass, and not after what will not")
{
    asio::io_context io;
    SUBCASE("errors of the service")
    {
        scripted_peer peer(io, in_turn({{page("500 Oops")}, {page("429 Slow")}, {page("200 OK", "x")}}));
        CHECK(fetch(io, to(peer))->code == 200);
        CHECK(peer.connections == 3);
    }
    SUBCASE("broken connections")
    {
        scripted_peer peer(
            io, in_turn({{"", close_it}, {"HTTP/1.1 200 OK\r\nContent-Le", close_it}, {page("200 OK")}}));
        CHECK(fetch(io, to(peer))->code == 200);
    }
    SUBCASE("three times and no more")
    {
        scripted_peer peer(io,
                           in_turn({{page("503 a")}, {page("503 b")}, {page("503 c")}, {page("200 OK")}}));
        CHECK(fetch(io, to(peer))->code == 503);
        CHECK(peer.connections == 3);
    }
    SUBCASE("no redirect is followed, no refusal questioned")
    {
        scripted_peer peer(io,
                           in_turn({{page("302 Found\r\nLocation: http://127.0.0.1:1/")}, {page("403 No")}}));
        CHECK(fetch(io, to(peer))->code == 302);
        CHECK(fetch(io, to(peer))->code == 403);
        CHECK(peer.connections == 2);
    }
    SUBCASE("not past the deadline")
    {
        auto& time = asio::make_service<testing::manual_clock>(io);
        scripted_peer peer(io, in_turn({{page("500 Oops")}, {page("200 OK")}}));
        CHECK(fetch(io, to(peer), 50ms)->code == 500);
        CHECK(time.pending() == 0);
    }
}

TEST_CASE("http_fetch: hostile answers")
{
    asio::io_context io;
    const auto got = [&](const std::string& bytes, answer::then after = close_it) {
        scripted_peer peer(io, std::vector<std::vector<answer>>(3, {{bytes, after}}));
        auto out = fetch(io, to(peer));
        if (!out)
            CHECK(has(out.error().detail(), "GET " + peer.url() + "/a: "));
        CHECK_FALSE(has(out.error().message(), "SECRET"));
        return out;
    };
    CHECK(got("SECRET\r\n\r\n").error() == condition::corrupt);
    CHECK(got("HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n").error() == condition::corrupt);
    CHECK(got("HTTP/1.1 200 OK\r\n\r\n" + std::string(100'000, 'x')).error() == condition::corrupt);
    CHECK(got("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x')).error() == condition::corrupt);
    CHECK(got("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nSECRET").error() == errc::connection_lost);
    CHECK(got("").error() == errc::connection_lost);
    // An error is an error, however long and however badly put.
    CHECK(got("HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nSECRET")->code == 403);
    const auto flood = got("HTTP/1.1 400 No\r\n\r\n" + std::string(1'000'000, 'x'));
    REQUIRE(flood);
    CHECK(flood->code == 400);
    CHECK(flood->text.size() <= 64 * 1024);
}

TEST_CASE("http_fetch: a deadline, nobody there, a cancellation")
{
    asio::io_context io;
    auto& time = asio::make_service<testing::manual_clock>(io);
    std::optional<status> ended;
    asio::cancellation_signal stop;
    std::uint16_t nobody = 0;
    {
        scripted_peer peer(io, in_turn({{"HTTP/1.1 200 OK\r\n", stall}}));
        nobody = peer.port();
        asio::co_spawn(io, failing_fetch(to(peer), deadline(time.now() + 1s), ended),
                       asio::bind_cancellation_slot(stop.slot(), asio::detached));
        REQUIRE(testing::run_until(io, [&] { return peer.stalled == 1; }));
        SUBCASE("deadline")
        {
            time.advance(1s);
            REQUIRE(testing::run_until(io, [&] { return ended.has_value(); }));
            CHECK(*ended == condition::timeout);
        }
        SUBCASE("cancelled")
        {
            stop.emit(asio::cancellation_type::total);
            REQUIRE(testing::run_until(io, [&] { return ended.has_value(); }));
            CHECK(*ended == errc::cancelled);
        }
    }
    const auto refused = fetch(io, *request_for("http://127.0.0.1:" + std::to_string(nobody) + "/a"));
    CHECK(refused.error() == condition::unavailable);
    CHECK(has(refused.error().message(), "GET http://127.0.0.1:" + std::to_string(nobody) + "/a"));
}

TEST_CASE("http_fetch: cancelled in the pause between two tries")
{
    asio::io_context io;
    auto& time = asio::make_service<testing::manual_clock>(io);
    scripted_peer peer(io, in_turn({{page("500 Oops")}, {page("200 OK")}}));
    std::optional<status> ended;
    asio::cancellation_signal stop;
    asio::co_spawn(io, failing_fetch(to(peer), deadline(time.now() + 1h), ended),
                   asio::bind_cancellation_slot(stop.slot(), asio::detached));
    // The one timer that is left once the first try is over.
    REQUIRE(testing::run_until(io, [&] { return peer.ended == 1 && time.pending() == 1; }));
    stop.emit(asio::cancellation_type::total);
    REQUIRE(testing::run_until(io, [&] { return ended.has_value(); }));
    CHECK(*ended == errc::cancelled);
    CHECK(peer.connections == 1);
}

} // namespace http_fetch_test
