// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace objectcache {

/** When the next layers of a load should be asked for, so that their bytes follow those of the layers before.

    Connections that are busy at once share the link. Asked for too early, a layer takes bandwidth from the one that compute
    waits for; too late, and the link stands still for a round trip. So the next group is asked for when what is under
    way should have arrived but for one latency, and a quarter of its time before that, at the rate at which groups
    arrived so far; or at once when nothing is under way. Until a rate is known, when the first group has arrived.

    For a link that all connections share. Where a store gives each connection so much and no more, and a layer is few
    requests, more layers at once would bring more: that is what cache_options::pace_layers is switched off for.

    A pure estimator; time is a parameter.

    @par Threads One at a time. */
class layer_pacer {
public:
    /** What one load teaches the next; zero is unknown. */
    struct knowledge {
        double bytes_per_second = 0; ///< of the load, over all its connections
        duration latency{};          ///< from a request to its answer's first byte
    };

    layer_pacer() = default;
    explicit layer_pacer(knowledge known) : known_(known) {}

    [[nodiscard]] const knowledge& known() const noexcept { return known_; }

    /** A group of layers is asked for: all its requests. */
    void sent(std::size_t group, std::uint64_t bytes, time_point now)
    {
        if (under_way_ == 0) {
            seen_.clear();
            seen_.push_back({now + known_.latency, 0});
        }
        ++under_way_;
        if (bytes_.size() <= group)
            bytes_.resize(group + 1);
        bytes_[group] = bytes;
        last_ = transfer_time(bytes);
        expected_ = std::max(expected_, now + known_.latency) + last_;
    }

    /** All of it has arrived, or failed: then it says nothing about the link. */
    void arrived(std::size_t group, bool complete, time_point now)
    {
        --under_way_;
        if (complete)
            learn(bytes_[group], now);
        if (under_way_ == 0)
            expected_ = now;
    }

    /** The earliest moment to ask for the next group; in the past for now, `time_point::max()` to wait for what is under
        way. */
    [[nodiscard]] time_point next() const noexcept
    {
        if (under_way_ == 0)
            return time_point::min();
        if (known_.bytes_per_second <= 0)
            return time_point::max();
        return expected_ - known_.latency - last_ / 4;
    }

    /** How long after a request of so many bytes to send the next one of its group: a quarter faster than the link brings
        them. Requests of one size that begin together share the link and end together, and it stands still for a round
        trip before the next ones; a link that can do more shows it. Zero until a rate is known. */
    [[nodiscard]] duration spacing(std::uint64_t bytes) const noexcept
    {
        return transfer_time(bytes) / 5 * 4;
    }

private:
    struct arrival {
        time_point at;
        std::uint64_t bytes = 0;
    };
    // Groups that were under way together arrive together: three of them tell what one does not.
    static constexpr std::size_t window = 3;
    static constexpr double most_growth = 2;

    [[nodiscard]] duration transfer_time(std::uint64_t bytes) const noexcept
    {
        if (known_.bytes_per_second <= 0)
            return duration::zero();
        const double seconds = std::min(static_cast<double>(bytes) / known_.bytes_per_second, 3600.0);
        return std::chrono::duration_cast<duration>(std::chrono::duration<double>(seconds));
    }

    void learn(std::uint64_t bytes, time_point now)
    {
        seen_.push_back({now, bytes});
        if (seen_.size() > window + 1)
            seen_.erase(seen_.begin());
        double sum = 0;
        for (std::size_t i = 1; i < seen_.size(); ++i)
            sum += static_cast<double>(seen_[i].bytes);
        const double took = std::chrono::duration<double>(now - seen_.front().at).count();
        double& rate = known_.bytes_per_second;
        if (rate <= 0)
            rate = took > 0 ? sum / took : instant;
        else if (took > 0)
            rate += (std::min(sum / took, rate * most_growth) - rate) / 2;
        else
            rate = std::min(rate * most_growth, instant);
    }

    static constexpr double instant = 1e15; // a store that takes no time, and need not be paced

    knowledge known_;
    std::vector<std::uint64_t> bytes_; // by group
    std::vector<arrival> seen_;        // the last ones, behind one that only says from when on
    std::size_t under_way_ = 0;
    time_point expected_{}; // when all that is under way should have arrived
    duration last_{};       // of the group sent last, on the link alone
};

} // namespace objectcache
