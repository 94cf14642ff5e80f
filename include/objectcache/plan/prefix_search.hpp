// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <vector>

namespace objectcache {

/** Finds how many of n chunks are stored, in at most two rounds of parallel existence probes.

    Chunks are published in order, so the stored ones are a prefix: round 1 asks at about sqrt(n) evenly spaced places,
    among them the first (a cold miss ends there) and the last (a full hit ends there); round 2 asks for every place
    of the one gap in which the prefix ends. Eviction may have left holes: what is found then still has nothing absent
    among the places asked, and a hole that no probe met shows itself when the chunk is fetched.

    @code
    for (auto round = search.next_round(); !round.empty(); round = search.next_round())
        for (std::size_t index : round) search.report(index, exists(index)); // all of a round at once
    @endcode

    @par Threads One at a time. A machine without I/O.
    @par Cost Probes: n up to `one_round_limit`, at most 2 sqrt(n) + 2 above it. */
class prefix_search {
public:
    /** Few chunks are asked for all at once: some probes too many cost less than a second round trip. */
    static constexpr std::size_t one_round_limit = 64;

    explicit prefix_search(std::size_t chunks);

    /** The chunks to ask for now, by rising index; empty when none are left, or while answers are due. */
    [[nodiscard]] std::vector<std::size_t> next_round();

    /** An answer; a probe that failed counts as absent. Only the first answer for an index that was asked counts. */
    void report(std::size_t index, bool present);

    /** Nothing is left to ask, and every answer has come. */
    [[nodiscard]] bool done() const noexcept { return stage_ == stage::over; }

    /** Chunks in the prefix. Before done(): as many as the answers so far vouch for, so that a deadline may end the
        search at any time; an answer that is still due counts as absent. */
    [[nodiscard]] std::size_t length() const noexcept;

private:
    enum class answer : unsigned char { due, present, absent };
    struct probe {
        std::size_t index = 0;
        answer known = answer::due;
    };
    enum class stage : unsigned char { first_round, first_answers, second_round, second_answers, over };

    /** The first probe that is not known to be present, or the end. */
    [[nodiscard]] std::vector<probe>::const_iterator frontier() const noexcept;
    /** How many chunks before the frontier nobody has asked for, behind the last one present. */
    [[nodiscard]] std::size_t gap() const noexcept;

    std::size_t chunks_;
    std::vector<probe> probes_; // all that were asked, by rising index
    std::size_t due_ = 0;
    stage stage_ = stage::first_round;
};

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/plan/impl/prefix_search.ipp>
#endif
