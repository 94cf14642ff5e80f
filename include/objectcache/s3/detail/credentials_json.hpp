// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/s3/credentials.hpp>
#include <objectcache/s3/detail/iso8601.hpp>
#include <objectcache/s3/detail/json.hpp>
#include <objectcache/s3/detail/outcome.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace objectcache::s3::detail {

/** What a status means that is no success. There is no "absent" here: that would be taken for the object's. */
[[nodiscard]] inline status refusal(unsigned code, std::string text)
{
    if (code == 401 || code == 403)
        return {errc::access_denied, std::move(text)};
    if (code == 429)
        return {errc::throttled, std::move(text)};
    return {code / 100 == 5 ? errc::server_error : errc::unexpected_status, std::move(text)};
}

[[nodiscard]] inline status refusal(unsigned code)
{
    return refusal(code, std::to_string(code));
}

/** Who wrote the JSON: they agree on all but details. */
enum class credentials_dialect {
    process,   ///< credential_process: Version, SessionToken
    container, ///< ECS and EKS: Token
    instance   ///< IMDS: Code, Token
};

/** Keys that came together with their expiry, as text: from JSON and from the XML of STS.

    @par Errors  `errc::malformed_response`, and never what the values are. */
[[nodiscard]] inline result<credentials> checked_credentials(std::string_view id, std::string_view secret,
                                                             std::string_view token, std::string_view expiry)
{
    credentials out{std::string(id), std::string(secret), std::string(token), std::nullopt};
    if (id.empty() || secret.empty())
        return result<credentials>(errc::malformed_response,
                                   "the answer has no AccessKeyId or no SecretAccessKey");
    if (!is_header_safe(id) || !is_header_safe(secret) || !is_header_safe(token))
        return result<credentials>(errc::malformed_response,
                                   "the answer's credentials contain control characters");
    if (!expiry.empty()) {
        out.expiry = parse_iso8601(expiry);
        if (!out.expiry)
            return result<credentials>(errc::malformed_response, "the answer's Expiration is no time");
    }
    return out;
}

/** Reads the credentials that a helper program, a container's agent or an instance's metadata gives. Safe on any input.

    @par Errors  `errc::malformed_response`; `errc::access_denied` where the instance's metadata says that it has none. */
[[nodiscard]] inline result<credentials> parse_credentials_json(std::string_view text, credentials_dialect of)
{
    const auto json = json_object::parse(text);
    if (!json)
        return result<credentials>(errc::malformed_response, "the answer is no JSON object");
    if (of == credentials_dialect::process && (*json)["Version"] != "1")
        return result<credentials>(errc::malformed_response, "the answer's Version is not 1");
    const std::string_view code = (*json)["Code"];
    if (of == credentials_dialect::instance && !code.empty() && code != "Success")
        return result<credentials>(errc::access_denied, "the answer's Code is " + one_line(code));
    return checked_credentials((*json)["AccessKeyId"], (*json)["SecretAccessKey"],
                               (*json)[of == credentials_dialect::process ? "SessionToken" : "Token"],
                               (*json)["Expiration"]);
}

} // namespace objectcache::s3::detail
