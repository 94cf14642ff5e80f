// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/hedge.hpp>

#include <algorithm>
#include <bit>
#include <cmath>

namespace objectcache::s3 {

/** Within an octave the buckets are of equal width: the three bits after the leading one say which. */
OBJECTCACHE_DECL std::size_t duration_histogram::bucket_of(duration sample) noexcept
{
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(sample).count();
    if (ns < std::int64_t(1) << first_octave)
        return 0;
    const auto value = static_cast<std::uint64_t>(ns);
    const auto octave = static_cast<unsigned>(std::bit_width(value)) - 1;
    if (octave >= first_octave + octaves)
        return octaves * per_octave - 1;
    const auto within = static_cast<unsigned>(value >> (octave - 3)) & (per_octave - 1);
    return (octave - first_octave) * per_octave + within;
}

OBJECTCACHE_DECL duration duration_histogram::end_of(std::size_t bucket) noexcept
{
    const std::size_t octave = first_octave + bucket / per_octave;
    const std::uint64_t eighths = per_octave + bucket % per_octave + 1;
    return std::chrono::nanoseconds(eighths << (octave - 3));
}

OBJECTCACHE_DECL void duration_histogram::add(duration sample) noexcept
{
    ++counts_[bucket_of(sample)];
    if (++count_ < memory)
        return;
    count_ = 0;
    for (std::uint32_t& n : counts_) {
        // To the nearest, and halves in turn: the few samples of the tail would otherwise vanish first.
        n = (n + (count_ & 1)) / 2;
        count_ += n;
    }
}

OBJECTCACHE_DECL duration duration_histogram::quantile(double q) const noexcept
{
    if (count_ == 0)
        return duration::zero();
    const auto wanted = static_cast<std::uint32_t>(std::clamp(std::ceil(q * count_), 1.0, double(count_)));
    std::uint32_t seen = 0;
    std::size_t bucket = 0;
    while ((seen += counts_[bucket]) < wanted)
        ++bucket;
    return end_of(bucket);
}

OBJECTCACHE_DECL hedge_policy::hedge_policy(hedge_options options) noexcept : options_(options)
{
    options_.min_samples = std::clamp(options_.min_samples, 1u, duration_histogram::memory / 2 - 1);
}

OBJECTCACHE_DECL std::size_t hedge_policy::class_of(std::uint64_t bytes) noexcept
{
    const auto width = static_cast<unsigned>(std::bit_width(bytes > 0 ? bytes - 1 : 0));
    return std::clamp(width, first_class, first_class + classes - 1) - first_class;
}

OBJECTCACHE_DECL std::optional<duration> hedge_policy::delay(std::uint64_t bytes) const noexcept
{
    if (bytes > options_.max_bytes)
        return std::nullopt;
    const duration_histogram& known = durations_[class_of(bytes)];
    if (known.count() < options_.min_samples)
        return std::nullopt;
    return std::max(known.quantile(options_.quantile), options_.min_delay);
}

OBJECTCACHE_DECL bool hedge_policy::take(bool calm) noexcept
{
    if (!calm || tokens_ < 1) {
        ++stats_.denied;
        return false;
    }
    tokens_ -= 1;
    ++stats_.hedges;
    return true;
}

OBJECTCACHE_DECL void hedge_policy::completed(std::uint64_t bytes, duration first, bool second_won) noexcept
{
    ++stats_.requests;
    stats_.won += second_won;
    tokens_ = std::min<double>(tokens_ + options_.budget, options_.burst);
    durations_[class_of(bytes)].add(first);
}

} // namespace objectcache::s3
