// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/http_date.hpp>
#include <objectcache/s3/retry.hpp>

#include <algorithm>

namespace objectcache::s3 {

OBJECTCACHE_DECL retry_class classify(const status& why, bool repeatable) noexcept
{
    if (why.ok())
        return retry_class::never;
    // Nothing was done: the store says so, or never heard of it.
    if (why == errc::throttled)
        return retry_class::throttling;
    if (why == errc::unreachable)
        return retry_class::timeout;
    if (why.code() == std::errc::connection_refused || why.code() == std::errc::host_unreachable ||
        why.code() == std::errc::network_unreachable)
        return retry_class::transient;
    if (!repeatable)
        return retry_class::never;
    if (why.code() == std::errc::timed_out) // the transport's; the operation's own is errc::deadline_exceeded
        return retry_class::timeout;
    if (why == errc::tls_failed || why == errc::malformed_response || why == errc::length_mismatch ||
        why == errc::checksum_mismatch)
        return retry_class::once;
    if (why == condition::unavailable && why != errc::unexpected_status)
        return retry_class::transient;
    return retry_class::never;
}

OBJECTCACHE_DECL std::optional<duration> parse_retry_after(std::string_view value,
                                                           std::chrono::sys_seconds now)
{
    using std::chrono::seconds;
    constexpr seconds longest = std::chrono::days(1);
    value = detail::trimmed(value);
    if (!value.empty() && value.find_first_not_of("0123456789") == value.npos) {
        const auto number = detail::parse_number(value); // nothing: digits, but more than fit
        return seconds(std::min<std::uint64_t>(number.value_or(~std::uint64_t(0)), longest.count()));
    }
    const auto date = detail::parse_http_date(value);
    if (!date)
        return std::nullopt;
    return std::clamp<seconds>(*date - now, seconds(0), longest);
}

OBJECTCACHE_DECL duration retry_policy::longest(retry_class kind, unsigned attempts) const noexcept
{
    const duration cap = std::max(options_.max_delay, duration::zero());
    const duration base = kind == retry_class::throttling ? options_.throttled_delay : options_.base_delay;
    duration out = std::clamp(base, duration::zero(), cap);
    for (unsigned i = 1; i < attempts && out < cap; ++i)
        out = out > cap / 2 ? cap : 2 * out;
    return out;
}

OBJECTCACHE_DECL bool retry_policy::allows(retry_class kind, const retry_progress& so_far,
                                           duration floor) const noexcept
{
    if (kind == retry_class::never || so_far.attempts >= options_.max_attempts)
        return false;
    return (kind != retry_class::once || so_far.attempts < 2) && floor <= options_.max_retry_after;
}

OBJECTCACHE_DECL bool retry_policy::pay(retry_class kind, retry_progress& so_far) noexcept
{
    const auto cost = kind == retry_class::timeout ? retry_budget::timeout_cost : retry_budget::retry_cost;
    if (!budget_.take(cost))
        return false;
    so_far.paid = cost;
    ++so_far.attempts;
    return true;
}

} // namespace objectcache::s3
