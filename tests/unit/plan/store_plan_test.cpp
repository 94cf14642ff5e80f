// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/store_plan.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <string>

namespace store_plan_test {

using namespace objectcache;
using places = std::vector<std::optional<chunk_place>>;

void put(places& at, std::size_t first, std::size_t chunks, std::size_t used)
{
    const auto segment = std::make_shared<stored_segment>(stored_segment{
        std::to_string(first) + '+' + std::to_string(chunks), static_cast<std::uint32_t>(chunks)});
    for (std::size_t i = 0; i < used; ++i)
        at[first + i] = chunk_place{layout::segment_objects, segment, static_cast<std::uint32_t>(i)};
}

constexpr layout segments = layout::segment_objects;

TEST_CASE("the other layouts write a chunk for every one that is missing")
{
    places at(5);
    at[1] = chunk_place{};
    at[3] = chunk_place{layout::layer_objects};
    const std::vector<store_object> expected = {{0, 1, 0}, {2, 1, 0}, {4, 1, 0}};
    CHECK(plan_store(layout::chunk_objects, 8, at) == expected);
    CHECK(plan_store(layout::layer_objects, 8, at) == expected);
}

TEST_CASE("a new sequence is cut at the regions' ends")
{
    CHECK(plan_store(segments, 8, places(19)) == std::vector<store_object>{{0, 8, 0}, {8, 8, 0}, {16, 3, 0}});
    CHECK(plan_store(segments, 8, places(8)) == std::vector<store_object>{{0, 8, 0}});
    CHECK(plan_store(segments, 1, places(2)) == std::vector<store_object>{{0, 1, 0}, {1, 1, 0}});
    CHECK(plan_store(segments, 8, places()).empty());
}

TEST_CASE("what is stored is not written again unless it is merged")
{
    places at(13);
    put(at, 0, 8, 8);
    put(at, 8, 4, 4);
    CHECK(plan_store(segments, 8, at) == std::vector<store_object>{{12, 1, 0}}); // 4 are too many for 1
    CHECK(plan_store(segments, 8, places(at.begin(), at.begin() + 12)).empty());
    at.resize(16);
    CHECK(plan_store(segments, 8, at) == std::vector<store_object>{{8, 8, 4}});
    CHECK(plan_store(segments, 8, at, false) == std::vector<store_object>{{12, 4, 0}});
    // A full region becomes one segment, however small what fills it.
    places full(8);
    put(full, 0, 7, 7);
    CHECK(plan_store(segments, 8, full) == std::vector<store_object>{{0, 8, 7}});
}

TEST_CASE("a segment that another sequence goes on in is shared, not copied")
{
    places at(8);
    put(at, 0, 8, 5); // branches off behind the fifth
    CHECK(plan_store(segments, 8, at) == std::vector<store_object>{{5, 3, 0}});
    // Chunks of other layouts are not merged either.
    places mixed(8);
    for (std::size_t i = 0; i < 2; ++i)
        mixed[i] = chunk_place{};
    CHECK(plan_store(segments, 8, mixed) == std::vector<store_object>{{2, 6, 0}});
}

TEST_CASE("a hole is filled, and nothing more")
{
    places at(8);
    put(at, 0, 2, 2);
    put(at, 5, 3, 3);
    CHECK(plan_store(segments, 8, at) == std::vector<store_object>{{0, 5, 2}});
    CHECK(plan_store(segments, 8, at, false) == std::vector<store_object>{{2, 3, 0}});
}

TEST_CASE("what a name does not tell where sequences part is written again")
{
    constexpr std::uint32_t N = 256; // a mark for every fourth chunk
    REQUIRE(segment_mark_stride(N) == 4);
    for (std::size_t shared = 1; shared < 40; ++shared) {
        CAPTURE(shared);
        places at(60);
        put(at, 0, 50, shared);
        const std::size_t told = std::max<std::size_t>(shared / 4 * 4, 1);
        CHECK(plan_store(segments, N, at) == std::vector<store_object>{{told, 60 - told, shared - told}});
        // The last chunk of a segment is told.
        places own(60);
        put(own, 0, shared, shared);
        CHECK(plan_store(segments, N, own, false) == std::vector<store_object>{{shared, 60 - shared, 0}});
        // A sequence that ends there has no hole.
        CHECK(plan_store(segments, N, places(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(shared)))
                  .empty());
        // Only what lies in that segment is hidden.
        places late(60);
        put(late, 0, shared, shared);
        put(late, shared, 20, 2);
        const std::size_t last = shared + 2, vouched = std::max(last / 4 * 4, shared);
        CHECK(plan_store(segments, N, late, false) ==
              std::vector<store_object>{{vouched, 60 - vouched, last - vouched}});
    }
    // In the second region places count from its start.
    places at(N + 20);
    put(at, 0, N, N);
    put(at, N, 30, 7);
    CHECK(plan_store(segments, N, at) == std::vector<store_object>{{N + 4, 16, 3}});
    // Whatever the chunks behind are stored as. Those of other layouts hide nothing.
    at.resize(N + 8);
    CHECK(plan_store(layout::chunk_objects, N, at) ==
          std::vector<store_object>{{N + 4, 1, 1}, {N + 5, 1, 1}, {N + 6, 1, 1}, {N + 7, 1, 0}});
    at[N + 5] = chunk_place{};
    CHECK(plan_store(layout::chunk_objects, N, at) ==
          std::vector<store_object>{{N + 6, 1, 1}, {N + 7, 1, 0}});
    // Several segments in a row may hide their chunks.
    places several(20);
    put(several, 0, 40, 15);
    put(several, 12, 14, 2);
    CHECK(plan_store(segments, N, several) == std::vector<store_object>{{12, 8, 3}});
}

TEST_CASE("what was merged for another sequence is not merged again")
{
    places at(8);
    put(at, 0, 2, 2);
    CHECK(plan_store(segments, 8, at) == std::vector<store_object>{{0, 8, 2}});
    auto continued = std::make_shared<stored_segment>(*at[0]->segment);
    continued->continued = true;
    at[0]->segment = at[1]->segment = continued;
    CHECK(plan_store(segments, 8, at) == std::vector<store_object>{{2, 6, 0}});
}

TEST_CASE("a segment that two matches found is one")
{
    places at(8);
    put(at, 0, 4, 4);
    for (std::size_t i = 2; i < 4; ++i)
        at[i]->segment = std::make_shared<stored_segment>(*at[0]->segment);
    CHECK(plan_store(segments, 8, at) == std::vector<store_object>{{0, 8, 4}});
}

TEST_CASE("a region that grows at random stays few segments and is written few times")
{
    std::mt19937 random(3);
    constexpr std::uint32_t N = 64;
    for (int round = 0; round < 300; ++round) {
        places at;
        std::vector<unsigned> written(N);
        const unsigned step = 1 + random() % 20;
        while (at.size() < N) {
            at.resize(std::min<std::size_t>(N, at.size() + 1 + random() % step));
            for (const store_object& object : plan_store(segments, N, at)) {
                for (std::size_t i = object.first; i < object.end(); ++i) {
                    REQUIRE(bool(at[i]) == (i < object.first + object.merged));
                    ++written[i];
                }
                put(at, object.first, object.chunks, object.chunks);
            }
            std::vector<stored_run> runs;
            for (const auto& place : at) {
                REQUIRE(place);
                append_place(runs, *place);
            }
            REQUIRE(runs.size() <= 11); // sqrt(2 N)
            REQUIRE((at.size() < N || runs.size() == 1));
        }
        REQUIRE(*std::max_element(written.begin(), written.end()) <= 8); // log2(N) + 2
    }
}

} // namespace store_plan_test
