// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/detail/ascii.hpp>

#include <algorithm>
#include <string_view>

namespace objectcache::s3::detail {

/** The value of `key` in section `[section]` of a shared AWS file; empty if there is none. The last of several wins, as
    in the AWS tools. Lines that mean nothing are passed over: these files belong to other programs too. */
[[nodiscard]] constexpr std::string_view ini_value(std::string_view text, std::string_view section,
                                                   std::string_view key) noexcept
{
    std::string_view found;
    bool inside = false;
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        // An indented line continues a nested setting ("s3 =" and below): none of those is ours.
        if (line.empty() || line[0] == ' ' || line[0] == '\t')
            continue;
        line = trimmed(line);
        if (line.empty() || line[0] == '#' || line[0] == ';')
            continue;
        if (line[0] == '[') {
            const auto close = line.find(']');
            inside = close != line.npos && trimmed(line.substr(1, close - 1)) == section;
            continue;
        }
        const auto equals = line.find('=');
        if (!inside || equals == line.npos || trimmed(line.substr(0, equals)) != key)
            continue;
        found = line.substr(equals + 1);
        for (const std::string_view comment : {" #", " ;", "\t#", "\t;"})
            found = found.substr(0, found.find(comment));
        found = trimmed(found);
    }
    return found;
}

} // namespace objectcache::s3::detail
