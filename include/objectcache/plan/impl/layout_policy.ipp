// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/kv/segment.hpp>
#include <objectcache/plan/layout_policy.hpp>
#include <objectcache/plan/load_plan.hpp>

#include <algorithm>

namespace objectcache {

namespace detail {

/** The most layers that one read of a chunk object brings, as plan_load() decides it. */
OBJECTCACHE_DECL std::uint32_t layers_of_a_read(const kv_geometry& geometry, std::size_t chunks,
                                                const storage_costs& costs) noexcept
{
    const load_plan_options limits;
    const std::uint64_t record = record_bytes(geometry);
    const std::uint64_t by_size =
        std::min(costs.coalesce_bytes / record, limits.max_group_bytes / (record * chunks));
    return static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(by_size, 1, std::min(limits.max_layers_per_group, geometry.layers)));
}

/** Reads of one chunk: groups of layers that double until they have that size. */
OBJECTCACHE_DECL std::uint64_t reads_of_a_chunk(std::uint32_t layers, std::uint32_t most) noexcept
{
    std::uint64_t reads = 0;
    std::uint32_t size = 1;
    for (std::uint32_t layer = 0; layer < layers; layer += size, size = std::min(2 * size, most), ++reads)
        ;
    return reads;
}

/** Requests that write a segment; the objects of the other layouts are one each. */
OBJECTCACHE_DECL std::uint64_t puts_of(std::uint64_t object, const storage_costs& costs) noexcept
{
    if (costs.part_bytes == 0 || object <= 2 * costs.part_bytes)
        return 1;
    return (object + costs.part_bytes - 1) / costs.part_bytes + 2;
}

/** Bytes per second of `under_way` parallel reads of `size` bytes each. */
OBJECTCACHE_DECL double read_rate(double size, double under_way, const storage_costs& costs) noexcept
{
    const double link = costs.link_bytes_per_second;
    return std::min(link, under_way * size / (costs.request_seconds + size / link));
}

} // namespace detail

OBJECTCACHE_DECL layout_cost cost_of(layout where, const kv_geometry& geometry, std::size_t chunks,
                                     const storage_costs& costs)
{
    layout_cost out;
    if (chunks == 0)
        return out;
    const std::uint64_t layers = geometry.layers;
    out.loaded_bytes = layers * chunks * record_bytes(geometry);
    switch (where) {
    case layout::layer_objects:
        out.store_requests = chunks * (layers + 1);
        out.stored_bytes = out.loaded_bytes + chunks * header_bytes;
        out.match_heads = chunks;
        out.load_requests = layers * chunks;
        break;
    case layout::chunk_objects:
        out.store_requests = chunks;
        out.stored_bytes = chunks * object_bytes(where, geometry);
        out.match_heads = chunks;
        out.load_requests = chunks * detail::reads_of_a_chunk(
                                         geometry.layers, detail::layers_of_a_read(geometry, chunks, costs));
        break;
    case layout::segment_objects: {
        const std::uint32_t per_region = segment_chunks(geometry);
        const std::uint64_t whole = chunks / per_region;
        const auto rest = static_cast<std::uint32_t>(chunks % per_region);
        out.store_requests = whole * detail::puts_of(segment_bytes(geometry, per_region), costs);
        out.stored_bytes = whole * segment_bytes(geometry, per_region);
        out.match_heads = whole;
        // How a region goes on that is not full, only a listing tells.
        if (rest != 0) {
            out.store_requests += detail::puts_of(segment_bytes(geometry, rest), costs);
            out.stored_bytes += segment_bytes(geometry, rest);
            out.match_lists = 1;
        }
        out.load_requests = layers * (whole + (rest != 0));
        break;
    }
    }
    out.requests_per_layer = static_cast<double>(out.load_requests) / static_cast<double>(layers);
    out.request_bytes = static_cast<double>(out.loaded_bytes) / static_cast<double>(out.load_requests);
    const double under_way =
        std::clamp(out.requests_per_layer * costs.layers_under_way, 1.0, double(costs.connections));
    const double rate = detail::read_rate(out.request_bytes, under_way, costs);
    out.link_fraction = rate / costs.link_bytes_per_second;
    out.layer_seconds = static_cast<double>(out.loaded_bytes) / static_cast<double>(layers) / rate;

    constexpr double gb = 1 << 30;
    out.store_dollars = static_cast<double>(out.store_requests) * costs.per_1000_puts / 1000;
    out.match_dollars = static_cast<double>(out.match_heads) * costs.per_1000_gets / 1000 +
                        static_cast<double>(out.match_lists) * costs.per_1000_lists / 1000;
    out.load_dollars = static_cast<double>(out.load_requests) * costs.per_1000_gets / 1000 +
                       static_cast<double>(out.loaded_bytes) / gb * costs.per_gb_read;
    out.month_dollars = static_cast<double>(out.stored_bytes) / gb * costs.per_gb_month;
    return out;
}

OBJECTCACHE_DECL layout choose_layout(const kv_geometry& geometry, const storage_costs& costs)
{
    if (!costs.ranged_reads)
        return layout::layer_objects;
    // What one chunk or one region can do when there are enough of them to keep every connection busy.
    const auto reach = [&](std::uint64_t read) {
        return detail::read_rate(static_cast<double>(read), costs.connections, costs) /
               costs.link_bytes_per_second;
    };
    const std::uint64_t record = record_bytes(geometry);
    const double chunk = reach(record * detail::layers_of_a_read(geometry, 1, costs));
    const double segment = reach(record * segment_chunks(geometry));
    return chunk >= link_reached || chunk >= segment ? layout::chunk_objects : layout::segment_objects;
}

} // namespace objectcache
