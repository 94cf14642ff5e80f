// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <vector>

namespace objectcache {

/** Which of n objects in a row are stored: what to probe for, and what the answers say.

    What is stored are runs: nearly always one, from the first on, or none. So the first round asks at about sqrt(n) evenly
    spaced places, which tells about where runs end and costs little if there are none; then every place beside one that is
    there is asked for. Nothing is taken to be there without an answer: a writer that died, or lifecycle rules, leave holes
    that lie between two places that are there.

    @code
    auto round = search.first_round();
    for (; !round.empty(); round = search.beside_present(objects))
        for (std::size_t index : round) search.report(index, exists(index)); // all of a round at once
    @endcode

    @par Threads One at a time. A machine without I/O.
    @par Cost Probes for a run of p objects from the first on: n up to `one_round_limit`; above it sqrt(n) + 1 for a miss, at
         most p + 2 sqrt(n) + 1 in two rounds for the rest. O(n) per round. */
class presence_search {
public:
    /** Few objects are asked for all at once: some probes too many cost less than a second round trip. */
    static constexpr std::size_t one_round_limit = 64;

    explicit presence_search(std::size_t objects) : answers_(objects) {}

    /** Evenly spaced places, the first and the last among them; by rising index. */
    [[nodiscard]] std::vector<std::size_t> first_round();

    /** Places before `end` that were not asked for and have an object that is there as their next neighbour among those that
        were answered. */
    [[nodiscard]] std::vector<std::size_t> beside_present(std::size_t end);

    /** If `index` was not asked for: it, and all up to the neighbours that were. */
    [[nodiscard]] std::vector<std::size_t> around(std::size_t index);

    /** An answer; a probe that failed counts as absent. Only the first answer for an index that was asked counts. */
    void report(std::size_t index, bool present);

    /** Asked for, and there; or not there. */
    [[nodiscard]] bool present(std::size_t index) const noexcept { return is(index, answer::present); }
    [[nodiscard]] bool absent(std::size_t index) const noexcept { return is(index, answer::absent); }

private:
    enum class answer : unsigned char { none, due, present, absent };

    [[nodiscard]] bool is(std::size_t index, answer what) const noexcept
    {
        return index < answers_.size() && answers_[index] == what;
    }
    void ask(std::size_t index, std::vector<std::size_t>& out);
    /** The end of the places from `first` on that were not asked for. */
    [[nodiscard]] std::size_t end_of_unasked(std::size_t first) const;

    std::vector<answer> answers_;
};

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/plan/impl/presence_search.ipp>
#endif
