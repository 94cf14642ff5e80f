// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace objectcache {

/** When the next request of a load should be sent, so that the link never stands still and yet hardly any bytes travel beside
    those that compute waits for.

    Connections that are busy at once share the link: asked for too early, a layer takes bandwidth from the one before; too
    late, and the link stands still for a round trip. Requests that begin together end together, which has the same effect.
    So a load keeps as many bytes under way as fit on the way (rate times the time that a request takes alone), and a quarter
    more; and sends them one after the other, a quarter faster than they arrive. As long as requests take no longer than one
    alone would, they are not what fills the link (a store may give each connection only so much): then twice as many may be
    under way, until they do. And as long as the link brings less than it did, although more is to be sent, requests are
    taken to be slower than was known: twice, and three times where it takes many connections, so that it is never more than
    six times what fits on the way.

    Bytes under way are also what the link lives on while a thread, here or there, has to wait for its core. Once the first
    layer is there, so that nobody stands still for what a few milliseconds delay, at least `reserve` of them is under way.

    The idea of BBR (Cardwell et al., ACM Queue 14-5, 2016), with requests for packets. A pure estimator; time is a parameter.

    @par Threads One at a time. */
class load_pacer {
    static constexpr double queueing = 1.3; // times what a request alone takes

public:
    /** What one load teaches the next; zero is unknown. */
    struct knowledge {
        double bytes_per_second = 0; ///< of all requests under way together
        duration latency{};          ///< from a request to its answer's first byte
        double of_one = 0; ///< bytes per second of a request that has the link for itself, behind its latency
        std::uint64_t of_bytes = 0; ///< the largest request that said so

        /** How large the requests should be that bring the first layer of so many bytes, for which the engine stands still:
            one for each connection that it takes to fill the link, and none on its way longer than an answer takes to
            begin, because so long the next layer travels beside the end of this one. In as few requests as can be where one
            connection fills the link, or nothing is known. */
        [[nodiscard]] std::uint64_t first_request_bytes(std::uint64_t layer) const noexcept
        {
            if (of_one <= 0 || fills_link())
                return std::numeric_limits<std::uint64_t>::max();
            const double share = static_cast<double>(layer) * of_one / bytes_per_second;
            const double brief = of_one * std::chrono::duration<double>(latency).count();
            return std::max(
                {worth_a_request, layer / most_requests, static_cast<std::uint64_t>(std::min(share, brief))});
        }
        /** Whether a connection alone brings what all together do. */
        [[nodiscard]] bool fills_link() const noexcept { return bytes_per_second < queueing * of_one; }
    };
    /** A request costs as much CPU time as receiving some hundred KB, and a tenth of a millisecond of the cache's own thread. */
    static constexpr std::uint64_t worth_a_request = std::uint64_t{1} << 20;
    static constexpr std::uint64_t most_requests = 128;
    /** A core's time slice, or two, that a thread of ours or of the store waits for. */
    static constexpr duration reserve = std::chrono::milliseconds(5);

    load_pacer() = default;
    explicit load_pacer(knowledge known) : known_(known) {}

    [[nodiscard]] const knowledge& known() const noexcept { return known_; }

    /** The earliest moment to send a request of so many bytes; in the past for now, `time_point::max()` to wait until
        something arrives.

        @param received of this load so far, bytes: also of requests that are under way */
    [[nodiscard]] time_point next(std::uint64_t bytes, std::uint64_t received, time_point now) const noexcept
    {
        if (requests_under_way_ == 0)
            return time_point::min();
        if (known_.bytes_per_second <= 0)
            return time_point::max();
        double window = gain() * known_.bytes_per_second * usual(bytes);
        if (awaited_under_way_ == 0)
            window = std::max(window, static_cast<double>(bytes) +
                                          known_.bytes_per_second * seconds(known_.latency + reserve));
        const double over =
            static_cast<double>(sent_ + bytes) - static_cast<double>(received) - window; // bytes too many
        return over <= 0 ? next_ : std::max(next_, now + length(over / known_.bytes_per_second));
    }

    /** One is sent: its number.

        @param awaited a part of the first layer, for which compute stands still
        @param received as above */
    [[nodiscard]] std::size_t sent(std::uint64_t bytes, bool awaited, std::uint64_t received, time_point now)
    {
        requests_.push_back(
            {bytes, awaited, now, received, requests_under_way_ == 0 ? now + known_.latency : now});
        ++requests_under_way_;
        awaited_under_way_ += awaited ? 1 : 0;
        sent_ += bytes;
        if (known_.bytes_per_second > 0)
            next_ = std::max(next_, now) +
                    length(static_cast<double>(bytes) / (gain() * known_.bytes_per_second));
        return requests_.size() - 1;
    }

    /** Its first bytes were there then, so many of them. What answers usually take to begin is learnt from it, rather sooner
        than later: a step down for one that was quicker is four times one up, so that one in five is. */
    void answered(std::size_t number, std::uint64_t bytes, time_point begun) noexcept
    {
        request& r = requests_[number];
        r.begun = begun;
        r.begun_with = bytes;
        r.counted_from = std::min(r.counted_from, begun);
        const duration seen = begun - r.at, off = seen - known_.latency;
        const bool first = known_.of_one <= 0; // what matches saw is another kind of answer
        if (first || known_.latency <= duration::zero() || seen <= duration::zero())
            known_.latency = std::max(seen, duration::zero());
        else
            known_.latency += off > duration::zero() ? std::min(off, known_.latency / 16)
                                                     : std::max(off, -known_.latency / 4);
    }

    /** It has arrived, or failed: then it says nothing about the link.

        @param more others would have been sent if this pacer had let them: else a low rate says nothing, unless requests
                    get in each other's way
        @param received as above; less than before where a request is sent again */
    void arrived(std::size_t number, bool complete, bool more, std::uint64_t received, time_point now)
    {
        const request& r = requests_[number];
        --requests_under_way_;
        awaited_under_way_ -= r.awaited ? 1 : 0;
        if (!complete) {
            sent_ -= r.bytes; // whatever came of it is not counted as received
            return;
        }
        if (known_.of_one > 0)
            queued_ = seconds(now - r.at) > queueing * alone(r.bytes);
        learn_of_one(number, now);

        // A request that is sent again brings its bytes again: what counted as received does not. And what came sooner than
        // answers begin, as far as that is known, says nothing of the rate.
        if (received < r.received_before || now < r.counted_from)
            return;
        const double rate = rate_of(received - r.received_before, now - r.counted_from);
        double& known = known_.bytes_per_second;
        // Many connections share threads, here and there: that they bring less is for want of requests more often than for a
        // slower link, so that is forgotten more slowly, and the rate that was known, too.
        const bool many = known > many_connections * known_.of_one;
        slower_ = more && rate < nearly * known
                      ? std::min(slower_ * 1.1, many ? 1.5 * most_slower : most_slower)
                      : slower_ + (1 - slower_) / (many ? 32 : 8);
        const double believed = known <= 0 ? rate : std::min(rate, known * most_growth);
        if (known <= 0 || (rate > known && !queued_))
            known = believed;
        if (!more && rate < known && !queued_)
            return;
        seen_[next_seen_++ % seen_.size()] = believed;
        if (next_seen_ < seen_.size())
            return;
        const double best = *std::max_element(seen_.begin(), seen_.end());
        known = many && best < known && best > known / 2 ? known - (known - best) / 256 : best;
    }

private:
    static constexpr double growing = 2, steady = 1.25; // times what fits on the way
    static constexpr double most_slower = 2;
    static constexpr double many_connections = 6;
    static constexpr double nearly = 0.9;    // of the rate that is known
    static constexpr double most_growth = 2; // of the rate, by one arrival: they may come in bursts
    static constexpr double instant = 1e15;  // a store that takes no time, and need not be paced

    struct request {
        std::uint64_t bytes;
        bool awaited;
        time_point at;
        std::uint64_t received_before;
        time_point counted_from; // when what is received from then on may have begun to flow
        time_point begun{};      // when it was answered, with so many bytes of it
        std::uint64_t begun_with = 0;
    };

    /** What the request that has arrived says of the rate of one. */
    void learn_of_one(std::size_t number, time_point now) noexcept
    {
        const request& r = requests_[number];
        const bool seen = r.begun != time_point();
        const duration latency = seen ? std::min(known_.latency, r.begun - r.at) : known_.latency;
        if (now - r.at <= latency && number != 0)
            return; // sooner than was known: of the rate it says nothing
        double& known = known_.of_one;
        const double behind_latency = rate_of(r.bytes, now - r.at - latency);
        if (number == 0) { // which had the link for itself, at least at first
            const bool watched = seen && r.begun_with <= r.bytes / 2;
            const double own = watched ? rate_of(r.bytes - r.begun_with, now - r.begun) : behind_latency;
            known = known <= 0 ? own : std::min((known + own) / 2, known * most_growth);
            if (watched) // at least that
                known_.bytes_per_second = std::max(known_.bytes_per_second, own);
        }
        if (r.bytes > known_.of_bytes / 2) { // how long a smaller one takes is mostly its latency's scatter
            known =
                std::max(known, known <= 0 ? behind_latency : std::min(behind_latency, known * most_growth));
            known_.of_bytes = std::max(known_.of_bytes, r.bytes);
        }
    }
    [[nodiscard]] double gain() const noexcept { return queued_ || known_.fills_link() ? steady : growing; }
    [[nodiscard]] static double seconds(duration d) noexcept
    {
        return std::max(std::chrono::duration<double>(d).count(), 1e-9);
    }
    [[nodiscard]] static double rate_of(std::uint64_t bytes, duration in) noexcept
    {
        return std::min(static_cast<double>(bytes) / seconds(in), instant);
    }
    /** Seconds of a request as they are. Where it takes several to fill the link, they may be slower than one alone for other
        reasons than the link, which then wants more of them: connections of one thread, say. */
    [[nodiscard]] double usual(std::uint64_t bytes) const noexcept
    {
        return alone(bytes) * (known_.fills_link() ? 1 : slower_);
    }
    /** Seconds of a request that has the link for itself. */
    [[nodiscard]] double alone(std::uint64_t bytes) const noexcept
    {
        const double rate =
            known_.of_one > 0 ? std::min(known_.of_one, known_.bytes_per_second) : known_.bytes_per_second;
        return std::chrono::duration<double>(known_.latency).count() + static_cast<double>(bytes) / rate;
    }
    static duration length(double seconds)
    {
        return std::chrono::duration_cast<duration>(std::chrono::duration<double>(std::min(seconds, 3600.0)));
    }

    knowledge known_;
    std::vector<request> requests_; // by number
    std::size_t requests_under_way_ = 0, awaited_under_way_ = 0;
    std::uint64_t sent_ = 0; // bytes
    time_point next_{};
    std::array<double, 8> seen_{}; // the last rates: the link brings the highest of them
    std::size_t next_seen_ = 0;
    double slower_ = 1;                         // than alone, for all that is known
    bool queued_ = known_.bytes_per_second > 0; // the last that arrived had to share
};

} // namespace objectcache
