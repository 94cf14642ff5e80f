// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/s3/detail/xml_scanner.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace objectcache::s3::detail {

/** Names of the open elements below the root. */
using xml_path = std::vector<std::string_view>;

[[nodiscard]] inline bool is_at(const xml_path& path, std::string_view name) noexcept
{
    return path.size() == 1 && path[0] == name;
}

[[nodiscard]] inline bool is_at(const xml_path& path, std::string_view outer, std::string_view name) noexcept
{
    return path.size() == 2 && path[0] == outer && path[1] == name;
}

/** Walks over a document whose root is `root`, or one of those that end with it, and calls `on_open(path)` at the begin of
    each element below it and `on_text(path, text)` for its text.

    @return `malformed_response` for another document, and for one that is not well-formed or cut short. */
template <class OnOpen, class OnText>
[[nodiscard]] status walk_xml(std::string_view xml, std::string_view root, OnOpen on_open, OnText on_text)
{
    using token = xml_scanner::token;
    xml_scanner scan(xml);
    if (scan.next() != token::open || !scan.name().ends_with(root))
        return {errc::malformed_response, "not a " + std::string(root)};
    xml_path path;
    for (;;) {
        switch (scan.next()) {
        case token::open:
            path.push_back(scan.name());
            on_open(path);
            break;
        case token::close:
            if (!path.empty())
                path.pop_back();
            break;
        case token::text:
            on_text(path, scan.text());
            break;
        case token::end:
            return {};
        case token::bad:
            return {errc::malformed_response, "the " + std::string(root) + " is no well-formed XML"};
        }
    }
}

} // namespace objectcache::s3::detail
