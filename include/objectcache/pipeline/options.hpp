// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/core/ids.hpp>
#include <objectcache/kv/layout.hpp>
#include <objectcache/plan/layout_policy.hpp>
#include <objectcache/plan/prefix_search.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace objectcache {

/** How a cache stores, loads and gives up. The defaults suit a store on the same network as the engine. */
struct cache_options {
    /** In front of every key, for instance "team-a/". */
    std::string key_prefix;
    /** How new chunks are stored; unless it is said, as choose_layout() finds best for their shape and `costs`. All writers
        of a scope should agree, so that its prefixes are found with few questions. */
    std::optional<layout> stored_as;
    /** What a request to the store takes, and what the link brings. What it says of connections, layers under way, coalescing
        and parts is not asked for: this cache's own members are. */
    storage_costs costs;
    /** What else is looked for, beside the layout that is stored. A scope that is stored in one layout costs nothing more:
        once per `index_ttl` a process finds out by two listings of one key, beside the first match's questions. */
    layout_set read_layouts;
    /** Segments of a sequence that goes on in their region are stored again together with what comes now, so that a region
        stays a few segments: a chunk is stored mostly once or twice, and log2(chunks of a region) + 2 times at most. No: every
        byte is stored once, and a region may become many requests. */
    bool merge_segments = true;

    /** Pinned memory between network and device, bytes. What is under way must fit: the rate of the link times the time of a
        request, and a quarter more, or several times that until the link is full, and 5 ms of the rate
        (plan/load_pacer.hpp). One part of an upload must fit to store, one request to load. */
    std::size_t staging_bytes = std::size_t{256} << 20;
    /** Layers of one load that may be asked for before the first of them is ready: a bound, beside what pacing finds right. With
        fewer than fit on the way (rate of the link times latency) the link stands still. */
    std::uint32_t prefetch_depth = 64;
    /** Ask for no more than it takes to fill the link, as far as that is known (plan/load_pacer.hpp), so that no layer takes
        bandwidth from the one that compute waits for; and for the first layer of a segment, for which everything stands still, in
        as many requests as it takes connections to fill the link. No: as far ahead as prefetch_depth allows, each layer of a
        segment in one request. */
    bool pace_layers = true;
    /** Requests of all loads and stores under way at once. */
    std::uint32_t max_requests = 64;
    /** Objects, or parts of them, of one store that are written at once. Layers in objects of their own, which are small, may be
        more: a quarter of `max_requests`, so that loads always find the rest. */
    std::uint32_t max_writes = 4;
    /** Segments over twice this size are uploaded in parts of this size, of whole layers, several side by side. S3 wants at
        least 5 MiB. */
    std::uint64_t part_bytes = std::uint64_t{16} << 20;
    /** Neighbouring layers are read with one request up to this many bytes. */
    std::uint64_t coalesce_bytes = std::uint64_t{1} << 20;

    /** A match that takes longer answers with what it knows by then. */
    duration match_timeout = std::chrono::seconds(1);
    /** A load that takes longer fails the layers that are missing: the engine recomputes. */
    duration load_timeout = std::chrono::seconds(10);
    /** An object that cannot be stored for this long is dropped, and its chunks counted. */
    duration store_timeout = std::chrono::seconds(30);

    /** Chunks to remember as stored, so that a warm match costs no request; and for how long. Keep the time shorter than
        the bucket's lifecycle rule. */
    std::size_t index_chunks = std::size_t{1} << 20;
    duration index_ttl = std::chrono::minutes(10);

    /** PUTs of one store at once, whatever the layout. */
    [[nodiscard]] std::uint32_t most_puts() const noexcept { return std::max(max_writes, max_requests / 4); }

    /** What new chunks of that shape are stored as. */
    [[nodiscard]] layout layout_for(const kv_geometry& geometry) const
    {
        if (stored_as)
            return *stored_as;
        storage_costs own = costs;
        own.connections = max_requests;
        own.layers_under_way = prefetch_depth;
        own.coalesce_bytes = coalesce_bytes;
        own.part_bytes = part_bytes;
        return choose_layout(geometry, own);
    }

    /** @par Errors `condition::invalid`, with the member's name. */
    [[nodiscard]] status validate() const
    {
        const auto bad = [](const char* what) { return status(errc::invalid_argument, what); };
        if (stored_as && !supported(*stored_as))
            return bad("stored_as: no such layout");
        if (!(costs.link_bytes_per_second > 0) || !(costs.request_seconds >= 0))
            return bad("costs: link_bytes_per_second must be positive, request_seconds not negative");
        if (part_bytes == 0)
            return bad("part_bytes must not be 0");
        if (staging_bytes == 0)
            return bad("staging_bytes must not be 0");
        if (prefetch_depth == 0 || max_requests == 0 || max_writes == 0)
            return bad("prefetch_depth, max_requests and max_writes must not be 0");
        if (match_timeout <= duration::zero() || load_timeout <= duration::zero() ||
            store_timeout <= duration::zero())
            return bad("timeouts must be positive: no wait is unbounded");
        if (index_ttl <= duration::zero())
            return bad("index_ttl must be positive: a match tells the load behind it where the chunks lie");
        return {};
    }
};

/** What one load may do differently. */
struct load_options {
    /** Overrides `cache_options::load_timeout` unless zero; for the whole load, all its passes. */
    duration timeout = duration::zero();
    /** Most layers of all passes together: each of them has a state and a gate of its own. */
    static constexpr std::uint64_t most_layers = std::uint64_t{1} << 20;

    /** How often to bring the layers, one round after the other: 1 for a prefill, one per step for streaming decode. */
    std::uint32_t passes = 1;
    /** No: as few requests as can be, for an engine that cannot start before everything is there, and has memory for all
        layers. */
    bool layer_by_layer = true;
    /** Layers below this one are in place already, in memory that is no business of this load: nothing of them is read, their
        gates are open, and awaiting them completes at once. For front layers that are kept near, and for decoding with as
        many layers on the device as fit. Where memory is kept for some layers only (`kv_pages::layer_slots`), the others
        share it: layer l has slot l % slots, near layers or not. */
    layer_id first_layer = 0;
    /** Chunks of the match below this one the engine computes itself, while the others come: nothing of them is read, their
        memory is not touched, and whether they are still stored is not asked. They count as usable from the beginning, and
        whatever fails behind them leaves them so: `load_report::usable_tokens` is at least theirs, unless the load was
        refused. As many as were matched make a load that reads nothing and whose layers are ready. How many are worth it,
        admit() says (plan/admission.hpp).

        Gates know nothing of what the engine computes: a layer's opens when its loaded chunks are there. And of memory for some
        layers only (`kv_pages::layer_slots`) the load writes nothing where the head of a layer belongs, but the head of another
        layer that shares it would: keep the head elsewhere, or compute it with the suffix, layer by layer. */
    std::size_t first_chunk = 0;
};

} // namespace objectcache
