// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/request.hpp>
#include <objectcache/version.hpp>

#include <limits>
#include <vector>

namespace objectcache::s3 {

namespace detail {

/** The path of a request, decoded: what S3 signs. */
[[nodiscard]] OBJECTCACHE_DECL std::string decoded_path(const request& what, const endpoint& where)
{
    std::string out = where.base_path;
    if (!where.is_virtual_host(what.bucket) && !what.bucket.empty())
        out.append("/").append(what.bucket);
    if (!what.key.empty() || out.empty())
        out.append("/").append(what.key);
    return out;
}

/** Names that neither end the path segment nor the host label they are put into. Which of them exist, the store knows. */
[[nodiscard]] OBJECTCACHE_DECL bool is_bucket_name(std::string_view name) noexcept
{
    for (const char c : name)
        if (!is_unreserved(static_cast<unsigned char>(c)))
            return false;
    return !name.empty() && name.size() <= 255 && name != "." && name != "..";
}

[[nodiscard]] OBJECTCACHE_DECL bool is_header_name(std::string_view name) noexcept
{
    for (const char c : name)
        if (!is_unreserved(static_cast<unsigned char>(c)))
            return false;
    return !name.empty();
}

[[nodiscard]] OBJECTCACHE_DECL status check(const request& what, const credentials& who)
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

} // namespace detail

OBJECTCACHE_DECL result<std::string> serialize(const request& what, const endpoint& where,
                                               const credentials& who, signer& with, sigv4_time now)
{
    if (const status bad = detail::check(what, who); !bad.ok())
        return bad;

    const std::string authority = where.authority_for(what.bucket);
    const std::string path = detail::decoded_path(what, where);
    const std::string date = format_amz_date(now);
    std::string range;
    if (what.range)
        range = "bytes=" + std::to_string(what.range->offset) + '-' +
                std::to_string(what.range->offset + (what.range->size - 1));

    std::vector<field> headers{{"Host", authority}};
    if (what.range)
        headers.push_back({"Range", range});
    headers.insert(headers.end(), what.headers.begin(), what.headers.end());
    if (!who.is_anonymous()) {
        headers.push_back({"x-amz-content-sha256", what.payload});
        headers.push_back({"x-amz-date", date});
        if (!who.session_token.empty())
            headers.push_back({"x-amz-security-token", who.session_token});
    }

    std::string out(what.method);
    out += ' ';
    detail::append_uri_encoded(out, path, detail::slash::keep);
    for (std::size_t i = 0; i < what.query.size(); ++i) {
        out += i == 0 ? '?' : '&';
        detail::append_uri_encoded(out, what.query[i].name, detail::slash::encode);
        out += '=';
        detail::append_uri_encoded(out, what.query[i].value, detail::slash::encode);
    }
    out += " HTTP/1.1\r\n";
    const auto put = [&](std::string_view name, std::string_view value) {
        out.append(name).append(": ").append(value).append("\r\n");
    };
    for (const field& h : headers)
        put(h.name, h.value);
    if (!who.is_anonymous())
        put("Authorization",
            with.authorization({what.method, path, what.query, headers, what.payload}, who, now));
    if (what.content_length)
        put("Content-Length", std::to_string(*what.content_length));
    put("User-Agent", "objectcache/" OBJECTCACHE_VERSION_STRING);
    out += "\r\n";
    return out;
}

OBJECTCACHE_DECL std::string describe(const request& what, const endpoint& where)
{
    std::string out(what.method);
    out += where.tls ? " https://" : " http://";
    out += where.authority_for(what.bucket);
    detail::append_uri_encoded(out, detail::decoded_path(what, where), detail::slash::keep);
    return out;
}

} // namespace objectcache::s3
