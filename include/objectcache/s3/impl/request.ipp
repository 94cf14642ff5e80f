// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/request_parts.hpp>
#include <objectcache/s3/request.hpp>
#include <objectcache/version.hpp>

#include <vector>

namespace objectcache::s3 {

OBJECTCACHE_DECL result<std::string> serialize(const request& what, const endpoint& where,
                                               const credentials& who, signer& with, sigv4_time now)
{
    if (const status bad = detail::check(what, who); !bad.ok())
        return bad;

    const std::string authority = where.authority_for(what.bucket);
    const std::string path = detail::decoded_path(what, where);
    const std::string& date = with.date(now);
    const std::string range = detail::range_header(what);

    std::vector<field> headers;
    headers.reserve(what.headers.size() + 5);
    headers.push_back({"Host", authority});
    if (what.range)
        headers.push_back({"Range", range});
    headers.insert(headers.end(), what.headers.begin(), what.headers.end());
    if (!who.is_anonymous()) {
        headers.push_back({"x-amz-content-sha256", what.payload});
        headers.push_back({"x-amz-date", date});
        if (!who.session_token.empty())
            headers.push_back({"x-amz-security-token", who.session_token});
    }

    std::string out;
    out.reserve(768); // the usual
    out += what.method;
    out += ' ';
    detail::append_target(out, path, what.query);
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
    detail::append_target(out, detail::decoded_path(what, where), {});
    return out;
}

} // namespace objectcache::s3
