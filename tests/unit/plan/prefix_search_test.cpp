// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/prefix_search.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>

namespace prefix_search_test {

using namespace objectcache;
using ask = prefix_search::ask;

constexpr std::uint32_t N = 8;

/** What a store has of one sequence. */
struct store {
    std::set<std::size_t> objects, manifests;
    std::vector<stored_run> segments; // with how much of them is the sequence's
    std::size_t page = 1000;          // most that a listing tells of a region

    void add(std::size_t first, std::size_t chunks, std::size_t used)
    {
        auto segment = std::make_shared<stored_segment>(
            stored_segment{"segment " + std::to_string(segments.size()), static_cast<std::uint32_t>(chunks)});
        segments.push_back({first, used, {layout::segment_objects, std::move(segment), 0}});
    }
    void add(std::size_t first, std::size_t chunks) { add(first, chunks, chunks); }
    /** As plan_store() cuts a new sequence. */
    void add_sequence(std::size_t chunks)
    {
        for (std::size_t first = 0; first < chunks; first += N)
            add(first, std::min<std::size_t>(N, chunks - first));
    }
    [[nodiscard]] bool has(std::size_t chunk) const
    {
        return objects.count(chunk) != 0 || manifests.count(chunk) != 0 ||
               std::any_of(segments.begin(), segments.end(),
                           [&](const stored_run& run) { return run.first <= chunk && chunk < run.end(); });
    }
};

struct outcome {
    std::vector<chunk_place> places;
    std::vector<std::string> continued;
    std::size_t rounds = 0;
    std::map<ask, std::size_t> asked;
    [[nodiscard]] std::size_t count(ask what) const
    {
        const auto found = asked.find(what);
        return found == asked.end() ? 0 : found->second;
    }
    [[nodiscard]] std::size_t runs() const
    {
        std::vector<stored_run> out;
        for (const chunk_place& place : places)
            append_place(out, place);
        return out.size();
    }
};

outcome run(const store& there, std::size_t chunks, std::size_t known = 0, layout_set layouts = {},
            std::mt19937* shuffle = nullptr)
{
    outcome out;
    prefix_search search(chunks, known, N, layouts);
    for (auto round = search.next_round(); !round.empty(); round = search.next_round()) {
        ++out.rounds;
        REQUIRE(out.rounds < 100);
        if (shuffle != nullptr)
            std::shuffle(round.begin(), round.end(), *shuffle);
        for (const prefix_search::question& question : round) {
            ++out.asked[question.what];
            REQUIRE(search.next_round().empty());
            if (question.what == ask::chunk) {
                search.report(question, there.objects.count(question.index) != 0);
            } else if (question.what == ask::manifest) {
                search.report(question, there.manifests.count(question.index) != 0);
            } else {
                std::vector<stored_run> found;
                for (const stored_run& segment : there.segments)
                    if (segment.first / N == question.index &&
                        (question.what == ask::region ||
                         (segment.first % N == question.offset && segment.chunks == question.chunks &&
                          segment.whole_segment())))
                        found.push_back(segment);
                const bool more = question.what == ask::region && found.size() > there.page;
                if (more)
                    found.resize(there.page);
                search.report(question, std::move(found), more);
            }
        }
    }
    REQUIRE(search.done());
    out.places = search.places();
    out.continued = search.continued();
    return out;
}

stored_run named(stored_run run, std::string key)
{
    run.place.segment =
        std::make_shared<stored_segment>(stored_segment{std::move(key), run.place.segment->chunks});
    return run;
}

constexpr auto only_segments = layout_set::only(layout::segment_objects);

TEST_CASE("every prefix that was stored in one go is found in two rounds, with one question per region")
{
    for (std::size_t chunks = 1; chunks <= 70; ++chunks)
        for (std::size_t stored = 0; stored <= chunks; ++stored) {
            store there;
            there.add_sequence(stored);
            const outcome found = run(there, chunks, 0, only_segments);
            REQUIRE(found.places.size() == stored);
            REQUIRE(found.rounds <= 2);
            REQUIRE(found.runs() == (stored + N - 1) / N);
            REQUIRE(found.count(ask::segment) <= chunks / N);
            REQUIRE(found.count(ask::region) <= 2);
        }
}

TEST_CASE("a reader that knows a part asks for the rest")
{
    store there;
    there.add_sequence(29);
    for (std::size_t known = 0; known <= 29; ++known) {
        const outcome found = run(there, 40, known, only_segments);
        REQUIRE(found.places.size() == 29 - known);
        REQUIRE(found.rounds <= 2);
    }
    CHECK(run(there, 29, 29).rounds == 0);
}

TEST_CASE(
    "a longer sequence's segments are of use as far as they are ours, and the rest is taken from others")
{
    store there;
    there.add(0, 8);
    there.add(8, 8, 5); // another sequence's, which branches off behind the fifth
    there.add(13, 3);
    there.add(16, 8);
    there.add(24, 4, 2);
    const outcome found = run(there, 40, 0, only_segments);
    CHECK(found.places.size() == 26);
    CHECK(found.rounds == 2);
    CHECK(found.runs() == 5);
}

TEST_CASE("a segment that others merged to go on in is known for it, also by who knew it before")
{
    const auto continued = [](const store& there, std::size_t known) {
        const outcome found = run(there, 8, known, only_segments);
        for (const chunk_place& place : found.places)
            CHECK(place.segment->continued == (place.segment->key == "stem" && !found.continued.empty()));
        return found.continued;
    };
    using keys = std::vector<std::string>;
    for (const std::size_t known : {0, 3}) {
        CAPTURE(known);
        store there;
        there.add(0, 3);
        there.segments.back() = named(there.segments.back(), "stem");
        CHECK(continued(there, known).empty());
        there.add(0, 6, 3);
        CHECK(continued(there, known) == keys{"stem"});
        // The sequence's own, larger one is read itself.
        there.segments.pop_back();
        there.add(0, 6);
        CHECK(continued(there, known).empty());
        // One that parts before the stem's end is not made of it.
        there.segments.pop_back();
        there.add(0, 6, 2);
        CHECK(continued(there, known).empty());
    }
}

TEST_CASE("of several segments the one that reaches farthest is read")
{
    store there;
    there.add(0, 2);
    there.add(0, 3);
    there.add(2, 4);
    there.add(0, 7, 5);
    const outcome found = run(there, 8, 0, only_segments);
    CHECK(found.places.size() == 6);
    CHECK(found.runs() == 2);
    CHECK(found.places[4].segment->chunks == 7);
    CHECK(found.places[5].index == 3); // the last of the one that begins at 2
}

TEST_CASE("regions in pieces one after the other cost more rounds, and nothing is overlooked")
{
    store there;
    for (std::size_t region = 0; region < 5; ++region) {
        there.add(region * N, 3);
        there.add(region * N + 3, 5);
    }
    there.add(5 * N, 2);
    const outcome found = run(there, 6 * N + 1, 0, only_segments);
    CHECK(found.places.size() == 5 * N + 2);
    CHECK(found.rounds <= 4);
}

TEST_CASE(
    "where more share the beginning of a region than a listing tells, its own pieces are asked for by name")
{
    store there;
    there.page = 5;
    for (int i = 0; i < 50; ++i)
        there.add(0, 6, 3); // other conversations behind the same system prompt
    there.add(3, 2);        // ours: three turns
    there.add(5, 3);
    there.add_sequence(8 + 16);
    there.segments.erase(there.segments.begin() + 52); // the region is in pieces
    for (int i = 0; i < 50; ++i)
        there.add(24, 5, 1);
    there.add(25, 4);
    const outcome found = run(there, 40, 0, only_segments);
    CHECK(found.places.size() == 29);
    CHECK(found.rounds <= 6);
    CHECK(found.count(ask::region) <= 5);
    CHECK(found.count(ask::segment) <= 40 / N + 4 * N);
    // What it knows it does not ask for again.
    CHECK(run(there, 40, 5, only_segments).places.size() == 24);
    // Of a sequence that nobody stored only the beginning is there, and that is told soon.
    store others;
    others.page = 5;
    for (int i = 0; i < 50; ++i)
        others.add(0, 6, 3);
    const outcome ours = run(others, 40, 0, only_segments);
    CHECK(ours.places.size() == 3);
    CHECK(ours.rounds <= 3);
}

TEST_CASE("a miss costs one question per region and two listings")
{
    const outcome found = run({}, 10 * N + 3, 0, only_segments);
    CHECK(found.places.empty());
    CHECK(found.rounds == 2);
    CHECK(found.count(ask::segment) == 10);
    CHECK(found.count(ask::region) == 2);
}

TEST_CASE("a prefix may change its layout wherever it likes")
{
    store there;
    there.add_sequence(16);
    for (std::size_t i = 16; i < 21; ++i)
        there.objects.insert(i);
    for (std::size_t i = 21; i < 30; ++i)
        there.manifests.insert(i);
    there.add(30, 2);
    there.add(32, 8);
    const outcome found = run(there, 50);
    CHECK(found.places.size() == 40);
    CHECK(found.rounds == 2);
    CHECK(found.places[18].where == layout::chunk_objects);
    CHECK(found.places[25].where == layout::layer_objects);
    CHECK(found.runs() == 6);
    // Without the others it ends where they begin.
    CHECK(run(there, 50, 0, only_segments).places.size() == 16);
}

TEST_CASE("whatever is stored, and in whatever order answers come, the result is there and ends at something "
          "absent")
{
    std::mt19937 random(11);
    const auto below = [&](std::size_t n) { return random() % n; };
    for (int round = 0; round < 3000; ++round) {
        // Up to 64 chunks are asked for one by one, more of them at some places first.
        const std::size_t chunks = 1 + below(round % 3 == 0 ? 400 : 60);
        store there;
        const std::size_t rare = 1 + below(40);
        for (std::size_t i = 0; i < chunks; ++i) {
            if (below(3) == 0)
                there.objects.insert(i);
            if (below(3) == 0)
                there.manifests.insert(i);
            if (below(2) == 0) {
                const std::size_t size = 1 + below(N - i % N), used = 1 + below(size);
                there.add(i, size, std::min(used, chunks - i));
            }
            // Long runs, in which few are missing.
            if (round % 2 == 0 && below(rare) != 0)
                (i / 70 % 2 == 0 ? there.objects : there.manifests).insert(i);
        }
        const std::size_t known = below(chunks + 1);
        const outcome found = run(there, chunks, known, {}, &random);
        const std::size_t end = known + found.places.size();
        for (std::size_t i = known; i < end; ++i)
            REQUIRE(there.has(i));
        if (end < chunks)
            REQUIRE_FALSE(there.has(end));
    }
}

TEST_CASE("a hole that a killed writer left between two probes ends the prefix")
{
    for (const layout where : {layout::chunk_objects, layout::layer_objects})
        for (std::size_t hole = 0; hole < 200; ++hole) {
            store there;
            auto& stored = where == layout::chunk_objects ? there.objects : there.manifests;
            for (std::size_t i = 0; i < 200; ++i)
                if (i != hole)
                    stored.insert(i);
            const outcome found = run(there, 200, 0, layout_set::only(where));
            REQUIRE(found.places.size() == hole);
            REQUIRE(found.rounds <= 2);
        }
}

TEST_CASE("in two rounds even where the layout changes between two probes")
{
    store there; // of the layouts' first probes, 15 apart, none meets the objects
    there.add_sequence(48);
    for (std::size_t i = 48; i < 57; ++i)
        there.objects.insert(i);
    const outcome found = run(there, 200);
    CHECK(found.places.size() == 57);
    CHECK(found.rounds <= 3);
}

TEST_CASE("ended early, the answers so far vouch for the places")
{
    prefix_search search(20, 0, N, only_segments);
    CHECK(search.places().empty());
    const auto round = search.next_round();
    REQUIRE(round.size() == 2);
    CHECK(search.places().empty());
    const auto segment = std::make_shared<stored_segment>(stored_segment{"k", N});
    search.report(round[1], {{8, 8, {layout::segment_objects, segment, 0}}});
    CHECK(search.places().empty());
    search.report(round[0], {{0, 8, {layout::segment_objects, segment, 0}}});
    CHECK(search.places().size() == 16);
    CHECK_FALSE(search.done());
}

} // namespace prefix_search_test
