// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/kv/layout.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace objectcache {

/** How a cache stores, loads and gives up. The defaults suit a store on the same network as the engine. */
struct cache_options {
    /** In front of every key, for instance "team-a/". */
    std::string key_prefix;
    /** How new chunks are stored. A cache finds only chunks of this layout. */
    layout stored_as = layout::chunk_objects;

    /** Pinned memory between network and device, bytes. At least one stored chunk must fit to store, one request to load. */
    std::size_t staging_bytes = std::size_t{256} << 20;
    /** Layers of one load whose bytes may be under way at once. More hide latency, fewer leave room for other loads. */
    std::uint32_t prefetch_depth = 4;
    /** Requests of all loads and stores under way at once. */
    std::uint32_t max_requests = 64;
    /** Chunks of one store that are written at once. */
    std::uint32_t max_writes = 4;
    /** Neighbouring layers of a chunk are read with one request up to this many bytes. */
    std::uint64_t coalesce_bytes = std::uint64_t{1} << 20;

    /** A match that takes longer answers with what it knows by then. */
    duration match_timeout = std::chrono::seconds(1);
    /** A load that takes longer fails the layers that are missing: the engine recomputes. */
    duration load_timeout = std::chrono::seconds(10);
    /** A chunk that cannot be stored for this long is dropped, and counted. */
    duration store_timeout = std::chrono::seconds(30);

    /** Chunks to remember as stored, so that a warm match costs no request; and for how long. Keep the time shorter than
        the bucket's lifecycle rule. */
    std::size_t index_chunks = std::size_t{1} << 20;
    duration index_ttl = std::chrono::minutes(10);

    /** @par Errors `condition::invalid`, with the member's name. */
    [[nodiscard]] status validate() const
    {
        const auto bad = [](const char* what) { return status(errc::invalid_argument, what); };
        if (!supported(stored_as))
            return bad("stored_as: this layout is not supported yet");
        if (staging_bytes == 0)
            return bad("staging_bytes must not be 0");
        if (prefetch_depth == 0 || max_requests == 0 || max_writes == 0)
            return bad("prefetch_depth, max_requests and max_writes must not be 0");
        if (match_timeout <= duration::zero() || load_timeout <= duration::zero() ||
            store_timeout <= duration::zero())
            return bad("timeouts must be positive: no wait is unbounded");
        return {};
    }
};

/** What one load may do differently. */
struct load_options {
    /** Overrides `cache_options::load_timeout` unless zero; for the whole load, all its passes. */
    duration timeout = duration::zero();
    /** How often to bring the layers, one round after the other: 1 for a prefill, one per step for streaming decode. */
    std::uint32_t passes = 1;
    /** No: one request per object, for an engine that cannot start before everything is there. */
    bool layer_by_layer = true;
};

} // namespace objectcache
