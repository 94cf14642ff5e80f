// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/s3/credentials.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/endpoint.hpp>
#include <objectcache/s3/request.hpp>
#include <objectcache/s3/sigv4.hpp>

#include <limits>
#include <span>
#include <string>
#include <string_view>

// What requests and presigned URLs are made of.
namespace objectcache::s3::detail {

/** The path of a request, decoded: what S3 signs. */
[[nodiscard]] inline std::string decoded_path(const request& what, const endpoint& where)
{
    std::string out = where.base_path;
    if (!where.is_virtual_host(what.bucket) && !what.bucket.empty())
        out.append("/").append(what.bucket);
    if (!what.key.empty() || out.empty())
        out.append("/").append(what.key);
    return out;
}

/** "bytes=0-99"; empty without a range. */
[[nodiscard]] inline std::string range_header(const request& what)
{
    if (!what.range)
        return {};
    return "bytes=" + std::to_string(what.range->offset) + '-' +
           std::to_string(what.range->offset + (what.range->size - 1));
}

/** Path and query as they go into a request line or a URL. */
inline void append_target(std::string& out, std::string_view path, std::span<const field> query)
{
    append_uri_encoded(out, path, slash::keep);
    for (std::size_t i = 0; i < query.size(); ++i) {
        out += i == 0 ? '?' : '&';
        append_uri_encoded(out, query[i].name, slash::encode);
        out += '=';
        append_uri_encoded(out, query[i].value, slash::encode);
    }
}

/** Names that neither end the path segment nor the host label they are put into. Which of them exist, the store knows. */
[[nodiscard]] inline bool is_bucket_name(std::string_view name) noexcept
{
    for (const char c : name)
        if (!is_unreserved(static_cast<unsigned char>(c)))
            return false;
    return !name.empty() && name.size() <= 255 && name != "." && name != "..";
}

[[nodiscard]] inline bool is_header_name(std::string_view name) noexcept
{
    for (const char c : name)
        if (!is_unreserved(static_cast<unsigned char>(c)))
            return false;
    return !name.empty();
}

/** Can `what` be sent as `who` without meaning something else? */
[[nodiscard]] inline status check(const request& what, const credentials& who)
{
    if (!is_bucket_name(what.bucket))
        return {errc::invalid_argument,
                "'" + std::string(what.bucket.substr(0, 100)) + "' is no bucket name"};
    if (what.range && (what.range->size == 0 ||
                       what.range->size - 1 > std::numeric_limits<std::uint64_t>::max() - what.range->offset))
        return {errc::invalid_argument, "an empty range, or one past the end of numbers"};
    for (const field& h : what.headers)
        if (!is_header_name(h.name) || !is_header_safe(h.value))
            return {errc::invalid_argument, "a header that cannot be sent"};
    if (!is_header_safe(who.access_key_id) || !is_header_safe(who.session_token))
        return {errc::invalid_argument, "the credentials contain control characters"};
    return {};
}

} // namespace objectcache::s3::detail
