// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/client.hpp>

#include <objectcache/s3/cached_credentials.hpp>
#include <objectcache/s3/large_object.hpp>
#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <unit/s3/scripted_peer.hpp>

#include <support/run.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>

// What a client does about a store that is slow, tired, elsewhere or of another opinion.
namespace client_behaviour_test {

using namespace objectcache;
using namespace objectcache::s3;
using namespace std::chrono_literals;
using asio::ip::tcp;
using peer_test::answer;
using peer_test::page;
using peer_test::part;
using peer_test::scripted_peer;
using support::run;

constexpr auto close_it = answer::then::close;
constexpr auto stall = answer::then::stall;
const credentials who{"AK", "SK", "", {}};

std::string error(const std::string& head, const std::string& code, const std::string& more = {})
{
    return page(head, "<Error><Code>" + code + "</Code>" + more + "</Error>");
}

client_options quick()
{
    client_options out;
    out.retry.base_delay = 1ms;
    out.retry.throttled_delay = 1ms;
    out.throttling.min_rate = 1000;
    return out;
}

client make(asio::io_context& io, const scripted_peer& peer, client_options options = quick())
{
    return client(io.get_executor(), *endpoint::parse(peer.url()), who, std::move(options));
}

result<object_info> get_ten(asio::io_context& io, client& c, std::vector<std::byte>& into)
{
    into.assign(10, std::byte{0});
    return run(io, c.get("b", "k", {5, 10}, into));
}

std::string header_of(const std::string& request, const std::string& name)
{
    const auto at = request.find("\r\n" + name + ": ");
    if (at == request.npos)
        return {};
    const auto from = at + name.size() + 4;
    return request.substr(from, request.find("\r\n", from) - from);
}

TEST_CASE("client: what another try may cure is tried again")
{
    asio::io_context io;
    scripted_peer peer(
        io, {{{error("500 Internal Server Error", "InternalError")},
              {error("503 Slow Down", "SlowDown")},
              {"HTTP/1.1 206 P\r\nContent-Range: bytes 5-14/99\r\nContent-Length: 10\r\n\r\n0123", close_it}},
             {{part(5, "0123456789")}}});
    client c = make(io, peer);
    std::vector<std::byte> into;
    const auto got = get_ten(io, c, into);
    CHECK_MESSAGE(got, got.error().message());
    CHECK(into[9] == std::byte{'9'});
    CHECK(c.counters().operations == 1);
    CHECK(c.counters().requests == 4);
    CHECK(c.counters().retries == 3);
    CHECK(c.counters().throttled == 1);
    CHECK(c.connections().in_use() == 0);
}

TEST_CASE("client: tries, budget and deadline are bounded, and the last failure is what is told")
{
    asio::io_context io;
    const std::string failing =
        error("500 Internal Server Error", "InternalError", "<Message>again</Message>");
    SUBCASE("tries")
    {
        scripted_peer peer(io, {{{failing}, {failing}, {failing}, {failing}, {failing}}});
        client c = make(io, peer);
        std::vector<std::byte> into;
        const auto got = get_ten(io, c, into);
        CHECK(got.code() == errc::server_error);
        CHECK(got.error().detail().ends_with("500 InternalError: again"));
        CHECK(peer.requests.size() == 4);
    }
    SUBCASE("budget")
    {
        scripted_peer peer(io, {{{failing}, {failing}, {failing}, {failing}, {failing}}});
        client_options options = quick();
        options.retry.budget = 7;
        client c = make(io, peer, options);
        std::vector<std::byte> into;
        CHECK(get_ten(io, c, into).code() == errc::server_error);
        CHECK(peer.requests.size() == 2);
    }
    SUBCASE("deadline")
    {
        scripted_peer peer(io, {{{error("503 Slow Down\r\nRetry-After: 40", "SlowDown")}}});
        client c = make(io, peer); // a request may take 30 s
        std::vector<std::byte> into;
        CHECK(get_ten(io, c, into).code() == errc::throttled);
        CHECK(peer.requests.size() == 1);
    }
}

TEST_CASE("client: a wrong clock is put right by the store's")
{
    asio::io_context io;
    scripted_peer peer(
        io, {{{error("403 Forbidden\r\nDate: Mon, 02 Jan 2040 03:04:05 GMT", "RequestTimeTooSkewed")},
              {part(5, "0123456789")},
              {part(5, "0123456789")}}});
    client c = make(io, peer);
    std::vector<std::byte> into;
    CHECK(get_ten(io, c, into));
    CHECK(header_of(peer.requests[1], "x-amz-date").starts_with("20400102T03040"));
    CHECK(get_ten(io, c, into));
    CHECK(header_of(peer.requests[2], "x-amz-date").starts_with("20400102T0304"));
    CHECK(c.counters().corrections == 1);
    CHECK(c.counters().retries == 0);
}

TEST_CASE("client: a clock that the store still finds wrong is not put right for ever")
{
    asio::io_context io;
    const std::string skewed =
        error("403 Forbidden\r\nDate: Mon, 02 Jan 2040 03:04:05 GMT", "RequestTimeTooSkewed");
    scripted_peer peer(io, {{{skewed}, {skewed}, {skewed}}});
    client c = make(io, peer);
    std::vector<std::byte> into;
    CHECK(get_ten(io, c, into).error() == condition::denied);
    CHECK(peer.requests.size() == 2);
}

TEST_CASE("client: what is put right during one operation is right for those beside it")
{
    struct answers {
        std::string refusal;
        const char* header;
        const char* after;
    };
    const answers all[] = {
        {error("403 Forbidden\r\nDate: Mon, 02 Jan 2040 03:04:05 GMT", "RequestTimeTooSkewed"), "x-amz-date",
         "20400102T0304"},
        {error("301 Moved Permanently\r\nx-amz-bucket-region: eu-west-1", "PermanentRedirect"),
         "Authorization", "/eu-west-1/s3/"},
        {error("400 Bad Request", "ExpiredToken"), "Authorization", "Credential=AK2/"},
    };
    for (const answers& one : all) {
        CAPTURE(one.after);
        asio::io_context io;
        const std::vector<answer> life = {{one.refusal}, {part(5, "0123456789")}};
        scripted_peer peer(io, {life, life, life});
        int asked = 0;
        const credentials_provider source = [&]() -> asio::awaitable<result<credentials>> {
            credentials out{"AK" + std::to_string(++asked), "SK", "T", {}};
            co_return out;
        };
        client c(io.get_executor(), *endpoint::parse(peer.url()),
                 cached_credentials(io.get_executor(), source), quick());
        int good = 0;
        const auto body = [](client store, int& count) -> asio::awaitable<void> {
            std::vector<std::byte> into(10);
            const auto got = co_await store.get("b", "k", {5, 10}, into);
            count += got.ok();
        };
        for (int i = 0; i < 3; ++i)
            asio::co_spawn(io, body(c, good), asio::detached);
        REQUIRE(testing::run_until(io, [&] { return c.counters().operations == 3 && good == 3; }));
        REQUIRE(peer.requests.size() == 6);
        CHECK(std::count_if(peer.requests.begin(), peer.requests.end(), [&](const std::string& request) {
                  return header_of(request, one.header).find(one.after) != std::string::npos;
              }) == 3);
        CHECK(asked <= 2);
    }
}

TEST_CASE("client: credentials that expire in flight are asked for again")
{
    asio::io_context io;
    scripted_peer peer(io, {{{error("400 Bad Request", "ExpiredToken")},
                             {part(5, "0123456789")},
                             {error("400 Bad Request", "ExpiredToken")},
                             {error("400 Bad Request", "ExpiredToken")}}});
    int asked = 0;
    const credentials_provider source = [&]() -> asio::awaitable<result<credentials>> {
        credentials out{"AK" + std::to_string(++asked), "SK", "T", {}};
        co_return out;
    };
    client c(io.get_executor(), *endpoint::parse(peer.url()), cached_credentials(io.get_executor(), source),
             quick());
    std::vector<std::byte> into;
    CHECK(get_ten(io, c, into));
    CHECK(asked == 2);
    CHECK(header_of(peer.requests[0], "Authorization").find("Credential=AK1/") != std::string::npos);
    CHECK(header_of(peer.requests[1], "Authorization").find("Credential=AK2/") != std::string::npos);
    CHECK(get_ten(io, c, into).error() == condition::denied); // and once more is once too often
    CHECK(peer.requests.size() == 4);
}

TEST_CASE("client: a bucket in another region is found, and remembered")
{
    asio::io_context io;
    scripted_peer peer(
        io, {{{error("301 Moved Permanently\r\nx-amz-bucket-region: eu-west-1", "PermanentRedirect")},
              {part(5, "0123456789")},
              {part(5, "0123456789")},
              {error("400 Bad Request", "AuthorizationHeaderMalformed", "<Region>ap-south-1</Region>")},
              {page("200 OK")}}});
    client c = make(io, peer);
    std::vector<std::byte> into;
    CHECK(get_ten(io, c, into));
    CHECK(header_of(peer.requests[0], "Authorization").find("/us-east-1/s3/") != std::string::npos);
    CHECK(header_of(peer.requests[1], "Authorization").find("/eu-west-1/s3/") != std::string::npos);
    CHECK(get_ten(io, c, into));
    CHECK(header_of(peer.requests[2], "Authorization").find("/eu-west-1/s3/") != std::string::npos);
    CHECK(run(io, c.remove("other", "k")).ok());
    CHECK(header_of(peer.requests[3], "Authorization").find("/us-east-1/s3/") != std::string::npos);
    CHECK(header_of(peer.requests[4], "Authorization").find("/ap-south-1/s3/") != std::string::npos);
}

/** A client of AWS, whose hosts are all `peer`. */
client of_amazon(asio::io_context& io, const scripted_peer& peer, const std::string& host,
                 client_options options = quick())
{
    options.connections.resolver =
        [port = peer.port()](std::string,
                             std::uint16_t) -> asio::awaitable<result<std::vector<tcp::endpoint>>> {
        co_return std::vector<tcp::endpoint>{{asio::ip::address_v4::loopback(), port}};
    };
    return client(io.get_executor(), *endpoint::parse("http://" + host), who, std::move(options));
}

const std::string to_ireland =
    error("301 Moved Permanently\r\nx-amz-bucket-region: eu-west-1", "PermanentRedirect");

TEST_CASE("client: a bucket of AWS in another region is found there, by a host of the same kind")
{
    asio::io_context io;
    std::vector<std::byte> into;
    for (const std::string kind : {"s3.", "s3.dualstack.", "s3-fips.", "s3-fips.dualstack."}) {
        CAPTURE(kind);
        scripted_peer peer(io, {{{to_ireland}}, {{part(5, "0123456789")}, {part(5, "0123456789")}}});
        client c = of_amazon(io, peer, kind + "us-east-1.amazonaws.com");
        CHECK(get_ten(io, c, into));
        CHECK(get_ten(io, c, into)); // straight away
        REQUIRE(peer.requests.size() == 3);
        CHECK(header_of(peer.requests[0], "Host") == "b." + kind + "us-east-1.amazonaws.com");
        for (const std::size_t i : {1, 2}) {
            CHECK(header_of(peer.requests[i], "Host") == "b." + kind + "eu-west-1.amazonaws.com");
            CHECK(header_of(peer.requests[i], "Authorization").find("/eu-west-1/s3/") != std::string::npos);
        }
    }
}

TEST_CASE("client: a bucket of AWS that is new somewhere is found by the address alone")
{
    asio::io_context io;
    const std::string there = "http://b.s3-new.us-east-1.amazonaws.com";
    scripted_peer peer(
        io, {{{error("307 Temporary Redirect\r\nLocation: " + there + "/k?x", "TemporaryRedirect")}},
             {{part(5, "0123456789")},
              {error("307 Temporary Redirect\r\nLocation: " + there + "/k", "TemporaryRedirect")}}});
    client c = of_amazon(io, peer, "s3.us-east-1.amazonaws.com");
    std::vector<std::byte> into;
    CHECK(get_ten(io, c, into));
    REQUIRE(peer.requests.size() == 2);
    CHECK(header_of(peer.requests[1], "Host") == "b.s3-new.us-east-1.amazonaws.com");
    CHECK(get_ten(io, c, into).code() == errc::unexpected_status); // it says that it is itself elsewhere
    CHECK(peer.requests.size() == 3);
}

TEST_CASE("client: a region that fails is left alone by all its buckets, and by no others")
{
    asio::io_context io;
    const answer fails = {error("500 Internal Server Error", "InternalError")};
    const answer works = {part(5, "0123456789")};
    // By host: far1 at home and in Ireland, far2 at home, near at home.
    scripted_peer peer(io, {{{to_ireland}}, {fails, fails}, {{to_ireland}}, {works}});
    client_options options = quick();
    options.retry.max_attempts = 1;
    options.circuit.consecutive_failures = 2;
    client c = of_amazon(io, peer, "s3.us-east-1.amazonaws.com", options);
    std::vector<std::byte> into(10);
    const auto get = [&](const std::string& bucket) { return run(io, c.get(bucket, "k", {5, 10}, into)); };
    for (int i = 0; i < 2; ++i)
        CHECK(get("far1").code() == errc::server_error);
    for (const char* bucket : {"far1", "far2"}) {
        const auto refused = get(bucket);
        CHECK(refused.code() == errc::unreachable);
        CHECK(refused.error().detail().find("InternalError") != std::string::npos);
    }
    CHECK(c.counters().refused == 2);
    CHECK(get("near"));
    CHECK(peer.requests.size() == 5);
}

TEST_CASE("client: credentials that are remembered are refreshed as early as their keeper wants")
{
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    // Idle connections do not live so long: each GET has its own.
    scripted_peer peer(io, std::vector<std::vector<answer>>(4, {{part(5, "0123456789")}}));
    int asked = 0;
    const auto source = [&]() -> asio::awaitable<result<credentials>> {
        credentials out{"key" + std::to_string(++asked), "SECRET", "", {}};
        out.expiry = time.date() + 1h;
        co_return out;
    };
    client c(io.get_executor(), *endpoint::parse(peer.url()),
             credentials_provider(cached_credentials(io.get_executor(), source)), quick());
    std::vector<std::byte> into;
    CHECK(get_ten(io, c, into));
    time.advance(54min);
    CHECK(get_ten(io, c, into));
    CHECK(asked == 1);
    time.advance(2min); // four are left, five wanted
    CHECK(get_ten(io, c, into));
    CHECK(asked == 2);
    time.advance(1min);
    CHECK(get_ten(io, c, into));
    CHECK(asked == 2);
    REQUIRE(peer.requests.size() == 4);
    CHECK(peer.requests[3].find("key2/") != std::string::npos);
}

TEST_CASE("client: redirects do not go round, nor to strangers")
{
    asio::io_context io;
    const auto to = [](const std::string& region) {
        return error("301 Moved Permanently\r\nx-amz-bucket-region: " + region, "PermanentRedirect");
    };
    SUBCASE("round")
    {
        scripted_peer peer(io, {{{to("a")}, {to("b")}, {to("a")}, {to("b")}}});
        client c = make(io, peer);
        std::vector<std::byte> into;
        CHECK(get_ten(io, c, into).code() == errc::unexpected_status);
        CHECK(peer.requests.size() == 3);
    }
    SUBCASE("to another host")
    {
        scripted_peer peer(io, {{{page("307 Temporary Redirect\r\nLocation: http://evil.example/b/k")}}});
        client c = make(io, peer);
        std::vector<std::byte> into;
        CHECK(get_ten(io, c, into).code() == errc::unexpected_status);
        CHECK(peer.requests.size() == 1);
    }
    SUBCASE("to something that is no region")
    {
        scripted_peer peer(io, {{{to("evil.example/")}}});
        client c = make(io, peer);
        std::vector<std::byte> into;
        CHECK(get_ten(io, c, into).code() == errc::unexpected_status);
        CHECK(peer.requests.size() == 1);
    }
}

TEST_CASE("client: an endpoint that fails is left alone, and found to be well again")
{
    asio::io_context io;
    const std::string failing = error("500 Internal Server Error", "InternalError");
    scripted_peer peer(io, {{{failing}, {failing}, {part(5, "0123456789")}, {part(5, "0123456789")}}});
    client_options options = quick();
    options.retry.max_attempts = 1;
    options.circuit.consecutive_failures = 2;
    options.circuit.cooldown = 30ms;
    client c = make(io, peer, options);
    std::vector<std::byte> into;
    CHECK(get_ten(io, c, into).code() == errc::server_error);
    CHECK(get_ten(io, c, into).code() == errc::server_error);
    const auto refused = get_ten(io, c, into);
    CHECK(refused.code() == errc::unreachable);
    CHECK(refused.error().detail().find("not tried") != std::string::npos);
    CHECK(c.counters().refused == 1);
    CHECK(peer.requests.size() == 2);
    timer later(io.get_executor());
    later.expires_at(later.now() + 31ms);
    CHECK(run(io, later.wait()));
    CHECK(get_ten(io, c, into));
    CHECK(get_ten(io, c, into));
}

TEST_CASE("client: a read that is late is sent again beside the first, and the faster one counts")
{
    asio::io_context io;
    std::vector<answer> first(9, {part(5, "0123456789")});
    first[8] = {"", stall};
    scripted_peer peer(io, {first, {{part(5, "abcdefghij")}, {part(5, "0123456789")}}});
    client_options options = quick();
    options.hedge.min_samples = 8;
    options.hedge.budget = 0.5;
    client c = make(io, peer, options);
    std::vector<std::byte> into;
    for (int i = 0; i < 8; ++i)
        CHECK(get_ten(io, c, into));
    CHECK(c.counters().hedges == 0);
    const auto got = get_ten(io, c, into);
    CHECK(got);
    CHECK(into[9] == std::byte{'j'});
    CHECK(got->size == 1000);
    CHECK(c.counters().hedges == 1);
    CHECK(c.counters().hedges_won == 1);
    CHECK(c.connections().in_use() == 0);
    CHECK(c.connections().idle() == 1); // the loser's is closed
    CHECK(get_ten(io, c, into));
    CHECK(testing::run_until(io, [&] { return peer.ended == 1; }));
}

TEST_CASE("client: where nothing moves, the request is given up and tried again; what moves slowly is not")
{
    asio::io_context io;
    scripted_peer peer(
        io, {{{"", stall}},
             {{"HTTP/1.1 206 P\r\nContent-Range: bytes 5-14/99\r\nContent-Length: 10\r\n\r\n0123", stall}},
             {{part(5, "0123456789")}}});
    client_options options = quick();
    options.stall_timeout = 20ms;
    client c = make(io, peer, options);
    std::vector<std::byte> into;
    CHECK(get_ten(io, c, into));
    CHECK(c.counters().stalled == 2);
    CHECK(peer.connections == 3);
}

struct arrivals final : read_observer {
    std::vector<std::size_t> seen;
    void arrived(std::size_t bytes) noexcept override { seen.push_back(bytes); }
};

TEST_CASE("client: who looks at a body while it comes is told when it begins again")
{
    asio::io_context io;
    std::vector<answer> first(9, {part(5, "0123456789")});
    const std::string torn = part(5, "0123456789");
    first[8] = {torn.substr(0, torn.size() - 6), stall};
    SUBCASE("because the request failed")
    {
        first[8].after = close_it;
    }
    SUBCASE("because another one was faster") {}
    const bool hedged = first[8].after == stall;
    scripted_peer peer(io, {first, {{part(5, "abcdefghij")}}});
    client_options options = quick();
    options.hedge.min_samples = hedged ? 8 : 100;
    options.hedge.budget = 0.5;
    client c = make(io, peer, options);
    std::vector<std::byte> into;
    for (int i = 0; i < 8; ++i)
        CHECK(get_ten(io, c, into));
    arrivals observer;
    const get_options how{.until = {}, .observer = &observer};
    CHECK(run(io, c.get("b", "k", {5, 10}, into, how)));
    CHECK(into[9] == std::byte{'j'});
    CHECK(c.counters().hedges_won == (hedged ? 1 : 0));
    // In any case from the beginning, the torn answer's four bytes once, and at last all ten of the other one.
    REQUIRE(observer.seen.size() >= 4);
    CHECK(observer.seen.front() == 0);
    CHECK(std::count(observer.seen.begin(), observer.seen.end(), 0) == 2);
    CHECK(observer.seen[observer.seen.size() - 2] == 0);
    CHECK(observer.seen.back() == 10);
}

/** A peer that the test itself plays, line by line. */
class puppet {
public:
    puppet() : acceptor_(own_, tcp::endpoint(asio::ip::address_v4::loopback(), 0))
    {
        acceptor_.non_blocking(true);
    }

    std::string url() const
    {
        return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
    }
    /** Wait for a request on a new connection. */
    bool asked(asio::io_context& io)
    {
        boost::system::error_code ec = asio::error::would_block;
        const auto is_there = [&] {
            if (ec)
                acceptor_.accept(socket_, ec);
            return !ec && socket_.available() != 0;
        };
        return testing::run_until(io, is_there);
    }
    /** Or, as the system does by itself, a little only when what came before was acknowledged. */
    void send_at_once(bool yes) { socket_.set_option(tcp::no_delay(yes)); }
    void say(const std::string& bytes) { asio::write(socket_, asio::buffer(bytes)); }

private:
    asio::io_context own_;
    tcp::acceptor acceptor_;
    tcp::socket socket_{own_};
};

/** A GET of 200000 bytes from a puppet, on a clock that stands still but when it looks for a stall. */
struct slow_read {
    explicit slow_read(bool at_once)
    {
        client_options options = quick();
        options.retry.max_attempts = 1;
        options.stall_timeout = stall_timeout;
        options.request_timeout = 1h;
        c.emplace(io.get_executor(), *endpoint::parse(peer.url()), who, options);
        const get_options how{.until = {}, .observer = &observer};
        asio::co_spawn(io, c->get("b", "k", {0, into.size()}, into, how),
                       [this](std::exception_ptr, result<object_info> what) { got = std::move(what); });
        REQUIRE(peer.asked(io));
        peer.send_at_once(at_once);
    }
    void say(std::size_t from, std::size_t size) { peer.say(whole.substr(from, size)); }
    bool takes(std::size_t bytes)
    {
        return testing::run_until(io,
                                  [&] { return !observer.seen.empty() && observer.seen.back() >= bytes; });
    }
    bool looks()
    {
        const std::size_t timers = time.pending();
        time.advance(stall_timeout);
        return testing::run_until(io, [&] { return time.pending() == timers || got; });
    }

    static constexpr auto stall_timeout = 10s;
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    puppet peer;
    std::optional<client> c;
    std::vector<std::byte> into = std::vector<std::byte>(200000);
    const std::string whole = part(0, std::string(into.size(), 'x'), "*");
    arrivals observer;
    std::optional<result<object_info>> got;
};

TEST_CASE("client: what moves slowly has not stalled")
{
    slow_read t(true);
    t.say(0, 60000);
    REQUIRE(t.takes(50000));
    const std::size_t taken = t.observer.seen.back();
    for (std::size_t i = 0; i < 5; ++i) {
        REQUIRE(t.looks());
        REQUIRE_FALSE(t.got);
        t.say(60000 + 1000 * i, 1000);
        REQUIRE(t.takes(taken + 1000 * (i + 1))); // a ring may hold it already, where nobody can see it
    }
    CHECK(t.c->counters().stalled == 0);
    SUBCASE("and the rest is received")
    {
        t.say(65000, 35000);
        REQUIRE(t.takes(90000));
        REQUIRE(t.looks());
        CHECK_FALSE(t.got);
        t.say(100000, t.whole.size());
        REQUIRE(testing::run_until(t.io, [&] { return t.got.has_value(); }));
        CHECK(*t.got);
        CHECK(t.into.back() == std::byte{'x'});
        CHECK(t.c->connections().idle() == 1);
    }
    SUBCASE("but what has stopped has")
    {
        REQUIRE(t.looks());
        CHECK_FALSE(t.got);
        REQUIRE(t.looks());
        REQUIRE(t.got);
        CHECK(t.got->error() == condition::timeout);
        CHECK(t.c->counters().stalled == 1);
    }
}

TEST_CASE("client: a read that is given up ends, though bytes come at that moment")
{
    slow_read t(false);
    t.say(0, 60000);
    REQUIRE(t.looks());
    t.say(60000, 1000);
    for (int i = 0; i < 4 && !t.got; ++i)
        REQUIRE(t.looks());
    REQUIRE(t.got);
    CHECK(t.got->error() == condition::timeout);
}

TEST_CASE("client: a store without conditional PUT is looked at first, if that is allowed")
{
    asio::io_context io;
    const std::string lacking = error("501 Not Implemented", "NotImplemented");
    const std::string text = "body";
    const const_byte_span body = std::as_bytes(std::span(text));
    SUBCASE("allowed")
    {
        scripted_peer peer(io, {{{lacking},
                                 {"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n"},
                                 {page("200 OK")},
                                 {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"}}});
        client c = make(io, peer);
        CHECK(run(io, c.put("b", "k", std::span(&body, 1), {.if_none_match = true})).ok());
        CHECK(c.counters().retries == 0); // what a store cannot do it cannot do the next time either
        CHECK(peer.requests[1].starts_with("HEAD /b/k "));
        CHECK(header_of(peer.requests[2], "If-None-Match").empty());
        CHECK(run(io, c.put("b", "k", std::span(&body, 1), {.if_none_match = true})) == errc::already_exists);
        CHECK(peer.requests.size() == 4); // the 501 was remembered
    }
    SUBCASE("not allowed")
    {
        scripted_peer peer(io, {{{lacking}}});
        client_options options = quick();
        options.emulate_if_none_match = false;
        client c = make(io, peer, options);
        CHECK(run(io, c.put("b", "k", std::span(&body, 1), {.if_none_match = true})) ==
              errc::unexpected_status);
        CHECK(peer.requests.size() == 1);
    }
}

TEST_CASE("client: what a store cannot do is no sign of its death")
{
    asio::io_context io;
    const std::vector<answer> refuses(6, {error("501 Not Implemented", "NotImplemented")});
    scripted_peer peer(io, {refuses});
    client c = make(io, peer);
    std::vector<std::byte> into;
    for (int i = 0; i < 6; ++i)
        CHECK(get_ten(io, c, into).error() == errc::unexpected_status);
    CHECK(peer.requests.size() == 6);
    CHECK(c.counters().refused == 0);
}

TEST_CASE("client: an answer that comes too late for its reader is no sign of death either")
{
    asio::io_context io;
    const std::vector<answer> slow{
        {"HTTP/1.1 206 P\r\nContent-Range: bytes 5-14/99\r\nContent-Length: 10\r\n\r\n0123", stall}};
    std::vector<std::vector<answer>> script(6, slow);
    script.push_back({{part(5, "0123456789")}});
    scripted_peer peer(io, std::move(script));
    client c = make(io, peer);
    std::vector<std::byte> into(10);
    for (std::size_t i = 0; i < 6; ++i) {
        const deadline soon(clock::of(io.get_executor()).now() + 30ms);
        CHECK(run(io, c.get("b", "k", {5, 10}, into, {.until = soon})).error() == errc::deadline_exceeded);
        REQUIRE(peer.stalled == i + 1);
    }
    CHECK(get_ten(io, c, into));
    CHECK(c.counters().refused == 0);
}

TEST_CASE("client: who waits in line for a connection until it is too late has not found the store dead")
{
    asio::io_context io;
    scripted_peer peer(io, {{{"", stall}}, {{part(5, "0123456789")}}});
    client_options options = quick();
    options.connections.max_connections = 1;
    client c = make(io, peer, options);
    std::vector<std::byte> first(10), into(10);
    bool ended = false;
    asio::cancellation_signal stop;
    asio::co_spawn(io, c.get("b", "k", {5, 10}, first),
                   asio::bind_cancellation_slot(
                       stop.slot(), [&](std::exception_ptr, const result<object_info>&) { ended = true; }));
    REQUIRE(testing::run_until(io, [&] { return peer.stalled == 1; }));
    for (int i = 0; i < 6; ++i) {
        const deadline soon(clock::of(io.get_executor()).now() + 5ms);
        CHECK(run(io, c.get("b", "k", {5, 10}, into, {.until = soon})).error() == errc::deadline_exceeded);
    }
    CHECK(peer.requests.size() == 1);
    stop.emit(asio::cancellation_type::terminal);
    REQUIRE(testing::run_until(io, [&] { return ended; }));
    CHECK(get_ten(io, c, into));
    CHECK(c.counters().refused == 0);
}

TEST_CASE("client: checksums are sent, and those of the store compared")
{
    asio::io_context io;
    const std::string sum = "4waSgw=="; // CRC32C of "123456789"
    const auto object = [](const std::string& header) { return page("200 OK\r\n" + header, "123456789"); };
    const answer wrong{object("X-Amz-Checksum-Crc32c: AAAAAA==")};
    scripted_peer peer(io, {{{page("200 OK")}, {object("x-amz-checksum-crc32c: " + sum)}, wrong},
                            {{object("x-amz-checksum-crc32c: " + sum)}, wrong},
                            {wrong},
                            {{object("x-amz-checksum-crc32c: AAAAAA==-3")}, {object("Server: x")}}});
    client_options options = quick();
    options.upload_checksum = checksum::crc32c;
    client c = make(io, peer, options);
    const std::string text = "123456789";
    const const_byte_span body = std::as_bytes(std::span(text));
    CHECK(run(io, c.put("b", "k", std::span(&body, 1))).ok());
    CHECK(header_of(peer.requests[0], "x-amz-checksum-crc32c") == sum);
    std::vector<std::byte> into(20);
    CHECK(run(io, c.get("b", "k", into)));
    CHECK(header_of(peer.requests[1], "x-amz-checksum-mode") == "ENABLED");
    CHECK(run(io,
              c.get("b", "k",
                    into))); // the second time, on a connection that is not the one that brought wrong bytes
    CHECK(c.counters().retries == 1);
    CHECK(run(io, c.get("b", "k", into)).code() == errc::checksum_mismatch);
    CHECK(c.counters().retries == 2);
    CHECK(run(io, c.get("b", "k", into))); // of parts: says nothing about the whole
    CHECK(run(io, c.get("b", "k", into)));
    options.verify = checksum_check::required;
    scripted_peer plain(io, {{{object("Server: x")}}, {{object("Server: x")}}});
    client to_plain = make(io, plain, options);
    CHECK(run(io, to_plain.get("b", "k", into)).code() == errc::checksum_mismatch);
}

TEST_CASE("client: a body signed piece by piece says so")
{
    asio::io_context io;
    scripted_peer peer(io, {{{page("200 OK")}}, {{page("200 OK")}}});
    client_options options = quick();
    options.signing = payload_signing::chunks;
    const std::string text = "123456789";
    const const_byte_span body = std::as_bytes(std::span(text));
    client c = make(io, peer, options);
    CHECK(run(io, c.put("b", "k", std::span(&body, 1))).ok());
    CHECK(header_of(peer.requests[0], "x-amz-content-sha256") == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    CHECK(header_of(peer.requests[0], "x-amz-decoded-content-length") == "9");
    options.upload_checksum = checksum::crc32c;
    client summed = make(io, peer, options);
    CHECK(run(io, summed.put("b", "k", std::span(&body, 1))).ok());
    CHECK(header_of(peer.requests[1], "x-amz-trailer") == "x-amz-checksum-crc32c");
    CHECK(header_of(peer.requests[1], "x-amz-checksum-crc32c").empty());
    CHECK(peer.requests[1].find("\r\nx-amz-checksum-crc32c:4waSgw==\r\n") != std::string::npos);
}

TEST_CASE("client: only objects are signed piece by piece")
{
    asio::io_context io;
    scripted_peer peer(io, {{{page("200 OK", "<DeleteResult/>")}}});
    client_options options = quick();
    options.signing = payload_signing::chunks;
    client c = make(io, peer, options);
    const std::vector<std::string> keys{"a", "b"};
    CHECK(run(io, remove_objects(c, "b", keys, deadline())));
    CHECK(header_of(peer.requests[0], "x-amz-content-sha256").size() == 64);
    CHECK(header_of(peer.requests[0], "Content-Encoding").empty());
}

TEST_CASE("client: a second read that fails does not end the first")
{
    // Both requests fail: the operation ends with the first one's reason, and nothing is left.
    asio::io_context io;
    std::vector<answer> first(9, {part(5, "0123456789")});
    first[8] = {"", stall};
    scripted_peer peer(io, {first, {{error("404 Not Found", "NoSuchKey")}}});
    client_options options = quick();
    options.hedge.min_samples = 8;
    options.hedge.budget = 0.5;
    options.retry.max_attempts = 1;
    options.stall_timeout = 40ms;
    client c = make(io, peer, options);
    std::vector<std::byte> into;
    for (int i = 0; i < 8; ++i)
        CHECK(get_ten(io, c, into));
    const auto got = get_ten(io, c, into);
    CHECK_FALSE(got);
    CHECK(got.error() == condition::timeout);
    CHECK(c.connections().in_use() == 0);
}

TEST_CASE("client: a second read that is left alone and does not move is given up as the first would be")
{
    asio::io_context io;
    std::vector<answer> first(9, {part(5, "0123456789")});
    first[8] = {"HTTP/1.1 206 P\r\nContent-Range: bytes 5-14/99\r\nContent-Length: 10\r\n\r\n0123",
                answer::then::close_after_a_stall};
    scripted_peer peer(io, {first, {{"", stall}}, {{part(5, "0123456789")}}});
    client_options options = quick();
    options.hedge.min_samples = 8;
    options.hedge.budget = 0.5;
    options.stall_timeout = 20ms;
    client c = make(io, peer, options);
    std::vector<std::byte> into;
    for (int i = 0; i < 8; ++i)
        CHECK(get_ten(io, c, into));
    CHECK(get_ten(io, c, into)); // the next try
    CHECK(c.counters().hedges == 1);
    CHECK(c.counters().stalled == 1);
    CHECK(c.counters().retries == 1);
}

} // namespace client_behaviour_test
