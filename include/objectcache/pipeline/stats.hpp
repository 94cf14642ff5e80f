// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <atomic>
#include <cstdint>

namespace objectcache {

/** Counts since the cache was made. Only ever grow. */
struct cache_stats {
    std::uint64_t matches = 0;        ///< match operations
    std::uint64_t tokens_asked = 0;   ///< tokens of whole chunks that matches were asked for
    std::uint64_t tokens_matched = 0; ///< of them found
    std::uint64_t match_requests = 0; ///< existence probes and listings sent
    std::uint64_t loads = 0;          ///< loads started
    std::uint64_t load_requests = 0;  ///< reads sent
    std::uint64_t bytes_loaded = 0;   ///< verified bytes, trailers included
    std::uint64_t layers_failed = 0;  ///< layers of loads that did not arrive complete
    std::uint64_t chunks_absent = 0;  ///< matched, then found gone: evicted by the store
    std::uint64_t chunks_corrupt = 0; ///< failed verification; the next store replaces them
    std::uint64_t chunks_unknown = 0; ///< matched, then found to be of an unknown format version: left alone
    std::uint64_t chunks_stored = 0;  ///< written and acknowledged
    std::uint64_t chunks_merged = 0;  ///< stored before, and stored again in a larger segment
    std::uint64_t chunks_present = 0; ///< not written: known to be stored
    std::uint64_t chunks_dropped = 0; ///< not written: deadline, no staging, or a failing store
    std::uint64_t bytes_stored = 0;   ///< bytes of acknowledged objects
};

namespace detail {

/** The counters behind: written by the reactor, read by anyone. */
struct cache_counters {
    using counter = std::atomic<std::uint64_t>;
    counter matches{0}, tokens_asked{0}, tokens_matched{0}, match_requests{0}, loads{0}, load_requests{0},
        bytes_loaded{0}, layers_failed{0}, chunks_absent{0}, chunks_corrupt{0}, chunks_unknown{0},
        chunks_stored{0}, chunks_merged{0}, chunks_present{0}, chunks_dropped{0}, bytes_stored{0};

    static void add(counter& c, std::uint64_t n = 1) noexcept { c.fetch_add(n, std::memory_order_relaxed); }

    [[nodiscard]] cache_stats snapshot() const noexcept
    {
        const auto get = [](const counter& c) { return c.load(std::memory_order_relaxed); };
        cache_stats s;
        s.matches = get(matches);
        s.tokens_asked = get(tokens_asked);
        s.tokens_matched = get(tokens_matched);
        s.match_requests = get(match_requests);
        s.loads = get(loads);
        s.load_requests = get(load_requests);
        s.bytes_loaded = get(bytes_loaded);
        s.layers_failed = get(layers_failed);
        s.chunks_absent = get(chunks_absent);
        s.chunks_corrupt = get(chunks_corrupt);
        s.chunks_unknown = get(chunks_unknown);
        s.chunks_stored = get(chunks_stored);
        s.chunks_merged = get(chunks_merged);
        s.chunks_present = get(chunks_present);
        s.chunks_dropped = get(chunks_dropped);
        s.bytes_stored = get(bytes_stored);
        return s;
    }
};

} // namespace detail

} // namespace objectcache
