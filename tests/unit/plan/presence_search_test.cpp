// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/presence_search.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

namespace presence_search_test {

using namespace objectcache;

struct outcome {
    std::size_t length = 0, rounds = 0;
    std::set<std::size_t> asked;
};

std::size_t length(const presence_search& search)
{
    const auto runs = search.present();
    return runs.empty() || runs.front().first != 0 ? 0 : runs.front().end;
}

template <class Exists>
outcome run(std::size_t chunks, Exists exists, std::mt19937* shuffle = nullptr)
{
    outcome out;
    presence_search search(chunks);
    bool sound = true; // one assertion a run: there are 45,000 of them
    for (auto round = search.next_round(); !round.empty(); round = search.next_round()) {
        ++out.rounds;
        sound = sound && std::is_sorted(round.begin(), round.end()) && round.back() < chunks;
        if (shuffle != nullptr)
            std::shuffle(round.begin(), round.end(), *shuffle);
        for (const std::size_t index : round) {
            sound = sound && out.asked.insert(index).second && !search.done();
            search.report(index, exists(index));
        }
    }
    REQUIRE(sound);
    REQUIRE(search.done());
    out.length = length(search);
    return out;
}

TEST_CASE("every prefix of up to 300 chunks is found in two rounds and about two square roots of probes")
{
    for (std::size_t chunks = 0; chunks <= 300; ++chunks)
        for (std::size_t stored = 0; stored <= chunks; ++stored) {
            const outcome found = run(chunks, [&](std::size_t index) { return index < stored; });
            REQUIRE(found.length == stored);
            REQUIRE(found.rounds <= 2);
            const double bound =
                chunks <= presence_search::one_round_limit ? double(chunks) : 2 * std::sqrt(chunks) + 2;
            REQUIRE(double(found.asked.size()) <= bound);
        }
}

TEST_CASE("a cold miss, a full hit and few chunks cost one round")
{
    for (const std::size_t chunks : {1u, 2u, 17u, 100u, 4096u, 100000u}) {
        CHECK(run(chunks, [](std::size_t) { return false; }).rounds == 1);
        const outcome hit = run(chunks, [](std::size_t) { return true; });
        CHECK(hit.rounds == 1);
        CHECK(hit.length == chunks);
    }
    CHECK(run(64, [](std::size_t index) { return index < 9; }).rounds == 1);
    CHECK(run(65, [](std::size_t index) { return index < 9; }).rounds == 2);
    CHECK(run(0, [](std::size_t) { return true; }).rounds == 0);
}

TEST_CASE("with holes the result has nothing absent among the places asked, and ends at an absent one")
{
    std::mt19937 random(9);
    for (int round = 0; round < 5000; ++round) {
        const std::size_t chunks = 1 + random() % 200;
        std::vector<bool> stored(chunks);
        const unsigned density = 1 + random() % 10;
        for (std::size_t i = 0; i < chunks; ++i)
            stored[i] = random() % 10 < density;
        const outcome found = run(
            chunks, [&](std::size_t index) { return bool(stored[index]); }, &random);
        REQUIRE(found.rounds <= 2);
        for (const std::size_t index : found.asked)
            if (index < found.length)
                REQUIRE(stored[index]);
        if (found.length > 0)
            REQUIRE(stored[found.length - 1]);
        if (found.length < chunks) {
            REQUIRE(found.asked.count(found.length) == 1);
            REQUIRE_FALSE(stored[found.length]);
        }
    }
}

TEST_CASE("ended early, the answers so far vouch for the length")
{
    presence_search search(100); // asks 0, 10, ... 90, 99
    CHECK(length(search) == 0);
    CHECK(search.next_round().size() == 11);
    CHECK(search.next_round().empty());
    search.report(10, true);
    CHECK(length(search) == 0);
    search.report(0, true);
    CHECK(length(search) == 11);
    for (const std::size_t index : {20, 30, 40, 50, 60, 70, 80, 90, 99})
        search.report(index, index < 35);
    CHECK(length(search) == 31);
    CHECK_FALSE(search.done());
    CHECK(search.next_round().size() == 9);
    search.report(31, true);
    search.report(33, true);
    CHECK(length(search) == 32);
    CHECK_FALSE(search.done());
}

TEST_CASE("answers that nobody asked for, or second ones, change nothing")
{
    presence_search search(100);
    search.report(0, true);
    CHECK(length(search) == 0);
    const auto round = search.next_round();
    search.report(5, true);
    search.report(1000, true);
    search.report(0, false);
    search.report(0, true);
    CHECK(length(search) == 0);
    for (const std::size_t index : round)
        search.report(index, true);
    CHECK_FALSE(search.done()); // the run that begins behind the first is looked at too
    CHECK(length(search) == 0);
    search.report(0, true);
    CHECK(length(search) == 0);
}

TEST_CASE("runs that do not begin at the first are found too, from end to end")
{
    using interval = presence_search::interval;
    for (const std::size_t objects : {40u, 100u, 1000u})
        for (const interval stored : {interval{5, 20}, interval{31, 39}, interval{0, 33}}) {
            CAPTURE(objects);
            CAPTURE(stored.first);
            presence_search search(objects);
            for (auto round = search.next_round(); !round.empty(); round = search.next_round())
                for (const std::size_t index : round)
                    search.report(index, index >= stored.first && index < stored.end);
            const auto found = search.present();
            // A run that lies between two places of the first round is not seen.
            const std::size_t step = objects == 40 ? 1 : objects == 100 ? 10 : 32;
            const bool met = (stored.end - 1) / step * step >= stored.first;
            if (met) {
                REQUIRE(found.size() == 1);
                CHECK(found[0] == stored);
            } else {
                CHECK(found.empty());
            }
        }
}

} // namespace presence_search_test
