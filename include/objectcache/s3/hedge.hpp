// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace objectcache::s3 {

/** A quantile of recent durations: a histogram of logarithmic buckets (6 % wide, 16 us to 4 min) that forgets: whenever it holds
    `memory` samples, all counts are halved, so that the last `memory / 2` to `memory` of them decide.

    @par Cost  1.6 KiB; adding is O(1), asking O(buckets). No allocation. */
class duration_histogram {
public:
    static constexpr std::uint32_t memory = 1024;

    void add(duration sample) noexcept;
    /** Samples that it remembers, as far as it does. */
    [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
    /** The least duration, rounded up to the end of a bucket, that is not exceeded by `q` of the samples; 0 without any.

        @pre 0 < q <= 1. */
    [[nodiscard]] duration quantile(double q) const noexcept;

private:
    static constexpr std::size_t buckets = 384;
    std::array<std::uint32_t, buckets> counts_{};
    std::uint32_t count_ = 0;
};

struct hedge_options {
    double quantile = 0.95; ///< a request that takes longer than this share of its kind is a straggler
    std::uint32_t min_samples = 64;                    ///< of a size class, before anything is said about it
    duration min_delay = std::chrono::milliseconds(1); ///< never hedge sooner
    std::uint64_t max_bytes =
        16u << 20;        ///< longer reads wait for bandwidth, of which a second one takes more
    double budget = 0.05; ///< hedges per request, at most
    unsigned burst = 16;  ///< hedges that may be saved up
};

/** When a second GET is sent for one that is late: "The Tail at Scale" (Dean and Barroso, CACM 2013). The first complete
    answer wins, the other request is cancelled.

    Durations are kept per size class: a class is a power of two of bytes asked for. What is sampled is the *first*
    request of each operation only. When its hedge wins, it is cancelled and its real duration never known (it is
    censored); its time until then is sampled, which lies beyond the delay and so on the right side of the quantile. Leaving it out
    would make the quantile sink from hedge to hedge; sampling the winner would, too. Failed requests are not samples.

    @code
    if (auto after = h.delay(bytes)) { wait for the answer, at most *after; if there is none and h.take(calm), send another }
    h.completed(bytes, elapsed);
    @endcode

    @par Threads  Not safe: one at a time.
    @par Cost     About 40 KiB; O(1) per request except `delay`, which looks at one histogram. No allocation. */
class hedge_policy {
public:
    explicit hedge_policy(hedge_options options = {}) noexcept;

    /** A request for `bytes` bytes begins: how long it may take before it counts as late. Nothing if too little is known,
        or if it is too large. */
    [[nodiscard]] std::optional<duration> delay(std::uint64_t bytes) const noexcept;

    /** It is late: may a second one be sent? Takes it from the budget.

        @param calm  No throttling, and the circuit closed: a store in trouble does not get more requests. */
    [[nodiscard]] bool take(bool calm) noexcept;

    /** An operation succeeded.

        @param first  Since its first request began: until that was complete, or was cancelled because the second was.
        @param second_won  For the counters only. */
    void completed(std::uint64_t bytes, duration first, bool second_won = false) noexcept;

    struct counters {
        std::uint64_t requests = 0; ///< operations that succeeded
        std::uint64_t hedges = 0;   ///< second requests sent
        std::uint64_t won = 0;      ///< of these, the ones that were faster
        std::uint64_t denied = 0;   ///< not sent, for the budget or because the store was not calm
    };
    [[nodiscard]] const counters& count() const noexcept { return count_; }

private:
    hedge_options options_;
    counters count_;
};

} // namespace objectcache::s3
