// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>

namespace objectcache {

/** The only time the library reads. Under test it is a manual clock's (io/clock.hpp). */
using time_point = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;

/** `by` after `at`: the end of time rather than an overflow, so that the longest duration means "never". */
[[nodiscard]] constexpr time_point later(time_point at, duration by) noexcept
{
    if (by > duration::zero() && at > time_point::max() - by)
        return time_point::max();
    if (by < duration::zero() && at < time_point::min() - by)
        return time_point::min();
    return at + by;
}

/** A point in time after which an operation stops *waiting* (law 2: it goes on owning until its DMA or socket is done).

    A default deadline never passes; the library's own options always set one, because no wait is unbounded. */
class deadline {
public:
    constexpr deadline() = default;
    constexpr explicit deadline(time_point at) : at_(at) {}

    [[nodiscard]] static constexpr deadline never() noexcept { return {}; }
    [[nodiscard]] constexpr time_point at() const noexcept { return at_; }
    [[nodiscard]] constexpr bool passed(time_point now) const noexcept { return now >= at_; }
    /** The nearer of two: an operation inside another may never outlast it. */
    [[nodiscard]] constexpr deadline nearer(deadline other) const noexcept
    {
        return at_ < other.at_ ? *this : other;
    }
    friend constexpr auto operator<=>(const deadline&, const deadline&) = default;

private:
    time_point at_ = time_point::max();
};

} // namespace objectcache
