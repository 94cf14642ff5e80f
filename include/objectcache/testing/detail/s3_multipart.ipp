// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/xml_walk.hpp>
#include <objectcache/testing/detail/s3_answer.hpp>

#include <algorithm>

// The operations of multipart uploads, but for the upload of a part.
namespace objectcache::testing::detail {

[[nodiscard]] inline s3_answer initiate_upload(const s3_backend& to, const s3_call& call,
                                               std::string_view request_id)
{
    const auto refused = [&](const s3_error& why) { return error_answer(why, call, request_id); };
    if (call.target.key.size() > 1024)
        return refused({400, "KeyTooLongError", "Your key is too long"});
    multipart_upload begun;
    begun.bucket = call.target.bucket;
    begun.key = call.target.key;
    begun.initiated = to.now;
    begun.checksum_algorithm = s3::detail::lower_case(call.header("x-amz-checksum-algorithm"));
    if (!begun.checksum_algorithm.empty() && !is_checksum_algorithm(begun.checksum_algorithm))
        return refused(errors::invalid_request("Checksum algorithm provided is unsupported."));
    // CRC64NVME knows only the one, the SHAs only the other; the 32-bit CRCs are asked.
    const std::string_view type = call.header("x-amz-checksum-type");
    begun.full_object = begun.checksum_algorithm == "crc64nvme" ||
                        (begun.checksum_algorithm.starts_with("crc") && type == "FULL_OBJECT");
    if (!type.empty() && (begun.checksum_algorithm.empty() || (type == "FULL_OBJECT") != begun.full_object))
        return refused(errors::invalid_request(
            "The " + std::string(type) + " checksum type cannot be used with this checksum algorithm."));
    const std::string algorithm = begun.checksum_algorithm;
    const std::string_view kind = begun.full_object ? "FULL_OBJECT" : "COMPOSITE";
    const std::string id = to.uploads.begin(std::move(begun));

    std::string xml = "<InitiateMultipartUploadResult" + std::string(s3_namespace) + ">";
    append_element(xml, "Bucket", call.target.bucket);
    append_element(xml, "Key", call.target.key);
    append_element(xml, "UploadId", id);
    s3_answer out = xml_answer(xml + "</InitiateMultipartUploadResult>");
    if (!algorithm.empty()) {
        out.headers.emplace_back("x-amz-checksum-algorithm", checksum_element(algorithm).substr(8));
        out.headers.emplace_back("x-amz-checksum-type", kind);
    }
    return out;
}

/** A part as the request that completes an upload names it. */
struct named_part {
    std::uint64_t number = 0;
    std::string etag;
    std::string checksum; // of the upload's kind
};

[[nodiscard]] inline std::optional<std::vector<named_part>> parse_parts(const_byte_span body,
                                                                        std::string_view algorithm)
{
    std::vector<named_part> out;
    const std::string element = checksum_element(algorithm);
    bool good = true;
    const status read = s3::detail::walk_xml(
        {reinterpret_cast<const char*>(body.data()), body.size()}, "CompleteMultipartUpload",
        [&](const s3::detail::xml_path& path) {
            if (s3::detail::is_at(path, "Part"))
                out.emplace_back();
        },
        [&](const s3::detail::xml_path& path, const std::string& text) {
            if (s3::detail::is_at(path, "Part", "PartNumber")) {
                const auto number = parse_decimal(s3::detail::trimmed(text));
                good = good && number;
                out.back().number = number.value_or(0);
            } else if (s3::detail::is_at(path, "Part", "ETag")) {
                out.back().etag = unquoted(s3::detail::trimmed(text));
            } else if (s3::detail::is_at(path, "Part", element)) {
                out.back().checksum = text;
            }
        });
    for (const named_part& part : out)
        good = good && part.number >= 1 && part.number <= most_parts && !part.etag.empty();
    return read.ok() && good && !out.empty() ? std::optional(std::move(out)) : std::nullopt;
}

/** Does the upload have those parts, in that order, and may they become an object? */
[[nodiscard]] inline std::optional<s3_error> check_parts(const s3_backend& to, const multipart_upload& upload,
                                                         const std::vector<named_part>& named)
{
    for (std::size_t i = 1; i < named.size(); ++i)
        if (named[i].number <= named[i - 1].number)
            return s3_error{400, "InvalidPartOrder",
                            "The list of parts was not in ascending order. The parts list must be specified "
                            "in order by part number."};
    std::uint64_t total = 0;
    for (const named_part& part : named) {
        const auto found = upload.parts.find(static_cast<unsigned>(part.number));
        if (found == upload.parts.end() || hex_of(found->second.bytes->md5()) != part.etag ||
            (!part.checksum.empty() && part.checksum != found->second.bytes->checksum()))
            return s3_error{
                400, "InvalidPart",
                "One or more of the specified parts could not be found. The part may not have been "
                "uploaded, or the specified entity tag may not match the part's entity tag."};
        if (part.checksum.empty() && !upload.checksum_algorithm.empty() && !upload.full_object)
            return errors::invalid_request(
                "The upload was created using a " + upload.checksum_algorithm +
                " checksum. The complete request must include the checksum for each "
                "part. It was missing for part " +
                std::to_string(part.number) + " in the request.");
        total += found->second.bytes->size();
        if (&part != &named.back() && found->second.bytes->size() < to.least_part_bytes)
            return s3_error{400, "EntityTooSmall",
                            "Your proposed upload is smaller than the minimum allowed size"};
        if (total > to.max_object_bytes)
            return s3_error{400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."};
    }
    return std::nullopt;
}

/** Puts the parts together. */
[[nodiscard]] inline result<upload> joined(const s3_backend& to, const multipart_upload& from,
                                           const std::vector<named_part>& named)
{
    std::uint64_t total = 0;
    for (const named_part& part : named)
        total += from.parts.at(static_cast<unsigned>(part.number)).bytes->size();
    auto out = to.store.begin_upload(total, false, from.full_object ? from.checksum_algorithm : std::string(),
                                     false);
    if (!out)
        return out;
    for (const named_part& part : named) {
        const upload& bytes = *from.parts.at(static_cast<unsigned>(part.number)).bytes;
        const status filled =
            fill(*out, bytes.size(), [&](byte_span into, std::uint64_t at) { return bytes.read(into, at); });
        if (!filled.ok())
            return filled;
    }
    out->seal();
    return out;
}

/** What S3 makes of the digests of parts: "digest of digests-N". */
[[nodiscard]] inline std::string composite(std::string digest, std::size_t parts)
{
    return std::move(digest) + '-' + std::to_string(parts);
}

[[nodiscard]] inline s3_answer complete_upload(const s3_backend& to, const s3_call& call,
                                               const std::string& id, const_byte_span body,
                                               std::string_view request_id)
{
    const auto refused = [&](const s3_error& why) { return error_answer(why, call, request_id); };
    const auto found = to.uploads.find(id, call.target.bucket, call.target.key);
    if (!found)
        return refused(errors::no_such_upload());
    const auto named = parse_parts(body, found->checksum_algorithm);
    if (!named)
        return refused(
            {400, "MalformedXML",
             "The XML you provided was not well-formed or did not validate against our published schema"});
    if (const auto wrong = check_parts(to, *found, *named))
        return refused(*wrong);
    put_condition condition;
    if (const auto failed = plan_condition(to, call, condition))
        return refused(*failed);

    auto whole = joined(to, *found, *named);
    if (!whole)
        return refused(errors::internal(whole.error()));
    running_digest md5s(EVP_md5());
    std::optional<body_checksum> checksums;
    if (!found->checksum_algorithm.empty() && !found->full_object)
        checksums.emplace(found->checksum_algorithm);
    for (const named_part& part : *named) {
        const upload& bytes = *found->parts.at(static_cast<unsigned>(part.number)).bytes;
        md5s.update(std::as_bytes(std::span(bytes.md5())));
        if (checksums) {
            const std::string checksum = bytes_of_base64(bytes.checksum());
            checksums->update(std::as_bytes(std::span(checksum)));
        }
    }
    stored_object about;
    about.etag = composite(md5s.hex(), named->size());
    about.modified = to.now;
    about.checksum_algorithm = found->checksum_algorithm;
    about.checksum = checksums ? composite(checksums->finish(), named->size()) : whole->checksum();
    for (const auto& [algorithm, header] : checksum_headers)
        if (const std::string_view said = call.header(header); !said.empty())
            if (algorithm != about.checksum_algorithm || said != about.checksum)
                return refused(errors::bad_digest(algorithm));
    const stored_object told = about;
    const auto stored =
        to.store.commit(call.target.bucket, call.target.key, std::move(*whole), condition, std::move(about));
    if (!stored)
        return refused(errors::of_commit(stored.error()));
    to.uploads.end(id);

    std::string xml = "<CompleteMultipartUploadResult" + std::string(s3_namespace) + ">";
    append_element(xml, "Location", "http://" + std::string(call.header("host")) + call.target.path);
    append_element(xml, "Bucket", call.target.bucket);
    append_element(xml, "Key", call.target.key);
    append_element(xml, "ETag", '"' + told.etag + '"');
    if (!told.checksum.empty()) {
        append_element(xml, checksum_element(told.checksum_algorithm), told.checksum);
        append_element(xml, "ChecksumType", found->full_object ? "FULL_OBJECT" : "COMPOSITE");
    }
    return xml_answer(xml + "</CompleteMultipartUploadResult>");
}

[[nodiscard]] inline s3_answer list_uploads(const s3_backend& to, const s3_call& call,
                                            std::string_view request_id)
{
    const auto text = [&](std::string_view name) {
        const std::string* value = call.target.parameter(name);
        return value ? *value : std::string();
    };
    const auto most = parse_decimal(call.target.parameter("max-uploads") ? text("max-uploads") : "1000");
    const bool url = text("encoding-type") == "url";
    if (!most || (!url && !text("encoding-type").empty()))
        return error_answer(errors::invalid_argument("max-uploads or encoding-type"), call, request_id);
    if (!text("delimiter").empty())
        return error_answer(errors::not_implemented("delimiter with ?uploads"), call, request_id);
    const std::string prefix = text("prefix");
    const std::string key_marker = text("key-marker");
    const std::string id_marker = text("upload-id-marker");

    std::string xml = "<ListMultipartUploadsResult" + std::string(s3_namespace) + ">";
    const auto add_name = [&](std::string_view element, std::string_view name) {
        std::string encoded;
        if (url)
            s3::detail::append_uri_encoded(encoded, name, s3::detail::slash::keep);
        append_element(xml, element, url ? encoded : name);
    };
    append_element(xml, "Bucket", call.target.bucket);
    add_name("Prefix", prefix);
    add_name("KeyMarker", key_marker);
    append_element(xml, "UploadIdMarker", id_marker);
    const std::uint64_t limit = std::min<std::uint64_t>(*most, 1000);
    append_element(xml, "MaxUploads", std::to_string(limit));
    if (url)
        append_element(xml, "EncodingType", "url");
    bool truncated = false;
    std::uint64_t listed = 0;
    std::pair<std::string, std::string> last;
    for (const auto& [name, upload] : to.uploads.list(call.target.bucket)) {
        const bool before = key_marker.empty()  ? false
                            : id_marker.empty() ? name.first <= key_marker
                                                : name <= std::pair(key_marker, id_marker);
        if (before || !name.first.starts_with(prefix))
            continue;
        if (listed == limit) {
            truncated = true;
            break;
        }
        ++listed;
        last = name;
        xml += "<Upload>";
        add_name("Key", name.first);
        append_element(xml, "UploadId", name.second);
        append_element(xml, "Initiated", iso_date(upload.initiated));
        append_element(xml, "StorageClass", "STANDARD");
        xml += "</Upload>";
    }
    if (truncated) {
        add_name("NextKeyMarker", last.first);
        append_element(xml, "NextUploadIdMarker", last.second);
    }
    append_element(xml, "IsTruncated", truncated ? "true" : "false");
    return xml_answer(xml + "</ListMultipartUploadsResult>");
}

[[nodiscard]] inline s3_answer list_parts(const s3_backend& to, const s3_call& call, const std::string& id,
                                          std::string_view request_id)
{
    const auto found = to.uploads.find(id, call.target.bucket, call.target.key);
    if (!found)
        return error_answer(errors::no_such_upload(), call, request_id);
    const std::string* const after = call.target.parameter("part-number-marker");
    const auto marker = parse_decimal(after && !after->empty() ? *after : "0");
    if (!marker)
        return error_answer(errors::invalid_argument("part-number-marker"), call, request_id);
    std::string xml = "<ListPartsResult" + std::string(s3_namespace) + ">";
    append_element(xml, "Bucket", call.target.bucket);
    append_element(xml, "Key", call.target.key);
    append_element(xml, "UploadId", id);
    std::size_t listed = 0;
    unsigned last = 0;
    bool truncated = false;
    for (const auto& [number, part] : found->parts) {
        if (number <= *marker)
            continue;
        truncated = listed == 1000;
        if (truncated)
            break;
        ++listed;
        last = number;
        xml += "<Part>";
        append_element(xml, "PartNumber", std::to_string(number));
        append_element(xml, "LastModified", iso_date(part.modified));
        append_element(xml, "ETag", '"' + hex_of(part.bytes->md5()) + '"');
        append_element(xml, "Size", std::to_string(part.bytes->size()));
        if (!found->checksum_algorithm.empty())
            append_element(xml, checksum_element(found->checksum_algorithm), part.bytes->checksum());
        xml += "</Part>";
    }
    append_element(xml, "NextPartNumberMarker", std::to_string(last));
    append_element(xml, "MaxParts", "1000");
    append_element(xml, "IsTruncated", truncated ? "true" : "false");
    return xml_answer(xml + "</ListPartsResult>");
}

inline s3_answer answer_subresource(const s3_backend& to, const s3_call& call, const_byte_span body,
                                    std::string_view request_id)
{
    const bool of_object = !call.target.key.empty();
    const std::string* const id = call.target.parameter("uploadId");
    if (!to.store.has_bucket(call.target.bucket))
        return error_answer(errors::no_such_bucket(), call, request_id);
    if (call.target.parameter("uploads") && call.method == (of_object ? "POST" : "GET"))
        return of_object ? initiate_upload(to, call, request_id) : list_uploads(to, call, request_id);
    if (call.target.parameter("delete") && call.method == "POST" && !of_object)
        return answer_bulk_delete(to, call, body, request_id);
    if (id && of_object && call.method == "POST")
        return complete_upload(to, call, *id, body, request_id);
    if (id && of_object && call.method == "GET")
        return list_parts(to, call, *id, request_id);
    if (id && of_object && call.method == "PUT")
        return answer_copy_part(to, call, *id, request_id);
    if (id && of_object && call.method == "DELETE") {
        if (!to.uploads.find(*id, call.target.bucket, call.target.key))
            return error_answer(errors::no_such_upload(), call, request_id);
        to.uploads.end(*id);
        s3_answer out;
        out.status = 204;
        return out;
    }
    return error_answer(errors::not_implemented(call.method + " of this subresource"), call, request_id);
}

} // namespace objectcache::testing::detail
