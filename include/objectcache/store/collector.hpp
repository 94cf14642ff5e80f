// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/plan/garbage.hpp>
#include <objectcache/s3/client.hpp>

#include <boost/asio/awaitable.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace objectcache {

namespace asio = boost::asio;

/** Something that nobody needs. */
struct garbage {
    std::string key;
    std::uint64_t size = 0; ///< bytes; 0 of an upload, whose parts the store does not list
    std::string_view why;   ///< name() of its verdict, or "upload"
    bool removed = false;   ///< never in a dry run
    status failed{};        ///< why it could not be removed
};

struct collector_options {
    /** Nothing younger is touched. Longer than a writer is at work with one object, than readers believe what they once found
        (`cache_options::index_ttl`), and than clocks differ. */
    duration grace = std::chrono::hours(1);
    /** How long after the layers of an unpublished chunk were removed its manifest is looked for. A writer that found those layers
        in place, and so did not write them, may publish until then: at least `cache_options::store_timeout`. */
    duration settle = std::chrono::seconds(60);
    bool remove = false;    ///< otherwise a dry run: everything is found and told, nothing changed
    unsigned parallel = 16; ///< requests under way at once, beside the listing
    std::string scope{};    ///< 32 hex digits: only this one
    /** Told of each piece of garbage, after its removal or failure; on the client's executor. May be empty, must not throw. */
    std::function<void(const garbage&)> on_garbage{};
    std::function<void(std::uint64_t objects)> on_progress{}; ///< told of the objects judged so far
};

struct collector_report {
    struct tally {
        std::uint64_t objects = 0, bytes = 0;
        void add(std::uint64_t size) noexcept { ++objects, bytes += size; }
    };
    std::array<tally, verdicts> seen{}; ///< by verdict
    tally removed{};
    std::uint64_t uploads = 0;         ///< of ours, begun before the grace and never ended
    std::uint64_t uploads_aborted = 0; ///< of these
    std::uint64_t spared = 0;    ///< groups in which something happened between the listing and the removal
    std::uint64_t retracted = 0; ///< manifests removed that were published while their layers were
    std::uint64_t unsettled =
        0; ///< chunks whose layers were removed and whose manifest was not looked for any more
    std::uint64_t failures = 0;
    status failed{}; ///< the first failure; what ends the listing ends everything

    [[nodiscard]] const tally& of(verdict what) const noexcept
    {
        return seen[static_cast<std::size_t>(what)];
    }
};

/** Removes from a bucket what crashed writers left and what larger segments replaced: beside live readers and writers, and
    without touching anything live. docs/collector.md says why that is so.

    Ages are by the store's own clock, where its answers carry a `Date`.

    @param store and `bucket`, where a cache keeps its objects under `key_prefix`
    @par Completion With what was seen and done. Several collectors may be at work at once.
    @par Resumes On the awaiting coroutine's executor, which must be the client's.
    @par Cancellation Terminal, partial and total; completes when all requests have ended. Layers without a manifest may be left
    half removed, which the next collection ends.
    @par Errors In the report. A listing that fails, or is not in the order of keys, ends it; anything else that fails is counted
    and left for the next time.
    @par Threads As `s3::client`.
    @par Cost A listing of the bucket's part (1000 keys per request); one short read for most regions in which segments
    were merged; two listings per unpublished chunk; one request per 1000 removed segments. Memory of a few MiB,
    whatever the bucket's size. */
[[nodiscard]] asio::awaitable<collector_report>
collect_garbage(s3::client store, std::string bucket, std::string key_prefix, collector_options options);

/** The head of a segment, read from the store and proven to be that of its name.

    @pre `segment.name` is of a segment. */
[[nodiscard]] asio::awaitable<result<segment_head>> read_segment_head(s3::client store, std::string bucket,
                                                                      judged_object segment);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/store/impl/collector.ipp>
#endif
