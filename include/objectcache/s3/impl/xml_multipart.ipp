// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/iso8601.hpp>
#include <objectcache/s3/detail/outcome.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/detail/xml_text.hpp>
#include <objectcache/s3/detail/xml_walk.hpp>
#include <objectcache/s3/xml_multipart.hpp>

namespace objectcache::s3 {

namespace detail {

/** `walk_xml` for an answer, which may be an <Error> document whatever its status was. */
template <class OnOpen, class OnText>
[[nodiscard]] status walk_answer(std::string_view xml, std::string_view root, OnOpen on_open, OnText on_text)
{
    if (status refused = outcome_of(200, xml, false); !refused.ok())
        return refused;
    return walk_xml(xml, root, on_open, on_text);
}

} // namespace detail

OBJECTCACHE_DECL result<std::string> parse_initiated_upload(std::string_view xml)
{
    std::string id;
    const status read = detail::walk_answer(
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
    bool has_etag = false;
    // CompleteMultipartUploadResult, CopyObjectResult, CopyPartResult
    const status read = detail::walk_answer(
        xml, "Result",
        [&](const detail::xml_path& path) { has_etag = has_etag || detail::is_at(path, "ETag"); },
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
    if (!has_etag)
        return {errc::malformed_response, "the store does not say what it stored"};
    return out;
}

OBJECTCACHE_DECL status delete_failure::error() const
{
    std::string why = "DELETE of " + detail::one_line(key);
    for (const std::string* said : {&code, &message})
        if (!said->empty())
            why += ": " + detail::one_line(*said);
    return {code == "AccessDenied" ? errc::access_denied : errc::server_error, std::move(why)};
}

OBJECTCACHE_DECL result<std::vector<delete_failure>> parse_delete_result(std::string_view xml)
{
    std::vector<delete_failure> out;
    const status read = detail::walk_answer(
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
    bool encoded = false, timed = true;
    const status read = detail::walk_answer(
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
            else if (detail::is_at(path, "Upload", "Initiated")) {
                if (const auto at = detail::parse_iso8601(detail::trimmed(text)))
                    out.uploads.back().initiated = *at;
                else
                    timed = false;
            }
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
    if (!timed)
        return malformed("the time of an upload is not ISO 8601");
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
