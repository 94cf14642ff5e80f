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
