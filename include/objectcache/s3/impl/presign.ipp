// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/request_parts.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/presign.hpp>

#include <array>
#include <vector>

namespace objectcache::s3 {

OBJECTCACHE_DECL result<std::string> presign(const request& what, const endpoint& where,
                                             const credentials& who, signer& with, sigv4_time now,
                                             std::chrono::seconds expires)
{
    using namespace std::string_view_literals;
    if (const status bad = detail::check(what, who); !bad.ok())
        return bad;
    if (who.is_anonymous())
        return {errc::no_credentials, "nothing to sign a URL with"};
    if (expires < std::chrono::seconds(1) || expires > longest_presigned)
        return {errc::invalid_argument, "a presigned URL is good for 1 second to 7 days"};
    constexpr std::array ours{"x-amz-algorithm"sv, "x-amz-credential"sv,    "x-amz-date"sv,
                              "x-amz-expires"sv,   "x-amz-signedheaders"sv, "x-amz-security-token"sv,
                              "x-amz-signature"sv};
    for (const field& q : what.query)
        for (const std::string_view name : ours)
            if (detail::lower_case(q.name) == name)
                return {errc::invalid_argument, "a query parameter that the signature itself uses"};

    const std::string authority = where.authority_for(what.bucket);
    const std::string path = detail::decoded_path(what, where);
    const std::string range = detail::range_header(what);
    std::vector<field> headers{{"Host", authority}};
    if (what.range)
        headers.push_back({"Range", range});
    headers.insert(headers.end(), what.headers.begin(), what.headers.end());

    const auto& [scope, key] = with.key_for(who, now);
    const std::string credential = who.access_key_id + '/' + scope.text();
    const std::string date = format_amz_date(now);
    const std::string seconds = std::to_string(expires.count());
    const std::string names = signed_header_names(headers);
    std::vector<field> query(what.query.begin(), what.query.end());
    query.push_back({"X-Amz-Algorithm", "AWS4-HMAC-SHA256"});
    query.push_back({"X-Amz-Credential", credential});
    query.push_back({"X-Amz-Date", date});
    query.push_back({"X-Amz-Expires", seconds});
    if (!who.session_token.empty())
        query.push_back({"X-Amz-Security-Token", who.session_token});
    query.push_back({"X-Amz-SignedHeaders", names});
    const std::string signed_by = signature(
        key,
        string_to_sign(canonical_request({what.method, path, query, headers, unsigned_payload}), now, scope));
    query.push_back({"X-Amz-Signature", signed_by});

    std::string out = where.tls ? "https://" : "http://";
    out += authority;
    detail::append_target(out, path, query);
    return out;
}

} // namespace objectcache::s3
