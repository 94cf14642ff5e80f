// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/connection.hpp>

#include <objectcache/testing/certificate.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <unit/s3/scripted_peer.hpp>

#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

using namespace objectcache;
using namespace objectcache::s3;

namespace connection_tls_test {

using peer_test::answer;
using peer_test::page;
using peer_test::scripted_peer;

/** A file that is gone with the test. */
struct pem_file {
    pem_file(const std::string& name, const std::string& text)
        : path((std::filesystem::temp_directory_path() /
                ("objectcache-" + std::to_string(::getpid()) + "-" + name + ".pem"))
                   .string())
    {
        std::ofstream(path) << text;
    }
    pem_file(const pem_file&) = delete;
    ~pem_file() { std::filesystem::remove(path); }
    std::string path;
};

/** A server for 127.0.0.1 and a file that makes a client trust it. */
struct server_identity {
    server_identity()
    {
        context.use_certificate(asio::buffer(made.certificate_pem), asio::ssl::context::pem);
        context.use_private_key(asio::buffer(made.private_key_pem), asio::ssl::context::pem);
    }
    testing::certificate made = *testing::self_signed_certificate("127.0.0.1");
    asio::ssl::context context{asio::ssl::context::tls_server};
    pem_file trusted{"ca", made.certificate_pem};
};

/** One connection of its own: open, GET, close. */
struct visit {
    status opened;
    status answered;
    bool resumed = false;
    bool quiet = false;
    std::string text;
};

asio::awaitable<void> carry_out(std::uint16_t port, std::shared_ptr<s3::detail::tls_context> tls, visit& out)
{
    const auto executor = co_await asio::this_coro::executor;
    s3::detail::connection c(executor, "127.0.0.1", std::move(tls));
    const asio::ip::tcp::endpoint address(asio::ip::address_v4::loopback(), port);
    out.opened = co_await c.connect(address);
    if (out.opened.ok())
        out.opened = co_await c.begin(port, nullptr);
    if (!out.opened.ok())
        co_return;
    out.resumed = c.resumed();
    exchange what;
    what.head = "GET / HTTP/1.1\r\n\r\n";
    what.text_limit = 1 << 20;
    transfer t(std::move(what), c.scratch());
    co_await c.run(t);
    out.answered = t.outcome();
    out.text = t.text();
    out.quiet = c.is_quiet();
}

visit go(asio::io_context& io, const scripted_peer& peer, std::shared_ptr<s3::detail::tls_context> tls)
{
    visit out;
    REQUIRE(testing::run_coroutine(io, carry_out(peer.port(), std::move(tls), out)));
    return out;
}

std::shared_ptr<s3::detail::tls_context> trusting(const server_identity& who)
{
    return *s3::detail::tls_context::make({.ca_file = who.trusted.path});
}

TEST_CASE("TLS: the second connection resumes the session of the first, with TLS 1.3 and 1.2")
{
    for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
        CAPTURE(version);
        asio::io_context io;
        server_identity who;
        SSL_CTX_set_max_proto_version(who.context.native_handle(), version);
        scripted_peer peer(io, std::vector<std::vector<answer>>(4, {{page("200 OK", "x")}}), &who.context);
        const auto tls = trusting(who);
        visit first = go(io, peer, tls);
        REQUIRE_MESSAGE(first.answered.ok(), first.answered.message());
        CHECK_FALSE(first.resumed);
        CHECK(first.quiet);
        CHECK(tls->sessions() == (version == TLS1_3_VERSION ? 2 : 1));
        // The last session stays, whatever the server thinks of it.
        for (int i = 0; i < 2; ++i) {
            visit next = go(io, peer, tls);
            CHECK(next.answered.ok());
            CHECK(next.resumed);
        }
        tls->forget_sessions("127.0.0.1");
        CHECK_FALSE(go(io, peer, tls).resumed);
    }
}

TEST_CASE("TLS: sessions belong to their host, and are few")
{
    asio::io_context io;
    server_identity who;
    scripted_peer peer(io, {{{page("200 OK", "x")}}}, &who.context);
    const auto tls = trusting(who);
    CHECK(tls->take_session("127.0.0.1") == nullptr);
    REQUIRE(go(io, peer, tls).answered.ok());
    CHECK(tls->take_session("localhost") == nullptr);
    const s3::detail::tls_session one = tls->take_session("127.0.0.1");
    REQUIRE(one);
    const auto keep = [&](const std::string& host) {
        SSL_SESSION_up_ref(one.get());
        tls->keep_session(host, s3::detail::tls_session(one.get()));
    };
    tls->forget_sessions("127.0.0.1");
    for (int i = 0; i < 12; ++i)
        keep("127.0.0.1");
    CHECK(tls->sessions() == 8);
    for (int i = 0; i < 100; ++i)
        keep("host " + std::to_string(i));
    CHECK(tls->sessions() == 64);
    CHECK(tls->take_session("host 99") != nullptr);
    CHECK(tls->take_session("host 0") == nullptr);
}

TEST_CASE("TLS: a server that has forgotten the session still gets its connection")
{
    asio::io_context io;
    server_identity before;
    server_identity after; // another key, and so other tickets
    scripted_peer first(io, {{{page("200 OK", "x")}}}, &before.context);
    scripted_peer second(io, {{{page("200 OK", "y")}}}, &after.context);
    const pem_file both("both", before.made.certificate_pem + after.made.certificate_pem);
    const auto tls = *s3::detail::tls_context::make({.ca_file = both.path});
    REQUIRE(go(io, first, tls).answered.ok());
    const visit next = go(io, second, tls);
    CHECK(next.answered.ok());
    CHECK_FALSE(next.resumed);
}

TEST_CASE("TLS: bodies of many records, in both directions, larger than any buffer on the way")
{
    asio::io_context io;
    server_identity who;
    std::string body(std::size_t(1) << 20, ' ');
    for (std::size_t i = 0; i < body.size(); ++i)
        body[i] = static_cast<char>(i * 2654435761U >> 24);
    scripted_peer peer(io, {{{page("200 OK", body)}}}, &who.context);
    const visit v = go(io, peer, trusting(who));
    CHECK(v.answered.ok());
    CHECK(v.text == body);
}

TEST_CASE("TLS: an end without a goodbye, in a body and before an answer")
{
    asio::io_context io;
    server_identity who;
    scripted_peer peer(io,
                       {{{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", answer::then::close}},
                        {{"", answer::then::close}}},
                       &who.context);
    const auto tls = trusting(who);
    visit v = go(io, peer, tls);
    CHECK(v.answered.code() == errc::connection_lost);
    CHECK_FALSE(v.quiet);
    v = go(io, peer, tls);
    CHECK(v.answered.code() == errc::connection_lost);
}

TEST_CASE("TLS: a server that wants to know its clients")
{
    asio::io_context io;
    server_identity who;
    const testing::certificate mine = *testing::self_signed_certificate("client.example");
    const pem_file certificate("client", mine.certificate_pem);
    const pem_file key("key", mine.private_key_pem);
    const pem_file both("client-and-key", mine.certificate_pem + mine.private_key_pem);
    who.context.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    who.context.add_certificate_authority(asio::buffer(mine.certificate_pem));
    constexpr unsigned char id[] = "test";
    SSL_CTX_set_session_id_context(who.context.native_handle(), id, sizeof id);
    scripted_peer peer(io, std::vector<std::vector<answer>>(3, {{page("200 OK", "x")}}), &who.context);

    // With TLS 1.3 the client is through before the server says no.
    const visit nobody = go(io, peer, trusting(who));
    CHECK((nobody.opened == errc::tls_failed || nobody.answered == condition::unavailable));
    CHECK(nobody.text.empty());
    CHECK(go(io, peer,
             *s3::detail::tls_context::make(
                 {.ca_file = who.trusted.path, .certificate_file = certificate.path, .key_file = key.path}))
              .answered.ok());
    CHECK(go(io, peer,
             *s3::detail::tls_context::make({.ca_file = who.trusted.path, .certificate_file = both.path}))
              .answered.ok());
}

TEST_CASE("TLS: files that are not what they should be are refused by name")
{
    server_identity who;
    const testing::certificate other = *testing::self_signed_certificate("other");
    const pem_file certificate("certificate", who.made.certificate_pem);
    const pem_file other_key("other", other.private_key_pem);
    const pem_file garbage("garbage", "nothing");
    const auto refusal = [](connection_options how) {
        const auto made = s3::detail::tls_context::make(how);
        REQUIRE_FALSE(made);
        CHECK(made.error() == condition::invalid);
        return made.error().detail();
    };
    CHECK(refusal({.ca_file = garbage.path}).find(garbage.path) != std::string::npos);
    CHECK(refusal({.certificate_file = "/nonexistent"}).starts_with("client certificate '/nonexistent'"));
    CHECK(refusal({.certificate_file = certificate.path}).starts_with("key of the client certificate"));
    CHECK(refusal({.certificate_file = certificate.path, .key_file = other_key.path}).find("mismatch") !=
          std::string::npos);
}

} // namespace connection_tls_test
