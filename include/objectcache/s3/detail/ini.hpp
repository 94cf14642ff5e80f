// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/detail/ascii.hpp>

#include <algorithm>
#include <string_view>

namespace objectcache::s3::detail {

/** Calls `visit(section, key, value, outer)` for every setting of a shared AWS file, in order; `outer` is empty, or the key
    without a value below which an indented line stands ("s3 ="). Lines that mean nothing are passed over: these files belong
    to other programs too. */
template <class Visit>
constexpr void for_each_setting(std::string_view text, Visit visit)
{
    std::string_view section, outer;
    bool inside = false;
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        const bool nested = line.starts_with(' ') || line.starts_with('\t');
        line = trimmed(line);
        if (line.empty() || line[0] == '#' || line[0] == ';')
            continue;
        if (line[0] == '[' && !nested) {
            const auto close = line.find(']');
            outer = {};
            inside = close != line.npos;
            section = trimmed(line.substr(1, inside ? close - 1 : 0));
            continue;
        }
        const auto equals = line.find('=');
        if (!inside || equals == line.npos)
            continue;
        std::string_view value = line.substr(equals + 1);
        for (const std::string_view comment : {" #", " ;", "\t#", "\t;"})
            value = value.substr(0, value.find(comment));
        const std::string_view key = trimmed(line.substr(0, equals));
        value = trimmed(value);
        if (!nested)
            outer = value.empty() ? key : std::string_view();
        if (!nested || !outer.empty())
            visit(section, key, value, nested ? outer : std::string_view());
    }
}

/** The value of `key` in section `[section]`; empty if there is none. The last of several wins, as in the AWS tools. */
[[nodiscard]] constexpr std::string_view ini_value(std::string_view text, std::string_view section,
                                                   std::string_view key)
{
    std::string_view found;
    for_each_setting(text, [&](std::string_view in, std::string_view name, std::string_view value,
                               std::string_view outer) {
        if (in == section && name == key && outer.empty())
            found = value;
    });
    return found;
}

} // namespace objectcache::s3::detail
