// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <chrono>

namespace objectcache::s3 {

/** Rates are requests per second. */
struct throttle_options {
    bool enabled = true;   ///< false: nothing is ever held back
    double min_rate = 0.5; ///< never slower: some request must find out that the store has recovered
    double cut = 0.85;     ///< factor of the rate on refusal, in [0.5, 1)
    duration plateau = std::chrono::seconds(5); ///< from a cut until the refused rate is tried again
    duration forget = std::chrono::seconds(60); ///< without a refusal for so long: unlimited again
};

/** The answer to `503 SlowDown` and `429`: how fast requests may be sent, found out from which of them are refused.

    Unlimited until the first refusal. Then requests are spaced evenly. A refusal cuts the rate, and one that follows
    soon after cuts it to what is being accepted, if that is less, but never below half; refusals of requests that
    were sent before the cut say nothing new. After it the rate returns along a cubic: soon to near the rate that was
    refused, slowly past it, then faster and faster in case the store allows more by now.

    That is TCP CUBIC (RFC 9438) and the "adaptive" mode of the AWS SDKs, but that the way back takes the same time at
    any rate; theirs takes 1.5 s at 5 requests/s and 15 s at 5000. In the simulation of throttle_test.cpp with one
    client and a store that accepts 5 requests/s, 4 % of ours are refused and 92 % of what it accepts is used, against
    15 % and 78 % with their numbers. Additive increase does worse: by 5 requests/s each second a third is refused
    there; by 3 %, half of the rate lies idle 20 s after a store has come to accept four times as much.

    S3 counts reads and writes apart: use one for each.

    @code
    while (t.earliest(now) > now) wait until then, or give up;  // only the first in line has to
    t.sent(now); ...; if (slow_down) t.refused(when_sent, later); else t.accepted(later);
    @endcode

    @par Threads  Not safe: one at a time.
    @par Cost     O(1) memory and time; no allocation. */
class throttle {
public:
    explicit throttle(throttle_options options = {}) noexcept;

    /** When the next request may be sent: `now` or, at most 1 / `min_rate` later, when to ask again. */
    [[nodiscard]] time_point earliest(time_point now) const noexcept;
    /** A request is being sent. */
    void sent(time_point now) noexcept;
    /** The store did what a request asked, or at least did not refuse it. */
    void accepted(time_point now) noexcept;
    /** The store refused, in order to be asked less, a request that was sent at `when_sent`. */
    void refused(time_point when_sent, time_point now) noexcept;

    /** Requests per second; infinity while unlimited. */
    [[nodiscard]] double rate(time_point now) const noexcept;
    /** Is there any limit? Nothing optional, such as a hedge, should be sent then. */
    [[nodiscard]] bool limited(time_point now) const noexcept;

private:
    /** Events per second, averaged with weights that decay by 1/e within half a second. */
    class frequency {
    public:
        void add(time_point now) noexcept;
        [[nodiscard]] double operator()(time_point now) const noexcept;

    private:
        bool any_ = false;
        double weight_ = 0; // at `last_`
        time_point first_, last_;
    };

    throttle_options options_;
    bool limited_ = false;
    double ceiling_ = 0; // the rate that was refused
    double floor_ = 0;   // to which it was cut
    time_point cut_at_, refused_at_;
    time_point last_sent_ = time_point::min();
    frequency sending_, accepting_;
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/throttle.ipp>
#endif
