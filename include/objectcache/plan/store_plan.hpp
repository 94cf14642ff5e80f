// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/plan/stored_run.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace objectcache {

/** Consecutive chunks of a sequence that are written together: one object, or one per layer and a manifest. */
struct store_object {
    std::size_t first = 0; ///< of the sequence's chunks
    std::size_t chunks = 0;
    std::size_t merged = 0; ///< how many of them, from the first on, are stored already: see plan_store()

    [[nodiscard]] std::size_t end() const noexcept { return first + chunks; }
    friend bool operator==(const store_object&, const store_object&) = default;
};

/** What has to be written so that all chunks of a sequence are stored.

    Under layout::segment_objects each run of missing chunks becomes a segment of its region. With `merge`, the segments right
    in front of it are written again together with it, if they hold no other sequence's chunks and are not larger than
    what they are written with, or if the region is full now. A segment that somebody merged before so that another
    sequence goes on (stored_segment::continued) is left alone. So a region that grows in many steps is a few segments, sqrt(2 N) at the very most,
    no chunk is written more than log2(N) + 2 times, and a full region is one segment unless part of it is shared with a
    sequence that branches off.

    Where the sequence branches off inside a segment of another one, those who list the region see only up to the last mark
    (segment_name::marks) how much of that is the sequence's. The up to three chunks behind it are written again: otherwise
    nobody who did not store them himself would find what comes now.

    @param places where each chunk of the sequence is believed to lie; none if it is missing
    @param per_region chunks of a region, see segment_chunks()
    @par Cost O(chunks). */
[[nodiscard]] std::vector<store_object> plan_store(layout where, std::uint32_t per_region,
                                                   std::span<const std::optional<chunk_place>> places,
                                                   bool merge = true);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/plan/impl/store_plan.ipp>
#endif
