// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/client_options.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/environment.hpp>
#include <objectcache/s3/detail/proxy_environment.hpp>
#include <objectcache/s3/profile.hpp>

#include <string>
#include <string_view>

namespace objectcache::s3 {

namespace detail {

/** "when_supported" or "when_required", and nothing else. */
[[nodiscard]] OBJECTCACHE_DECL result<bool> when_supported(const char* variable, bool otherwise)
{
    const std::string value = lower_case(environment(variable));
    if (value.empty())
        return otherwise;
    if (value != "when_supported" && value != "when_required")
        return {errc::invalid_argument, std::string(variable) + ": neither when_supported nor when_required"};
    return value == "when_supported";
}

} // namespace detail

OBJECTCACHE_DECL result<client_options> client_options::from_env(const endpoint& where)
{
    client_options out;
    out.connections.ca_file = detail::environment("AWS_CA_BUNDLE");
    if (out.connections.ca_file.empty())
        out.connections.ca_file = profile::from_env().ca_bundle;
    auto through = detail::proxy_in_environment(where);
    if (!through)
        return through.error();
    out.connections.proxy = std::move(*through);

    if (const std::string attempts = detail::environment("AWS_MAX_ATTEMPTS"); !attempts.empty()) {
        const auto number = detail::parse_number(attempts);
        if (!number || *number == 0 || *number > 1000)
            return {errc::invalid_argument, "AWS_MAX_ATTEMPTS: not a number from 1 to 1000"};
        out.retry.max_attempts = static_cast<unsigned>(*number);
    }

    const auto sends = detail::when_supported("AWS_REQUEST_CHECKSUM_CALCULATION", false);
    if (!sends)
        return sends.error();
    if (*sends)
        out.upload_checksum = checksum::crc32c;
    const auto compares = detail::when_supported("AWS_RESPONSE_CHECKSUM_VALIDATION", true);
    if (!compares)
        return compares.error();
    if (!*compares)
        out.verify = checksum_check::off;
    return out;
}

} // namespace objectcache::s3
