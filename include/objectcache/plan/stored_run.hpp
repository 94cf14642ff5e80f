// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/layout.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace objectcache {

/** An object of layout::segment_objects that is in the store. */
struct stored_segment {
    std::string key;
    std::uint32_t chunks = 0; ///< in the object
    /** A larger segment, in which another sequence goes on, has its chunks too: to merge it would be one copy for every
        such sequence. */
    bool continued = false;
};

/** Where one chunk lies. The keys of the other layouts follow from its id. */
struct chunk_place {
    layout where = layout::chunk_objects;
    std::shared_ptr<const stored_segment> segment{}; ///< for layout::segment_objects
    std::uint32_t index = 0;                         ///< of the chunk in the segment
};

/** The same object, also where two questions found it. */
[[nodiscard]] inline bool same_segment(const chunk_place& a, const chunk_place& b) noexcept
{
    return a.segment == b.segment || (a.segment && b.segment && a.segment->key == b.segment->key);
}

/** Consecutive chunks of a sequence that are read alike: from one segment, or each from objects of its own. */
struct stored_run {
    std::size_t first = 0; ///< of the sequence's chunks
    std::size_t chunks = 0;
    chunk_place place; ///< of the first one

    [[nodiscard]] std::size_t end() const noexcept { return first + chunks; }
    /** Place of chunk `chunk` of the sequence. @pre It is one of the run's. */
    [[nodiscard]] chunk_place at(std::size_t chunk) const
    {
        chunk_place out = place;
        if (place.segment)
            out.index += static_cast<std::uint32_t>(chunk - first);
        return out;
    }
    /** What is left of it from chunk `chunk` of the sequence on. @pre It is one of the run's. */
    [[nodiscard]] stored_run from(std::size_t chunk) const { return {chunk, end() - chunk, at(chunk)}; }
    /** All chunks of the object, so that layers lie behind one another. */
    [[nodiscard]] bool whole_segment() const noexcept
    {
        return place.segment && place.index == 0 && place.segment->chunks == chunks;
    }
};

/** Add the chunk behind the last of `runs`: to the last run if it goes on there. */
inline void append_place(std::vector<stored_run>& runs, const chunk_place& place)
{
    const std::size_t chunk = runs.empty() ? 0 : runs.back().end();
    if (!runs.empty()) {
        stored_run& last = runs.back();
        if (last.place.where == place.where && same_segment(last.place, place) &&
            (!place.segment || last.place.index + last.chunks == place.index)) {
            ++last.chunks;
            return;
        }
    }
    runs.push_back({chunk, 1, place});
}

} // namespace objectcache
