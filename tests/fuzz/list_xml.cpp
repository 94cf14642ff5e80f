// SPDX-License-Identifier: BSL-1.0
// A page of a listing.
#include "fuzz.hpp"

#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/detail/xml_text.hpp>
#include <objectcache/s3/sigv4.hpp>
#include <objectcache/s3/xml.hpp>

#include <algorithm>
#include <string>

namespace objectcache::fuzz {

namespace list_target {

std::string encoded(std::string_view key)
{
    std::string out;
    s3::detail::append_uri_encoded(out, key, s3::detail::slash::keep);
    return out;
}

/** As a store would write it, with encoding-type=url: then any key can be said. */
std::string written(const s3::list_page& page)
{
    using s3::detail::append_element;
    std::string out = "<?xml version=\"1.0\"?><ListBucketResult><EncodingType>url</EncodingType>";
    append_element(out, "IsTruncated", page.continuation.empty() ? "false" : "true");
    append_element(out, "NextContinuationToken", page.continuation);
    for (const s3::list_entry& object : page.objects) {
        out += "<Contents>";
        append_element(out, "Key", encoded(object.key));
        append_element(out, "Size", std::to_string(object.size));
        append_element(out, "ETag", object.etag);
        if (object.modified != std::chrono::system_clock::time_point::max()) {
            const auto at = std::chrono::floor<std::chrono::seconds>(object.modified);
            const std::string basic = s3::format_amz_date(at); // 20300102T030405Z
            append_element(out, "LastModified",
                           basic.substr(0, 4) + '-' + basic.substr(4, 2) + '-' + basic.substr(6, 5) + ':' +
                               basic.substr(11, 2) + ':' + basic.substr(13));
        }
        out += "</Contents>";
    }
    for (const std::string& prefix : page.common_prefixes) {
        out += "<CommonPrefixes>";
        append_element(out, "Prefix", encoded(prefix));
        out += "</CommonPrefixes>";
    }
    return out + "</ListBucketResult>";
}

} // namespace list_target

void list_xml(std::string_view input)
{
    const auto page = s3::parse_list_page(input);
    if (!page) {
        require(page.code() == errc::malformed_response, "what cannot be read is malformed");
        return;
    }
    std::size_t bytes = page->continuation.size();
    bool can_be_written = page->continuation.find('\0') == std::string::npos; // no reference means NUL
    for (const s3::list_entry& object : page->objects) {
        require(!object.key.empty(), "every object has a key");
        bytes += object.key.size() + object.etag.size();
        can_be_written = can_be_written && object.etag.find('\0') == std::string::npos;
    }
    for (const std::string& prefix : page->common_prefixes)
        bytes += prefix.size();
    require(bytes <= input.size(), "what was read was there");
    if (!can_be_written)
        return;
    const auto again = s3::parse_list_page(list_target::written(*page));
    require(again.ok(), "written, it can be read again");
    require(again->continuation == page->continuation && again->common_prefixes == page->common_prefixes &&
                std::equal(again->objects.begin(), again->objects.end(), page->objects.begin(),
                           page->objects.end(),
                           [](const s3::list_entry& a, const s3::list_entry& b) {
                               return a.key == b.key && a.size == b.size && a.etag == b.etag &&
                                      a.modified == b.modified;
                           }),
            "and is the same");
}

} // namespace objectcache::fuzz
