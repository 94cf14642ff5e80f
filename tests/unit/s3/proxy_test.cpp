// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/proxy.hpp>

#include <objectcache/s3/connection_pool.hpp>
#include <objectcache/s3/transfer.hpp>
#include <objectcache/testing/certificate.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <unit/s3/scripted_peer.hpp>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

using namespace objectcache;
using namespace objectcache::s3;

namespace proxy_test {

using namespace std::chrono_literals;
using asio::ip::tcp;
using peer_test::answer;
using peer_test::page;
using peer_test::scripted_peer;

TEST_CASE("proxy: its URL")
{
    const auto plain = s3::detail::proxy::parse("http://10.0.0.1:3128");
    REQUIRE(plain);
    CHECK(plain->name() == "proxy 10.0.0.1:3128");
    CHECK(plain->authorization.empty());
    CHECK(plain->connect_head("s3.example", 443) ==
          "CONNECT s3.example:443 HTTP/1.1\r\nHost: s3.example:443\r\n\r\n");
    CHECK(plain->connect_head("::1", 9000).starts_with("CONNECT [::1]:9000 HTTP/1.1\r\n"));

    const auto with_user = s3::detail::proxy::parse("http://user:p%40ss@proxy.example/");
    REQUIRE(with_user);
    CHECK(with_user->port == 80);
    CHECK(with_user->authorization == "Basic dXNlcjpwQHNz");
    CHECK(with_user->connect_head("h", 1).find("\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n") !=
          std::string::npos);
    CHECK(s3::detail::proxy::parse("http://user:p@ss@[::1]:1")->authorization == "Basic dXNlcjpwQHNz");

    for (const char* bad :
         {"", "proxy:3128", "https://proxy:3128", "http://", "http://proxy:0", "http://secret%zz@proxy",
          "http://user:secret@", "http://proxy/path", "http://secret@pro xy"}) {
        CAPTURE(bad);
        const auto refused = s3::detail::proxy::parse(bad);
        REQUIRE_FALSE(refused);
        CHECK(refused.error() == condition::invalid);
        CHECK(refused.error().detail().find("secret") == std::string::npos);
    }
}

/** A proxy for one connection: reads a CONNECT, agrees, and carries bytes both ways. */
class small_proxy {
public:
    explicit small_proxy(asio::io_context& io) : io_(io), acceptor_(io, {asio::ip::address_v4::loopback(), 0})
    {
        asio::co_spawn(io, serve(), [this](std::exception_ptr) { done_ = true; });
    }
    ~small_proxy()
    {
        acceptor_.close();
        static_cast<void>(testing::run_until(io_, [this] { return done_; }));
    }
    std::string url(const std::string& user = {}) const
    {
        return "http://" + user + "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
    }
    std::string head;

private:
    static asio::awaitable<void> carry(tcp::socket& from, tcp::socket& to)
    {
        const auto token = asio::as_tuple(asio::use_awaitable);
        std::vector<char> block(65536);
        for (;;) {
            auto [ec, n] = co_await from.async_read_some(asio::buffer(block), token);
            if (ec)
                break;
            auto [failed, sent] = co_await asio::async_write(to, asio::buffer(block.data(), n), token);
            if (failed)
                break;
        }
        boost::system::error_code ignored;
        to.shutdown(tcp::socket::shutdown_send, ignored);
    }
    asio::awaitable<void> serve()
    {
        using asio::experimental::awaitable_operators::operator&&;
        const auto token = asio::as_tuple(asio::use_awaitable);
        tcp::socket client(io_);
        auto [ec] = co_await acceptor_.async_accept(client, token);
        if (ec)
            co_return;
        auto [failed, n] =
            co_await asio::async_read_until(client, asio::dynamic_buffer(head), "\r\n\r\n", token);
        if (failed)
            co_return;
        const auto space = head.find(' ', 8);
        const std::string target = head.substr(8, space - 8);
        const auto port = static_cast<std::uint16_t>(std::stoul(target.substr(target.rfind(':') + 1)));
        tcp::socket server(io_);
        const tcp::endpoint where(asio::ip::address_v4::loopback(), port);
        auto [refused] = co_await server.async_connect(where, token);
        if (refused)
            co_return;
        const std::string agreed = "HTTP/1.0 200 Connection established\r\nVia: test\r\n\r\n";
        co_await asio::async_write(client, asio::buffer(agreed), token);
        co_await (carry(client, server) && carry(server, client));
    }

    asio::io_context& io_;
    tcp::acceptor acceptor_;
    bool done_ = false;
};

struct visit {
    status opened;
    status answered;
    std::string text;
};

asio::awaitable<void> carry_out(endpoint where, connection_options how, visit& out)
{
    const auto executor = co_await asio::this_coro::executor;
    std::string host = where.host;
    connection_pool pool(executor, std::move(where), std::move(how));
    auto leased = co_await pool.acquire(std::move(host), priority::load, deadline());
    if (!leased) {
        out.opened = leased.error();
        co_return;
    }
    exchange what;
    what.head = "GET /x HTTP/1.1\r\n\r\n";
    what.text_limit = 100;
    transfer t(std::move(what), leased->scratch());
    co_await leased->run(t);
    out.answered = t.outcome();
    out.text = t.text();
}

visit go(asio::io_context& io, const std::string& url, connection_options how)
{
    visit out;
    REQUIRE(testing::run_coroutine(io, carry_out(*endpoint::parse(url), std::move(how), out)));
    return out;
}

TEST_CASE("proxy: a plain exchange through the tunnel; the proxy resolves the name")
{
    asio::io_context io;
    scripted_peer server(io, {{{page("200 OK", "hello")}}});
    small_proxy proxy(io);
    const std::string port = std::to_string(server.port());
    const visit v = go(io, "http://store.invalid:" + port, {.proxy = proxy.url("me:secret@")});
    REQUIRE_MESSAGE(v.opened.ok(), v.opened.message());
    CHECK(v.text == "hello");
    CHECK(proxy.head == "CONNECT store.invalid:" + port + " HTTP/1.1\r\nHost: store.invalid:" + port +
                            "\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n");
    CHECK(server.requests.at(0) == "GET /x HTTP/1.1\r\n\r\n");
}

TEST_CASE("proxy: TLS goes through it end to end")
{
    asio::io_context io;
    const auto identity = *testing::self_signed_certificate("store.invalid");
    asio::ssl::context context(asio::ssl::context::tls_server);
    context.use_certificate(asio::buffer(identity.certificate_pem), asio::ssl::context::pem);
    context.use_private_key(asio::buffer(identity.private_key_pem), asio::ssl::context::pem);
    const std::string ca = (std::filesystem::temp_directory_path() /
                            ("objectcache-proxy-" + std::to_string(::getpid()) + ".pem"))
                               .string();
    std::ofstream(ca) << identity.certificate_pem;
    scripted_peer server(io, {{{page("200 OK", "hello")}}}, &context);
    small_proxy proxy(io);
    const visit v = go(io, "https://store.invalid:" + std::to_string(server.port()),
                       {.ca_file = ca, .proxy = proxy.url()});
    std::filesystem::remove(ca);
    REQUIRE_MESSAGE(v.opened.ok(), v.opened.message());
    CHECK(v.text == "hello");
}

TEST_CASE("proxy: refusals name the proxy, and are of the right kind")
{
    struct refusal {
        std::string answer;
        condition kind;
        std::string word;
    };
    const refusal all[] = {
        {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 4\r\n\r\nwho?", condition::denied,
         "407"},
        {"HTTP/1.1 403 Forbidden\r\n\r\n", condition::denied, "403"},
        {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", condition::unavailable, "502"},
        {"HTTP/1.1 404 Not Found\r\n\r\n", condition::unavailable, "404"},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", condition::corrupt, "not an HTTP response"},
        {"HTTP/1.1 200 OK\r\nX: " + std::string(20000, 'x'), condition::corrupt, "too large"},
        {"", condition::unavailable, "closed"}};
    for (const refusal& r : all) {
        CAPTURE(r.word);
        asio::io_context io;
        scripted_peer peer(io, {{{r.answer, answer::then::close}}});
        const visit v = go(io, "http://store.invalid", {.proxy = peer.url()});
        CHECK_MESSAGE(v.opened == r.kind, v.opened.message());
        CHECK_MESSAGE(v.opened.detail().starts_with("proxy 127.0.0.1:"), v.opened.detail());
        CHECK_MESSAGE(v.opened.detail().find(r.word) != std::string::npos, v.opened.detail());
    }
}

TEST_CASE("proxy: one that is not there, is silent, or is no URL")
{
    asio::io_context io;
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    const std::string url = "http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
    visit v = go(io, "http://store.invalid", {.connect_timeout = 20ms, .proxy = url});
    CHECK(v.opened.code() == errc::unreachable);
    acceptor.close();
    v = go(io, "http://store.invalid", {.proxy = url});
    CHECK(v.opened.code() == std::errc::connection_refused);
    CHECK(v.opened.detail().starts_with("proxy 127.0.0.1:"));
    v = go(io, "http://store.invalid", {.proxy = "socks5://127.0.0.1"});
    CHECK(v.opened == condition::invalid);
}

} // namespace proxy_test
