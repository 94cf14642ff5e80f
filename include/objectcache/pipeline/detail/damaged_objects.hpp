// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/object_key.hpp>
#include <objectcache/kv/object_name.hpp>
#include <objectcache/kv/segment.hpp>
#include <objectcache/plan/store_plan.hpp>
#include <objectcache/store/prefix_index.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace objectcache::detail {

/** Add to `plan` the objects of the chain's chunks that are damaged although the chunks are to be had elsewhere: every process
    that does not know it yet would try to read them, and miss. Pure. */
inline void replace_damaged(std::vector<store_object>& plan, const prefix_index& index, time_point now,
                            const key_space& keys, const kv_geometry& geometry, layout where,
                            std::span<const chunk_id> chain)
{
    const auto add = [&plan](std::size_t first, std::size_t chunks) {
        const auto same = [&](const store_object& o) { return o.first == first && o.chunks == chunks; };
        if (std::none_of(plan.begin(), plan.end(), same))
            plan.push_back({first, chunks, chunks});
    };
    if (!index.any_unreadable())
        return;
    if (where != layout::segment_objects) {
        for (std::size_t i = 0; i < chain.size(); ++i)
            if (index.is_damaged(commit_key(keys, where, chain[i]), now))
                add(i, 1);
        return;
    }
    const std::size_t per_region = segment_chunks(geometry);
    for (std::size_t first = 0; first < chain.size(); first += per_region) {
        const auto region = chain.subspan(first, std::min(per_region, chain.size() - first));
        const std::string prefix = region_prefix(keys, region.front());
        for (const std::string& key : index.damaged(prefix, now)) {
            const auto name = parse_segment_name(region.front(), std::string_view(key).substr(prefix.size()));
            // Another sequence's is for those to replace who have its KV.
            if (name && shared_chunks(geometry, *name, region) == name->chunks &&
                *name == name_segment(geometry, region, name->offset, name->chunks))
                add(first + name->offset, name->chunks);
        }
    }
}

} // namespace objectcache::detail
