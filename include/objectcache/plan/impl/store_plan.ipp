// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/segment.hpp>
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
            !place || !same_segment(*place, last) || place->index != i || place->segment->continued)
            return end;
    return end - chunks;
}

/** How many chunks right before `end` lie in segments that go on another way, behind the last marks that vouch for them. */
OBJECTCACHE_DECL std::size_t hidden_before(std::span<const std::optional<chunk_place>> places,
                                           std::size_t region, std::size_t end, std::uint32_t stride)
{
    std::size_t run_end = end; // of the chunks that are read from the same segment
    for (std::size_t chunk = end; chunk > region; --chunk) {
        const auto& place = places[chunk - 1];
        if (!place || !place->segment)
            return end - chunk;
        if (chunk < end && !same_segment(*places[chunk], *place))
            run_end = chunk;
        const std::size_t in_region = chunk - 1 - region, index = place->index;
        const std::size_t last = index + (run_end - chunk);
        if (last + 1 == place->segment->chunks || index > in_region)
            return end - chunk; // the name tells the last chunk
        const std::size_t offset = in_region - index;
        if (in_region < std::max((run_end - region) / stride * stride, offset + (offset == 0 ? 1 : 0)))
            return end - chunk;
    }
    return end - region;
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
        const std::size_t region = chunk / per_region * per_region, region_end = region + per_region;
        std::size_t first =
            chunk - detail::hidden_before(places, region, chunk, segment_mark_stride(per_region));
        if (where != layout::segment_objects) {
            for (; first < chunk; ++first)
                out.push_back({first, 1, 1});
            out.push_back({chunk++, 1, 0});
            continue;
        }
        std::size_t end = chunk;
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
