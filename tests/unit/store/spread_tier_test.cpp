// SPDX-License-Identifier: BSL-1.0
#include <objectcache/store/spread_tier.hpp>

#include <objectcache/io/reactor.hpp>
#include <objectcache/store/s3_tier.hpp>
#include <objectcache/testing/recording_tier.hpp>
#include <objectcache/testing/run_coroutine.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <support/run.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <thread>
#include <vector>

// What every tier does is in tests/contract; here is which way its calls go.
namespace spread_tier_test {

using namespace objectcache;
using testing::recording_tier;

/** Three ways on one context, so that everything happens in order. */
struct fixture {
    fixture() { REQUIRE(tier.ways() == 3); }

    void begin_read(std::size_t n)
    {
        const auto body = [](fixture& self, std::size_t size) -> asio::awaitable<void> {
            std::vector<std::byte> into(size);
            status s = co_await self.tier.read("none", {0, size}, into, deadline::never());
            CHECK(s == condition::absent);
            ++self.ended;
        };
        asio::co_spawn(io, body(*this, n), asio::detached);
        settle();
    }
    void settle()
    {
        io.restart();
        io.poll();
    }
    [[nodiscard]] std::vector<std::uint64_t> under_way() const
    {
        return {tier.under_way(0), tier.under_way(1), tier.under_way(2)};
    }
    [[nodiscard]] std::vector<std::size_t> count(recording_tier::call what) const
    {
        return {inner[0].count(what), inner[1].count(what), inner[2].count(what)};
    }

    asio::io_context io{1};
    std::array<recording_tier, 3> inner{recording_tier(io.get_executor()), recording_tier(io.get_executor()),
                                        recording_tier(io.get_executor())};
    spread_tier<recording_tier> tier{io.get_executor(),
                                     std::array<recording_tier*, 3>{&inner[0], &inner[1], &inner[2]}};
    int ended = 0;
};

using counts = std::vector<std::size_t>;

TEST_CASE_FIXTURE(fixture, "spread_tier: what moves bytes goes the way that has the fewest under way")
{
    for (recording_tier& t : inner)
        t.hold_reads();
    begin_read(1000);
    begin_read(10);
    begin_read(200);
    auto bytes = under_way();
    std::sort(bytes.begin(), bytes.end());
    CHECK(bytes == std::vector<std::uint64_t>{10, 200, 1000});
    begin_read(100); // beside the 10
    begin_read(100); // there too: 110 are fewer than 200
    begin_read(1);   // beside the 200
    bytes = under_way();
    std::sort(bytes.begin(), bytes.end());
    CHECK(bytes == std::vector<std::uint64_t>{201, 210, 1000});
    const std::vector<std::byte> large(500);
    const const_byte_span part(large);
    const status written =
        support::run(io, tier.write("k", std::span(&part, 1), if_exists::keep, deadline::never()));
    CHECK(written.ok());
    for (std::size_t way = 0; way < 3; ++way)
        CHECK(inner[way].count(recording_tier::call::write) == (tier.under_way(way) == 201));
    for (recording_tier& t : inner)
        t.release_reads();
    settle();
    CHECK(ended == 6);
    CHECK(under_way() == std::vector<std::uint64_t>{0, 0, 0});
}

TEST_CASE_FIXTURE(fixture, "spread_tier: what weighs nothing goes round, and so do reads one after the other")
{
    for (int i = 0; i < 6; ++i) {
        CHECK(support::run(io, tier.stat("none", deadline::never())).error() == condition::absent);
        CHECK(support::run(io, tier.remove("none", deadline::never())).ok());
        CHECK(support::run(io, tier.list("none", "", 10, deadline::never())).ok());
        CHECK(support::run(io, tier.stat("none", deadline::never())).error() == condition::absent);
        begin_read(10);
    }
    CHECK(count(recording_tier::call::stat) == counts{4, 4, 4});
    CHECK(count(recording_tier::call::remove) == counts{2, 2, 2});
    CHECK(count(recording_tier::call::list) == counts{2, 2, 2});
    CHECK(count(recording_tier::call::read) == counts{2, 2, 2});
}

TEST_CASE_FIXTURE(fixture, "spread_tier: an upload stays where it was begun, if others do not know of it")
{
    const std::vector<std::byte> bytes(100, std::byte{3});
    const const_byte_span part(bytes);
    for (std::size_t i = 0; i < 3; ++i) {
        const std::string key = std::to_string(i);
        const auto id = support::run(io, tier.begin_upload(key, deadline::never()));
        REQUIRE(id.ok());
        std::vector<std::string> tags;
        for (const std::uint32_t number : {1u, 2u}) {
            const auto tag =
                support::run(io, tier.upload_part(key, *id, number, std::span(&part, 1), deadline::never()));
            REQUIRE(tag.ok());
            tags.push_back(*tag);
        }
        if (i == 2)
            CHECK(support::run(io, tier.abort_upload(key, *id, deadline::never())).ok());
        else
            CHECK(support::run(io, tier.complete_upload(key, *id, tags, if_exists::keep, deadline::never()))
                      .ok());
    }
    CHECK(count(recording_tier::call::begin_upload) == counts{1, 1, 1});
    CHECK(count(recording_tier::call::upload_part) == counts{2, 2, 2});
    std::size_t objects = 0;
    for (recording_tier& t : inner) {
        CHECK(t.stored().uploads() == 0);
        objects += t.stored().objects();
    }
    CHECK(objects == 2);
    // Ids of others name no upload, whatever they look like.
    for (const char* foreign : {"", ":", "0", "0:", "3:1", "-1:1", "99999999999999999999:1", "x"}) {
        CAPTURE(foreign);
        CHECK(support::run(io, tier.upload_part("k", foreign, 1, std::span(&part, 1), deadline::never()))
                  .error() == condition::absent);
        CHECK(support::run(io, tier.abort_upload("k", foreign, deadline::never())).ok());
    }
}

/** Where it was called, and whether all bytes were seen. */
struct witness final : read_observer {
    void arrived(std::size_t bytes) noexcept override
    {
        seen = bytes;
        on = std::this_thread::get_id();
    }
    std::size_t seen = 0;
    std::thread::id on;
};

TEST_CASE("spread_tier: a read is observed on the thread that receives, all of it before the read completes")
{
    testing::s3_server_options options;
    options.buckets = {"shared"};
    options.threads = 2;
    auto server = testing::s3_server::start(std::move(options));
    REQUIRE(server);
    std::vector<std::byte> data(1 << 20);
    for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<std::byte>(i * 2654435761u >> 24);
    REQUIRE(server->put("shared", "k", data).ok());
    struct way {
        explicit way(const testing::s3_server& to)
            : tier(thread.get_executor(),
                   s3::client(thread.get_executor(), *s3::endpoint::parse(to.endpoint_url()),
                              to.credentials()),
                   "shared")
        {}
        ~way() { thread.stop(); }
        reactor_thread thread;
        s3_tier tier;
    };
    way one(*server), other(*server), third(*server);
    asio::io_context io{1};
    spread_tier<s3_tier> tier(io.get_executor(),
                              std::array<s3_tier*, 3>{&one.tier, &other.tier, &third.tier});
    std::vector<std::thread::id> threads;
    int good = 0;
    const auto lane = [](spread_tier<s3_tier>& from, const std::vector<std::byte>& expected, int& right,
                         std::vector<std::thread::id>& on) -> asio::awaitable<void> {
        for (std::size_t i = 0; i < 20; ++i) {
            const std::size_t size = 300'000 + i * 1000;
            std::vector<std::byte> into(size);
            witness w;
            status s = co_await from.read("k", {i, size}, into, deadline::never(), &w);
            right += s.ok() && w.seen == size && w.on != std::this_thread::get_id() &&
                     std::equal(into.begin(), into.end(), expected.begin() + static_cast<std::ptrdiff_t>(i));
            if (std::find(on.begin(), on.end(), w.on) == on.end())
                on.push_back(w.on);
        }
    };
    for (int i = 0; i < 8; ++i)
        asio::co_spawn(io, lane(tier, data, good, threads), asio::detached);
    REQUIRE(testing::run_until(io, [&] { return good == 160; }));
    CHECK(threads.size() == 3);
    CHECK(tier.under_way(0) + tier.under_way(1) + tier.under_way(2) == 0);
}

} // namespace spread_tier_test
