// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/connection_control.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace objectcache::s3 {

namespace detail {

inline constexpr unsigned base_intervals = 4;
inline constexpr unsigned least_intervals = 3, most_intervals = 16; // of a probe
inline constexpr unsigned shortest_hold = 8, longest_hold = 32;
inline constexpr double worth = 0.5;      // a rise is kept for this share of the ideal gain
inline constexpr double negligible = 0.2; // a fall is kept for this share of the loss that would be expected
inline constexpr double sure = 2;         // standard errors

} // namespace detail

OBJECTCACHE_DECL connection_control::connection_control(connection_control_options options) noexcept
    : options_(options)
    , hold_length_(detail::shortest_hold)
{
    options_.min = std::max<std::size_t>(options_.min, 1);
    options_.max = std::clamp(options_.max, options_.min, std::size_t(1) << 20);
    options_.initial = std::clamp(options_.initial, options_.min, options_.max);
    options_.interval = std::max<duration>(options_.interval, std::chrono::milliseconds(1));
    options_.idle = std::max<duration>(options_.idle, options_.interval);
    limit_ = base_ = options_.initial;
}

OBJECTCACHE_DECL void connection_control::received(std::uint64_t bytes) noexcept
{
    bytes_ += bytes;
    ++arrivals_;
}

OBJECTCACHE_DECL void connection_control::throttled(time_point now) noexcept
{
    if (now < throttled_until_) // of the same wave
        return;
    throttled_until_ = now + 2 * options_.interval;
    base_ = std::max(options_.min, limit_ * 7 / 10);
    doubling_ = false;
    hold();
}

OBJECTCACHE_DECL std::size_t connection_control::limit(time_point now, std::size_t wanted) noexcept
{
    if (wanted < limit_) {
        running_ = false;
        if (limit_ == options_.initial)
            demand_at_ = now;
        for (; now - demand_at_ >= options_.idle && limit_ != options_.initial; demand_at_ += options_.idle) {
            base_ = (limit_ + options_.initial + (limit_ < options_.initial)) / 2;
            measure_base();
        }
        return limit_;
    }
    demand_at_ = now;
    if (!running_)
        begin_interval(now);
    // Requests may take longer than an interval: it lasts until each connection could have had its say.
    if (now - began_ >= options_.interval && arrivals_ >= limit_) {
        const double elapsed = std::chrono::duration<double>(now - began_).count();
        const auto bytes = static_cast<double>(bytes_);
        begin_interval(now);
        end_interval(bytes / elapsed);
    }
    return limit_;
}

OBJECTCACHE_DECL void connection_control::begin_interval(time_point now) noexcept
{
    running_ = true;
    began_ = now;
    bytes_ = arrivals_ = 0;
}

OBJECTCACHE_DECL void connection_control::end_interval(double bytes_per_second) noexcept
{
    if (std::exchange(skip_, false))
        return;
    if (phase_ == phase::hold) {
        if (--hold_left_ == 0)
            measure_base();
        return;
    }
    here_.add(bytes_per_second);
    if (phase_ == phase::probe)
        return compare();
    if (here_.count() >= detail::base_intervals) {
        at_base_ = here_;
        probe();
    }
}

/** Did the probe bring, or spare, enough? Not before that is clear or has taken too long. */
OBJECTCACHE_DECL void connection_control::compare() noexcept
{
    const bool up = limit_ > base_;
    // Negative on the way down.
    const double ideal = static_cast<double>(limit_) / static_cast<double>(base_) - 1;
    const double wanted = at_base_.mean() * (1 + ideal * (up ? detail::worth : detail::negligible));
    const double distance = here_.mean() - wanted;
    const double scatter = std::sqrt(here_.variance() + at_base_.variance());
    if (here_.count() < detail::least_intervals ||
        (std::abs(distance) < detail::sure * scatter && here_.count() < detail::most_intervals))
        return;
    if (distance >= 0) {
        base_ = limit_;
        at_base_ = here_;
        (up ? up_failed_ : down_failed_) = false;
        (up ? down_failed_ : up_failed_) = true; // that is where it comes from
        hold_length_ = detail::shortest_hold;
        doubling_ = doubling_ || (up && rising_); // a quarter more, and again: it was given up by mistake
        rising_ = up;
    } else {
        rising_ = false;
        if (up && doubling_)
            doubling_ = false; // a quarter more may still not be too much
        else
            (up ? up_failed_ : down_failed_) = true;
    }
    probe();
}

OBJECTCACHE_DECL void connection_control::measure_base() noexcept
{
    phase_ = phase::base;
    up_failed_ = down_failed_ = false;
    here_ = {};
    set_limit(base_);
}

/** Compare the base with a larger number, then with a smaller one, or let it be. */
OBJECTCACHE_DECL void connection_control::probe() noexcept
{
    const std::size_t quarter = std::max<std::size_t>(base_ / 4, 1);
    up_failed_ = up_failed_ || base_ == options_.max;
    down_failed_ = down_failed_ || base_ == options_.min;
    if (up_failed_ && down_failed_)
        return hold();
    phase_ = phase::probe;
    here_ = {};
    if (!up_failed_)
        set_limit(std::min(options_.max, base_ + (doubling_ ? base_ : quarter)));
    else
        set_limit(std::max(options_.min, base_ - quarter));
}

OBJECTCACHE_DECL void connection_control::hold() noexcept
{
    phase_ = phase::hold;
    hold_left_ = hold_length_;
    hold_length_ = std::min(2 * hold_length_, detail::longest_hold);
    set_limit(base_);
}

OBJECTCACHE_DECL void connection_control::set_limit(std::size_t count) noexcept
{
    skip_ = skip_ || count != limit_;
    limit_ = count;
}

OBJECTCACHE_DECL void connection_control::goodput::add(double bytes_per_second) noexcept
{
    ++count_;
    const double before = bytes_per_second - mean_;
    mean_ += before / count_;
    squares_ += before * (bytes_per_second - mean_);
}

OBJECTCACHE_DECL double connection_control::goodput::variance() const noexcept
{
    // A few measurements that happen to agree do not prove that there is no scatter.
    const double least = 0.0004 * mean_ * mean_;
    return std::max(count_ > 1 ? squares_ / (count_ - 1) : 0, least) / std::max(count_, 1u);
}

} // namespace objectcache::s3
