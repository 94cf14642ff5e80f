// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/geometry.hpp>
#include <objectcache/kv/layout.hpp>

#include <cstddef>
#include <cstdint>

/** @file
    Which layout suits which store: what it takes to store, find and load a prefix in each of them, in requests, bytes,
    seconds and money. Arithmetic only. */

namespace objectcache {

/** What a store, and the way to it, cost.

    The prices are list prices of AWS S3 Standard in us-east-1 in US dollars, where a GB is 2^30 bytes
    (aws.amazon.com/s3/pricing). HEAD is billed as GET. The times are no measurement of anything: a store in the same
    region, and a network card of 100 Gbit/s. */
struct storage_costs {
    double request_seconds = 0.030; ///< from a request to the first byte of its answer
    double link_bytes_per_second =
        12.5e9; ///< all connections together, from the store to here; > 0 (for admit(), 0: no link)
    std::uint32_t connections = 64;                        ///< requests that can be under way at once; > 0
    std::uint32_t layers_under_way = 64;                   ///< see cache_options::prefetch_depth; > 0
    std::uint64_t coalesce_bytes = std::uint64_t{1} << 20; ///< see cache_options; 0: a request per slice
    std::uint64_t part_bytes = std::uint64_t{16}
                               << 20; ///< segments of over twice that are uploaded in such parts; 0: in one
    bool ranged_reads = true;         ///< no: every object can only be read whole

    double per_1000_puts = 0.005; ///< dollars; each part of an upload, its beginning and its end are one
    double per_1000_gets = 0.0004;
    double per_1000_lists = 0.005;
    double per_gb_month = 0.023; ///< dollars for keeping 2^30 bytes for a month
    double per_gb_read = 0;      ///< dollars for getting 2^30 bytes; nothing within a region
};

/** What a prefix of some number of chunks costs in one layout. */
struct layout_cost {
    std::uint64_t store_requests = 0; ///< PUTs, when nothing of it is stored yet
    std::uint64_t stored_bytes = 0;   ///< of all its objects
    /** HEADs and LISTs of a cold match that finds all of it. One that ends inside may take a second round, and a listing or
        about a square root of HEADs more. */
    std::uint64_t match_heads = 0;
    std::uint64_t match_lists = 0;
    std::uint64_t load_requests = 0; ///< GETs, all layers
    std::uint64_t loaded_bytes = 0;

    double requests_per_layer = 0; ///< GETs; less than chunks where a request brings several layers
    double request_bytes = 0;      ///< mean size s of a read
    /** How much of the link B the reads of a load reach, 0 ... 1. With latency t, and c reads under way, the smaller of
        `connections` and `requests_per_layer * layers_under_way`:
        @code
        rate = min(B, c * s / (t + s / B))          link_fraction = rate / B
        @endcode
        While one read waits for its first byte the others use the link, so it is the number of reads under way that hides
        latency. The cost of a request to client and server is not in it: where they are the bound, fewer are better. */
    double link_fraction = 0;
    double layer_seconds = 0; ///< mean payload of a layer / rate, once the reads flow; t more for the first

    double store_dollars = 0; ///< once
    double match_dollars = 0; ///< each cold match
    double load_dollars = 0;  ///< each load
    double month_dollars = 0; ///< for keeping it
};

/** What the first `chunks` chunks of a sequence cost, stored and loaded in one go. Nothing for no chunks.

    @pre `geometry` is valid, and `costs` as its members say; here and below. */
[[nodiscard]] layout_cost cost_of(layout where, const kv_geometry& geometry, std::size_t chunks,
                                  const storage_costs& costs = {});

/** How much of the link counts as all of it. */
inline constexpr double link_reached = 0.95;

/** The simplest layout in which a load of a long prefix, `connections` reads at once, reaches `link_reached` of the link; if
    there is none, the one that comes closest.

    - layout::chunk_objects if it does: any prefix of chunks can be shared, and no sequence that grows writes one again.
    - layout::segment_objects otherwise: its reads are the largest.
    - layout::layer_objects only for a store without ranged reads. Elsewhere chunk objects are always better: their reads
      are the same slices or several of them, and they take one PUT where layer objects take one for each layer and one
      for the manifest. */
[[nodiscard]] layout choose_layout(const kv_geometry& geometry, const storage_costs& costs = {});

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/plan/impl/layout_policy.ipp>
#endif
