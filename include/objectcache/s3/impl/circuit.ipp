// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/circuit.hpp>

#include <algorithm>

namespace objectcache::s3 {

namespace detail {

/** splitmix64 (Steele, Lea, Flood, 2014). */
[[nodiscard]] constexpr std::uint64_t splitmix(std::uint64_t& state) noexcept
{
    std::uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

} // namespace detail

OBJECTCACHE_DECL verdict verdict_on_endpoint(const status& outcome) noexcept
{
    if (outcome.ok() || outcome == errc::throttled || outcome == errc::unexpected_status)
        return verdict::alive;
    if (outcome == condition::unavailable || outcome == condition::timeout ||
        outcome == errc::malformed_response)
        return verdict::failed;
    if (outcome == errc::no_credentials) // denied by ourselves
        return verdict::unknown;
    if (outcome == condition::absent || outcome == condition::denied || outcome == condition::corrupt ||
        outcome == errc::already_exists)
        return verdict::alive;
    return verdict::unknown;
}

OBJECTCACHE_DECL circuit::circuit(circuit_options options, std::uint64_t seed) noexcept
    : options_(options)
    , random_(seed)
{
    options_.consecutive_failures = std::max(options_.consecutive_failures, 1u);
    options_.min_requests = std::max(options_.min_requests, 1u);
    options_.cooldown = std::max<duration>(options_.cooldown, std::chrono::milliseconds(1));
    options_.max_cooldown = std::max(options_.max_cooldown, options_.cooldown);
}

OBJECTCACHE_DECL circuit::admission circuit::admit(time_point now) noexcept
{
    admission out;
    if (state_ != state::closed && now < until_) {
        out.admitted_ = false;
        out.until_ = until_;
        return out;
    }
    if (state_ != state::closed) { // the cool-down is over, or the probe was lost
        enter(state::half_open);
        until_ = now + cooldown_;
        out.probe_ = true;
    }
    out.epoch_ = epoch_;
    return out;
}

OBJECTCACHE_DECL void circuit::report(const admission& of, verdict how, time_point now) noexcept
{
    if (!of.admitted_ || of.epoch_ != epoch_)
        return;
    if (state_ == state::half_open) {
        if (how == verdict::alive)
            close(now);
        else if (how == verdict::failed)
            open(now);
        else
            until_ = now; // the next one is a probe
        return;
    }
    if (how == verdict::unknown)
        return;
    roll(now);
    ++this_half_.all;
    if (how == verdict::alive) {
        consecutive_ = 0;
        return;
    }
    ++this_half_.failed;
    ++consecutive_;
    if (too_many())
        open(now);
}

OBJECTCACHE_DECL bool circuit::too_many() const noexcept
{
    if (consecutive_ >= options_.consecutive_failures)
        return true;
    const auto all = last_half_.all + this_half_.all;
    const auto failed = static_cast<double>(last_half_.failed + this_half_.failed);
    return all >= options_.min_requests && failed >= options_.failure_share * static_cast<double>(all);
}

OBJECTCACHE_DECL void circuit::open(time_point now) noexcept
{
    const bool again = openings_ != 0 && (state_ == state::half_open || now - closed_at_ < options_.window);
    if (!again)
        cooldown_ = options_.cooldown;
    else
        cooldown_ = cooldown_ > options_.max_cooldown / 2 ? options_.max_cooldown : 2 * cooldown_;
    ++openings_;
    enter(state::open);
    // [1/2, 1) of it, in steps of 1/2048.
    until_ = now + cooldown_ / 2 + cooldown_ / 2048 * static_cast<int>(detail::splitmix(random_) >> 54);
}

OBJECTCACHE_DECL void circuit::close(time_point now) noexcept
{
    enter(state::closed);
    closed_at_ = half_began_ = now;
    last_half_ = this_half_ = {};
    consecutive_ = 0;
}

OBJECTCACHE_DECL void circuit::enter(state next) noexcept
{
    state_ = next;
    ++epoch_;
}

/** Forget what is older than the window: it is kept in two halves, the older one of which goes as a whole. */
OBJECTCACHE_DECL void circuit::roll(time_point now) noexcept
{
    const duration half = options_.window / 2;
    if (now - half_began_ < half)
        return;
    last_half_ = now - half_began_ < 2 * half ? this_half_ : tally();
    this_half_ = {};
    half_began_ = now;
}

} // namespace objectcache::s3
