// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

namespace objectcache::s3::detail {

enum class slash { encode, keep };

[[nodiscard]] constexpr bool is_unreserved(unsigned char c) noexcept
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/** Appends `in` percent-encoded the one way SigV4 accepts: unreserved characters as they are, every other *byte* as
    %XX with upper-case digits. Works on any byte string; UTF-8 needs no decoding. */
inline void append_uri_encoded(std::string& out, std::string_view in, slash slashes)
{
    constexpr char digits[] = "0123456789ABCDEF";
    const auto stays = [slashes](char ch) {
        return is_unreserved(static_cast<unsigned char>(ch)) || (ch == '/' && slashes == slash::keep);
    };
    for (auto at = in.begin(); at != in.end();) {
        const auto end = std::find_if_not(at, in.end(), stays);
        out.append(at, end);
        at = end;
        if (at == in.end())
            return;
        const auto c = static_cast<unsigned char>(*at++);
        out += '%';
        out += digits[c >> 4];
        out += digits[c & 15];
    }
}

/** The value of a hexadecimal digit, or -1. */
[[nodiscard]] constexpr int hex_value(char c) noexcept
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/** Undoes percent-encoding; nothing if a '%' is not followed by two hexadecimal digits. '+' stays '+': in S3's paths
    and queries it is a plus. */
[[nodiscard]] inline std::optional<std::string> uri_decoded(std::string_view in)
{
    std::string out;
    out.reserve(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
        if (in[i] != '%') {
            out += in[i];
            continue;
        }
        if (in.size() - i < 3)
            return std::nullopt;
        const int high = hex_value(in[i + 1]);
        const int low = hex_value(in[i + 2]);
        if (high < 0 || low < 0)
            return std::nullopt;
        out += static_cast<char>(high << 4 | low);
        i += 2;
    }
    return out;
}

/** Undoes encoding-type=url of a listing, where - unlike in a path - a plus is a space. */
[[nodiscard]] inline std::optional<std::string> url_decoded_key(std::string_view in)
{
    std::string spaced(in);
    std::replace(spaced.begin(), spaced.end(), '+', ' ');
    return uri_decoded(spaced);
}

} // namespace objectcache::s3::detail
