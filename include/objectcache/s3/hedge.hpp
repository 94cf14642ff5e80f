// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace objectcache::s3 {

/** A quantile of recent durations: a histogram of logarithmic buckets, 8 to an octave (up to 12.5 % wide), from 16 us
    to 4.5 minutes, that forgets: whenever it holds `memory` samples all counts are halved, so that the last `memory`
    or so of them decide.

    @par Cost  1 KiB. Adding is O(1), asking O(buckets); no allocation. */
class duration_histogram {
public:
    static constexpr std::uint32_t memory = 1024;

    /** What lies outside the buckets counts in the nearest. */
    void add(duration sample) noexcept;
    /** Samples that are remembered. */
    [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
    /** A duration that a share of `q` of the samples does not exceed, at most one bucket more than the least such; 0
        without samples.

        @pre 0 < q <= 1. */
    [[nodiscard]] duration quantile(double q) const noexcept;

private:
    static constexpr unsigned first_octave = 14; // 2^14 ns
    static constexpr unsigned octaves = 24;
    static constexpr unsigned per_octave = 8;

    [[nodiscard]] static std::size_t bucket_of(duration sample) noexcept;
    [[nodiscard]] static duration end_of(std::size_t bucket) noexcept;

    std::array<std::uint32_t, octaves * per_octave> counts_{};
    std::uint32_t count_ = 0;
};

struct hedge_options {
    double quantile = 0.95;         ///< a request slower than this share of its kind is late
    std::uint32_t min_samples = 64; ///< of a size class, before any of its requests is late
    duration min_delay = std::chrono::milliseconds(1); ///< nothing is late sooner
    /** Larger reads wait for bandwidth, of which a second one only takes more. */
    std::uint64_t max_bytes = std::uint64_t(16) << 20;
    double budget = 0.05; ///< hedges per request, at most
    unsigned burst = 16;  ///< hedges that can be saved up
};

/** When a second GET is sent for one that is late (Dean and Barroso, "The Tail at Scale", CACM 2013). The first
    complete answer wins, the other request is cancelled.

    Late is what exceeds a quantile of the durations of its size class: a power of two of the bytes asked for. One
    sample is taken per operation, of its *first* request. If the second wins, the first is cancelled and its real
    duration never known; then the time until that is the sample. It is beyond the delay, and so on the right side of
    the quantile, which therefore is not biased. To leave such operations out would let the quantile sink with each
    hedge, and so would sampling the winner. Operations that fail are no samples.

    @code
    if (const auto late = h.delay(bytes)) {
        wait for the answer, at most *late;
        if (there is none && h.take(!throttle.limited(now) && circuit.current() == circuit::state::closed))
            send a second request, wait for either;
    }
    h.completed(bytes, now - first_began, second_won);
    @endcode

    @par Threads  Not safe: one at a time.
    @par Cost     19 KiB. O(1) per request, but for `delay`, which walks one histogram; no allocation. */
class hedge_policy {
public:
    explicit hedge_policy(hedge_options options = {}) noexcept;

    /** After how long a request for `bytes` bytes, which begins now, is late. Nothing if too little is known of its
        class, or if it is too large. */
    [[nodiscard]] std::optional<duration> delay(std::uint64_t bytes) const noexcept;

    /** A request is late: may a second one be sent? It is counted as sent then.

        @param calm  The store neither throttles nor fails: one in trouble gets no more than it has to. */
    [[nodiscard]] bool take(bool calm) noexcept;

    /** An operation succeeded.

        @param first  Since its first request began: until that was complete, or was cancelled because the second was.
        @param second_won  For the statistics only. */
    void completed(std::uint64_t bytes, duration first, bool second_won = false) noexcept;

    struct statistics {
        std::uint64_t requests = 0; ///< operations that succeeded
        std::uint64_t hedges = 0;   ///< second requests
        std::uint64_t won = 0;      ///< hedges that were faster
        std::uint64_t denied = 0;   ///< late requests that got none, for the budget or for want of calm
    };
    [[nodiscard]] const statistics& stats() const noexcept { return stats_; }

private:
    static constexpr unsigned first_class = 12; // up to 4 KiB
    static constexpr unsigned classes = 24;     // the last: over 16 GiB

    [[nodiscard]] static std::size_t class_of(std::uint64_t bytes) noexcept;

    hedge_options options_;
    double tokens_ = 0;
    statistics stats_;
    std::array<duration_histogram, classes> durations_;
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/hedge.ipp>
#endif
