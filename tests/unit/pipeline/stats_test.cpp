// SPDX-License-Identifier: BSL-1.0
#include <objectcache/pipeline/stats.hpp>

#include <objectcache/pipeline/load_report.hpp>
#include <objectcache/pipeline/match.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using namespace std::chrono_literals;

TEST_CASE("a snapshot has every counter in its place")
{
    detail::cache_counters c;
    std::uint64_t n = 0;
    for (auto* counter :
         {&c.matches, &c.tokens_asked, &c.tokens_matched, &c.match_requests, &c.loads, &c.load_requests,
          &c.bytes_loaded, &c.layers_failed, &c.chunks_absent, &c.chunks_corrupt, &c.chunks_unknown,
          &c.chunks_stored, &c.chunks_merged, &c.chunks_present, &c.chunks_dropped, &c.bytes_stored})
        detail::cache_counters::add(*counter, ++n);
    const cache_stats s = c.snapshot();
    n = 0;
    for (const std::uint64_t value :
         {s.matches, s.tokens_asked, s.tokens_matched, s.match_requests, s.loads, s.load_requests,
          s.bytes_loaded, s.layers_failed, s.chunks_absent, s.chunks_corrupt, s.chunks_unknown,
          s.chunks_stored, s.chunks_merged, s.chunks_present, s.chunks_dropped, s.bytes_stored})
        CHECK(value == ++n);
    static_assert(sizeof(cache_stats) == 16 * sizeof(std::uint64_t)); // a new member belongs above
}

TEST_CASE("a match counts tokens of whole chunks, a layer the time its engine stood still")
{
    prefix_match match;
    CHECK(match.empty());
    CHECK(match.tokens() == 0);
    match.geometry.tokens_per_chunk = 16;
    match.chunks.resize(3);
    CHECK_FALSE(match.empty());
    CHECK(match.tokens() == 48);
    CHECK(prefix_match(status(errc::throttled)).ended_by == condition::unavailable);

    layer_timing t;
    CHECK(t.stall() == duration::zero());
    t.waited_from = time_point(2s);
    t.waited_to = time_point(5s);
    CHECK(t.stall() == 3s);
}
