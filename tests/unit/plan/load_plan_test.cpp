// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/load_plan.hpp>

#include <objectcache/kv/format.hpp>
#include <objectcache/kv/segment.hpp>

#include <doctest/doctest.h>

#include <algorithm>
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

/** All chunks in objects of their own. */
std::vector<stored_run> objects(std::size_t chunks, layout where = layout::chunk_objects)
{
    if (chunks == 0)
        return {};
    return {{0, chunks, {where}}};
}

/** `used` chunks from `index` on, of a segment of `chunks`. */
stored_run segment(std::size_t first, std::uint32_t chunks, std::uint32_t index, std::size_t used)
{
    return {first,
            used,
            {layout::segment_objects, std::make_shared<stored_segment>(stored_segment{"k", chunks}), index}};
}

/** Everything that a plan promises, for any arguments. */
void check_plan(const load_plan& plan, const kv_geometry& g, std::span<const stored_run> runs,
                const load_plan_options& options)
{
    const std::size_t chunks = runs.empty() ? 0 : runs.back().end();
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
        std::uint64_t group_bytes = 0;
        for (const load_fetch& fetch : plan.fetches_of(group)) {
            REQUIRE(fetch.run < runs.size());
            const stored_run& run = runs[fetch.run];
            const chunk_place at = run.at(fetch.chunk);
            const layout where = at.where;
            const std::uint64_t object =
                at.segment ? segment_bytes(g, at.segment->chunks) : object_bytes(where, g);
            const bool inside = fetch.chunk >= run.first && fetch.end() <= run.end() &&
                                fetch.first_layer >= group.first_layer &&
                                fetch.first_layer + fetch.layers <= group.first_layer + group.layers;
            const bool sound = fetch.range.size == std::uint64_t{fetch.layers} * fetch.chunks * record &&
                               fetch.range.end() <= object &&
                               fetch.whole_object == (fetch.range == byte_range{0, object});
            const std::uint64_t most = index == 0 && at.segment
                                           ? std::min(options.first_request_bytes, options.max_request_bytes)
                                           : options.max_request_bytes;
            const bool small = fetch.range.size <= most || fetch.range.size == record;
            REQUIRE(inside);
            REQUIRE(sound);
            REQUIRE(small);
            // Where each record would be looked for, and where it is.
            for (std::uint32_t l = 0; l < fetch.layers; ++l)
                for (std::uint32_t c = 0; c < fetch.chunks; ++c) {
                    const std::uint64_t offset =
                        fetch.range.offset + (std::uint64_t{l} * fetch.chunks + c) * record;
                    const layer_id layer = fetch.first_layer + l;
                    const std::uint64_t expected =
                        where == layout::layer_objects ? 0
                        : where == layout::chunk_objects
                            ? chunk_layer_range(g, layer, 1).offset
                            : segment_layer_range(g, at.segment->chunks, layer, at.index + c, 1).offset;
                    REQUIRE(offset == expected);
                    ++seen[(fetch.chunk + c) * g.layers + layer];
                }
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
        once =
            once &&
            seen[i] == (i % g.layers >= options.first_layer && i / g.layers >= options.first_chunk ? 1 : 0);
    REQUIRE(once);
}

TEST_CASE("chunk objects: layer 0 alone, then groups that double up to the request size")
{
    const auto runs = objects(3);
    const auto plan = plan_load(llama_8b, runs);
    REQUIRE(plan.ok());
    // Records of 256 KiB and 32 bytes: three of them fit 1 MiB, not four.
    CHECK(group_sizes(*plan) == std::vector<std::uint32_t>{1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2});
    CHECK(plan->bytes == 3 * 32 * record_bytes(llama_8b));
    CHECK(plan->fetches[0] == load_fetch{0, 1, 0, 1, {256, 262176}, false, 0});
    CHECK(plan->fetches[4] == load_fetch{1, 1, 1, 2, {256 + 262176, 2 * 262176}, false, 0});
    check_plan(*plan, llama_8b, runs, {});
    for (const layer_group& group : plan->groups)
        CHECK(group.fetches == 3);
}

TEST_CASE("layer objects: one whole object per chunk and layer")
{
    const auto runs = objects(2, layout::layer_objects);
    const auto plan = plan_load(llama_8b, runs);
    REQUIRE(plan.ok());
    CHECK(plan->groups.size() == 32);
    CHECK(plan->fetches.size() == 64);
    CHECK(plan->fetches[3] == load_fetch{1, 1, 1, 1, {0, 262176}, true, 0});
    check_plan(*plan, llama_8b, runs, {});
}

TEST_CASE("segments: one request per segment and layer, whatever part of it is read")
{
    // 87.5 % of 64K tokens: 28 whole segments of 2,048 tokens, 8 MiB a layer.
    for (const std::uint32_t G : {16u, 64u, 256u}) {
        CAPTURE(G);
        kv_geometry g = llama_8b;
        g.tokens_per_chunk = G;
        const std::uint32_t N = segment_chunks(g);
        CHECK(N * G == 2048);
        std::vector<stored_run> runs;
        for (std::size_t i = 0; i < 28; ++i)
            runs.push_back(segment(i * N, N, 0, N));
        const auto plan = plan_load(g, runs);
        REQUIRE(plan.ok());
        CHECK(plan->fetches.size() == 28 * 32);
        CHECK(plan->groups.size() == 32);
        check_plan(*plan, g, runs, {});
    }
    // Parts of segments, one of them not from its beginning.
    const std::vector<stored_run> runs = {segment(0, 32, 0, 32), segment(32, 20, 0, 7), segment(39, 9, 3, 6)};
    const auto plan = plan_load(llama_8b, runs);
    REQUIRE(plan.ok());
    CHECK(plan->fetches.size() == 3 * 32);
    CHECK(plan->fetches[2] ==
          load_fetch{39, 6, 0, 1, {segment_head_bytes(9) + 3 * 262176, 6 * 262176}, false, 2});
    check_plan(*plan, llama_8b, runs, {});
}

TEST_CASE("small segments are read several layers at a time, but only all of them")
{
    kv_geometry g{8, 1, 64, kv_dtype::bf16, kv_form::separate, 16}; // slices of 4 KiB
    const std::vector<stored_run> runs = {segment(0, 10, 0, 10), segment(10, 10, 0, 9)};
    const auto plan = plan_load(g, runs);
    REQUIRE(plan.ok());
    CHECK(group_sizes(*plan) == std::vector<std::uint32_t>{1, 2, 4, 1});
    CHECK(plan->groups[1].fetches == 1 + 2);
    check_plan(*plan, g, runs, {});
    load_plan_options whole;
    whole.layer_by_layer = false;
    const auto all = plan_load(g, runs, whole);
    CHECK(all->fetches.size() == 1 + 8);
}

TEST_CASE("no request is larger than staging can lend")
{
    load_plan_options options;
    options.max_request_bytes = 5 * record_bytes(llama_8b) + 17;
    const std::vector<stored_run> runs = {segment(0, 32, 0, 32), {32, 2, {layout::chunk_objects}}};
    const auto plan = plan_load(llama_8b, runs, options);
    REQUIRE(plan.ok());
    CHECK(plan->groups[0].fetches == 7 + 2);
    check_plan(*plan, llama_8b, runs, options);
    options.max_request_bytes = 0;
    check_plan(*plan_load(llama_8b, runs, options), llama_8b, runs, options);
}

TEST_CASE("the first layer alone may be split over more requests, in parts of nearly one size")
{
    const std::uint64_t record = record_bytes(llama_8b);
    load_plan_options options;
    options.first_request_bytes =
        10 * record + 17; // of 32 chunks 4 requests, of 8 each rather than 10, 10, 10 and 2
    const std::vector<stored_run> runs = {segment(0, 32, 0, 32), {32, 2, {layout::chunk_objects}}};
    const auto plan = plan_load(llama_8b, runs, options);
    REQUIRE(plan.ok());
    CHECK(plan->groups[0].fetches == 4 + 2);
    for (std::size_t i = 0; i < 4; ++i)
        CHECK(plan->fetches[i].chunks == 8);
    CHECK(plan->groups[1].fetches == 1 + 2);
    check_plan(*plan, llama_8b, runs, options);

    options.first_layer = 5; // the first that is fetched
    CHECK(plan_load(llama_8b, runs, options)->groups[0].fetches == 4 + 2);
    options.first_layer = 0;
    options.max_request_bytes = 7 * record;
    CHECK(plan_load(llama_8b, runs, options)->groups[0].fetches == 5 + 2);
    options.max_request_bytes = load_plan_options().max_request_bytes;
    options.first_request_bytes = 0;
    CHECK(plan_load(llama_8b, runs, options)->groups[0].fetches == 32 + 2);
    options.layer_by_layer = false; // whoever needs all of it has no first layer
    CHECK(plan_load(llama_8b, runs, options)->fetches ==
          plan_load(llama_8b, runs, {.layer_by_layer = false})->fetches);
}

TEST_CASE("each limit bounds a group")
{
    const auto runs = objects(2);
    load_plan_options options;
    options.coalesce_bytes = 0;
    CHECK(plan_load(llama_8b, runs, options)->groups.size() == 32);
    options.coalesce_bytes = std::uint64_t{1} << 30;
    CHECK(group_sizes(*plan_load(llama_8b, runs, options)) ==
          std::vector<std::uint32_t>{1, 2, 4, 8, 8, 8, 1});
    options.max_layers_per_group = 32;
    CHECK(group_sizes(*plan_load(llama_8b, runs, options)) == std::vector<std::uint32_t>{1, 2, 4, 8, 16, 1});
    options.max_group_bytes = 2 * 5 * record_bytes(llama_8b);
    CHECK(group_sizes(*plan_load(llama_8b, runs, options)) ==
          std::vector<std::uint32_t>{1, 2, 4, 5, 5, 5, 5, 5});
    options.max_group_bytes = 0;
    CHECK(plan_load(llama_8b, runs, options)->groups.size() == 32);
}

TEST_CASE("layers that are near already are left out")
{
    const auto runs = objects(2);
    load_plan_options options;
    options.first_layer = 30;
    const auto plan = plan_load(llama_8b, runs, options);
    CHECK(group_sizes(*plan) == std::vector<std::uint32_t>{1, 1});
    check_plan(*plan, llama_8b, runs, options);
    options.first_layer = 32;
    CHECK(plan_load(llama_8b, runs, options)->fetches.empty());
}

TEST_CASE("chunks that are computed are left out")
{
    const std::vector<stored_run> runs = {segment(0, 32, 0, 32),
                                          {32, 3, {layout::chunk_objects}},
                                          segment(35, 20, 4, 9),
                                          {44, 2, {layout::layer_objects}}};
    for (std::size_t first = 0; first <= 46; ++first) {
        CAPTURE(first);
        load_plan_options options;
        options.first_chunk = first;
        const auto plan = plan_load(llama_8b, runs, options);
        REQUIRE(plan.ok());
        CHECK(plan->bytes == (46 - first) * 32 * record_bytes(llama_8b));
        check_plan(*plan, llama_8b, runs, options);
        CHECK(plan->fetches.empty() == (first == 46));
        CHECK(plan->groups.empty() == (first == 46));
    }
    load_plan_options options;
    options.first_chunk = 5; // a sub-range of what the segment has of a layer
    CHECK(plan_load(llama_8b, runs, options)->fetches[0] ==
          load_fetch{5, 27, 0, 1, {segment_head_bytes(32) + 5 * 262176, 27 * 262176}, false, 0});
    options.first_chunk = 36; // behind two runs, and inside a third that does not begin its segment
    CHECK(plan_load(llama_8b, runs, options)->fetches[0] ==
          load_fetch{36, 8, 0, 1, {segment_head_bytes(20) + 5 * 262176, 8 * 262176}, false, 2});
    options.first_chunk = 45; // what is left are layer objects: nothing to coalesce
    CHECK(plan_load(llama_8b, runs, options)->groups.size() == 32);
    CHECK(plan_load(llama_8b, runs, options)->fetches[0] == load_fetch{45, 1, 0, 1, {0, 262176}, true, 3});
}

TEST_CASE("what is left of a segment is no whole segment: its layers do not lie behind one another")
{
    const kv_geometry g{8, 1, 64, kv_dtype::bf16, kv_form::separate, 16}; // slices of 4 KiB
    const std::vector<stored_run> runs = {segment(0, 10, 0, 10), segment(10, 10, 0, 10)};
    load_plan_options options;
    CHECK(plan_load(g, runs, options)->groups[1].fetches == 1 + 1);
    options.first_chunk = 1;
    const auto plan = plan_load(g, runs, options);
    CHECK(group_sizes(*plan) == std::vector<std::uint32_t>{1, 2, 4, 1});
    CHECK(plan->groups[1].fetches == 2 + 1);
    check_plan(*plan, g, runs, options);
    options.first_chunk = 10;
    CHECK(plan_load(g, runs, options)->groups[1].fetches == 1);
    options.layer_by_layer = false;
    CHECK(plan_load(g, runs, options)->fetches ==
          std::vector<load_fetch>{{10, 10, 0, 8, {segment_head_bytes(10), 80 * record_bytes(g)}, false, 1}});
    options.first_chunk = 9;
    CHECK(plan_load(g, runs, options)->fetches.size() == 8 + 1);
}

TEST_CASE("nothing matched is an empty plan")
{
    const auto plan = plan_load(llama_8b, {});
    REQUIRE(plan.ok());
    CHECK(plan->fetches.empty());
    CHECK(plan->groups.empty());
    CHECK(plan->bytes == 0);
}

TEST_CASE("impossible plans are refused")
{
    const auto refused = [](auto change) {
        kv_geometry g = llama_8b;
        std::vector<stored_run> runs = objects(1);
        load_plan_options options;
        change(g, runs, options);
        CHECK(plan_load(g, runs, options).error() == condition::invalid);
    };
    using runs_type = std::vector<stored_run>;
    refused([](kv_geometry& g, runs_type&, load_plan_options&) { g.layers = 0; });
    refused([](kv_geometry&, runs_type& runs, load_plan_options&) { runs[0].chunks = max_plan_chunks + 1; });
    refused([](kv_geometry&, runs_type& runs, load_plan_options&) { runs[0].chunks = SIZE_MAX; });
    refused([](kv_geometry&, runs_type& runs, load_plan_options&) { runs[0].chunks = 0; });
    refused([](kv_geometry&, runs_type& runs, load_plan_options&) { runs[0].first = 1; });
    refused([](kv_geometry&, runs_type& runs, load_plan_options&) { runs = {runs[0], runs[0]}; });
    refused([](kv_geometry&, runs_type& runs, load_plan_options&) {
        runs[0].place.where = layout::segment_objects; // and which?
    });
    refused([](kv_geometry&, runs_type& runs, load_plan_options&) {
        runs[0].place.where = static_cast<layout>(0);
    });
    refused([](kv_geometry&, runs_type& runs, load_plan_options&) { runs = {segment(0, 5, 3, 3)}; });
    refused([](kv_geometry&, runs_type& runs, load_plan_options&) { runs = {segment(0, 33, 0, 3)}; });
    refused([](kv_geometry&, runs_type&, load_plan_options& o) { o.max_layers_per_group = 0; });
    refused([](kv_geometry&, runs_type&, load_plan_options& o) { o.first_layer = 33; });
    refused([](kv_geometry&, runs_type&, load_plan_options& o) { o.first_chunk = 2; });
    refused([](kv_geometry&, runs_type&, load_plan_options& o) { o.first_chunk = SIZE_MAX; });
    refused([](kv_geometry&, runs_type& runs, load_plan_options& o) { runs = {}, o.first_chunk = 1; });
}

TEST_CASE("random plans fetch every wanted layer of every wanted chunk once, in order, within their limits")
{
    std::mt19937 random(5);
    const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
    for (int round = 0; round < 500; ++round) {
        kv_geometry g{1 + below(80),  1 + below(16),     1 + below(256),
                      kv_dtype::bf16, kv_form::separate, 1 + below(300)};
        if (below(4) == 0)
            g.form = kv_form::latent, g.kv_heads = 1;
        std::vector<stored_run> runs;
        std::size_t chunks = 0;
        for (std::uint32_t n = 1 + below(4); n > 0; --n) {
            if (below(2) == 0) {
                runs.push_back(
                    {chunks, 1 + below(20), {below(4) == 0 ? layout::layer_objects : layout::chunk_objects}});
            } else {
                const std::uint32_t size = 1 + below(segment_chunks(g)), index = below(size);
                runs.push_back(segment(chunks, size, index, 1 + below(size - index)));
            }
            chunks = runs.back().end();
        }
        load_plan_options options;
        options.coalesce_bytes = record_bytes(g) * below(12) + below(100);
        options.max_layers_per_group = 1 + below(12);
        options.max_group_bytes = record_bytes(g) * chunks * below(12) + below(100);
        options.first_layer = below(2) == 0 ? 0 : below(g.layers + 1);
        options.first_chunk = below(2) == 0 ? 0 : below(static_cast<std::uint32_t>(chunks) + 1);
        if (below(2) == 0)
            options.max_request_bytes = record_bytes(g) * below(40);
        if (below(2) == 0)
            options.first_request_bytes = record_bytes(g) * below(20);
        const auto plan = plan_load(g, runs, options);
        REQUIRE(plan.ok());
        check_plan(*plan, g, runs, options);
    }
}

} // namespace load_plan_test
