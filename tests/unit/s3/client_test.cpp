// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/client.hpp>

#include <objectcache/io/operation.hpp>
#include <objectcache/testing/certificate.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <support/one_try.hpp>
#include <unit/s3/scripted_peer.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>

#include <support/run.hpp>

#include <doctest/doctest.h>

#include <poll.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <unistd.h>

using namespace objectcache;
using namespace objectcache::s3;

namespace client_test {

using peer_test::answer;
using peer_test::page;
using peer_test::part;
using peer_test::scripted_peer;
using support::run;
using namespace std::chrono_literals;

constexpr auto close_it = answer::then::close;
constexpr auto stall = answer::then::stall;
const credentials who{"AK", "SK", "", {}};

client make(asio::io_context& io, const scripted_peer& peer, client_options options = {})
{
    return client(io.get_executor(), *endpoint::parse(peer.url()), who, support::one_try(std::move(options)));
}

std::string text_of(const std::vector<std::byte>& bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/** GET bytes 5-14 of b/k. */
result<object_info> get_ten(asio::io_context& io, client& c, std::vector<std::byte>& into,
                            get_options options = {})
{
    into.assign(10, std::byte{0});
    return run(io, c.get("b", "k", {5, 10}, into, options));
}

TEST_CASE("client: a range lands where it should, over one connection")
{
    asio::io_context io;
    scripted_peer peer(io, {{{part(5, "0123456789")}, {part(5, "abcdefghij", "*")}}});
    client c = make(io, peer);
    std::vector<std::byte> into;
    const auto first = get_ten(io, c, into);
    REQUIRE(first);
    CHECK(text_of(into) == "0123456789");
    CHECK(first->size == 1000);
    CHECK(first->etag == "\"e\"");
    CHECK(c.connections().idle() == 1);
    const auto second = get_ten(io, c, into);
    REQUIRE(second);
    CHECK(text_of(into) == "abcdefghij");
    CHECK(peer.connections == 1);
    CHECK(peer.requests[0].starts_with("GET /b/k HTTP/1.1\r\n"));
    CHECK(peer.requests[0].find("Range: bytes=5-14\r\n") != std::string::npos);
    CHECK(peer.requests[0].find("Authorization: AWS4-HMAC-SHA256 Credential=AK/") != std::string::npos);
}

TEST_CASE("client: the other operations")
{
    asio::io_context io;
    const std::string listing =
        "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>n+</NextContinuationToken>"
        "<Contents><Key>p/x</Key><Size>3</Size></Contents></ListBucketResult>";
    scripted_peer peer(io,
                       {{{page("200 OK\r\nETag: \"w\"\r\nLast-Modified: Mon", "0123")},
                         {"HTTP/1.1 200 OK\r\nContent-Length: 77\r\nETag: \"h\"\r\n\r\n"},
                         {page("200 OK", listing)},
                         {page("200 OK", "<ListBucketResult/>")},
                         {page("200 OK")},
                         {page("412 Precondition Failed", "<Error><Code>PreconditionFailed</Code></Error>")},
                         {"HTTP/1.1 204 No Content\r\n\r\n"},
                         {page("200 OK")},
                         {page("409 Conflict", "<Error><Code>BucketAlreadyOwnedByYou</Code></Error>")}}});
    client c = make(io, peer);

    std::vector<std::byte> into(10);
    const auto whole = run(io, c.get("b", "k", into));
    REQUIRE(whole);
    CHECK(whole->size == 4);
    CHECK(whole->last_modified == "Mon");
    CHECK(text_of(into).substr(0, 4) == "0123");
    const auto info = run(io, c.head("b", "k"));
    REQUIRE(info);
    CHECK(info->size == 77);
    CHECK(info->etag == "\"h\"");

    const auto first = run(io, c.list("b", "p/", {.max_keys = 1}));
    REQUIRE(first);
    CHECK(first->objects.at(0).key == "p/x");
    const auto last = run(io, c.list("b", "p/", {.continuation = first->continuation}));
    REQUIRE(last);
    CHECK(last->continuation.empty());
    CHECK(peer.requests[2].starts_with(
        "GET /b?encoding-type=url&list-type=2&max-keys=1&prefix=p%2F HTTP/1.1\r\n"));
    CHECK(peer.requests[3].find("&continuation-token=n%2B&prefix=") != std::string::npos);

    const std::string head = "he";
    const std::string tail = "llo";
    const const_byte_span parts[] = {std::as_bytes(std::span(head)), {}, std::as_bytes(std::span(tail))};
    CHECK(run(io, c.put("b", "k", parts)).ok());
    CHECK(peer.requests[4].ends_with("\r\n\r\nhello"));
    CHECK(peer.requests[4].find("Content-Length: 5\r\n") != std::string::npos);
    CHECK(peer.requests[4].find("x-amz-content-sha256: 2cf24dba") != std::string::npos); // of "hello"
    CHECK(peer.requests[4].find("If-None-Match") == std::string::npos);
    const status taken = run(io, c.put("b", "k", parts, {.if_none_match = true}));
    CHECK(taken == errc::already_exists);
    CHECK(peer.requests[5].find("If-None-Match: *\r\n") != std::string::npos);
    CHECK(run(io, c.remove("b", "k")).ok());
    CHECK(peer.requests[6].starts_with("DELETE /b/k "));
    CHECK(run(io, c.create_bucket("b")).ok());
    CHECK(peer.requests[7].starts_with("PUT /b "));
    CHECK(run(io, c.create_bucket("b")) == errc::already_exists);
    CHECK(peer.connections == 1);
}

TEST_CASE("client: a failure is one line that names the request and the cause")
{
    asio::io_context io;
    const std::string denied = "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>";
    scripted_peer peer(
        io, {{{page("403 Forbidden", denied)}, {"not HTTP\r\n\r\n"}},
             {{"HTTP/1.1 206 P\r\nContent-Length: 10\r\nContent-Range: bytes 5-14/99\r\n\r\n0123", close_it}},
             {{part(5, "0123456789abc")}},
             {{"", close_it}}});
    client c = make(io, peer);
    std::vector<std::byte> into;
    const std::string url = "GET " + peer.url() + "/b/k: ";
    auto r = get_ten(io, c, into);
    CHECK(r.error() == condition::denied);
    CHECK(r.error().message() == url + "403 SignatureDoesNotMatch: no: access denied");
    r = get_ten(io, c, into);
    CHECK(r.error() == condition::corrupt);
    CHECK(r.error().detail().starts_with(url + "not an HTTP response"));
    r = get_ten(io, c, into);
    CHECK(r.code() == errc::connection_lost);
    CHECK(r.error().detail() == url + "the connection was closed after 4 bytes of the body");
    r = get_ten(io, c, into);
    CHECK(r.code() == errc::length_mismatch);
    CHECK(into.size() == 10);
    r = get_ten(io, c, into);
    CHECK(r.error().message() == url + "the connection was closed before any answer: connection lost");
    CHECK(peer.connections == 4);
    CHECK(c.connections().idle() == 0);
    CHECK(c.connections().in_use() == 0);
}

TEST_CASE("client: connection refused")
{
    asio::io_context io;
    std::optional<scripted_peer> peer(std::in_place, io, std::vector<std::vector<answer>>());
    client c = make(io, *peer);
    const std::string url = peer->url();
    asio::ip::tcp::acceptor held(io); // nobody listens on the port, and nobody else gets it
    const asio::ip::tcp::endpoint address(asio::ip::address_v4::loopback(), peer->port());
    peer.reset();
    held.open(address.protocol());
    held.bind(address);
    std::vector<std::byte> into;
    const auto r = get_ten(io, c, into);
    CHECK(r.code() == std::errc::connection_refused);
    CHECK(r.error() == condition::unavailable);
    CHECK(r.error().message() == "GET " + url + "/b/k: Connection refused");
}

TEST_CASE("client: arguments that cannot work never reach the network")
{
    asio::io_context io;
    scripted_peer peer(io, {});
    client c = make(io, peer);
    std::vector<std::byte> into(10);
    CHECK(run(io, c.get("b", "k", {0, 9}, into)).error() == condition::invalid);
    CHECK(run(io, c.get("b", "", into)).error() == condition::invalid);
    CHECK(run(io, c.get("b/c", "k", into)).error() == condition::invalid);
    CHECK(run(io, c.get("b", "k", {0, 0}, {})).error() == condition::invalid);
    CHECK(run(io, c.put("b", "", {})) == condition::invalid);
    CHECK(run(io, c.remove("b", "")) == condition::invalid);
    CHECK(peer.connections == 0);
}

TEST_CASE("client: a connection closed while idle is replaced, once and unnoticed")
{
    asio::io_context io;
    // Seen closed before it is used again; closed only when the second request is there; and twice in a row.
    scripted_peer peer(io, {{{part(5, "0123456789"), close_it}},
                            {{part(5, "0123456789")}, {"", close_it}},
                            {{page("200 OK")}, {"", close_it}},
                            {{"", close_it}}});
    client c = make(io, peer);
    std::vector<std::byte> into;
    CHECK(get_ten(io, c, into));
    CHECK(get_ten(io, c, into));
    CHECK(peer.connections == 2);
    const std::string text = "body";
    const const_byte_span body = std::as_bytes(std::span(text));
    CHECK(run(io, c.put("b", "k", std::span(&body, 1))).ok());
    CHECK(peer.connections == 3);
    CHECK(peer.requests.size() == 4);
    CHECK(peer.requests[3].ends_with("\r\n\r\nbody")); // sent again as a whole
    CHECK(get_ten(io, c, into).code() == errc::connection_lost);
    CHECK(peer.connections == 4); // a fresh connection that fails is believed
}

TEST_CASE("client: a deadline ends the wait, and the connection with it")
{
    asio::io_context io;
    scripted_peer peer(
        io, {{{"", stall}},
             {{"HTTP/1.1 206 P\r\nContent-Range: bytes 5-14/99\r\nContent-Length: 10\r\n\r\n0123", stall}},
             {{"", stall}}});
    client c = make(io, peer, {.request_timeout = 20ms});
    std::vector<std::byte> into;
    const auto r = get_ten(io, c, into, {.until = deadline(std::chrono::steady_clock::now() + 20ms)});
    CHECK(r.code() == errc::deadline_exceeded);
    CHECK(r.error().message() == "GET " + peer.url() + "/b/k: deadline exceeded");
    CHECK(get_ten(io, c, into).error() == condition::timeout);
    CHECK(c.connections().idle() == 0);
    CHECK(c.connections().in_use() == 0);
    const auto past = get_ten(io, c, into, {.until = deadline(std::chrono::steady_clock::now() - 1ms)});
    CHECK(past.error() == condition::timeout);
    CHECK(peer.connections == 2);
}

/** Starts an operation, cancels it once `ready` says so, and returns what it completed with. */
template <class T>
T cancel_when(asio::io_context& io, asio::awaitable<T> operation, asio::cancellation_type kind,
              const std::function<bool()>& ready)
{
    std::optional<T> out;
    asio::cancellation_signal signal;
    const auto body = [](asio::awaitable<T> inner, std::optional<T>& to) -> asio::awaitable<void> {
        co_await without_exceptions();
        to.emplace(co_await std::move(inner));
    };
    asio::co_spawn(io, body(std::move(operation), out),
                   asio::bind_cancellation_slot(signal.slot(), asio::detached));
    REQUIRE(testing::run_until(io, [&] { return out || ready(); }));
    REQUIRE_FALSE(out);
    signal.emit(kind);
    REQUIRE(testing::run_until(io, [&] { return out.has_value(); }));
    return std::move(*out);
}

constexpr asio::cancellation_type kinds[] = {
    asio::cancellation_type::terminal, asio::cancellation_type::partial, asio::cancellation_type::total};

TEST_CASE("client: cancelled while waiting for the answer, and in the middle of the body")
{
    for (const auto kind : kinds) {
        asio::io_context io;
        scripted_peer peer(
            io,
            {{{"", stall}},
             {{"HTTP/1.1 206 P\r\nContent-Range: bytes 5-14/99\r\nContent-Length: 10\r\n\r\n0123", stall}}});
        client c = make(io, peer);
        std::vector<std::byte> into(10);
        auto r = cancel_when(io, c.get("b", "k", {5, 10}, into), kind, [&] { return peer.stalled == 1; });
        CHECK(r.code() == errc::cancelled);
        CHECK(r.error().message() == "GET " + peer.url() + "/b/k: cancelled");
        r = cancel_when(io, c.get("b", "k", {5, 10}, into), kind,
                        [&] { return peer.stalled == 2 && into[3] == std::byte{'3'}; });
        CHECK(r.code() == errc::cancelled);
        CHECK(c.connections().in_use() == 0);
        CHECK(c.connections().idle() == 0);
        CHECK(
            testing::run_until(io, [&] { return peer.ended == 2; })); // the server sees the connections close
    }
}

/** A port whose server never accepts, with its queue full: connecting takes for ever. */
class full_port {
public:
    explicit full_port(asio::io_context& io) : acceptor_(io), io_(io)
    {
        acceptor_.open(asio::ip::tcp::v4());
        acceptor_.bind({asio::ip::address_v4::loopback(), 0});
        acceptor_.listen(0);
        for (bool full = false; !full;) {
            auto& filler = fillers_.emplace_back(io_);
            filler.open(asio::ip::tcp::v4());
            filler.native_non_blocking(true);
            const auto address = acceptor_.local_endpoint();
            static_cast<void>(
                ::connect(filler.native_handle(), address.data(), static_cast<socklen_t>(address.size())));
            pollfd wait{filler.native_handle(), POLLOUT, 0};
            full = ::poll(&wait, 1, 20) == 0;
            REQUIRE(fillers_.size() < 100);
        }
    }
    std::string url() const
    {
        return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
    }

private:
    asio::ip::tcp::acceptor acceptor_;
    asio::io_context& io_;
    std::vector<asio::ip::tcp::socket> fillers_;
};

TEST_CASE("client: cancelled while connecting; and connecting has a time limit of its own")
{
    for (const auto kind : kinds) {
        asio::io_context io;
        full_port port(io);
        client c(io.get_executor(), *endpoint::parse(port.url()), who);
        std::vector<std::byte> into(10);
        const auto r =
            cancel_when(io, c.get("b", "k", into), kind, [&] { return c.connections().in_use() == 1; });
        CHECK(r.code() == errc::cancelled);
        CHECK(c.connections().in_use() == 0);
    }
    asio::io_context io;
    full_port port(io);
    client c(io.get_executor(), *endpoint::parse(port.url()), who,
             {.connections = {.connect_timeout = 10ms}});
    std::vector<std::byte> into(10);
    const auto r = run(io, c.get("b", "k", into));
    CHECK(r.code() == errc::unreachable);
    CHECK(r.error().detail() == "GET " + port.url() + "/b/k: no connection within the connect timeout");
    const auto sooner =
        run(io, c.get("b", "k", into, {.until = deadline(std::chrono::steady_clock::now() + 2ms)}));
    CHECK(sooner.code() == errc::deadline_exceeded);
}

TEST_CASE("client: cancelled while sending")
{
    for (const auto kind : kinds) {
        asio::io_context io;
        asio::ip::tcp::acceptor mute(io, {asio::ip::address_v4::loopback(), 0});
        asio::ip::tcp::socket accepted(io);
        bool open = false;
        mute.async_accept(accepted, [&](boost::system::error_code) { open = true; });
        client c(io.get_executor(),
                 *endpoint::parse("http://127.0.0.1:" + std::to_string(mute.local_endpoint().port())), who,
                 {.signing = payload_signing::never});
        const std::vector<std::byte> large(std::size_t(64) << 20); // more than the kernel will hold
        const const_byte_span body(large);
        // Nobody reads, so what has arrived stays in the buffers: full means that the sender waits.
        const auto stuck = [&] {
            if (!open)
                return false;
            pollfd readable{accepted.native_handle(), POLLIN, 0};
            return ::poll(&readable, 1, 0) == 1;
        };
        const status r = cancel_when(io, c.put("b", "k", std::span(&body, 1)), kind, stuck);
        CHECK(r == errc::cancelled);
        CHECK(c.connections().in_use() == 0);
    }
}

TEST_CASE("client: cancelled in line, and before it starts")
{
    for (const auto kind : kinds) {
        asio::io_context io;
        scripted_peer peer(io, {{{"", stall}}});
        client c = make(io, peer, {.connections = {.max_connections = 1}});
        std::vector<std::byte> into(10);
        std::vector<std::byte> other(10);
        std::optional<result<object_info>> holder;
        asio::cancellation_signal stop;
        const auto hold = [](client& on, std::vector<std::byte>& to,
                             std::optional<result<object_info>>& out) -> asio::awaitable<void> {
            out.emplace(co_await on.get("b", "k", to));
        };
        asio::co_spawn(io, hold(c, other, holder), asio::bind_cancellation_slot(stop.slot(), asio::detached));
        REQUIRE(testing::run_until(io, [&] { return peer.stalled == 1; }));
        const auto r =
            cancel_when(io, c.get("b", "k", into), kind, [&] { return c.connections().waiting() == 1; });
        CHECK(r.code() == errc::cancelled);
        CHECK(c.connections().waiting() == 0);
        CHECK(c.connections().in_use() == 1);
        CHECK_FALSE(holder);
        stop.emit(asio::cancellation_type::terminal);
        REQUIRE(testing::run_until(io, [&] { return holder.has_value(); }));
        CHECK(holder->code() == errc::cancelled);
    }
    asio::io_context io;
    scripted_peer peer(io, {});
    client c = make(io, peer);
    asio::cancellation_signal signal;
    std::optional<result<object_info>> out;
    const auto body = [](client& on, asio::cancellation_signal& stop,
                         std::optional<result<object_info>>& to) -> asio::awaitable<void> {
        co_await without_exceptions();
        stop.emit(asio::cancellation_type::terminal);
        std::vector<std::byte> into(10);
        to.emplace(co_await on.get("b", "k", into));
    };
    asio::co_spawn(io, body(c, signal, out), asio::bind_cancellation_slot(signal.slot(), asio::detached));
    io.poll();
    REQUIRE(out);
    CHECK(out->code() == errc::cancelled);
    CHECK(peer.connections == 0);
}

// Asio's io_uring destroys what is under way after the services that it needs (Asio issue 1235).
#if !defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT)
TEST_CASE("client: destroyed in flight, in the middle of a body and in line")
{
    std::vector<std::byte> into(10);
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    const std::string url = "http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
    std::optional<client> c(std::in_place, io.get_executor(), *endpoint::parse(url), who,
                            client_options{.connections = {.max_connections = 1}});
    asio::co_spawn(io, c->get("b", "k", into), asio::detached);
    asio::co_spawn(io, c->get("b", "k", into), asio::detached);
    asio::co_spawn(io, c->put("b", "k", {}), asio::detached);
    REQUIRE(testing::run_until(io, [&] { return c->connections().waiting() == 2; }));
    asio::ip::tcp::socket peer = acceptor.accept();
    asio::write(peer, asio::buffer(std::string("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123")));
    REQUIRE(testing::run_until(io, [&] { return into[3] == std::byte{'3'}; }));
    c.reset(); // the operations keep what they need; then the context goes, and takes them along
}
#endif

TEST_CASE("client: credentials come from a provider when they are needed")
{
    asio::io_context io;
    scripted_peer peer(io, {{{page("200 OK")}, {page("200 OK")}, {page("200 OK")}, {page("200 OK")}}});
    int asked = 0;
    const auto provider = [&]() -> asio::awaitable<result<credentials>> {
        ++asked;
        if (asked == 2)
            co_return result<credentials>(errc::no_credentials, "nothing found");
        const auto life = asked == 1 ? std::chrono::seconds(30) : std::chrono::hours(1);
        co_return credentials{"AK" + std::to_string(asked), "SK", "",
                              std::chrono::system_clock::now() + life};
    };
    client c(io.get_executor(), *endpoint::parse(peer.url()), provider);
    std::vector<std::byte> into(10);
    for (int i = 0; i < 4; ++i)
        CHECK(run(io, c.get("b", "k", into)));
    CHECK(asked == 3);
    CHECK(peer.requests[0].find("Credential=AK1/") != std::string::npos);
    CHECK(peer.requests[1].find("Credential=AK1/") !=
          std::string::npos); // could not be renewed, but still good
    CHECK(peer.requests[2].find("Credential=AK3/") != std::string::npos);
    CHECK(peer.requests[3].find("Credential=AK3/") != std::string::npos);

    asked = 1;
    client without(io.get_executor(), *endpoint::parse(peer.url()), provider);
    const auto r = run(io, without.get("b", "k", into));
    CHECK(r.error() == condition::denied);
    CHECK(r.error().message() == "GET " + peer.url() + "/b/k: nothing found: no credentials");
}

TEST_CASE("client: the bucket as a host name")
{
    asio::io_context io;
    scripted_peer peer(io, {{{page("200 OK", "x")}}});
    endpoint where = *endpoint::parse("http://localhost:" + std::to_string(peer.port()));
    where.style = addressing::virtual_host;
    client c(io.get_executor(), where, who);
    std::vector<std::byte> into(1);
    CHECK(run(io, c.get("bucket", "k", into)));
    CHECK(peer.requests[0].starts_with("GET /k HTTP/1.1\r\nHost: bucket.localhost:"));
}

/** A certificate's files and server context, and what a client needs to trust it. */
struct tls_identity {
    explicit tls_identity(const std::string& host)
        : made(*testing::self_signed_certificate(host))
        , server(asio::ssl::context::tls_server)
        , ca_file((std::filesystem::temp_directory_path() /
                   ("objectcache-ca-" + std::to_string(::getpid()) + ".pem"))
                      .string())
    {
        server.use_certificate(asio::buffer(made.certificate_pem), asio::ssl::context::pem);
        server.use_private_key(asio::buffer(made.private_key_pem), asio::ssl::context::pem);
        std::ofstream(ca_file) << made.certificate_pem;
    }
    ~tls_identity() { std::filesystem::remove(ca_file); }

    testing::certificate made;
    asio::ssl::context server;
    std::string ca_file;
};

TEST_CASE("client: TLS, kept alive, with the payload unsigned")
{
    asio::io_context io;
    tls_identity identity("127.0.0.1");
    scripted_peer peer(io, {{{part(5, "0123456789")}, {page("200 OK")}, {part(5, "abcdefghij"), close_it}}},
                       &identity.server);
    client c = make(io, peer, {.connections = {.ca_file = identity.ca_file}});
    std::vector<std::byte> into;
    REQUIRE(get_ten(io, c, into));
    CHECK(text_of(into) == "0123456789");
    const std::string large(300000, 'x');
    const const_byte_span parts[] = {std::as_bytes(std::span(large)), std::as_bytes(std::span(large))};
    CHECK(run(io, c.put("b", "k", parts)).ok());
    CHECK(peer.requests[1].find("x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n") != std::string::npos);
    CHECK(peer.requests[1].ends_with(large + large));
    REQUIRE(get_ten(io, c, into));
    CHECK(text_of(into) == "abcdefghij");
    CHECK(peer.connections == 1);
}

TEST_CASE(
    "client: TLS with the wrong name, an unknown issuer, or no TLS at all is refused before anything is sent")
{
    asio::io_context io;
    tls_identity identity("example.org");
    scripted_peer peer(io, {{}, {}, {}}, &identity.server);
    std::vector<std::byte> into;
    client other_name = make(io, peer, {.connections = {.ca_file = identity.ca_file}});
    auto r = get_ten(io, other_name, into);
    CHECK(r.code() == errc::tls_failed);
    CHECK_MESSAGE(r.error().detail().find("mismatch") != std::string::npos, r.error().detail());
    client unknown = make(io, peer);
    r = get_ten(io, unknown, into);
    CHECK(r.code() == errc::tls_failed);
    CHECK_MESSAGE(r.error().detail().find("self") != std::string::npos, r.error().detail());
    CHECK(r.error() == condition::unavailable);
    CHECK(peer.requests.empty());

    scripted_peer plain(io, {{{page("200 OK")}}});
    client confused(io.get_executor(), *endpoint::parse("https://127.0.0.1:" + std::to_string(plain.port())),
                    who, {.connections = {.connect_timeout = 20ms}});
    r = get_ten(io, confused, into);
    CHECK(r.error() == condition::unavailable); // the plain server waits for more
    client no_file = make(io, peer, {.connections = {.ca_file = "/nonexistent.pem"}});
    r = get_ten(io, no_file, into);
    CHECK(r.error() == condition::invalid);
    CHECK(r.error().detail().find("/nonexistent.pem") != std::string::npos);
}

TEST_CASE("client: cancelled in the TLS handshake and in a TLS body")
{
    for (const auto kind : kinds) {
        asio::io_context io;
        tls_identity identity("127.0.0.1");
        scripted_peer plain(io, {{{page("200 OK")}}});
        client c(io.get_executor(), *endpoint::parse("https://127.0.0.1:" + std::to_string(plain.port())),
                 who);
        std::vector<std::byte> into(10);
        auto r = cancel_when(io, c.get("b", "k", into), kind, [&] { return plain.connections == 1; });
        CHECK(r.code() == errc::cancelled);

        scripted_peer peer(io, {{{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", stall}}},
                           &identity.server);
        client secure = make(io, peer, {.connections = {.ca_file = identity.ca_file}});
        r = cancel_when(io, secure.get("b", "k", into), kind, [&] { return into[3] == std::byte{'3'}; });
        CHECK(r.code() == errc::cancelled);
        CHECK(secure.connections().in_use() == 0);
    }
}

} // namespace client_test
