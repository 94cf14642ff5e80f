// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/iso8601.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/detail/xml_scanner.hpp>
#include <objectcache/s3/xml.hpp>

namespace objectcache::s3 {

OBJECTCACHE_DECL std::optional<error_document> parse_error_document(std::string_view xml)
{
    using token = detail::xml_scanner::token;
    detail::xml_scanner scan(xml);
    if (scan.next() != token::open || scan.name() != "Error")
        return std::nullopt;
    error_document out;
    std::string field;
    for (;;) {
        switch (scan.next()) {
        case token::open:
            field = scan.depth() == 2 ? scan.name() : std::string_view();
            break;
        case token::close:
            field.clear();
            break;
        case token::text:
            if (field == "Code")
                out.code = scan.text();
            else if (field == "Message")
                out.message = scan.text();
            else if (field == "Region")
                out.region = scan.text();
            break;
        case token::end:
            return out;
        case token::bad:
            // A document cut off by our own bound still names its code, which comes first.
            return out.code.empty() ? std::nullopt : std::optional(out);
        }
    }
}

OBJECTCACHE_DECL result<list_page> parse_list_page(std::string_view xml)
{
    using token = detail::xml_scanner::token;
    const auto malformed = [](const char* why) { return result<list_page>(errc::malformed_response, why); };
    detail::xml_scanner scan(xml);
    if (scan.next() != token::open || scan.name() != "ListBucketResult")
        return malformed("not a ListBucketResult");

    list_page out;
    bool truncated = false;
    bool encoded = false;
    std::vector<std::string> path; // below the root
    for (token t = scan.next(); t != token::end; t = scan.next()) {
        switch (t) {
        case token::open:
            path.emplace_back(scan.name());
            if (path.size() == 1 && path[0] == "Contents")
                out.objects.emplace_back();
            break;
        case token::close:
            if (!path.empty())
                path.pop_back();
            break;
        case token::text:
            if (path.size() == 1) {
                if (path[0] == "IsTruncated")
                    truncated = detail::trimmed(scan.text()) == "true";
                else if (path[0] == "NextContinuationToken")
                    out.continuation = scan.text();
                else if (path[0] == "EncodingType")
                    encoded = detail::trimmed(scan.text()) == "url";
            } else if (path.size() == 2 && path[0] == "Contents") {
                list_entry& entry = out.objects.back();
                if (path[1] == "Key") {
                    entry.key = scan.text();
                } else if (path[1] == "ETag") {
                    entry.etag = scan.text();
                } else if (path[1] == "Size") {
                    const auto size = detail::parse_number(detail::trimmed(scan.text()));
                    if (!size)
                        return malformed("the size of an object is not a number");
                    entry.size = *size;
                } else if (path[1] == "LastModified") {
                    const auto at = detail::parse_iso8601(detail::trimmed(scan.text()));
                    if (!at)
                        return malformed("the time of an object is not ISO 8601");
                    entry.modified = *at;
                }
            } else if (path.size() == 2 && path[0] == "CommonPrefixes" && path[1] == "Prefix") {
                out.common_prefixes.push_back(scan.text());
            }
            break;
        case token::end:
            break;
        case token::bad:
            return malformed("the listing is no well-formed XML");
        }
    }
    if (truncated && out.continuation.empty())
        return malformed("the listing is truncated but has no continuation token");
    if (!truncated)
        out.continuation.clear();

    const auto decode = [](std::string& name) {
        auto plain = detail::url_decoded_key(name);
        if (plain)
            name = std::move(*plain);
        return plain.has_value();
    };
    for (list_entry& entry : out.objects)
        if (entry.key.empty() || (encoded && !decode(entry.key)))
            return malformed("an object of the listing has no readable key");
    for (std::string& prefix : out.common_prefixes)
        if (encoded && !decode(prefix))
            return malformed("a prefix of the listing is not readable");
    return out;
}

} // namespace objectcache::s3
