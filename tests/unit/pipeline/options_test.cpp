// SPDX-License-Identifier: BSL-1.0
#include <objectcache/pipeline/options.hpp>

#include <doctest/doctest.h>

#include <functional>

using namespace objectcache;

TEST_CASE("the defaults are valid, and every member that cannot be is named")
{
    CHECK(cache_options().validate().ok());
    const std::pair<const char*, std::function<void(cache_options&)>> wrong[] = {
        {"stored_as", [](cache_options& o) { o.stored_as = static_cast<layout>(9); }},
        {"costs", [](cache_options& o) { o.costs.link_bytes_per_second = 0; }},
        {"costs", [](cache_options& o) { o.costs.request_seconds = -1; }},
        {"part_bytes", [](cache_options& o) { o.part_bytes = 0; }},
        {"staging_bytes", [](cache_options& o) { o.staging_bytes = 0; }},
        {"prefetch_depth", [](cache_options& o) { o.prefetch_depth = 0; }},
        {"max_requests", [](cache_options& o) { o.max_requests = 0; }},
        {"max_writes", [](cache_options& o) { o.max_writes = 0; }},
        {"timeouts", [](cache_options& o) { o.match_timeout = duration::zero(); }},
        {"timeouts", [](cache_options& o) { o.load_timeout = -duration(1); }},
        {"timeouts", [](cache_options& o) { o.store_timeout = duration::zero(); }},
        {"index_ttl", [](cache_options& o) { o.index_ttl = duration::zero(); }},
    };
    for (const auto& each : wrong) {
        const char* const name = each.first; // clang 14 does not let CAPTURE capture a structured binding
        CAPTURE(name);
        cache_options o;
        each.second(o);
        const status s = o.validate();
        CHECK(s == condition::invalid);
        CHECK(s.detail().find(name) != std::string::npos);
    }
}

TEST_CASE("the layout suits what this cache does, not only what the store costs")
{
    const kv_geometry llama_8b{.layers = 32, .kv_heads = 8, .head_size = 128, .tokens_per_chunk = 64};
    cache_options o;
    o.costs.request_seconds = 0.001;
    CHECK(o.layout_for(llama_8b) == layout::chunk_objects); // 64 reads of 1 MiB under way fill the link
    o.max_requests = 8;
    CHECK(o.layout_for(llama_8b) == layout::segment_objects);
    o.stored_as = layout::layer_objects;
    CHECK(o.layout_for(llama_8b) == layout::layer_objects);
}
