// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <type_traits>

namespace objectcache::testing {

/** A link of a given rate, as arithmetic: says when bytes will have passed; never waits, never reads a clock.

    Bytes pass in the order in which they are reserved, so flows that reserve one small piece after the other
    share the link equally, however many pieces each still has. A body of n bytes on an idle link takes
    exactly n / rate; nothing is lost to rounding, whatever the size of the pieces.

    @par Threads Not safe: calls on one bucket must not overlap. */
class token_bucket {
public:
    /** @param bytes_per_second  0: unlimited.
        @param burst_bytes       what an idle link lets pass at once; at most what an hour lets pass. */
    explicit token_bucket(std::uint64_t bytes_per_second = 0, std::uint64_t burst_bytes = 0) noexcept
        : rate_(bytes_per_second)
        , burst_(span_of(burst_bytes))
    {}

    [[nodiscard]] std::uint64_t rate() const noexcept { return rate_; }

    /** When the last of `bytes` will have passed: `now` or later.

        @param slack  How much of the time before `now` still counts where it went unused. A sender with a
             backlog that woke up late passes how late it may have been, and so loses nothing; on an idle link
             it is 0.
        @pre `bytes` <= 16 GiB; `now` does not go backwards. */
    [[nodiscard]] time_point reserve(std::uint64_t bytes, time_point now, duration slack = {}) noexcept
    {
        if (rate_ == 0)
            return now;
        const time_point earliest = now - std::max(burst_, slack);
        if (busy_until_ < earliest) {
            busy_until_ = earliest;
            carry_ = 0;
        }
        const std::uint64_t scaled = bytes % rate_ * second + carry_;
        carry_ = scaled % rate_;
        busy_until_ += std::chrono::seconds(bytes / rate_) + std::chrono::nanoseconds(scaled / rate_);
        return std::max(now, busy_until_);
    }

    /** Another rate for what is reserved from now on; what was reserved keeps its time. */
    void set_rate(std::uint64_t bytes_per_second, std::uint64_t burst_bytes = 0) noexcept
    {
        rate_ = bytes_per_second;
        burst_ = span_of(burst_bytes);
        carry_ = 0;
    }

private:
    static constexpr std::uint64_t second =
        1'000'000'000; // in the nanoseconds that all times here are counted in
    static_assert(std::is_same_v<duration::period, std::nano>);

    [[nodiscard]] duration span_of(std::uint64_t bytes) const noexcept
    {
        if (rate_ == 0)
            return {};
        const double seconds = static_cast<double>(bytes) / static_cast<double>(rate_);
        return std::chrono::nanoseconds(
            static_cast<std::int64_t>(std::min(seconds, 3600.0) * double(second)));
    }

    std::uint64_t rate_;
    duration burst_;
    time_point busy_until_ = time_point::min();
    std::uint64_t carry_ = 0; // the part of a nanosecond that busy_until_ cannot hold, in 1 / rate_
};

} // namespace objectcache::testing
