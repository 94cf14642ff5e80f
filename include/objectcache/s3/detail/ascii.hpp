// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Text of protocols is ASCII; the C library's functions would ask the locale.
namespace objectcache::s3::detail {

/** Without spaces, tabs and line ends at either end. */
[[nodiscard]] constexpr std::string_view trimmed(std::string_view in) noexcept
{
    constexpr std::string_view blank = " \t\r\n";
    const auto first = in.find_first_not_of(blank);
    return first == in.npos ? std::string_view() : in.substr(first, in.find_last_not_of(blank) - first + 1);
}

[[nodiscard]] constexpr char lower_case(char c) noexcept
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

[[nodiscard]] inline std::string lower_case(std::string_view in)
{
    std::string out(in);
    for (char& c : out)
        c = lower_case(c);
    return out;
}

/** Are they the same but for case? `lower` is in lower case. */
[[nodiscard]] constexpr bool is_lower_of(std::string_view lower, std::string_view in) noexcept
{
    if (in.size() != lower.size())
        return false;
    for (std::size_t i = 0; i < in.size(); ++i)
        if (lower_case(in[i]) != lower[i])
            return false;
    return true;
}

/** A decimal number: digits only, all of `in`, and small enough. */
[[nodiscard]] inline std::optional<std::uint64_t> parse_number(std::string_view in) noexcept
{
    std::uint64_t value = 0;
    const auto [end, ec] = std::from_chars(in.data(), in.data() + in.size(), value);
    if (ec != std::errc() || end != in.data() + in.size())
        return std::nullopt;
    return value;
}

/** May `in` be put into a header of a request? Anything else could smuggle in a header of its own. */
[[nodiscard]] constexpr bool is_header_safe(std::string_view in) noexcept
{
    for (const char c : in)
        if (static_cast<unsigned char>(c) < ' ' || c == 0x7f)
            return false;
    return true;
}

} // namespace objectcache::s3::detail
