// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/layout_policy.hpp>

#include <objectcache/plan/load_plan.hpp>

#include <doctest/doctest.h>

namespace layout_policy_test {

using namespace objectcache;

constexpr kv_geometry llama_8b(std::uint32_t tokens_per_chunk)
{
    return {32, 8, 128, kv_dtype::bf16, kv_form::separate, tokens_per_chunk};
}

/** A read per slice, as the paper's baseline. */
storage_costs by_slice()
{
    storage_costs out;
    out.coalesce_bytes = 0;
    return out;
}

TEST_CASE("layout_policy: requests of the paper's case, 87.5 % of 64K tokens in chunks of 64")
{
    const kv_geometry g = llama_8b(64);
    const std::size_t chunks = g.whole_chunks(57'344);
    REQUIRE(chunks == 896);
    const std::uint64_t payload = 896ull * 32 * (262'144 + 32); // slices and their trailers

    const layout_cost layer = cost_of(layout::layer_objects, g, chunks, by_slice());
    CHECK(layer.store_requests == 896 * 33);
    CHECK(layer.stored_bytes == payload + 896 * 256);
    CHECK(layer.match_heads == 896); // nothing is promised that was not asked for
    CHECK(layer.match_lists == 0);
    CHECK(layer.load_requests == 28'672);
    CHECK(layer.requests_per_layer == doctest::Approx(896));

    const layout_cost chunk = cost_of(layout::chunk_objects, g, chunks, by_slice());
    CHECK(chunk.store_requests == 896); // 8 MiB each
    CHECK(chunk.stored_bytes == payload + 896 * 256);
    CHECK(chunk.match_heads == 896);
    CHECK(chunk.load_requests == 28'672);
    CHECK(chunk.loaded_bytes == payload);
    CHECK(chunk.request_bytes == doctest::Approx(262'176));

    const layout_cost segment = cost_of(layout::segment_objects, g, chunks, by_slice());
    CHECK(segment.load_requests == 896); // 28 segments of 32 chunks, 32 layers
    CHECK(segment.requests_per_layer == doctest::Approx(28));
    CHECK(segment.request_bytes == doctest::Approx(32 * 262'176));
    CHECK(segment.match_heads == 28);
    CHECK(segment.match_lists == 0);
    CHECK(segment.stored_bytes == payload + 28 * (256 + 32 * 32 + 8));
    CHECK(segment.store_requests == 28 * (17 + 2)); // 256 MiB and a little in parts of 16 MiB
}

TEST_CASE("layout_policy: a region that is not full takes a segment of its own, and a listing to find it")
{
    const layout_cost cost = cost_of(layout::segment_objects, llama_8b(64), 33);
    CHECK(cost.load_requests == 2 * 32);
    CHECK(cost.match_heads == 1);
    CHECK(cost.match_lists == 1);
    CHECK(cost.store_requests == 19 + 1);
    CHECK(cost_of(layout::segment_objects, llama_8b(64), 5).match_heads == 0);
    CHECK(cost_of(layout::segment_objects, llama_8b(64), 0).load_requests == 0);
}

TEST_CASE("layout_policy: segments of small chunks cost no more requests than those of large ones")
{
    for (const std::uint32_t g : {16u, 64u, 256u}) {
        const kv_geometry shape = llama_8b(g);
        // Regions of 2,048 tokens, whatever the chunk: 8 MiB a layer.
        CHECK(cost_of(layout::segment_objects, shape, shape.whole_chunks(65'536)).load_requests == 32 * 32);
    }
}

TEST_CASE("layout_policy: reads of chunk objects are those that are planned")
{
    for (const std::uint32_t g : {16u, 64u, 256u})
        for (const std::size_t chunks : {std::size_t{1}, std::size_t{100}, std::size_t{5000}}) {
            const std::vector<stored_run> runs = {{0, chunks, {layout::chunk_objects}}};
            const auto plan = plan_load(llama_8b(g), runs);
            REQUIRE(plan);
            const layout_cost cost = cost_of(layout::chunk_objects, llama_8b(g), chunks);
            CHECK(cost.load_requests == plan->fetches.size());
            CHECK(cost.loaded_bytes == plan->bytes);
        }
}

TEST_CASE("layout_policy: latency is hidden by reads under way")
{
    storage_costs costs = by_slice();
    costs.request_seconds = 0.010;
    costs.link_bytes_per_second = 26'217.6e6; // a slice of 262,176 bytes takes 10 us
    costs.connections = 64, costs.layers_under_way = 16;
    // 64 slices in 10.01 ms: 1.676 GB/s.
    const layout_cost chunk = cost_of(layout::chunk_objects, llama_8b(64), 896, costs);
    CHECK(chunk.link_fraction == doctest::Approx(64 * 0.00001 / 0.01001));
    CHECK(chunk.layer_seconds == doctest::Approx(896.0 / 64 * 0.01001));
    // 1 segment of 2 chunks: 16 layers of it are all there can be.
    const layout_cost few = cost_of(layout::segment_objects, llama_8b(64), 2, costs);
    CHECK(few.link_fraction == doctest::Approx(16 * 0.00002 / 0.01002));
    // A read of 32 slices takes 0.32 ms of 10.32: 33 would do, 64 are under way.
    const layout_cost segment = cost_of(layout::segment_objects, llama_8b(64), 896, costs);
    CHECK(segment.link_fraction == doctest::Approx(1));
    CHECK(segment.layer_seconds == doctest::Approx(896 * 0.00001));
}

TEST_CASE("layout_policy: money")
{
    storage_costs costs = by_slice();
    costs.part_bytes = 0;
    const layout_cost chunk = cost_of(layout::chunk_objects, llama_8b(64), 896, costs);
    CHECK(chunk.store_dollars == doctest::Approx(896 * 0.005 / 1000));
    CHECK(chunk.match_dollars == doctest::Approx(896 * 0.0004 / 1000));
    CHECK(chunk.load_dollars == doctest::Approx(28'672 * 0.0004 / 1000));
    CHECK(chunk.month_dollars == doctest::Approx(7.0 * 0.023).epsilon(0.001)); // 7 GiB and trailers
    const layout_cost segment = cost_of(layout::segment_objects, llama_8b(64), 896, costs);
    CHECK(segment.store_dollars == doctest::Approx(28 * 0.005 / 1000));
    CHECK(segment.load_dollars == doctest::Approx(896 * 0.0004 / 1000));
    costs.per_gb_read = 0.09;
    CHECK(cost_of(layout::segment_objects, llama_8b(64), 896, costs).load_dollars ==
          doctest::Approx(7.0 * 0.09).epsilon(0.01));
    CHECK(cost_of(layout::segment_objects, llama_8b(64), 33, costs).match_dollars ==
          doctest::Approx((0.0004 + 0.005) / 1000));
}

TEST_CASE("layout_policy: the simplest layout that reaches the link")
{
    storage_costs costs; // 100 Gbit/s, 30 ms: chunks of 256 slices of 1 MiB would reach 2.2 of 12.5 GB/s
    for (const std::uint32_t g : {16u, 64u, 256u})
        CHECK(choose_layout(llama_8b(g), costs) == layout::segment_objects);
    // 1 Gbit/s: 64 reads of up to 1 MiB hide 30 ms.
    costs.link_bytes_per_second = 0.125e9;
    for (const std::uint32_t g : {16u, 64u, 256u})
        CHECK(choose_layout(llama_8b(g), costs) == layout::chunk_objects);
    // What reaches 95 % is enough; what falls short of it is not.
    costs = by_slice();
    const double slice = 262'176 / costs.link_bytes_per_second;
    costs.request_seconds = (64 / 0.951 - 1) * slice;
    CHECK(choose_layout(llama_8b(64), costs) == layout::chunk_objects);
    costs.request_seconds = (64 / 0.949 - 1) * slice;
    CHECK(choose_layout(llama_8b(64), costs) == layout::segment_objects);
    // A store at the end of the world: nothing reaches the link, segments come closest.
    costs.request_seconds = 10;
    CHECK(choose_layout(llama_8b(64), costs) == layout::segment_objects);
    // Chunks so large that a region is one of them.
    CHECK(choose_layout(llama_8b(4096), costs) == layout::chunk_objects);
    costs.ranged_reads = false;
    CHECK(choose_layout(llama_8b(64), costs) == layout::layer_objects);
}

} // namespace layout_policy_test
