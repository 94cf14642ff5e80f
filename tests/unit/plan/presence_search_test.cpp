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
    std::size_t n = 0;
    while (search.present(n))
        ++n;
    return n;
}

/** The longest prefix: until there is nothing to ask for in front of the first that is not there. */
template <class Exists>
outcome run(std::size_t chunks, Exists exists, std::mt19937* shuffle = nullptr)
{
    outcome out;
    presence_search search(chunks);
    const auto end = [&] {
        std::size_t n = 0;
        while (n < chunks && !search.absent(n))
            ++n;
        return n;
    };
    bool sound = true; // one assertion a run: there are 45,000 of them
    for (auto round = search.first_round(); !round.empty(); round = search.beside_present(end())) {
        ++out.rounds;
        sound = sound && std::is_sorted(round.begin(), round.end()) && round.back() < chunks;
        if (shuffle != nullptr)
            std::shuffle(round.begin(), round.end(), *shuffle);
        for (const std::size_t index : round) {
            sound = sound && out.asked.insert(index).second;
            search.report(index, exists(index));
        }
    }
    REQUIRE(sound);
    out.length = length(search);
    return out;
}

TEST_CASE("every prefix of up to 300 chunks is found in two rounds, and little is asked behind its end")
{
    for (std::size_t chunks = 0; chunks <= 300; ++chunks)
        for (std::size_t stored = 0; stored <= chunks; ++stored) {
            const outcome found = run(chunks, [&](std::size_t index) { return index < stored; });
            REQUIRE(found.length == stored);
            REQUIRE(found.rounds <= 2);
            const double bound = chunks <= presence_search::one_round_limit
                                     ? double(chunks)
                                     : double(stored) + 2 * std::sqrt(chunks) + 1;
            REQUIRE(double(found.asked.size()) <= bound);
        }
}

TEST_CASE("a cold miss and few chunks cost one round, a miss of many a square root of probes")
{
    for (const std::size_t chunks : {1u, 2u, 17u, 100u, 4096u, 100000u}) {
        const outcome miss = run(chunks, [](std::size_t) { return false; });
        CHECK(miss.rounds == 1);
        CHECK(miss.length == 0);
        CHECK(double(miss.asked.size()) <= std::max(64.0, std::sqrt(chunks) + 2));
        const outcome hit = run(chunks, [](std::size_t) { return true; });
        CHECK(hit.rounds <= 2);
        CHECK(hit.length == chunks);
    }
    CHECK(run(64, [](std::size_t index) { return index < 9; }).rounds == 1);
    CHECK(run(65, [](std::size_t index) { return index < 9; }).rounds == 2);
    CHECK(run(0, [](std::size_t) { return true; }).rounds == 0);
}

TEST_CASE("whatever holes there are, the result is the longest prefix, in two rounds")
{
    std::mt19937 random(9);
    for (int round = 0; round < 5000; ++round) {
        const std::size_t chunks = 1 + random() % 400;
        std::vector<bool> stored(chunks);
        const unsigned holes = static_cast<unsigned>(random() % 100); // none, few, many
        for (std::size_t i = 0; i < chunks; ++i)
            stored[i] = random() % 100 >= (holes < 30 ? holes / 10 : holes);
        const outcome found = run(
            chunks, [&](std::size_t index) { return bool(stored[index]); }, &random);
        REQUIRE(found.rounds <= 2);
        const auto end = std::find(stored.begin(), stored.end(), false) - stored.begin();
        REQUIRE(found.length == static_cast<std::size_t>(end));
    }
}

TEST_CASE("nothing is there without an answer")
{
    presence_search search(100); // asks 0, 10, ... 90, 99
    CHECK(length(search) == 0);
    CHECK(search.first_round().size() == 11);
    CHECK(search.beside_present(100).empty());
    search.report(10, true);
    CHECK(length(search) == 0);
    search.report(0, true);
    CHECK(length(search) == 1);
    for (const std::size_t index : {20, 30, 40, 50, 60, 70, 80, 90, 99})
        search.report(index, index < 35);
    CHECK(search.absent(40));
    CHECK_FALSE(search.absent(35));
    CHECK_FALSE(search.present(5));
    const auto beside = search.beside_present(40);
    CHECK(beside.size() == 4 * 9);
    for (const std::size_t index : beside)
        search.report(index, index != 33);
    CHECK(length(search) == 33);
    CHECK(search.absent(33));
}

TEST_CASE("what lies between two that are absent is asked for where somebody wants to know")
{
    presence_search search(100);
    for (const std::size_t index : search.first_round())
        search.report(index, false);
    CHECK(search.beside_present(100).empty());
    CHECK(search.around(30).empty());
    CHECK(search.around(100).empty());
    const auto found = search.around(35);
    CHECK(found == std::vector<std::size_t>{31, 32, 33, 34, 35, 36, 37, 38, 39});
    CHECK(search.around(35).empty()); // asked already
    for (const std::size_t index : found)
        search.report(index, index > 32 && index < 37);
    CHECK(search.present(33));
    CHECK(search.absent(37));
}

TEST_CASE("answers that nobody asked for, or second ones, change nothing")
{
    presence_search search(100);
    search.report(0, true);
    CHECK_FALSE(search.present(0));
    (void)search.first_round();
    search.report(5, true);
    search.report(1000, true);
    CHECK_FALSE(search.present(5));
    CHECK_FALSE(search.present(1000));
    search.report(0, false);
    search.report(0, true);
    CHECK(search.absent(0));
}

} // namespace presence_search_test
