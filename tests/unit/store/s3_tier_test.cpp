// SPDX-License-Identifier: BSL-1.0
#include <objectcache/store/s3_tier.hpp>

#include <objectcache/testing/run_coroutine.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <doctest/doctest.h>

#include <algorithm>

// What every tier does is in tests/contract; here is what only this one has.
namespace s3_tier_test {

using namespace objectcache;

TEST_CASE("s3_tier: a key prefix keeps tenants of one bucket apart")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        testing::s3_server_options options;
        options.buckets = {"shared"};
        const auto server = testing::s3_server::start(std::move(options));
        REQUIRE(server);
        const s3::client client(io.get_executor(), *s3::endpoint::parse(server->endpoint_url()),
                                server->credentials());
        s3_tier one(io.get_executor(), client, "shared", "one/");
        s3_tier other(io.get_executor(), client, "shared", "one/more+ /");
        s3_tier whole(io.get_executor(), client, "shared");
        const std::vector<std::byte> data(100, std::byte{7});
        const const_byte_span part(data);
        for (const char* key : {"a/1", "a/2", "b"}) {
            const status written =
                co_await one.write(key, std::span(&part, 1), if_exists::keep, deadline::never());
            CHECK(written.ok());
        }
        const auto seen = co_await other.stat("a/1", deadline::never());
        CHECK(seen.error() == condition::absent);
        const status beside =
            co_await other.write("a/1", std::span(&part, 1), if_exists::keep, deadline::never());
        CHECK(beside.ok());
        const auto under = co_await one.list("a/", "", 10, deadline::never());
        REQUIRE(under);
        CHECK(under->keys == std::vector<std::string>{"a/1", "a/2"});
        const auto all = co_await whole.list("", "", 10, deadline::never());
        REQUIRE(all);
        CHECK(all->keys == std::vector<std::string>{"one/a/1", "one/a/2", "one/b", "one/more+ /a/1"});
        std::vector<std::byte> into(10);
        const status read = co_await one.read("b", {50, 10}, into, deadline::never());
        CHECK(read.ok());
        CHECK(std::count(into.begin(), into.end(), std::byte{7}) == 10);
        const status removed = co_await one.remove("a/1", deadline::never());
        CHECK(removed.ok());
        const auto still = co_await other.stat("a/1", deadline::never());
        CHECK(still.ok());
    };
    asio::io_context io;
    CHECK(testing::run_coroutine(io, body(io)));
}

TEST_CASE("s3_tier: a large read is several requests")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        testing::s3_server_options options;
        options.buckets = {"shared"};
        auto server = testing::s3_server::start(std::move(options));
        REQUIRE(server);
        std::vector<std::string> ranges;
        server->set_responder([&](const testing::s3_request& request) {
            ranges.push_back(request.range);
            return testing::s3_fault();
        });
        s3_tier tier(io.get_executor(),
                     s3::client(io.get_executor(), *s3::endpoint::parse(server->endpoint_url()),
                                server->credentials()),
                     "shared");
        std::vector<std::byte> data((std::size_t(20) << 20) + 10);
        for (std::size_t i = 0; i < data.size(); ++i)
            data[i] = static_cast<std::byte>(i * 2654435761u >> 24);
        const const_byte_span part(data);
        const status written =
            co_await tier.write("k", std::span(&part, 1), if_exists::replace, deadline::never());
        REQUIRE(written.ok());
        ranges.clear();
        std::vector<std::byte> into(data.size() - 10);
        const status read = co_await tier.read("k", {10, into.size()}, into, deadline::never());
        CHECK(read.ok());
        CHECK(std::equal(into.begin(), into.end(), data.begin() + 10));
        std::sort(ranges.begin(), ranges.end());
        CHECK(ranges == std::vector<std::string>{"bytes=10-8388617", "bytes=16777226-20971529",
                                                 "bytes=8388618-16777225"});
        server->set_responder(nullptr);
    };
    asio::io_context io;
    CHECK(testing::run_coroutine(io, body(io)));
}

} // namespace s3_tier_test
