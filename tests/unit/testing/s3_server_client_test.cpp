// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/s3_server.hpp>

#include "s3_wire.hpp"

#include <objectcache/s3/client.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <doctest/doctest.h>

#include <fstream>

namespace s3_server_client_test {

using namespace s3_wire;

// Not a test of the client: that the two understand each other.
static asio::awaitable<void> round_trip(s3::client& client)
{
    const std::string bucket = "kv-test";
    const std::string key = "a key/+";
    const std::string prefix = "a";
    const s3::list_options first_page;
    std::string out(5, ' ');
    const byte_span to = std::as_writable_bytes(std::span(out));
    const const_byte_span parts[] = {bytes_of("hello "), bytes_of("world")};
    const s3::put_options once_only{{}, true};
    const status stored = co_await client.put(bucket, key, parts, once_only);
    CHECK(stored.message() == "");
    const status again = co_await client.put(bucket, key, parts, once_only);
    CHECK(again == errc::already_exists);
    const byte_range world{6, 5};
    const auto got = co_await client.get(bucket, key, world, to);
    CHECK(got.error().message() == "");
    CHECK(out == "world");
    const auto asked = co_await client.head(bucket, key);
    REQUIRE(asked.ok());
    CHECK(asked->size == 11);
    const auto page = co_await client.list(bucket, prefix, first_page);
    CHECK(page.ok());
    const status removed = co_await client.remove(bucket, key);
    CHECK(removed.ok());
    const auto absent = co_await client.head(bucket, key);
    CHECK(absent.error() == condition::absent);
}

TEST_CASE("the library's own client, over HTTP and over TLS")
{
    const scratch_directory scratch;
    const auto made = testing::self_signed_certificate("127.0.0.1");
    REQUIRE(made.ok());
    for (const bool tls : {false, true}) {
        s3_server_options options;
        if (tls)
            options.tls = *made;
        s3_server server = server_with_bucket(options);
        CHECK(server.endpoint_url().starts_with(tls ? "https://" : "http://"));
        s3::client_options client_options;
        if (tls) {
            std::ofstream(scratch.path / "ca.pem") << made->certificate_pem;
            client_options.connections.ca_file = (scratch.path / "ca.pem").string();
        }
        auto where = s3::endpoint::parse(server.endpoint_url());
        REQUIRE(where.ok());
        asio::io_context io;
        s3::client client(io.get_executor(), *where, server.credentials(), client_options);
        REQUIRE(testing::run_coroutine(io, round_trip(client)));
    }
}

} // namespace s3_server_client_test
