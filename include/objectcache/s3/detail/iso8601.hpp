// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/sigv4.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace objectcache::s3::detail {

/** Reads 2030-01-02T03:04:05Z, also with a fraction of a second, which is dropped, and with an offset from UTC. Times that
    the system's clock cannot count become its end, or its epoch: only whether they are past matters. */
[[nodiscard]] inline std::optional<std::chrono::system_clock::time_point> parse_iso8601(std::string_view in)
{
    using clock = std::chrono::system_clock;
    constexpr std::size_t seconds_end = 19;
    if (in.size() <= seconds_end || in[4] != '-' || in[7] != '-' || in[10] != 'T' || in[13] != ':' ||
        in[16] != ':')
        return std::nullopt;
    std::string basic;
    for (const char c : in.substr(0, seconds_end))
        if (c != '-' && c != ':')
            basic += c;
    const auto at = parse_amz_date(basic + 'Z');
    in.remove_prefix(seconds_end);
    if (in.starts_with('.')) {
        const auto end = in.find_first_not_of("0123456789", 1);
        if (end == in.npos || end == 1)
            return std::nullopt;
        in.remove_prefix(end);
    }
    std::chrono::minutes offset(0);
    if (in != "Z") {
        if (in.size() != 6 || (in[0] != '+' && in[0] != '-') || in[3] != ':')
            return std::nullopt;
        const auto hours = parse_number(in.substr(1, 2));
        const auto minutes = parse_number(in.substr(4, 2));
        if (!hours || !minutes || *hours > 23 || *minutes > 59)
            return std::nullopt;
        offset = std::chrono::minutes(*hours * 60 + *minutes) * (in[0] == '-' ? -1 : 1);
    }
    if (!at)
        return std::nullopt;
    const sigv4_time utc = *at - offset;
    if (utc > std::chrono::floor<std::chrono::seconds>(clock::time_point::max()))
        return clock::time_point::max();
    return utc < sigv4_time() ? clock::time_point() : clock::time_point(utc);
}

} // namespace objectcache::s3::detail
