// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>

#include <string>
#include <string_view>

namespace objectcache::s3::detail {

inline constexpr std::string_view base64_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** RFC 4648, with padding. */
[[nodiscard]] inline std::string base64(const_byte_span bytes)
{
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const auto byte = [&](std::size_t k) {
            return k < bytes.size() ? std::to_integer<std::uint32_t>(bytes[k]) : 0U;
        };
        const std::uint32_t group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
        out += base64_alphabet[group >> 18];
        out += base64_alphabet[group >> 12 & 63];
        out += i + 1 < bytes.size() ? base64_alphabet[group >> 6 & 63] : '=';
        out += i + 2 < bytes.size() ? base64_alphabet[group & 63] : '=';
    }
    return out;
}

/** Is `text` what `base64` makes of some `size` bytes? */
[[nodiscard]] inline bool is_base64_of(std::string_view text, std::size_t size) noexcept
{
    const std::size_t padding = (3 - size % 3) % 3;
    if (text.size() != (size + 2) / 3 * 4 || !text.ends_with(std::string_view("==").substr(0, padding)))
        return false;
    text.remove_suffix(padding);
    if (text.find_first_not_of(base64_alphabet) != text.npos)
        return false;
    // The bits that no byte reaches are zero: one value has one text.
    const std::size_t unused = padding == 0 ? 0 : base64_alphabet.find(text.back()) & (padding == 1 ? 3 : 15);
    return unused == 0;
}

} // namespace objectcache::s3::detail
