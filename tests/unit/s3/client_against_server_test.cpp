// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/listing.hpp>

#include <objectcache/testing/certificate.hpp>
#include <objectcache/testing/run_coroutine.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <support/one_try.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace objectcache;
using namespace objectcache::s3;

// Both sides are ours, but the server sees only what travels: it parses, verifies and answers on a thread of its own.
namespace client_against_server_test {

using testing::s3_fault;
using testing::s3_server;

std::vector<std::byte> pattern(std::size_t size, unsigned seed = 1)
{
    std::vector<std::byte> out(size);
    for (std::byte& b : out)
        b = static_cast<std::byte>((seed = seed * 1664525u + 1013904223u) >> 24);
    return out;
}

s3_server start(testing::s3_server_options options = {})
{
    options.buckets = {"bucket"};
    auto server = s3_server::start(std::move(options));
    REQUIRE_MESSAGE(server.ok(), server.error().message());
    return std::move(*server);
}

client connect(asio::io_context& io, const s3_server& server, client_options options = {})
{
    return client(io.get_executor(), *endpoint::parse(server.endpoint_url()), server.credentials(),
                  support::one_try(std::move(options)));
}

TEST_CASE("client against server: keys of all kinds, there and back")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        const s3_server server = start();
        client c = connect(io, server);
        const auto data = pattern(100000);
        const const_byte_span whole(data);
        const const_byte_span parts[] = {whole.first(1), whole.subspan(1, 70000), {}, whole.subspan(70001)};
        std::vector<std::string> keys{"plain", "dir/a b+c%d?e#f&g=h", "\xc3\xbc/\xe1\x88\xb4",
                                      "a//b",  "x'()*!$,:;@[]~_-.",   "<&>\"'\x01"};
        for (const std::string& key : keys) {
            CAPTURE(key);
            const status stored = co_await c.put("bucket", key, parts);
            REQUIRE_MESSAGE(stored.ok(), stored.message());
            std::vector<std::byte> some(5000);
            const auto range = co_await c.get("bucket", key, {69000, some.size()}, some);
            REQUIRE(range);
            CHECK(range->size == data.size());
            CHECK(std::equal(some.begin(), some.end(), data.begin() + 69000));
            std::vector<std::byte> all(data.size());
            CHECK(co_await c.get("bucket", key, all));
            CHECK(all == data);
            const auto info = co_await c.head("bucket", key);
            REQUIRE(info);
            CHECK(info->size == data.size());
            CHECK(info->etag == range->etag);
        }
        std::vector<std::string> listed;
        listing pages(c, "bucket", "", {.max_keys = 2});
        while (const list_page* page = co_await pages.next()) {
            REQUIRE(page->date);
            CHECK(std::chrono::abs(*page->date - std::chrono::system_clock::now()) < std::chrono::hours(1));
            for (const list_entry& entry : page->objects) {
                listed.push_back(entry.key);
                CHECK(entry.size == data.size());
            }
        }
        REQUIRE_MESSAGE(pages.outcome().ok(), pages.outcome().message());
        std::sort(keys.begin(), keys.end());
        CHECK(listed == keys);

        const status taken = co_await c.put("bucket", "plain", parts, {.if_none_match = true});
        CHECK(taken == errc::already_exists);
        CHECK((co_await c.remove("bucket", "plain")).ok());
        std::vector<std::byte> none(1);
        CHECK((co_await c.get("bucket", "plain", none)).error() == condition::absent);
        CHECK((co_await c.put("bucket", "plain", parts, {.if_none_match = true})).ok());
        CHECK((co_await c.create_bucket("another")).ok());
        CHECK((co_await c.put("another", "k", {})).ok());
        CHECK((co_await c.put("missing", "k", {})) == condition::absent);
        CHECK(server.stats().connections == 1);
    };
    asio::io_context io;
    REQUIRE(testing::run_coroutine(io, body(io)));
}

TEST_CASE("client against server: what was opened ahead is used, and credentials are there")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        const s3_server server = start();
        unsigned asked = 0;
        const credentials_provider who = [&asked, &server]() -> asio::awaitable<result<credentials>> {
            ++asked;
            co_return server.credentials();
        };
        client c(io.get_executor(), *endpoint::parse(server.endpoint_url()), who);
        const status warm = co_await c.prewarm("bucket", 3);
        REQUIRE_MESSAGE(warm.ok(), warm.message());
        CHECK(asked == 1);
        CHECK(c.connections().idle() == 3);
        const auto none = co_await c.head("bucket", "nothing");
        CHECK(none.error() == condition::absent);
        CHECK(asked == 1);
        CHECK(server.stats().connections == 3);

        client lost(io.get_executor(), *endpoint::parse("http://127.0.0.1:1"), server.credentials());
        const status refused = co_await lost.prewarm("bucket", 2);
        CHECK(refused == condition::unavailable);
    };
    asio::io_context io;
    REQUIRE(testing::run_coroutine(io, body(io)));
}

TEST_CASE("client against server: signatures are verified, and refused")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        s3_server server = start();
        const endpoint where = *endpoint::parse(server.endpoint_url());
        credentials bad = server.credentials();
        bad.secret_access_key += "x";
        client wrong(io.get_executor(), where, bad);
        const status forged = co_await wrong.put("bucket", "k", {});
        CHECK(forged == condition::denied);
        CHECK(forged.detail().find("403 SignatureDoesNotMatch") != std::string::npos);
        client anonymous(io.get_executor(), where, credentials::anonymous());
        CHECK((co_await anonymous.put("bucket", "k", {})) == condition::denied);
        server.set_clock_offset(std::chrono::hours(1));
        client late = connect(io, server);
        CHECK(server.objects().empty());
        const status skewed = co_await late.put("bucket", "k", {}); // refused, and the clock put right
        CHECK(skewed.ok());
        CHECK(late.counters().corrections == 1);
        CHECK(server.objects().size() == 1);
    };
    asio::io_context io;
    REQUIRE(testing::run_coroutine(io, body(io)));
}

TEST_CASE("client against server: TLS, and the bucket as a host name")
{
    const auto body = [](asio::io_context& io, std::string ca_file) -> asio::awaitable<void> {
        const auto identity = testing::self_signed_certificate("bucket.localhost");
        std::ofstream(ca_file) << identity->certificate_pem;
        const s3_server server = start({.tls = *identity});
        endpoint where = *endpoint::parse("https://localhost:" + std::to_string(server.port()));
        where.style = addressing::virtual_host;
        client c(io.get_executor(), where, server.credentials(), {.connections = {.ca_file = ca_file}});
        const auto data = pattern(3 << 20);
        const const_byte_span whole(data);
        const status stored = co_await c.put("bucket", "k", std::span(&whole, 1));
        REQUIRE_MESSAGE(stored.ok(), stored.message());
        std::vector<std::byte> back(data.size());
        CHECK(co_await c.get("bucket", "k", {0, back.size()}, back));
        CHECK(back == data);
    };
    const auto file = std::filesystem::temp_directory_path() /
                      ("objectcache-server-ca-" + std::to_string(::getpid()) + ".pem");
    asio::io_context io;
    CHECK(testing::run_coroutine(io, body(io, file.string())));
    std::filesystem::remove(file);
}

TEST_CASE(
    "client against server: a failure at any byte is a failure, and the next request finds a good connection")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        s3_server server = start();
        client c = connect(io, server);
        const auto data = pattern(3000);
        const const_byte_span whole(data);
        REQUIRE((co_await c.put("bucket", "k", std::span(&whole, 1))).ok());
        for (const auto fail : {&s3_fault::drop, &s3_fault::reset})
            for (const std::uint64_t after : {0, 1, 1000, 2999}) {
                std::vector<std::byte> back(data.size());
                server.set_responder([fail, after](const testing::s3_request&) {
                    return fail(s3_fault::point::response_body, after);
                });
                const auto broken = co_await c.get("bucket", "k", {0, back.size()}, back);
                CHECK(broken.error() == condition::unavailable);
                server.set_responder(nullptr);
                CHECK(co_await c.get("bucket", "k", {0, back.size()}, back));
                CHECK(back == data);
            }
        for (const std::int64_t by : {-1, 1}) {
            std::vector<std::byte> back(data.size());
            server.set_responder([by](const testing::s3_request&) { return s3_fault::wrong_length(by); });
            const auto lied = co_await c.get("bucket", "k", {0, back.size()}, back);
            CHECK(lied.code() == errc::length_mismatch);
        }
        server.set_responder([](const testing::s3_request&) { return s3_fault::error(503, "SlowDown"); });
        std::vector<std::byte> back(data.size());
        CHECK((co_await c.get("bucket", "k", back)).code() == errc::throttled);
        server.set_responder(nullptr);
        CHECK(co_await c.get("bucket", "k", back));

        // The server forgets its idle connections: nobody notices.
        server.close_idle_connections();
        CHECK(co_await c.get("bucket", "k", back));
    };
    asio::io_context io;
    REQUIRE(testing::run_coroutine(io, body(io)));
}

TEST_CASE("client against server: an upload that is refused early ends with the reason")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        s3_server server = start();
        client c = connect(io, server);
        const auto data = pattern(8 << 20);
        const const_byte_span whole(data);
        server.set_responder(
            [](const testing::s3_request&) { return s3_fault::error(500, "InternalError"); });
        const status refused = co_await c.put("bucket", "k", std::span(&whole, 1));
        CHECK(refused == condition::unavailable);
        server.set_responder([](const testing::s3_request&) {
            return s3_fault::reset(s3_fault::point::request_body, 1 << 20);
        });
        CHECK((co_await c.put("bucket", "k", std::span(&whole, 1))) == condition::unavailable);
        CHECK(server.objects().empty());
    };
    asio::io_context io;
    REQUIRE(testing::run_coroutine(io, body(io)));
}

TEST_CASE("client against server: many at once, over few connections")
{
    struct tally {
        std::size_t good = 0;
        std::size_t over = 0;
    };
    const auto one = [](client& c, const std::vector<std::byte>& data, std::size_t i,
                        tally& t) -> asio::awaitable<void> {
        std::vector<std::byte> back(10000);
        const auto r = co_await c.get("bucket", "k", {i * 1000, back.size()}, back);
        t.good +=
            r && std::equal(back.begin(), back.end(), data.begin() + static_cast<std::ptrdiff_t>(i * 1000));
        ++t.over;
    };
    asio::io_context io;
    const s3_server server = start();
    client c = connect(io, server, {.connections = {.max_connections = 4}});
    const auto data = pattern(200000);
    const const_byte_span whole(data);
    const auto put = [](client& to, const const_byte_span& bytes) -> asio::awaitable<void> {
        const status stored = co_await to.put("bucket", "k", std::span(&bytes, 1));
        REQUIRE(stored.ok());
    };
    REQUIRE(testing::run_coroutine(io, put(c, whole)));
    tally t;
    for (std::size_t i = 0; i < 100; ++i)
        asio::co_spawn(io, one(c, data, i, t), [](std::exception_ptr) {});
    CHECK(testing::run_until(io, [&] { return t.over == 100; }));
    CHECK(t.good == 100);
    CHECK(server.stats().connections <= 4);
    CHECK(c.connections().in_use() == 0);
}

TEST_CASE("client against server: bodies signed piece by piece")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        s3_server server = start();
        for (const checksum trailer :
             {checksum::none, checksum::crc32c, checksum::crc64nvme, checksum::sha256}) {
            client_options options;
            options.signing = payload_signing::chunks;
            options.upload_checksum = trailer;
            client c(io.get_executor(), *endpoint::parse(server.endpoint_url()), server.credentials(),
                     std::move(options));
            int seen = 0;
            server.set_responder([&](const testing::s3_request&) {
                return seen++ == 0 ? s3_fault::error(500, "InternalError") : s3_fault();
            });
            for (const std::size_t size : {std::size_t(1), std::size_t(131072), std::size_t(300000)}) {
                CAPTURE(size);
                const auto data = pattern(size);
                const const_byte_span whole(data);
                const const_byte_span parts[] = {whole.first(size / 2), {}, whole.subspan(size / 2)};
                const status stored = co_await c.put("bucket", "k", parts);
                REQUIRE_MESSAGE(stored.ok(), stored.message());
                const auto kept = server.read("bucket", "k");
                REQUIRE(kept);
                CHECK(*kept == data);
            }
            CHECK(c.counters().retries == 1);
            const status empty = co_await c.put("bucket", "empty", {});
            CHECK(empty.ok());
            server.set_responder(nullptr);
        }
    };
    asio::io_context io;
    CHECK(testing::run_coroutine(io, body(io)));
}

} // namespace client_against_server_test
