// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <vector>

namespace objectcache {

/** Finds which of n objects in a row are stored, in at most two rounds of parallel existence probes.

    What is stored are runs: nearly always one, from the first on. Round 1 asks at about sqrt(n) evenly spaced places, the
    first and the last among them; round 2 asks for every place between a present one and its absent neighbour. Between two
    neighbours that are present, all is taken to be: a hole that no probe met shows itself when the object is read.

    @code
    for (auto round = search.next_round(); !round.empty(); round = search.next_round())
        for (std::size_t index : round) search.report(index, exists(index)); // all of a round at once
    @endcode

    @par Threads One at a time. A machine without I/O.
    @par Cost Probes for one run: n up to `one_round_limit`, at most 2 sqrt(n) + 2 above it; sqrt(n) more for each end of a
         further run, of which `most_gaps` are looked at. */
class presence_search {
public:
    /** Few objects are asked for all at once: some probes too many cost less than a second round trip. */
    static constexpr std::size_t one_round_limit = 64;
    static constexpr std::size_t most_gaps = 4;

    struct interval {
        std::size_t first = 0, end = 0;
        friend bool operator==(const interval&, const interval&) = default;
    };

    explicit presence_search(std::size_t objects);

    /** What to ask for now, by rising index; empty when nothing is left, or while answers are due. */
    [[nodiscard]] std::vector<std::size_t> next_round();

    /** An answer; a probe that failed counts as absent. Only the first answer for an index that was asked counts. */
    void report(std::size_t index, bool present);

    /** Nothing is left to ask, and every answer has come. */
    [[nodiscard]] bool done() const noexcept { return stage_ == stage::over; }

    /** What is there, as far as the answers so far vouch for it; an answer that is due counts as absent. */
    [[nodiscard]] std::vector<interval> present() const;

private:
    enum class answer : unsigned char { due, present, absent };
    struct probe {
        std::size_t index = 0;
        answer known = answer::due;
    };
    enum class stage : unsigned char { first_round, first_answers, second_round, second_answers, over };

    /** The places between a present probe and an absent neighbour. */
    [[nodiscard]] std::vector<std::size_t> gaps() const;

    std::size_t objects_;
    std::vector<probe> probes_; // all that were asked, by rising index
    std::size_t due_ = 0;
    stage stage_ = stage::first_round;
};

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/plan/impl/presence_search.ipp>
#endif
