// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/plan/presence_search.hpp>
#include <objectcache/plan/stored_run.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace objectcache {

/** Which layouts a reader asks for. */
struct layout_set {
    bool layer_objects = true;
    bool chunk_objects = true;
    bool segment_objects = true;

    [[nodiscard]] static constexpr layout_set only(layout value) noexcept
    {
        return {value == layout::layer_objects, value == layout::chunk_objects,
                value == layout::segment_objects};
    }
    [[nodiscard]] constexpr bool contains(layout value) const noexcept
    {
        return value == layout::layer_objects   ? layer_objects
               : value == layout::chunk_objects ? chunk_objects
                                                : segment_objects;
    }
    friend bool operator==(const layout_set&, const layout_set&) = default;
};

/** Finds the longest stored prefix of a sequence, whatever its chunks are stored as, in two rounds of parallel questions as a
    rule. Every object that it says is there was asked for or listed: it does not infer.

    Names follow from the reader's own chain, so objects of chunks, and segments of whole regions, are asked for without
    looking. Only what a sequence left that ends or branches off inside a region has to be listed: where the prefix may end,
    and where a whole region is missing in front of one that is there. Round 1 asks for all whole regions, and lists
    the region that is known in part, or the only one; round 2 lists what round 1 left open, `most_open` regions of it where
    the prefix may end. The other layouts are searched meanwhile (presence_search). Further rounds are needed only when
    all of those turn out to be there in pieces: where sequences branch off in so many regions one after the other, or the
    layout changes again and again.

    A region that very many sequences share the beginning of (a system prompt) has more segments than a listing tells at once.
    The sequence's own ones are then asked for by name, from where the known ones end: a round for each.

    @par Threads One at a time. A machine without I/O.
    @par Cost Questions: one per whole region, and one or two listings as a rule; those of a presence_search per other layout:
         as many as the prefix has chunks in it, and some square roots. */
class prefix_search {
public:
    enum class ask {
        chunk,    ///< is the object of chunk `index` there?
        manifest, ///< is the manifest of chunk `index` there?
        segment,  ///< is the segment of `chunks` chunks from the `offset`-th of region `index` on there?
        region    ///< which segments of region `index` have chunks of the sequence?
    };
    struct question {
        ask what = ask::chunk;
        std::size_t index = 0;
        std::uint32_t offset = 0, chunks = 0;
        friend bool operator==(const question&, const question&) = default;
    };
    static constexpr unsigned most_open = 2;

    /** Search behind the first `known` of `chunks` chunks. @pre `known` <= `chunks`, `per_region` > 0. */
    prefix_search(std::size_t chunks, std::size_t known, std::uint32_t per_region, layout_set layouts);

    /** All that can be asked now; empty when nothing is left, or while answers are due. */
    [[nodiscard]] std::vector<question> next_round();

    /** An answer to `ask::chunk` or `ask::manifest`; what failed counts as absent. */
    void report(const question& asked, bool present);
    /** An answer to `ask::segment` or `ask::region`: runs of the sequence's chunks in segments; none if it failed.

        @param more the listing has not told all of the region's segments */
    void report(const question& asked, std::vector<stored_run> found, bool more = false);

    /** Nothing is left to ask, and every answer has come. */
    [[nodiscard]] bool done() const noexcept { return over_; }

    /** Where the chunks from `known` on lie, without a gap; before done(), as far as the answers vouch for. One request per
        layer brings most from a segment, so chunks are taken from segments where they can be. */
    [[nodiscard]] std::vector<chunk_place> places() const;

    /** Keys of the segments that were found, also in front of `known`, that are all of the sequence's and
        stored_segment::continued. Once done(). */
    [[nodiscard]] std::vector<std::string> continued() const;

private:
    [[nodiscard]] std::size_t whole_regions() const noexcept { return chunks_ / per_region_; }
    [[nodiscard]] bool covered(std::size_t region, const std::vector<bool>& there) const;
    /** Which chunks from `known` on are there. */
    [[nodiscard]] std::vector<bool> stored() const;
    [[nodiscard]] std::size_t end_at_most(const std::vector<bool>& there) const;
    void ask_for_segments(std::vector<question>& out);
    /** The sequence's own segments from `open` on, the first chunk that is not there, in a region that was not listed to its
        end. */
    void ask_for_pieces(std::size_t open, std::vector<question>& out);
    /** @param open the first chunk that is not there, counted from `known` */
    void ask_for_objects(const std::vector<bool>& there, std::size_t open, std::vector<question>& out);
    void list_what_is_open(const std::vector<bool>& there, std::vector<question>& out);
    void find_continued();

    std::size_t chunks_, known_, per_region_;
    layout_set layouts_;
    presence_search objects_, manifests_;
    std::vector<stored_run> segments_;
    std::vector<bool> listed_, crowded_; // by region
    std::size_t pieces_from_;            // where pieces were asked for last
    std::size_t due_ = 0;
    bool begun_ = false, over_ = false;
};

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/plan/impl/prefix_search.ipp>
#endif
