// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/kv/segment.hpp>
#include <objectcache/plan/load_plan.hpp>

#include <algorithm>
#include <string>

namespace objectcache {

namespace detail {

/** What is the same for all groups of a plan. */
struct load_planner {
    const kv_geometry& geometry;
    std::span<const stored_run> runs;
    const load_plan_options& options;
    std::size_t chunks = 0;               // that are fetched
    std::size_t skipped = 0;              // runs of which nothing is
    std::span<const stored_run> wanted{}; // what is fetched of the others
    std::vector<stored_run> cut{};        // they, if one of them is cut

    [[nodiscard]] std::uint64_t record() const noexcept { return record_bytes(geometry); }

    /** Find what is to be fetched. */
    [[nodiscard]] status check()
    {
        std::size_t all = 0;
        for (const stored_run& run : runs) {
            const chunk_place& at = run.place;
            if (run.first != all || run.chunks == 0 || run.chunks > max_plan_chunks - all ||
                !supported(at.where) || (at.where == layout::segment_objects) != bool(at.segment))
                return status(errc::invalid_argument, "load plan: runs that are none");
            if (at.segment &&
                (at.segment->chunks > segment_chunks(geometry) || at.index + run.chunks > at.segment->chunks))
                return status(errc::invalid_argument, "load plan: more chunks than the segment has");
            all += run.chunks;
        }
        if (options.first_chunk > all)
            return status(errc::invalid_argument, "load plan: first_chunk beyond the last");
        while (skipped < runs.size() && runs[skipped].end() <= options.first_chunk)
            ++skipped;
        wanted = runs.subspan(skipped);
        // The rest of a segment is no whole segment, and is read like any other part.
        if (!wanted.empty() && wanted.front().first < options.first_chunk) {
            cut.assign(wanted.begin(), wanted.end());
            cut.front() = cut.front().from(options.first_chunk);
            wanted = cut;
        }
        chunks = all - options.first_chunk;
        return {};
    }

    /** Most layers of any group. */
    [[nodiscard]] std::uint32_t most_layers() const noexcept
    {
        const bool objects_of_layers = std::all_of(wanted.begin(), wanted.end(), [](const stored_run& run) {
            return run.place.where == layout::layer_objects;
        });
        if (objects_of_layers)
            return 1;
        if (!options.layer_by_layer)
            return geometry.layers;
        std::uint64_t largest = 1; // chunks of a request
        for (const stored_run& run : wanted)
            if (run.place.segment)
                largest = std::max<std::uint64_t>(largest, run.chunks);
        // At most 2^20 chunks of 2^30 + 32 bytes: no overflow.
        const std::uint64_t by_size = std::min(options.coalesce_bytes / (record() * largest),
                                               options.max_group_bytes / (record() * chunks));
        return static_cast<std::uint32_t>(
            std::clamp<std::uint64_t>(by_size, 1, options.max_layers_per_group));
    }

    /** Chunks of one request to a run: as nearly the same number in all of them as can be. */
    [[nodiscard]] std::size_t chunks_at_once(const stored_run& run, bool first_group) const noexcept
    {
        if (!run.place.segment)
            return 1;
        std::uint64_t most = options.max_request_bytes;
        if (first_group && options.layer_by_layer)
            most = std::min(most, options.first_request_bytes);
        const std::uint64_t fit = std::clamp<std::uint64_t>(most / record(), 1, run.chunks);
        const std::uint64_t requests = (run.chunks + fit - 1) / fit;
        return static_cast<std::size_t>((run.chunks + requests - 1) / requests);
    }

    /** Layers of one request to a run, in a group of so many. */
    [[nodiscard]] std::uint32_t layers_at_once(const stored_run& run, std::uint32_t group) const noexcept
    {
        if (run.place.where == layout::layer_objects)
            return 1;
        std::uint64_t most = options.max_request_bytes;
        if (run.place.segment) {
            if (!run.whole_segment())
                return 1;
            if (!options.layer_by_layer)
                most = std::min(most, options.whole_request_bytes);
        }
        const std::uint64_t layer = record() * (run.place.segment ? run.chunks : 1);
        return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(most / layer, 1, group));
    }

    void plan(const layer_group& group, load_plan& out) const
    {
        for (std::size_t r = 0; r < wanted.size(); ++r) {
            const stored_run& run = wanted[r];
            const std::uint32_t at_once = layers_at_once(run, group.layers);
            const std::size_t step = chunks_at_once(run, out.groups.empty());
            for (std::size_t chunk = run.first; chunk < run.end(); chunk += step)
                for (std::uint32_t done = 0; done < group.layers; done += at_once) {
                    load_fetch fetch;
                    fetch.chunk = chunk;
                    fetch.chunks = static_cast<std::uint32_t>(std::min(step, run.end() - chunk));
                    fetch.first_layer = group.first_layer + done;
                    fetch.layers = std::min(at_once, group.layers - done);
                    fetch.range = range_of(run, fetch);
                    fetch.whole_object = run.place.where == layout::layer_objects;
                    fetch.run = skipped + r;
                    out.fetches.push_back(fetch);
                }
        }
    }

    [[nodiscard]] byte_range range_of(const stored_run& run, const load_fetch& fetch) const noexcept
    {
        if (run.place.where == layout::layer_objects)
            return {0, record()};
        if (run.place.where == layout::chunk_objects)
            return chunk_layer_range(geometry, fetch.first_layer, fetch.layers);
        byte_range out = segment_layer_range(geometry, run.place.segment->chunks, fetch.first_layer,
                                             run.at(fetch.chunk).index, fetch.chunks);
        out.size *= fetch.layers; // of one layer, or of all chunks: nothing in between
        return out;
    }
};

} // namespace detail

OBJECTCACHE_DECL result<load_plan> plan_load(const kv_geometry& geometry, std::span<const stored_run> runs,
                                             const load_plan_options& options)
{
    if (status valid = geometry.validate(); !valid.ok())
        return valid;
    if (options.max_layers_per_group == 0 || options.first_layer > geometry.layers)
        return status(errc::invalid_argument,
                      "load plan: no layers in a group, or first_layer beyond the last");
    detail::load_planner planner{geometry, runs, options};
    if (status valid = planner.check(); !valid.ok())
        return valid;

    load_plan out;
    if (planner.chunks == 0)
        return out;
    const std::uint32_t most = planner.most_layers();
    std::uint32_t size = options.layer_by_layer ? 1 : most;
    for (layer_id layer = options.first_layer; layer < geometry.layers; layer += out.groups.back().layers) {
        layer_group group;
        group.first_layer = layer;
        group.layers = std::min(size, geometry.layers - layer);
        group.first_fetch = out.fetches.size();
        planner.plan(group, out);
        group.fetches = out.fetches.size() - group.first_fetch;
        group.bytes = group.layers * planner.record() * planner.chunks;
        out.bytes += group.bytes;
        out.groups.push_back(group);
        size = std::min(2 * size, most);
    }
    return out;
}

} // namespace objectcache
