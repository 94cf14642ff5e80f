// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/credentials.hpp>
#include <objectcache/s3/detail/chunk_signature.hpp>
#include <objectcache/s3/sigv4.hpp>
#include <objectcache/testing/detail/s3_answer.hpp>
#include <objectcache/testing/detail/s3_wire.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Who may do what: SigV4 in the header or in the query. Pure.
namespace objectcache::testing::detail {

inline constexpr std::chrono::minutes longest_skew{15};
inline constexpr std::uint64_t longest_presigned_s = 7 * 24 * 3600;

struct auth_rules {
    s3::credentials who;
    bool allow_anonymous = false;
};

/** What a request's signature says about its body. */
struct auth_outcome {
    std::optional<s3_error> refused;
    std::string payload; ///< hex SHA-256, UNSIGNED-PAYLOAD, STREAMING-...; empty: nothing was said
    std::optional<s3::detail::chunk_chain> chunks; ///< signatures that the body's chunks must have
};

[[nodiscard]] inline s3_error refuse(std::string code, std::string message)
{
    return {403, std::move(code), std::move(message)};
}

[[nodiscard]] inline std::optional<s3_error> check_signature(const auth_rules& rules, const s3_call& call,
                                                             const s3::authorization& claim,
                                                             std::span<const s3::field> query,
                                                             std::string_view payload, s3::sigv4_time at)
{
    if (claim.access_key_id != rules.who.access_key_id)
        return refuse("InvalidAccessKeyId",
                      "The AWS Access Key Id you provided does not exist in our records.");
    s3::signable_request request;
    request.method = call.method;
    request.path = call.target.path;
    request.query = query;
    request.headers = call.headers;
    request.payload = payload;
    if (const status good = s3::verify(claim, request, at, rules.who.secret_access_key); !good.ok())
        return refuse("SignatureDoesNotMatch",
                      "The request signature we calculated does not match the signature you "
                      "provided: " +
                          good.detail() + ".");
    return std::nullopt;
}

[[nodiscard]] inline std::optional<s3_error> check_token(const auth_rules& rules, std::string_view token)
{
    if (token == rules.who.session_token)
        return std::nullopt;
    return s3_error{400, "InvalidToken", "The provided token is malformed or otherwise invalid."};
}

[[nodiscard]] inline auth_outcome authenticate_header(const auth_rules& rules, const s3_call& call,
                                                      std::string_view header, s3::sigv4_time now)
{
    auth_outcome out;
    const auto claim = s3::parse_authorization(header);
    if (!claim) {
        out.refused = s3_error{400, "AuthorizationHeaderMalformed", "The authorization header is malformed."};
        return out;
    }
    const auto at = s3::parse_amz_date(call.header("x-amz-date"));
    if (!at) {
        out.refused = refuse("AccessDenied", "AWS authentication requires a valid x-amz-date header.");
        return out;
    }
    out.payload = call.header("x-amz-content-sha256");
    if (out.payload.empty()) {
        out.refused =
            s3_error{400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"};
        return out;
    }
    std::vector<s3::field> query;
    for (const auto& [name, value] : call.target.query)
        query.push_back({name, value});
    out.refused = check_signature(rules, call, *claim, query, out.payload, *at);
    if (!out.refused)
        out.refused = check_token(rules, call.header("x-amz-security-token"));
    if (!out.refused && std::chrono::abs(now - *at) > longest_skew)
        out.refused = refuse("RequestTimeTooSkewed",
                             "The difference between the request time and the server's time is too large.");
    if (!out.refused && out.payload.starts_with(s3::detail::streaming_signed))
        out.chunks.emplace(
            s3::scoped_key{claim->scope, s3::signing_key(rules.who.secret_access_key, claim->scope)}, *at,
            claim->signature);
    return out;
}

[[nodiscard]] inline auth_outcome authenticate_query(const auth_rules& rules, const s3_call& call,
                                                     s3::sigv4_time now)
{
    auth_outcome out;
    std::vector<s3::field> query; // all but the signature itself
    for (const auto& [name, value] : call.target.query)
        if (name != "X-Amz-Signature")
            query.push_back({name, value});
    const auto text = [&](std::string_view name) {
        const std::string* value = call.target.parameter(name);
        return value ? *value : std::string();
    };
    const auto claim = s3::parse_authorization(
        text("X-Amz-Algorithm") + " Credential=" + text("X-Amz-Credential") +
        ", SignedHeaders=" + text("X-Amz-SignedHeaders") + ", Signature=" + text("X-Amz-Signature"));
    const auto at = s3::parse_amz_date(text("X-Amz-Date"));
    const auto seconds = parse_decimal(text("X-Amz-Expires"));
    if (!claim || !at || !seconds || *seconds > longest_presigned_s) {
        out.refused = s3_error{400, "AuthorizationQueryParametersError", "The presigned query is malformed."};
        return out;
    }
    out.refused = check_signature(rules, call, *claim, query, s3::unsigned_payload, *at);
    if (!out.refused)
        out.refused = check_token(rules, text("X-Amz-Security-Token"));
    if (!out.refused && (now > *at + std::chrono::seconds(*seconds) || *at > now + longest_skew))
        out.refused = refuse("AccessDenied", "Request has expired");
    return out;
}

/** Who sent the request, if anybody. In whole seconds: the nanoseconds of any year do not fit into 64 bits. */
[[nodiscard]] inline auth_outcome authenticate(const auth_rules& rules, const s3_call& call,
                                               s3::sigv4_time now)
{
    if (const std::string_view header = call.header("authorization"); !header.empty())
        return authenticate_header(rules, call, header, now);
    if (call.target.parameter("X-Amz-Signature"))
        return authenticate_query(rules, call, now);
    auth_outcome out;
    out.payload = call.header("x-amz-content-sha256");
    if (!rules.allow_anonymous)
        out.refused = refuse("AccessDenied", "Access Denied");
    return out;
}

} // namespace objectcache::testing::detail
