// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/outcome.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/detail/xml_scanner.hpp>
#include <objectcache/s3/detail/xml_text.hpp>
#include <objectcache/s3/xml_multipart.hpp>

#include <algorithm>

namespace objectcache::s3 {

namespace detail {

/** Names of the open elements below the root. */
using xml_path = std::vector<std::string_view>;

[[nodiscard]] OBJECTCACHE_DECL bool is_at(const xml_path& path, std::string_view name) noexcept
{
    return path.size() == 1 && path[0] == name;
}

[[nodiscard]] OBJECTCACHE_DECL bool is_at(const xml_path& path, std::string_view outer,
                                          std::string_view name) noexcept
{
    return path.size() == 2 && path[0] == outer && path[1] == name;
}

/** Walks over a document whose root is `root`, or one of those that end with it, and calls `on_open(path)` at the begin of
    each element below it and `on_text(path, text)` for its text.

    @return the error that an <Error> document stands for, or `malformed_response`. */
template <class OnOpen, class OnText>
[[nodiscard]] status walk_xml(std::string_view xml, std::string_view root, OnOpen on_open, OnText on_text)
{
    using token = xml_scanner::token;
    if (status refused = outcome_of(200, xml, false); !refused.ok())
        return refused;
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

} // namespace detail

OBJECTCACHE_DECL result<std::string> parse_initiated_upload(std::string_view xml)
{
    std::string id;
    const status read = detail::walk_xml(
        xml, "InitiateMultipartUploadResult", [](const detail::xml_path&) {},
        [&](const detail::xml_path& path, const std::string& text) {
            if (detail::is_at(path, "UploadId"))
                id = text;
        });
    if (!read.ok())
        return read;
    if (id.empty())
        return {errc::malformed_response, "an upload without an id"};
    return id;
}

OBJECTCACHE_DECL result<stored_result> parse_stored_result(std::string_view xml, checksum kind)
{
    const std::string element =
        kind == checksum::none ? std::string() : "Checksum" + std::string(checksum_name(kind));
    stored_result out;
    // CompleteMultipartUploadResult, CopyObjectResult, CopyPartResult
    const status read = detail::walk_xml(
        xml, "Result", [](const detail::xml_path&) {},
        [&](const detail::xml_path& path, const std::string& text) {
            if (detail::is_at(path, "ETag"))
                out.etag = text;
            else if (detail::is_at(path, "LastModified"))
                out.last_modified = text;
            else if (detail::is_at(path, element))
                out.checksum = text;
        });
    if (!read.ok())
        return read;
    if (out.etag.empty())
        return {errc::malformed_response, "the store does not say what it stored"};
    return out;
}

OBJECTCACHE_DECL result<std::vector<delete_failure>> parse_delete_result(std::string_view xml)
{
    std::vector<delete_failure> out;
    const status read = detail::walk_xml(
        xml, "DeleteResult",
        [&](const detail::xml_path& path) {
            if (detail::is_at(path, "Error"))
                out.emplace_back();
        },
        [&](const detail::xml_path& path, const std::string& text) {
            if (detail::is_at(path, "Error", "Key"))
                out.back().key = text;
            else if (detail::is_at(path, "Error", "Code"))
                out.back().code = text;
            else if (detail::is_at(path, "Error", "Message"))
                out.back().message = text;
        });
    if (!read.ok())
        return read;
    return out;
}

OBJECTCACHE_DECL result<upload_page> parse_upload_page(std::string_view xml)
{
    upload_page out;
    bool truncated = false;
    bool encoded = false;
    const status read = detail::walk_xml(
        xml, "ListMultipartUploadsResult",
        [&](const detail::xml_path& path) {
            if (detail::is_at(path, "Upload"))
                out.uploads.emplace_back();
        },
        [&](const detail::xml_path& path, const std::string& text) {
            if (detail::is_at(path, "IsTruncated"))
                truncated = detail::trimmed(text) == "true";
            else if (detail::is_at(path, "EncodingType"))
                encoded = detail::trimmed(text) == "url";
            else if (detail::is_at(path, "NextKeyMarker"))
                out.key_marker = text;
            else if (detail::is_at(path, "NextUploadIdMarker"))
                out.upload_id_marker = text;
            else if (detail::is_at(path, "Upload", "Key"))
                out.uploads.back().key = text;
            else if (detail::is_at(path, "Upload", "UploadId"))
                out.uploads.back().upload_id = text;
            else if (detail::is_at(path, "Upload", "Initiated"))
                out.uploads.back().initiated = text;
        });
    if (!read.ok())
        return read;
    const auto malformed = [](const char* why) { return result<upload_page>(errc::malformed_response, why); };
    const auto decode = [&](std::string& name) {
        auto plain = encoded ? detail::url_decoded_key(name) : std::optional(name);
        if (plain)
            name = std::move(*plain);
        return plain.has_value();
    };
    for (pending_upload& upload : out.uploads)
        if (upload.key.empty() || upload.upload_id.empty() || !decode(upload.key))
            return malformed("an upload of the listing has no readable key or no id");
    if (!decode(out.key_marker))
        return malformed("the listing's marker is not readable");
    if (truncated && out.key_marker.empty())
        return malformed("the listing is truncated but has no marker");
    if (!truncated)
        out.key_marker = out.upload_id_marker = {};
    return out;
}

OBJECTCACHE_DECL std::string complete_upload_document(std::span<const uploaded_part> parts, checksum kind)
{
    const std::string element =
        kind == checksum::none ? std::string() : "Checksum" + std::string(checksum_name(kind));
    std::string out = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    for (const uploaded_part& part : parts) {
        out += "<Part>";
        if (!element.empty() && !part.checksum.empty())
            detail::append_element(out, element, part.checksum);
        detail::append_element(out, "ETag", part.etag);
        detail::append_element(out, "PartNumber", std::to_string(part.number));
        out += "</Part>";
    }
    return out + "</CompleteMultipartUpload>";
}

OBJECTCACHE_DECL result<std::string> delete_document(std::span<const std::string> keys)
{
    if (keys.empty() || keys.size() > most_keys_per_delete)
        return {errc::invalid_argument,
                "a bulk delete of " + std::to_string(keys.size()) + " keys; S3 takes 1 to 1000"};
    std::string out = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>";
    for (const std::string& key : keys) {
        if (key.empty() || !detail::is_xml_text(key))
            return {errc::invalid_argument, "a key that is empty or that XML cannot carry"};
        out += "<Object>";
        detail::append_element(out, "Key", key);
        out += "</Object>";
    }
    return out + "</Delete>";
}

} // namespace objectcache::s3
