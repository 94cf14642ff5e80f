// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/detail/ascii.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>

namespace objectcache::s3::detail {

/** A date as HTTP writes it (IMF-fixdate, RFC 9110, 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". Nothing if it has another
    form, also one of the two that were obsolete in 1999, or is no real date; the name of the day is not checked. */
[[nodiscard]] inline std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view in) noexcept
{
    using namespace std::chrono;
    constexpr std::string_view form = "???, ## ??? #### ##:##:## GMT";
    if (in.size() != form.size())
        return std::nullopt;
    for (std::size_t i = 0; i < form.size(); ++i) {
        const bool digit = in[i] >= '0' && in[i] <= '9';
        if (form[i] == '#' ? !digit : form[i] != '?' && form[i] != in[i])
            return std::nullopt;
    }
    constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    unsigned number = 1;
    while (number <= months.size() && in.substr(8, 3) != months[number - 1])
        ++number;
    const auto at = [&](std::size_t first, std::size_t digits) {
        return static_cast<unsigned>(*parse_number(in.substr(first, digits)));
    };
    const year_month_day date(year(static_cast<int>(at(12, 4))), month(number), day(at(5, 2)));
    const unsigned hour = at(17, 2), minute = at(20, 2), second = at(23, 2);
    if (!date.ok() || hour > 23 || minute > 59 || second > 60) // 60: a leap second
        return std::nullopt;
    return sys_days(date) + hours(hour) + minutes(minute) + seconds(second);
}

} // namespace objectcache::s3::detail
