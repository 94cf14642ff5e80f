// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/stored_run.hpp>

#include <doctest/doctest.h>

using namespace objectcache;

TEST_CASE("places that go on where the last one ended make one run")
{
    const auto a = std::make_shared<stored_segment>(stored_segment{"a", 4});
    const auto b = std::make_shared<stored_segment>(stored_segment{"b", 2});
    std::vector<stored_run> runs;
    const auto add = [&](layout where, std::shared_ptr<const stored_segment> segment = {},
                         std::uint32_t index = 0) {
        append_place(runs, {where, std::move(segment), index});
    };
    add(layout::chunk_objects);
    add(layout::chunk_objects);
    add(layout::layer_objects);
    add(layout::segment_objects, a, 1);
    add(layout::segment_objects, a, 2);
    add(layout::segment_objects, a, 0); // not behind it
    add(layout::segment_objects, b, 0);
    add(layout::segment_objects, b, 1);
    add(layout::chunk_objects);
    REQUIRE(runs.size() == 6);
    const std::size_t first[] = {0, 2, 3, 5, 6, 8}, chunks[] = {2, 1, 2, 1, 2, 1};
    for (std::size_t i = 0; i < runs.size(); ++i) {
        CAPTURE(i);
        CHECK(runs[i].first == first[i]);
        CHECK(runs[i].chunks == chunks[i]);
        CHECK(runs[i].whole_segment() == (i == 4));
    }
    CHECK(runs[2].at(4).index == 2);
    CHECK(runs[2].at(4).segment == a);
    CHECK(runs[0].at(1).index == 0);
}

TEST_CASE("a segment that two questions found is read as one")
{
    std::vector<stored_run> runs;
    for (std::uint32_t i = 0; i < 4; ++i)
        append_place(runs,
                     {layout::segment_objects, std::make_shared<stored_segment>(stored_segment{"a", 4}), i});
    REQUIRE(runs.size() == 1);
    CHECK(runs[0].whole_segment());
}
