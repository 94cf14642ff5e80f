// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/ids.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/kv/geometry.hpp>
#include <objectcache/plan/stored_run.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace objectcache {

/** One request: consecutive layers of consecutive chunks of one object. The records lie layer-major in it, so that of more
    than one chunk only one layer is read at a time, or all chunks of the object. */
struct load_fetch {
    std::size_t chunk = 0; ///< the first one; index in the matched prefix
    std::uint32_t chunks = 1;
    layer_id first_layer = 0;
    std::uint32_t layers = 0;
    byte_range range;          ///< of the object; `layers * chunks` whole records
    bool whole_object = false; ///< the range is all of the object: no Range header is needed
    std::size_t run = 0;       ///< which of the runs that were planned for: says what the object is

    [[nodiscard]] std::size_t end() const noexcept { return chunk + chunks; }
    friend bool operator==(const load_fetch&, const load_fetch&) = default;
};

/** Layers that are fetched at a time: the same for every chunk. A gate of the group can open when the records of its
    layer have arrived in all of the group's fetches. */
struct layer_group {
    layer_id first_layer = 0;
    std::uint32_t layers = 0;
    std::size_t first_fetch = 0; ///< index in load_plan::fetches
    std::size_t fetches = 0;
    std::uint64_t bytes = 0;

    friend bool operator==(const layer_group&, const layer_group&) = default;
};

struct load_plan_options {
    /** Layers are coalesced while a request stays within this many bytes. One layer of a segment is one request, however large,
        up to max_request_bytes, but for the first layer's: first_request_bytes. */
    std::uint64_t coalesce_bytes = std::uint64_t{1} << 20;
    /** No request is larger, unless it is a single record: what staging must be able to lend. */
    std::uint64_t max_request_bytes = std::uint64_t{64} << 20;
    /** The same of the first group, for which the engine stands still: where one connection does not fill the link, its
        requests are made smaller, so that several connections bring it (load_pacer::first_request_bytes). Only those to
        segments; not asked without layer_by_layer. */
    std::uint64_t first_request_bytes = std::numeric_limits<std::uint64_t>::max();
    /** Most layers of a group. */
    std::uint32_t max_layers_per_group = 8;
    /** Most bytes of a group over all chunks, unless it is a single layer: what staging must be able to hold. */
    std::uint64_t max_group_bytes = std::uint64_t{512} << 20;
    /** No: all layers of a chunk in one request where the layout allows it, those of a segment in requests of up to
        `whole_request_bytes`, for a reader that needs everything before it can begin. The limits above are not asked
        then. */
    bool layer_by_layer = true;
    std::uint64_t whole_request_bytes = std::uint64_t{16} << 20;
    /** Layers below this one are near already (kept in DRAM) and are not fetched. */
    layer_id first_layer = 0;
    /** Chunks below this one are made in another way (computed) and are not fetched. */
    std::size_t first_chunk = 0;
};

/** In which requests, and in which order, the layer payloads of a matched prefix are read. */
struct load_plan {
    std::vector<load_fetch> fetches; ///< group after group, run after run within a group
    std::vector<layer_group> groups; ///< by rising layer, without gaps
    std::uint64_t bytes = 0;

    [[nodiscard]] std::span<const load_fetch> fetches_of(const layer_group& group) const noexcept
    {
        return std::span(fetches).subspan(group.first_fetch, group.fetches);
    }
};

/** Most chunks of one plan: far above any context, and a bound for its memory. */
inline constexpr std::size_t max_plan_chunks = std::size_t{1} << 20;

/** Plan the read of the chunks of `runs`, which follow one another from the sequence's first on.

    The first group is one layer, because nothing can hide its fetch. The next one is fetched while it is computed, so
    groups only double, until a limit of the options holds: a jump to large requests would stall on the first of them.
    Where all chunks are of layout::layer_objects every group is one layer: objects cannot be coalesced.

    No chunks, or no layers to fetch, give an empty plan. All indices are those of `runs`, whatever is left out.

    @par Errors condition::invalid: geometry, runs or options are impossible, or there are over max_plan_chunks chunks.
    @par Cost One load_fetch per request: per layer, one for each segment (of the first layer more, where it is said so), or for
         each chunk that is in none. */
[[nodiscard]] result<load_plan> plan_load(const kv_geometry& geometry, std::span<const stored_run> runs,
                                          const load_plan_options& options = {});

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/plan/impl/load_plan.ipp>
#endif
