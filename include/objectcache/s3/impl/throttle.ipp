// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/throttle.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace objectcache::s3 {

namespace detail {

using float_seconds = std::chrono::duration<double>;

/** Requests/s^4: the growth past the refused rate that even the lowest rates have (the SDKs' constant), so that
    within 15 s 1 request/s becomes 400. */
inline constexpr double throttle_growth = 0.4;

inline constexpr double throttle_memory = 0.5; ///< seconds

} // namespace detail

OBJECTCACHE_DECL throttle::throttle(throttle_options options) noexcept : options_(options)
{
    options_.min_rate = std::max(options_.min_rate, 1e-3);
    options_.cut = std::clamp(options_.cut, 0.5, 0.99);
    options_.plateau = std::max<duration>(options_.plateau, std::chrono::milliseconds(1));
}

OBJECTCACHE_DECL bool throttle::limited(time_point now) const noexcept
{
    return options_.enabled && limited_ && now - refused_at_ < options_.forget;
}

OBJECTCACHE_DECL double throttle::rate(time_point now) const noexcept
{
    if (!limited(now))
        return std::numeric_limits<double>::infinity();
    const double plateau = detail::float_seconds(options_.plateau).count();
    const double t = detail::float_seconds(now - cut_at_).count() - plateau; // negative: on the way back
    const double relative = (ceiling_ - floor_) / (plateau * plateau * plateau);
    return ceiling_ + (t < 0 ? relative : std::max(relative, detail::throttle_growth)) * t * t * t;
}

OBJECTCACHE_DECL time_point throttle::earliest(time_point now) const noexcept
{
    if (!limited(now) || last_sent_ == time_point::min())
        return now;
    const detail::float_seconds apart(1 / rate(now));
    return std::max(now, last_sent_ + std::chrono::ceil<duration>(apart));
}

OBJECTCACHE_DECL void throttle::sent(time_point now) noexcept
{
    last_sent_ = now;
    sending_.add(now);
}

OBJECTCACHE_DECL void throttle::accepted(time_point now) noexcept
{
    accepting_.add(now);
}

OBJECTCACHE_DECL void throttle::refused(time_point when_sent, time_point now) noexcept
{
    const bool first = !limited(now);
    refused_at_ = now;
    if (!first && when_sent < cut_at_)
        return;
    const bool soon = !first && now - cut_at_ < options_.plateau / 2;
    ceiling_ = std::max(first ? sending_(now) : rate(now), options_.min_rate);
    floor_ = ceiling_ * options_.cut;
    if (first || soon) // far from what is allowed
        floor_ = std::clamp(accepting_(now), ceiling_ / 2, floor_);
    floor_ = std::max(floor_, options_.min_rate);
    limited_ = true;
    cut_at_ = now;
}

OBJECTCACHE_DECL void throttle::frequency::add(time_point now) noexcept
{
    if (!any_)
        first_ = last_ = now;
    any_ = true;
    const double gone = detail::float_seconds(now - last_).count();
    weight_ = weight_ * std::exp(-gone / detail::throttle_memory) + 1 / detail::throttle_memory;
    last_ = now;
}

OBJECTCACHE_DECL double throttle::frequency::operator()(time_point now) const noexcept
{
    if (!any_)
        return 0;
    const double gone = detail::float_seconds(now - last_).count();
    // Until weights of all ages have come together; and requests that begin together are no frequency.
    const double seen = std::max(detail::float_seconds(now - first_).count(), 0.1);
    return weight_ * std::exp(-gone / detail::throttle_memory) / -std::expm1(-seen / detail::throttle_memory);
}

} // namespace objectcache::s3
