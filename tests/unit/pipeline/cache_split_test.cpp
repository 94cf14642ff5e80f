// SPDX-License-Identifier: BSL-1.0
#include <objectcache/cache.hpp>

#include <objectcache/testing/fail_counter.hpp>
#include <objectcache/testing/gated_device.hpp>
#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/recording_tier.hpp>

#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>
#include <support/kv_fixture.hpp>
#include <support/run.hpp>

#include <memory>
#include <utility>
#include <vector>

using namespace objectcache;

// A load that knows of its link that one connection does not fill it: the first layer comes in several requests.
namespace cache_split_test {

using call = testing::recording_tier::call;
using context = detail::pipeline_context<testing::gated_device, testing::recording_tier>;

/** Slices of 64 KiB: 96 of them, a segment's, are 6 MiB of a layer. */
kv_geometry large_shape()
{
    return {3, 8, 128, kv_dtype::bf16, kv_form::separate, 16};
}

struct fixture {
    static constexpr std::size_t G = 16, chunks = 96;

    kv_geometry shape = large_shape();
    scope where = kv_fixture::scope(shape);
    std::vector<token_id> tokens = kv_fixture::tokens(chunks * G + 1);
    testing::gated_device device;
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    testing::recording_tier tier{io.get_executor()};
    cache_options options;
    kv_fixture::memory source{shape, tokens.size()}, target{shape, tokens.size()};
    prefix_match found;

    fixture()
    {
        options.stored_as = layout::segment_objects;
        options.staging_bytes = 32 << 20;
        source.fill();
        auto kv = *cache<testing::gated_device, testing::recording_tier>::create(tier, device, options);
        const store_report stored = run(kv.store(where, tokens, source.pages(), {}, asio::use_awaitable));
        REQUIRE(stored.stored == chunks);
        found = run(kv.match(where, tokens, asio::use_awaitable));
        REQUIRE(found.chunks.size() == chunks);
        REQUIRE(found.runs.size() == 1);
    }
    template <class T>
    T run(asio::awaitable<T> work)
    {
        return support::run(io, std::move(work));
    }
    load_report load(const load_pacer::knowledge& link, load_options how = {})
    {
        auto staging = staging_pool<testing::gated_device>::create(io.get_executor(), device, 32 << 20);
        const auto shared =
            std::make_shared<context>(io.get_executor(), tier, device, options, std::move(*staging));
        shared->link = link;
        target.clear();
        const auto state =
            std::make_shared<detail::load_state<testing::gated_device, testing::recording_tier>>(
                shared, found, target.pages(), how, std::nullopt);
        state->start({});
        load_report out = run(state->report());
        CHECK(shared->staging.in_use() == 0);
        return out;
    }
    [[nodiscard]] bool same(std::size_t tokens_of, layer_id layer)
    {
        return target.rows_of(layer, tokens_of) == source.rows_of(layer, tokens_of);
    }
};

// 12 GB/s of 3 a connection, and an answer in a millisecond: a quarter of 6 MiB.
constexpr load_pacer::knowledge several{12e9, std::chrono::milliseconds(1), 3e9};

TEST_CASE_FIXTURE(fixture,
                  "the first layer comes in as many requests as fill the link, the others in one each")
{
    const auto requests = [&](const load_pacer::knowledge& link, load_options how = {}) {
        const load_report report = load(link, how);
        CHECK(report.failed.ok());
        CHECK(report.usable_tokens == chunks * G);
        CHECK(report.layers.size() == 3);
        for (layer_id layer = how.first_layer; layer < 3; ++layer)
            CHECK(same(chunks * G, layer));
        return report.requests;
    };
    CHECK(requests({}) == 3);
    CHECK(requests({3e9, std::chrono::milliseconds(1), 3e9}) == 3);
    CHECK(requests(several) == 4 + 2);
    load_options rest;
    rest.first_layer = 1; // the first that comes
    CHECK(requests(several, rest) == 4 + 1);
    load_options whole;
    whole.layer_by_layer = false;
    CHECK(requests(several, whole) == requests({}, whole));
    options.pace_layers = false;
    CHECK(requests(several) == 3);
}

TEST_CASE_FIXTURE(fixture, "a part of the first layer that is damaged is a hole like any other")
{
    std::vector<std::byte>& object = *tier.stored().find(found.runs.front().place.segment->key);
    for (const std::size_t chunk : {0U, 19U, 20U, 50U, 95U}) {
        CAPTURE(chunk);
        const auto at = static_cast<std::size_t>(
            segment_layer_range(shape, chunks, 0, static_cast<std::uint32_t>(chunk), 1).offset + 100);
        object[at] ^= std::byte{1};
        const load_report report = load(several);
        CHECK(report.failed == errc::checksum_mismatch);
        CHECK(report.usable_tokens == chunk * G);
        CHECK((chunk == 0 || same(chunk * G, 0)));
        object[at] ^= std::byte{1};
    }
    CHECK(load(several).failed.ok());
}

TEST_CASE_FIXTURE(
    fixture, "a part of the first layer that does not come ends the prefix there, and nothing is left behind")
{
    testing::fail_counter fuse;
    for (;; fuse.next()) {
        CAPTURE(fuse.fail_at());
        tier.set_fuse(&fuse);
        const load_report report = load(several);
        tier.set_fuse(nullptr);
        if (!fuse.fired())
            break;
        CHECK_FALSE(report.failed.ok());
        CHECK(report.usable_tokens < chunks * G);
        CHECK((report.usable_tokens == 0 || same(report.usable_tokens, 0)));
    }
    CHECK(fuse.fail_at() >= 6); // requests
    CHECK(load(several).failed.ok());
}

} // namespace cache_split_test
