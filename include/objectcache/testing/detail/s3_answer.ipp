// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/detail/s3_answer.hpp>

#include <openssl/evp.h>

#include <array>

namespace objectcache::testing::detail {

inline constexpr std::string_view xml_head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
inline constexpr std::string_view s3_namespace = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

inline s3_answer error_answer(const s3_error& error, const s3_call& call, std::string_view request_id)
{
    s3_answer out;
    out.status = error.status;
    out.error_code = error.code;
    out.headless = call.method == "HEAD";
    out.headers.emplace_back("Content-Type", "application/xml");
    // 304 and, by S3's habit, answers to HEAD carry no length of a body that will never come.
    if (error.status == 304 || out.headless)
        return out;
    out.text = xml_head;
    out.text += "<Error>";
    append_element(out.text, "Code", error.code);
    append_element(out.text, "Message", error.message);
    append_element(out.text, "Resource", call.target.path);
    append_element(out.text, "RequestId", request_id);
    out.text += "</Error>";
    return out;
}

// ---- what is refused

// Operations that share method and path with those this server has; to ignore the parameter would do the
// wrong thing.
[[nodiscard]] inline const std::string* foreign_subresource(const s3_target& target) noexcept
{
    static constexpr std::array names{"accelerate",
                                      "acl",
                                      "analytics",
                                      "attributes",
                                      "cors",
                                      "encryption",
                                      "inventory",
                                      "legal-hold",
                                      "lifecycle",
                                      "logging",
                                      "metrics",
                                      "notification",
                                      "object-lock",
                                      "ownershipControls",
                                      "policy",
                                      "policyStatus",
                                      "publicAccessBlock",
                                      "replication",
                                      "requestPayment",
                                      "restore",
                                      "retention",
                                      "select",
                                      "session",
                                      "tagging",
                                      "torrent",
                                      "versionId",
                                      "versions",
                                      "versioning",
                                      "website"};
    for (const auto& [name, value] : target.query)
        if (std::find(names.begin(), names.end(), name) != names.end())
            return &name;
    return nullptr;
}

inline constexpr std::array<std::pair<std::string_view, std::string_view>, 5> checksum_headers{
    {{"crc32", "x-amz-checksum-crc32"},
     {"crc32c", "x-amz-checksum-crc32c"},
     {"crc64nvme", "x-amz-checksum-crc64nvme"},
     {"sha1", "x-amz-checksum-sha1"},
     {"sha256", "x-amz-checksum-sha256"}}};

[[nodiscard]] inline std::string_view unquoted(std::string_view etag) noexcept
{
    if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"')
        etag = etag.substr(1, etag.size() - 2);
    return etag;
}

/** The conditions of a request that writes an object, as far as they can be known before. */
[[nodiscard]] inline std::optional<s3_error> plan_condition(const s3_backend& to, const s3_call& call,
                                                            put_condition& condition)
{
    if (const std::string_view none = call.header("if-none-match"); !none.empty()) {
        if (none != "*")
            return errors::not_implemented("If-None-Match with an ETag on PUT");
        condition.must_be_absent = true;
    }
    condition.etag = unquoted(call.header("if-match"));
    // Decided again at the end, under the store's lock; known now, it saves sending the body.
    if (condition.must_be_absent || !condition.etag.empty()) {
        const auto present = to.store.find(call.target.bucket, call.target.key);
        if (!condition.holds(present ? &*present : nullptr))
            return errors::precondition_failed();
    }
    return std::nullopt;
}

/** No value, no header. */
inline void add_checksum(s3_answer& answer, std::string_view algorithm, const std::string& value)
{
    for (const auto& [name, header] : checksum_headers)
        if (name == algorithm && !value.empty()) {
            answer.headers.emplace_back(header, value);
            answer.headers.emplace_back("x-amz-checksum-type",
                                        value.find('-') == value.npos ? "FULL_OBJECT" : "COMPOSITE");
        }
}

// ---- objects

[[nodiscard]] inline s3_answer answer_object(const stored_object& object, const s3_call& call,
                                             std::string_view request_id)
{
    const std::string_view match = call.header("if-match");
    if (!match.empty() && match != "*" && unquoted(match) != object.etag)
        return error_answer(errors::precondition_failed(), call, request_id);
    const std::string_view none_match = call.header("if-none-match");
    if (!none_match.empty() && (none_match == "*" || unquoted(none_match) == object.etag))
        return error_answer({304, "NotModified", "Not Modified"}, call, request_id);

    const range_answer range = parse_range(call.header("range"), object.size);
    if (range.what == range_answer::kind::unsatisfiable) {
        s3_answer refused =
            error_answer({416, "InvalidRange", "The requested range is not satisfiable"}, call, request_id);
        refused.headers.emplace_back("Content-Range", "bytes */" + std::to_string(object.size));
        return refused;
    }
    s3_answer out;
    out.part = range.bytes;
    if (range.what == range_answer::kind::part) {
        out.status = 206;
        out.headers.emplace_back("Content-Range", "bytes " + std::to_string(range.bytes.offset) + "-" +
                                                      std::to_string(range.bytes.end() - 1) + "/" +
                                                      std::to_string(object.size));
    }
    out.headers.emplace_back("ETag", '"' + object.etag + '"');
    out.headers.emplace_back("Last-Modified", http_date(object.modified));
    out.headers.emplace_back("Accept-Ranges", "bytes");
    // Of the whole object: it says nothing of a part.
    if (call.header("x-amz-checksum-mode") == "ENABLED" && out.status == 200)
        add_checksum(out, object.checksum_algorithm, object.checksum);
    out.headers.emplace_back("Content-Type", "binary/octet-stream");
    out.headless = call.method == "HEAD";
    out.object = object;
    return out;
}

// ---- lists

// Opaque, and full of characters that a client must encode: one that does not is found out.
[[nodiscard]] inline std::string continuation_token(std::string_view last)
{
    std::string out((last.size() + 2) / 3 * 4 + 1, '\0');
    const int n =
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                        reinterpret_cast<const unsigned char*>(last.data()), static_cast<int>(last.size()));
    out.resize(static_cast<std::size_t>(n));
    return "1/" + std::to_string(last.size()) + "+" + out;
}

[[nodiscard]] inline std::optional<std::string> parse_continuation_token(std::string_view token)
{
    const std::size_t plus = token.find('+');
    if (!token.starts_with("1/") || plus == std::string_view::npos || token.size() > 2048)
        return std::nullopt;
    const auto size = parse_decimal(token.substr(2, plus - 2));
    const std::string_view coded = token.substr(plus + 1);
    std::string out(coded.size(), '\0');
    const int n =
        EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                        reinterpret_cast<const unsigned char*>(coded.data()), static_cast<int>(coded.size()));
    if (!size || n < 0 || *size > static_cast<std::uint64_t>(n))
        return std::nullopt;
    out.resize(static_cast<std::size_t>(*size));
    // OpenSSL also decodes what it would never encode.
    return continuation_token(out) == token ? std::optional(std::move(out)) : std::nullopt;
}

[[nodiscard]] inline s3_answer xml_answer(std::string body)
{
    s3_answer out;
    out.headers.emplace_back("Content-Type", "application/xml");
    out.text = std::string(xml_head) + body;
    return out;
}

[[nodiscard]] inline s3_answer answer_list(object_store& store, const s3_call& call,
                                           std::string_view request_id)
{
    const auto invalid = [&](std::string what) {
        return error_answer({400, "InvalidArgument", std::move(what)}, call, request_id);
    };
    const auto text = [&](std::string_view name) {
        const std::string* value = call.target.parameter(name);
        return value ? *value : std::string();
    };
    const bool v2 = text("list-type") == "2";
    const std::string* const token = v2 ? call.target.parameter("continuation-token") : nullptr;
    const bool url = text("encoding-type") == "url";
    if (!url && !text("encoding-type").empty())
        return invalid("Invalid Encoding Method specified in Request");

    list_query query;
    query.prefix = text("prefix");
    query.delimiter = text("delimiter");
    query.after = text(v2 ? "start-after" : "marker");
    if (token) {
        const auto after = parse_continuation_token(*token);
        if (!after)
            return invalid("The continuation token provided is incorrect");
        query.after = *after;
    }
    if (const std::string* max = call.target.parameter("max-keys")) {
        const auto value = parse_decimal(*max);
        if (!value)
            return invalid("Provided max-keys not an integer or within integer range");
        query.max_keys = static_cast<std::size_t>(std::min<std::uint64_t>(*value, 1000));
    }
    const auto page = store.list(call.target.bucket, query);
    if (!page)
        return error_answer(errors::no_such_bucket(), call, request_id);

    std::string xml = "<ListBucketResult" + std::string(s3_namespace) + ">";
    const auto add_name = [&](std::string_view element, std::string_view name) {
        std::string encoded;
        if (url)
            s3::detail::append_uri_encoded(encoded, name, s3::detail::slash::keep);
        append_element(xml, element, url ? encoded : name);
    };
    append_element(xml, "Name", call.target.bucket);
    add_name("Prefix", query.prefix);
    if (!query.delimiter.empty())
        add_name("Delimiter", query.delimiter);
    append_element(xml, "MaxKeys", std::to_string(query.max_keys));
    if (url)
        append_element(xml, "EncodingType", "url");
    if (v2) {
        append_element(xml, "KeyCount", std::to_string(page->objects.size() + page->common_prefixes.size()));
        if (token)
            append_element(xml, "ContinuationToken", *token);
        if (call.target.parameter("start-after"))
            add_name("StartAfter", text("start-after"));
        if (page->truncated)
            append_element(xml, "NextContinuationToken", continuation_token(page->last));
    } else {
        add_name("Marker", query.after);
        if (page->truncated)
            add_name("NextMarker", page->last);
    }
    append_element(xml, "IsTruncated", page->truncated ? "true" : "false");
    for (const auto& [key, object] : page->objects) {
        xml += "<Contents>";
        add_name("Key", key);
        append_element(xml, "LastModified", iso_date(object.modified));
        append_element(xml, "ETag", '"' + object.etag + '"');
        append_element(xml, "Size", std::to_string(object.size));
        append_element(xml, "StorageClass", "STANDARD");
        xml += "</Contents>";
    }
    for (const std::string& prefix : page->common_prefixes) {
        xml += "<CommonPrefixes>";
        add_name("Prefix", prefix);
        xml += "</CommonPrefixes>";
    }
    return xml_answer(xml + "</ListBucketResult>");
}

// ---- buckets and the service

[[nodiscard]] inline s3_answer answer_bucket(object_store& store, const s3_call& call,
                                             std::string_view request_id)
{
    const std::string& bucket = call.target.bucket;
    s3_answer out;
    if (call.method == "PUT") {
        const status made = store.create_bucket(bucket);
        out.headers.emplace_back("Location", "/" + bucket);
        if (made == errc::invalid_argument)
            return error_answer({400, "InvalidBucketName", "The specified bucket is not valid."}, call,
                                request_id);
        if (made == errc::already_exists)
            return error_answer(
                {409, "BucketAlreadyOwnedByYou", "You already own the bucket you tried to create."}, call,
                request_id);
        return made.ok() ? out : error_answer(errors::internal(made), call, request_id);
    }
    if (!store.has_bucket(bucket))
        return error_answer(errors::no_such_bucket(), call, request_id);
    if (call.method == "HEAD") {
        out.headless = true;
        return out;
    }
    if (call.method == "DELETE") {
        const status gone = store.delete_bucket(bucket);
        out.status = 204;
        if (gone == errc::already_exists)
            return error_answer({409, "BucketNotEmpty", "The bucket you tried to delete is not empty."}, call,
                                request_id);
        return gone.ok() ? out : error_answer(errors::internal(gone), call, request_id);
    }
    if (call.target.parameter("location"))
        return xml_answer("<LocationConstraint" + std::string(s3_namespace) + "/>");
    return answer_list(store, call, request_id);
}

[[nodiscard]] inline s3_answer list_buckets(object_store& store)
{
    std::string xml = "<ListAllMyBucketsResult" + std::string(s3_namespace) + "><Owner>";
    append_element(xml, "ID", "objectcache-test");
    xml += "</Owner><Buckets>";
    for (const auto& [name, created] : store.buckets()) {
        xml += "<Bucket>";
        append_element(xml, "Name", name);
        append_element(xml, "CreationDate", iso_date(created));
        xml += "</Bucket>";
    }
    return xml_answer(xml + "</Buckets></ListAllMyBucketsResult>");
}

inline s3_answer answer_call(const s3_backend& to, const s3_call& call, const_byte_span body,
                             std::string_view request_id)
{
    const std::string& method = call.method;
    if (const std::string* foreign = foreign_subresource(call.target))
        return error_answer(errors::not_implemented("?" + *foreign), call, request_id);
    for (const char* name : {"uploads", "uploadId", "partNumber", "delete"})
        if (call.target.parameter(name) && !call.target.bucket.empty())
            return answer_subresource(to, call, body, request_id);
    if (method != "GET" && method != "HEAD" && method != "PUT" && method != "DELETE")
        return error_answer(
            {405, "MethodNotAllowed", "The specified method is not allowed against this resource."}, call,
            request_id);
    if (call.target.bucket.empty())
        return method == "GET" ? list_buckets(to.store)
                               : error_answer(errors::not_implemented(method), call, request_id);
    if (call.target.key.empty()) {
        s3_answer out = answer_bucket(to.store, call, request_id);
        if (method == "DELETE" && out.status == 204)
            to.uploads.forget(call.target.bucket);
        return out;
    }
    if (!to.store.has_bucket(call.target.bucket))
        return error_answer(errors::no_such_bucket(), call, request_id);
    if (method == "PUT")
        return answer_copy(to, call, request_id); // any other PUT of an object has a body
    if (method == "DELETE") {
        const status gone = to.store.erase(call.target.bucket, call.target.key);
        if (!gone.ok() && gone != errc::not_found)
            return error_answer(errors::internal(gone), call, request_id);
        s3_answer out; // also when there was nothing to delete
        out.status = 204;
        return out;
    }
    const auto object = to.store.find(call.target.bucket, call.target.key);
    return object ? answer_object(*object, call, request_id)
                  : error_answer(errors::no_such_key(), call, request_id);
}

// ---- the head

[[nodiscard]] inline std::string_view reason(unsigned status) noexcept
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 206:
        return "Partial Content";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 416:
        return "Requested Range Not Satisfiable";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    }
    return "Other";
}

inline std::string serialize_head(const s3_answer& answer, std::uint64_t content_length, bool keep_alive,
                                  std::string_view request_id, system_time now)
{
    std::string out;
    out.reserve(512);
    out.append("HTTP/1.1 ").append(std::to_string(answer.status)).append(" ").append(reason(answer.status));
    out.append("\r\nx-amz-request-id: ").append(request_id).append("\r\nDate: ").append(http_date(now));
    for (const auto& [name, value] : answer.headers)
        out.append("\r\n").append(name).append(": ").append(value);
    if (answer.status != 204 && answer.status != 304)
        out.append("\r\nContent-Length: ").append(std::to_string(content_length));
    if (!keep_alive)
        out += "\r\nConnection: close";
    out += "\r\nServer: objectcache-test\r\n\r\n";
    return out;
}

} // namespace objectcache::testing::detail
