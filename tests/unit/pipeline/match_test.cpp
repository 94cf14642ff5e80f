// SPDX-License-Identifier: BSL-1.0
#include <objectcache/pipeline/match.hpp>

#include <doctest/doctest.h>
#include <support/kv_fixture.hpp>

#include <memory>

using namespace objectcache;

namespace match_test {

/** Ten chunks: three objects, then a segment of four, then objects again. */
prefix_match ten()
{
    prefix_match out;
    out.geometry = kv_fixture::geometry();
    out.chunks.resize(10);
    auto segment = std::make_shared<stored_segment>();
    segment->chunks = 4;
    for (std::uint32_t i = 0; i < 10; ++i) {
        chunk_place place;
        if (i >= 3 && i < 7)
            place = {layout::segment_objects, segment, i - 3};
        append_place(out.runs, place);
    }
    return out;
}

} // namespace match_test

TEST_CASE("a match is shortened to whole chunks, its runs with it")
{
    for (std::size_t most = 0; most <= 12 * 16; ++most) {
        CAPTURE(most);
        prefix_match match = match_test::ten();
        match.ended_by = status(errc::throttled);
        match.shorten(most);
        CHECK(match.tokens() == std::min<std::size_t>(most / 16, 10) * 16);
        CHECK(match.validate().ok());
        CHECK(match.runs.size() == (most < 16 ? 0 : most < 64 ? 1 : most < 128 ? 2 : 3));
        CHECK(match.ended_by == errc::throttled);
    }
    prefix_match nothing;
    nothing.shorten(5);
    CHECK(nothing.empty());
}

TEST_CASE("runs that are not those of the chunks are found out")
{
    prefix_match match = match_test::ten();
    CHECK(match.validate().ok());
    SUBCASE("fewer chunks")
    {
        match.chunks.resize(5);
    }
    SUBCASE("more chunks")
    {
        match.chunks.resize(11);
    }
    SUBCASE("no runs")
    {
        match.runs.clear();
    }
    SUBCASE("a gap")
    {
        match.runs.erase(match.runs.begin() + 1);
    }
    SUBCASE("not from the first chunk on")
    {
        match.runs.erase(match.runs.begin());
    }
    SUBCASE("a run of nothing")
    {
        match.runs.push_back({10, 0, {}});
    }
    SUBCASE("a run so long that its end wraps")
    {
        match.runs.back().chunks = ~std::size_t{0} - 5;
    }
    CHECK(match.validate() == condition::invalid);
}
