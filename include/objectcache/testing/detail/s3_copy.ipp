// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/xml_walk.hpp>
#include <objectcache/testing/detail/s3_answer.hpp>

#include <algorithm>

// Copies, and deletes in bulk.
namespace objectcache::testing::detail {

/** "ChecksumCRC32C": the element that carries it. */
[[nodiscard]] inline std::string checksum_element(std::string_view algorithm)
{
    std::string out = "Checksum";
    for (const char c : algorithm)
        out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return out;
}

/** Copies through memory, so that the copy has digests of its own.

    @param read `(byte_span into, std::uint64_t offset) -> status` of what is copied. */
template <class Read>
[[nodiscard]] status fill(upload& to, std::uint64_t size, Read read)
{
    constexpr std::uint64_t piece = 1 << 20;
    for (std::uint64_t at = 0; at < size;) {
        const byte_span window = to.window();
        const byte_span into = window.first(static_cast<std::size_t>(
            std::min({size - at, piece, static_cast<std::uint64_t>(window.size())})));
        if (status good = read(into, at); !good.ok())
            return good;
        if (status good = to.filled(into.size()); !good.ok())
            return good;
        at += into.size();
    }
    return {};
}

/** A copy of a part of an object, sealed. */
[[nodiscard]] inline result<upload> copy_of(object_store& store, const stored_object& source, byte_range part,
                                            std::string_view checksum_algorithm)
{
    auto copy = store.begin_upload(part.size, false, checksum_algorithm);
    if (!copy)
        return copy;
    file_handle file;
    if (!source.bytes) {
        auto opened = file_handle::open_to_read(source.file);
        if (!opened)
            return opened.error();
        file = std::move(*opened);
    }
    const status filled = fill(*copy, part.size, [&](byte_span into, std::uint64_t at) -> status {
        if (!source.bytes)
            return file.read_exactly(into, part.offset + at);
        const const_byte_span all = source.bytes->span();
        std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(part.offset + at), into.size(), into.begin());
        return {};
    });
    if (!filled.ok())
        return filled;
    copy->seal();
    return copy;
}

/** The object that x-amz-copy-source names, if it may be copied. */
struct copy_source {
    std::optional<s3_error> refused;
    std::string bucket;
    std::string key;
    stored_object object;
};

[[nodiscard]] inline copy_source find_copy_source(const s3_backend& to, const s3_call& call)
{
    copy_source out;
    std::string_view header = call.header("x-amz-copy-source");
    if (header.find('?') != header.npos) {
        out.refused = errors::not_implemented("versions");
        return out;
    }
    header.remove_prefix(header.starts_with('/'));
    const auto name = s3::detail::uri_decoded(header);
    const std::size_t slash = name ? name->find('/') : std::string::npos;
    if (slash == std::string::npos || slash + 1 == name->size()) {
        out.refused = errors::invalid_argument("Copy Source must mention the source bucket and key: "
                                               "sourcebucket/sourcekey");
        return out;
    }
    out.bucket = name->substr(0, slash);
    out.key = name->substr(slash + 1);
    auto found = to.store.find(out.bucket, out.key);
    if (!found) {
        out.refused = to.store.has_bucket(out.bucket) ? errors::no_such_key() : errors::no_such_bucket();
        return out;
    }
    out.object = std::move(*found);
    const std::string_view match = call.header("x-amz-copy-source-if-match");
    const std::string_view none = call.header("x-amz-copy-source-if-none-match");
    if ((!match.empty() && match != "*" && unquoted(match) != out.object.etag) ||
        (!none.empty() && (none == "*" || unquoted(none) == out.object.etag)))
        out.refused = errors::precondition_failed();
    return out;
}

[[nodiscard]] inline s3_answer copied(std::string_view root, const std::string& etag, system_time at,
                                      std::string_view algorithm, const std::string& checksum)
{
    std::string xml = "<" + std::string(root) + std::string(s3_namespace) + ">";
    append_element(xml, "LastModified", iso_date(at));
    append_element(xml, "ETag", '"' + etag + '"');
    if (!checksum.empty())
        append_element(xml, checksum_element(algorithm), checksum);
    return xml_answer(xml + "</" + std::string(root) + ">");
}

inline s3_answer answer_copy(const s3_backend& to, const s3_call& call, std::string_view request_id)
{
    const auto refused = [&](const s3_error& why) { return error_answer(why, call, request_id); };
    const copy_source source = find_copy_source(to, call);
    if (source.refused)
        return refused(*source.refused);
    if (source.bucket == call.target.bucket && source.key == call.target.key &&
        call.header("x-amz-metadata-directive") != "REPLACE")
        return refused(errors::invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing "
            "the "
            "object's metadata, storage class, website redirect location or encryption attributes."));
    put_condition condition;
    if (const auto failed = plan_condition(to, call, condition))
        return refused(*failed);
    // The kind of checksum that is asked for, or else the one that the source has.
    std::string algorithm = s3::detail::lower_case(call.header("x-amz-checksum-algorithm"));
    if (algorithm.empty())
        algorithm = source.object.checksum_algorithm;
    if (!algorithm.empty() && !is_checksum_algorithm(algorithm))
        return refused(errors::invalid_request("Checksum algorithm provided is unsupported."));
    auto copy = copy_of(to.store, source.object, {0, source.object.size}, algorithm);
    if (!copy)
        return refused(errors::internal(copy.error()));
    stored_object about;
    about.modified = to.now;
    about.checksum_algorithm = algorithm;
    about.checksum = copy->checksum();
    const std::string checksum = about.checksum;
    const auto stored =
        to.store.commit(call.target.bucket, call.target.key, std::move(*copy), condition, std::move(about));
    if (!stored)
        return refused(errors::of_commit(stored.error()));
    return copied("CopyObjectResult", *stored, to.now, algorithm, checksum);
}

inline s3_answer answer_copy_part(const s3_backend& to, const s3_call& call, const std::string& upload_id,
                                  std::string_view request_id)
{
    const auto refused = [&](const s3_error& why) { return error_answer(why, call, request_id); };
    const std::string* const number = call.target.parameter("partNumber");
    const auto part = number ? parse_decimal(*number) : std::nullopt;
    if (!part || *part < 1 || *part > most_parts)
        return refused(
            errors::invalid_argument("Part number must be an integer between 1 and 10000, inclusive"));
    const auto target = to.uploads.find(upload_id, call.target.bucket, call.target.key);
    if (!target)
        return refused(errors::no_such_upload());
    const copy_source source = find_copy_source(to, call);
    if (source.refused)
        return refused(*source.refused);
    byte_range range{0, source.object.size};
    if (const std::string_view asked = call.header("x-amz-copy-source-range"); !asked.empty()) {
        const range_answer some = parse_range(asked, source.object.size);
        // Unlike a GET, no part of it may be missing.
        const auto last = parse_decimal(asked.substr(std::min(asked.rfind('-') + 1, asked.size())));
        if (some.what != range_answer::kind::part || !last || *last + 1 != some.bytes.end())
            return refused(errors::invalid_argument("The x-amz-copy-source-range value must be of the form "
                                                    "bytes=first-last, and inside the source object"));
        range = some.bytes;
    }
    auto copy = copy_of(to.store, source.object, range, target->checksum_algorithm);
    if (!copy)
        return refused(errors::internal(copy.error()));
    const std::string etag = hex_of(copy->md5());
    const std::string checksum = copy->checksum();
    const multipart_part done{std::make_shared<const upload>(std::move(*copy)), to.now};
    if (!to.uploads.add(upload_id, static_cast<unsigned>(*part), done))
        return refused(errors::no_such_upload());
    return copied("CopyPartResult", etag, to.now, target->checksum_algorithm, checksum);
}

/** Is the body what a header says? S3 demands one of them of a bulk delete. */
[[nodiscard]] inline std::optional<s3_error> check_bulk_digest(const s3_call& call, const_byte_span body)
{
    const std::string_view md5 = call.header("content-md5");
    bool any = !md5.empty();
    if (any) {
        running_digest digest(EVP_md5());
        digest.update(body);
        if (base64_of(digest.finish()) != md5)
            return errors::bad_digest("Content-MD5");
    }
    for (const auto& [algorithm, header] : checksum_headers) {
        const std::string_view said = call.header(header);
        if (said.empty())
            continue;
        any = true;
        body_checksum checksum(algorithm);
        checksum.update(body);
        if (checksum.finish() != said)
            return errors::bad_digest(algorithm);
    }
    if (!any)
        return errors::invalid_request(
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*");
    return std::nullopt;
}

inline s3_answer answer_bulk_delete(const s3_backend& to, const s3_call& call, const_byte_span body,
                                    std::string_view request_id)
{
    const s3_error malformed{400, "MalformedXML",
                             "The XML you provided was not well-formed or did not "
                             "validate against our published schema"};
    if (const auto wrong = check_bulk_digest(call, body))
        return error_answer(*wrong, call, request_id);
    std::vector<std::string> keys;
    bool quiet = false;
    const status read = s3::detail::walk_xml(
        {reinterpret_cast<const char*>(body.data()), body.size()}, "Delete",
        [&](const s3::detail::xml_path& path) {
            if (s3::detail::is_at(path, "Object"))
                keys.emplace_back();
        },
        [&](const s3::detail::xml_path& path, const std::string& text) {
            if (s3::detail::is_at(path, "Object", "Key"))
                keys.back() = text;
            else if (s3::detail::is_at(path, "Quiet"))
                quiet = text == "true";
        });
    if (!read.ok() || keys.empty() || keys.size() > 1000 ||
        std::find(keys.begin(), keys.end(), std::string()) != keys.end())
        return error_answer(malformed, call, request_id);
    std::string xml = "<DeleteResult" + std::string(s3_namespace) + ">";
    for (const std::string& key : keys) {
        const status gone = to.store.erase(call.target.bucket, key);
        if (!gone.ok() && gone != errc::not_found) {
            xml += "<Error>";
            append_element(xml, "Key", key);
            append_element(xml, "Code", "InternalError");
            append_element(xml, "Message", gone.message());
            xml += "</Error>";
        } else if (!quiet) { // also what was not there
            xml += "<Deleted>";
            append_element(xml, "Key", key);
            xml += "</Deleted>";
        }
    }
    return xml_answer(xml + "</DeleteResult>");
}

} // namespace objectcache::testing::detail
