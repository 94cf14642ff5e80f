// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

namespace objectcache::s3 {

/** Rates are requests per second. */
struct throttle_options {
    double min_rate = 1; ///< never slower: some request must find out when the store has recovered
    double cut = 0.85;   ///< factor of the rate on refusal, in (0, 1)
    duration forget = std::chrono::seconds(60); ///< without any refusal for so long: unlimited again
};

/** The answer to `503 SlowDown` and `429`: how fast requests may be sent, found out from which of them are refused.

    Unlimited until the first refusal. Then requests are spaced evenly at a rate that starts from what the store was seen
    to accept, is cut by a factor with every *wave* of refusals (those of requests that were sent before the last cut say
    nothing new), and between waves returns along a cubic: fast to near the rate that was refused, slowly past it, then
    faster and faster, should the store allow more now (TCP CUBIC, RFC 9438; "adaptive" mode of the AWS SDKs). Several
    clients of one store find equal shares: who sends more is refused more often.

    S3 counts reads and writes apart: use one for each.

    @par Threads  Not safe: one at a time.
    @par Cost     O(1) memory and time; no allocation. */
class throttle {
public:
    explicit throttle(throttle_options options = {}) noexcept;

    /** When the next request may be sent: `now`, or later. Every call takes a place in line, so the nth caller who waits
        is told n / rate. Nothing, and no place is taken, if that would be after `until`. */
    [[nodiscard]] std::optional<time_point> reserve(time_point now, deadline until = {}) noexcept;

    /** A request that was sent at `sent` was answered in another way than by a refusal. */
    void accepted(time_point now) noexcept;
    /** A request that was sent at `sent` was refused. */
    void refused(time_point sent, time_point now) noexcept;

    /** Is any rate imposed? Nothing optional (hedges, prefetches beyond need) should be sent then. */
    [[nodiscard]] bool limited(time_point now) const noexcept;
    /** Requests per second; infinity while unlimited. */
    [[nodiscard]] double rate(time_point now) const noexcept;

private:
    throttle_options options_;
};

} // namespace objectcache::s3
