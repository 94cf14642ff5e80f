// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/load_plan.hpp>

#include <objectcache/kv/format.hpp>

#include <doctest/doctest.h>

#include <random>

namespace load_plan_test {

using namespace objectcache;

constexpr kv_geometry llama_8b{32, 8, 128, kv_dtype::bf16, kv_form::separate, 64};

std::vector<std::uint32_t> group_sizes(const load_plan& plan)
{
    std::vector<std::uint32_t> out;
    for (const layer_group& group : plan.groups)
        out.push_back(group.layers);
    return out;
}

/** Everything that a plan promises, for any arguments. */
void check_plan(const load_plan& plan, const kv_geometry& g, std::size_t chunks,
                const load_plan_options& options)
{
    const std::uint64_t record = record_bytes(g);
    std::vector<int> seen(chunks * g.layers);
    std::uint64_t bytes = 0;
    layer_id expected_layer = options.first_layer;
    std::size_t expected_fetch = 0;
    for (std::size_t index = 0; index < plan.groups.size(); ++index) {
        const layer_group& group = plan.groups[index];
        REQUIRE(group.first_layer == expected_layer);
        REQUIRE(group.layers >= 1);
        REQUIRE(group.layers <= (index == 0 ? 1 : 2 * plan.groups[index - 1].layers));
        REQUIRE(group.layers <= options.max_layers_per_group);
        REQUIRE(group.first_fetch == expected_fetch);
        REQUIRE(group.fetches == chunks);
        if (group.layers > 1) {
            REQUIRE(group.layers * record <= options.coalesce_bytes);
            REQUIRE(group.bytes <= options.max_group_bytes);
        }
        std::uint64_t group_bytes = 0;
        std::uint32_t chunk = 0;
        for (const load_fetch& fetch : plan.fetches_of(group)) {
            const bool whole = fetch.range == byte_range{0, object_bytes(options.where, g)};
            const bool sound = fetch.chunk == chunk++ && fetch.first_layer == group.first_layer &&
                               fetch.layers == group.layers && fetch.range.size == fetch.layers * record &&
                               fetch.range.end() <= object_bytes(options.where, g) &&
                               fetch.whole_object == whole;
            REQUIRE(sound);
            for (std::uint32_t l = 0; l < fetch.layers; ++l)
                ++seen[fetch.chunk * g.layers + fetch.first_layer + l];
            group_bytes += fetch.range.size;
        }
        REQUIRE(group_bytes == group.bytes);
        bytes += group_bytes;
        expected_layer += group.layers;
        expected_fetch += group.fetches;
    }
    REQUIRE(plan.fetches.size() == expected_fetch);
    REQUIRE(plan.bytes == bytes);
    bool once = true;
    for (std::size_t i = 0; i < seen.size(); ++i)
        once = once && seen[i] == (i % g.layers >= options.first_layer ? 1 : 0);
    REQUIRE(once);
}

TEST_CASE("chunk objects: layer 0 alone, then groups that double up to the request size")
{
    const auto plan = plan_load(llama_8b, 3);
    REQUIRE(plan.ok());
    // Records of 256 KiB and 32 bytes: three of them fit 1 MiB, not four.
    CHECK(group_sizes(*plan) == std::vector<std::uint32_t>{1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2});
    CHECK(plan->bytes == 3 * 32 * record_bytes(llama_8b));
    CHECK(plan->fetches[0] == load_fetch{0, 0, 1, {256, 262176}, false});
    CHECK(plan->fetches[4] == load_fetch{1, 1, 2, {256 + 262176, 2 * 262176}, false});
    check_plan(*plan, llama_8b, 3, {});
}

TEST_CASE("layer objects: one whole object per chunk and layer")
{
    load_plan_options options;
    options.where = layout::layer_objects;
    const auto plan = plan_load(llama_8b, 2, options);
    REQUIRE(plan.ok());
    CHECK(plan->groups.size() == 32);
    CHECK(plan->fetches.size() == 64);
    CHECK(plan->fetches[3] == load_fetch{1, 1, 1, {0, 262176}, true});
    check_plan(*plan, llama_8b, 2, options);
}

TEST_CASE("each limit bounds a group")
{
    load_plan_options options;
    options.coalesce_bytes = 0;
    CHECK(plan_load(llama_8b, 2, options)->groups.size() == 32);
    options.coalesce_bytes = std::uint64_t{1} << 30;
    CHECK(group_sizes(*plan_load(llama_8b, 2, options)) == std::vector<std::uint32_t>{1, 2, 4, 8, 8, 8, 1});
    options.max_layers_per_group = 32;
    CHECK(group_sizes(*plan_load(llama_8b, 2, options)) == std::vector<std::uint32_t>{1, 2, 4, 8, 16, 1});
    options.max_group_bytes = 2 * 5 * record_bytes(llama_8b);
    CHECK(group_sizes(*plan_load(llama_8b, 2, options)) ==
          std::vector<std::uint32_t>{1, 2, 4, 5, 5, 5, 5, 5});
    options.max_group_bytes = 0;
    CHECK(plan_load(llama_8b, 2, options)->groups.size() == 32);
}

TEST_CASE("layers that are near already are left out")
{
    load_plan_options options;
    options.first_layer = 30;
    const auto plan = plan_load(llama_8b, 2, options);
    CHECK(group_sizes(*plan) == std::vector<std::uint32_t>{1, 1});
    check_plan(*plan, llama_8b, 2, options);
    options.first_layer = 32;
    CHECK(plan_load(llama_8b, 2, options)->fetches.empty());
}

TEST_CASE("nothing matched is an empty plan")
{
    const auto plan = plan_load(llama_8b, 0);
    REQUIRE(plan.ok());
    CHECK(plan->fetches.empty());
    CHECK(plan->groups.empty());
    CHECK(plan->bytes == 0);
}

TEST_CASE("impossible plans are refused")
{
    const auto refused = [](auto change) {
        kv_geometry g = llama_8b;
        std::size_t chunks = 1;
        load_plan_options options;
        change(g, chunks, options);
        CHECK(plan_load(g, chunks, options).error() == condition::invalid);
    };
    refused([](kv_geometry& g, std::size_t&, load_plan_options&) { g.layers = 0; });
    refused([](kv_geometry&, std::size_t& chunks, load_plan_options&) { chunks = max_plan_chunks + 1; });
    refused([](kv_geometry&, std::size_t& chunks, load_plan_options&) { chunks = SIZE_MAX; });
    refused([](kv_geometry&, std::size_t&, load_plan_options& o) { o.where = layout::segment_objects; });
    refused([](kv_geometry&, std::size_t&, load_plan_options& o) { o.where = static_cast<layout>(0); });
    refused([](kv_geometry&, std::size_t&, load_plan_options& o) { o.max_layers_per_group = 0; });
    refused([](kv_geometry&, std::size_t&, load_plan_options& o) { o.first_layer = 33; });
}

TEST_CASE("random plans fetch every layer of every chunk once, in order, within their limits")
{
    std::mt19937 random(5);
    const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
    for (int round = 0; round < 500; ++round) {
        kv_geometry g{1 + below(80),  1 + below(16),     1 + below(256),
                      kv_dtype::bf16, kv_form::separate, 1 + below(300)};
        if (below(4) == 0)
            g.form = kv_form::latent, g.kv_heads = 1;
        const std::size_t chunks = 1 + below(40);
        load_plan_options options;
        options.where = below(4) == 0 ? layout::layer_objects : layout::chunk_objects;
        options.coalesce_bytes = record_bytes(g) * below(12) + below(100);
        options.max_layers_per_group = 1 + below(12);
        options.max_group_bytes = record_bytes(g) * chunks * below(12) + below(100);
        options.first_layer = below(2) == 0 ? 0 : below(g.layers + 1);
        const auto plan = plan_load(g, chunks, options);
        REQUIRE(plan.ok());
        check_plan(*plan, g, chunks, options);
    }
}

} // namespace load_plan_test
