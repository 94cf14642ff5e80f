// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/plan/load_plan.hpp>

#include <algorithm>
#include <string>

namespace objectcache {

namespace detail {

/** Most layers of any group of a plan. */
OBJECTCACHE_DECL std::uint32_t most_layers_together(const kv_geometry& geometry, std::size_t chunks,
                                                    const load_plan_options& options) noexcept
{
    if (options.where == layout::layer_objects)
        return 1;
    const std::uint64_t record = record_bytes(geometry);
    // At most 2^20 chunks of 2^30 + 32 bytes: no overflow.
    const std::uint64_t by_size =
        std::min(options.coalesce_bytes / record, options.max_group_bytes / (record * chunks));
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(by_size, 1, options.max_layers_per_group));
}

} // namespace detail

OBJECTCACHE_DECL result<load_plan> plan_load(const kv_geometry& geometry, std::size_t chunks,
                                             const load_plan_options& options)
{
    if (status valid = geometry.validate(); !valid.ok())
        return valid;
    if (!supported(options.where))
        return status(errc::invalid_argument,
                      "load plan: layout " + std::to_string(static_cast<unsigned>(options.where)));
    if (options.max_layers_per_group == 0 || options.first_layer > geometry.layers)
        return status(errc::invalid_argument,
                      "load plan: no layers in a group, or first_layer beyond the last");
    if (chunks > max_plan_chunks)
        return status(errc::invalid_argument, "load plan: " + std::to_string(chunks) + " chunks");

    load_plan out;
    if (chunks == 0)
        return out;
    const std::uint32_t most = options.layer_by_layer
                                   ? detail::most_layers_together(geometry, chunks, options)
                               : options.where == layout::layer_objects ? 1
                                                                        : geometry.layers;
    const bool whole = options.where == layout::layer_objects;
    const auto range_of = [&](layer_id first, std::uint32_t count) {
        return whole ? byte_range{0, record_bytes(geometry)} : chunk_layer_range(geometry, first, count);
    };
    std::uint32_t size = options.layer_by_layer ? 1 : most;
    for (layer_id layer = options.first_layer; layer < geometry.layers; layer += out.groups.back().layers) {
        const std::uint32_t count = std::min(size, geometry.layers - layer);
        const std::uint64_t bytes = range_of(layer, count).size * chunks;
        out.groups.push_back({layer, count, out.groups.size() * chunks, chunks, bytes});
        out.bytes += bytes;
        size = std::min(2 * size, most);
    }
    out.fetches.reserve(out.groups.size() * chunks);
    for (const layer_group& group : out.groups) {
        const byte_range range = range_of(group.first_layer, group.layers);
        for (std::size_t chunk = 0; chunk < chunks; ++chunk)
            out.fetches.push_back(
                {static_cast<std::uint32_t>(chunk), group.first_layer, group.layers, range, whole});
    }
    return out;
}

} // namespace objectcache
