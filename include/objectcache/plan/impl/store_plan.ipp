// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/plan/store_plan.hpp>

#include <algorithm>

namespace objectcache {

namespace detail {

/** The first chunk of the segment that ends before chunk `end` and is all of the sequence's; `end` if there is none. */
OBJECTCACHE_DECL std::size_t own_segment_before(std::span<const std::optional<chunk_place>> places,
                                                std::size_t begin, std::size_t end)
{
    if (end == begin || !places[end - 1] || !places[end - 1]->segment)
        return end;
    const chunk_place& last = *places[end - 1];
    const std::size_t chunks = last.segment->chunks;
    if (last.index + 1 != chunks || chunks > end - begin)
        return end;
    // All of it must be believed in: a segment that is read only in part is another sequence's, or damaged.
    for (std::size_t i = 0; i < chunks; ++i)
        if (const auto& place = places[end - chunks + i];
            !place || place->segment != last.segment || place->index != i)
            return end;
    return end - chunks;
}

} // namespace detail

OBJECTCACHE_DECL std::vector<store_object> plan_store(layout where, std::uint32_t per_region,
                                                      std::span<const std::optional<chunk_place>> places,
                                                      bool merge)
{
    std::vector<store_object> out;
    for (std::size_t chunk = 0; chunk < places.size();) {
        if (places[chunk]) {
            ++chunk;
            continue;
        }
        if (where != layout::segment_objects) {
            out.push_back({chunk++, 1, 0});
            continue;
        }
        const std::size_t region = chunk / per_region * per_region, region_end = region + per_region;
        std::size_t first = chunk, end = chunk;
        while (end < std::min(places.size(), region_end) && !places[end])
            ++end;
        while (merge) {
            const std::size_t before = detail::own_segment_before(places, region, first);
            if (before == first || (end != region_end && first - before > end - first))
                break;
            first = before;
        }
        out.push_back({first, end - first, chunk - first});
        chunk = end;
    }
    return out;
}

} // namespace objectcache
