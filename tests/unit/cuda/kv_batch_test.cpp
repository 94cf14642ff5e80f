// SPDX-License-Identifier: BSL-1.0
#include <objectcache/cuda/kv_batch.hpp>

#include "support/kv_reference.hpp"

#include <doctest/doctest.h>

namespace kv_batch_test {

using namespace objectcache;
using namespace objectcache::cuda;

/** The device functions on the host: every warp and lane in turn. */
void run(kv_direction direction, const cuda::detail::kv_launch_batch& b, unsigned blocks)
{
    const unsigned warps = blocks * cuda::detail::kv_threads / cuda::detail::kv_lanes;
    for (unsigned warp = 0; warp < warps; ++warp)
        for (unsigned lane = 0; lane < cuda::detail::kv_lanes; ++lane)
            if (direction == kv_direction::scatter)
                cuda::detail::kv_move<true>(b, warp, warps, lane);
            else
                cuda::detail::kv_move<false>(b, warp, warps, lane);
}

TEST_CASE("the kernels' functions move the bytes of the formula and no others, at any alignment")
{
    std::mt19937 random(5);
    for (int round = 0; round < 600; ++round) {
        const kv_reference::pool_case c = kv_reference::random_pool(random);
        auto expected = kv_reference::random_bytes(c.pool_bytes, random), memory = expected;
        const kv_pages pages = c.pages(memory.data()), reference = c.pages(expected.data());
        const std::size_t S = c.geometry.slice_bytes(), count = 1 + random() % 5;
        const std::size_t gap = random() % 2 ? 16 - S % 16 : random() % 5;
        auto payloads = kv_reference::random_bytes(64 + count * (S + gap), random);
        std::byte* const base = payloads.data() + (random() % 2 ? 0 : random() % 17);
        std::vector<kv_slice> slices;
        for (std::size_t i = 0; i < count; ++i) {
            const auto [first, tokens] = kv_reference::random_tokens(c, random);
            slices.push_back({base + i * (S + gap), static_cast<layer_id>(random() % 2), first, tokens});
        }
        auto batches = kv_batches::make(pages, pages.block_table().data());
        REQUIRE_MESSAGE(batches.ok(), batches.error().message());
        const unsigned blocks = 1 + random() % 3;

        // Slices may overlap in the pages; the last one wins only in the reference's order, so one launch each.
        for (const kv_slice& s : slices) {
            kv_reference::scatter(reference, s.layer, s.first_token, s.tokens, s.payload);
            run(kv_direction::scatter, batches->batch({&s, 1}), blocks);
        }
        REQUIRE(memory == expected);

        auto wanted = payloads;
        for (std::byte& b : wanted)
            b ^= std::byte{0xff};
        payloads = wanted;
        for (const kv_slice& s : slices)
            kv_reference::gather(reference, s.layer, s.first_token, s.tokens,
                                 wanted.data() + (s.payload - payloads.data()));
        if (random() % 2) {
            const int error = batches->for_each_launch(slices, blocks, [&](const auto& b, unsigned n) {
                REQUIRE(n <= blocks);
                run(kv_direction::gather, b, n);
                return 0;
            });
            REQUIRE(error == 0);
        } else { // described in memory of the device
            std::vector<cuda::detail::kv_launch_slice> described(count);
            batches->describe(slices, described.data());
            run(kv_direction::gather, batches->batch(slices, described.data()), blocks);
        }
        REQUIRE(payloads == wanted);
    }
}

TEST_CASE("many slices take several launches, and an error ends them")
{
    const kv_geometry g{1, 1, 4, kv_dtype::int8, kv_form::latent, 2};
    std::vector<std::byte> memory(1000), payload(8);
    const kv_pages pages = kv_pages::contiguous(g, {{memory.data(), nullptr}}, 250);
    auto batches = kv_batches::make(pages, nullptr);
    REQUIRE(batches.ok());
    const std::vector<kv_slice> slices(2 * kv_batches::by_value + 1, {payload.data(), 0, 0, 2});
    std::vector<unsigned> tiles;
    CHECK(batches->for_each_launch(slices, 100, [&](const auto& b, unsigned blocks) {
        tiles.push_back(b.tiles);
        CHECK(blocks == (b.tiles + 15) / 16);
        return 0;
    }) == 0);
    CHECK(tiles == std::vector<unsigned>{kv_batches::by_value, kv_batches::by_value, 1});
    int calls = 0;
    CHECK(batches->for_each_launch(slices, 1, [&](const auto&, unsigned) { return ++calls == 2 ? 7 : 0; }) ==
          7);
    CHECK(calls == 2);
    CHECK(batches->for_each_launch({}, 1, [&](const auto&, unsigned) { return ++calls; }) == 0);
}

TEST_CASE("what the kernels cannot address is refused")
{
    std::byte k{}, v{};
    const kv_geometry g{1, 8, 128, kv_dtype::bf16, kv_form::separate, 16};
    const auto refused = [](const result<kv_batches>& r, const char* why) {
        CHECK(r.error() == condition::invalid);
        CHECK_MESSAGE(r.error().detail().find(why) != std::string::npos, r.error().detail());
    };
    const std::uint32_t table[] = {0};
    refused(kv_batches::make(kv_pages(), table), "layers");
    refused(kv_batches::make(engine_layout::nhd(g, 16).pages(g, {{&k, &v}}, {0}), nullptr), "block table");
    refused(kv_batches::make(engine_layout::nhd(g, 1 << 20).pages(g, {{&k, &v}}, {0}), table), "gigabyte");
    CHECK(kv_batches::make(engine_layout::nhd(g, 1 << 19).pages(g, {{&k, &v}}, {0}), table).ok());
}

TEST_CASE("quotients are exact")
{
    // The divisors that a geometry leads to; operands at the edges.
    for (const std::uint32_t head : {1u, 2u, 3u, 5u, 7u, 127u, 128u, 641u, 65535u, 65536u})
        for (const std::uint32_t heads : {1u, 3u, 8u, 100u, 1000u}) {
            std::byte k{};
            const kv_geometry g{1, heads, head, kv_dtype::int8, kv_form::separate, 1};
            auto batches = kv_batches::make(kv_pages::contiguous(g, {{&k, &k}}, 1), nullptr);
            REQUIRE(batches.ok());
            const kv_slice s{&k, 0, 0, 1};
            const auto b = batches->batch({&s, 1});
            for (const auto& d : {b.where.block, b.where.row, b.where.head, b.tiles_of_part})
                for (std::uint64_t n :
                     {std::uint64_t{0}, std::uint64_t{1}, d.value - std::uint64_t{1}, std::uint64_t{d.value},
                      (std::uint64_t{1} << 31) - 1, ((std::uint64_t{1} << 31) - 1) / d.value * d.value,
                      ((std::uint64_t{1} << 31) - 1) / d.value * d.value - 1})
                    if (n < std::uint64_t{1} << 31)
                        REQUIRE(cuda::detail::quotient(static_cast<unsigned>(n), d) == n / d.value);
        }
}

TEST_CASE("long runs are left to the copy engine")
{
    std::byte k{}, v{};
    const auto run = [&](const kv_geometry& g, const engine_layout& l) {
        return contiguous_run(l.pages(g, {{&k, g.parts() == 2 ? &v : nullptr}}, {0}));
    };
    kv_geometry g{1, 8, 128, kv_dtype::bf16, kv_form::separate, 16};
    CHECK(run(g, engine_layout::nhd(g, 16)) == 16 * 2048);
    CHECK(run(g, engine_layout::nhd(g, 64)) == 16 * 2048);
    CHECK(run(g, engine_layout::nhd(g, 4)) == 4 * 2048);
    CHECK(run(g, engine_layout::hnd(g, 16)) == 256);
    CHECK(run(g, engine_layout::packed(g, 16)) == 256);
    engine_layout padded = engine_layout::nhd(g, 16);
    padded.token_stride += 64;
    padded.block_stride += 16 * 64;
    CHECK(run(g, padded) == 2048);
    g.tokens_per_chunk = 256;
    const kv_pages contiguous = kv_pages::contiguous(g, {{&k, &v}}, 1000);
    CHECK(contiguous_run(contiguous) == 256 * 2048);
    CHECK(prefers_copy_engine(contiguous));
    CHECK_FALSE(prefers_copy_engine(engine_layout::hnd(g, 16).pages(g, {{&k, &v}}, {0})));
    CHECK(prefers_copy_engine(engine_layout::hnd(g, 16).pages(g, {{&k, &v}}, {0}), 256));
}

} // namespace kv_batch_test
