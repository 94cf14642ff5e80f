// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/client_options.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/environment.hpp>
#include <objectcache/s3/detail/proxy.hpp>

#include <string>
#include <string_view>

namespace objectcache::s3 {

namespace detail {

/** Of two variables of one meaning, the first that is set. */
[[nodiscard]] OBJECTCACHE_DECL std::string either_variable(const char* one, const char* other)
{
    std::string out = environment(one);
    return out.empty() ? environment(other) : out;
}

/** Does a list like "localhost,.internal,10.0.0.1" name the host? As curl reads it: a name covers those below it. */
[[nodiscard]] OBJECTCACHE_DECL bool is_listed(std::string_view host, std::string_view list)
{
    const std::string name = lower_case(host);
    while (!list.empty()) {
        const auto comma = list.find(',');
        std::string_view one = trimmed(list.substr(0, comma));
        list = comma == list.npos ? std::string_view() : list.substr(comma + 1);
        if (one == "*")
            return true;
        if (one.starts_with('.'))
            one.remove_prefix(1);
        const std::string below = '.' + lower_case(one);
        if (!one.empty() && ('.' + name).ends_with(below))
            return true;
    }
    return false;
}

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

    const std::string through = where.tls ? detail::either_variable("https_proxy", "HTTPS_PROXY")
                                          : detail::either_variable("http_proxy", "HTTP_PROXY");
    if (!through.empty() && !detail::is_listed(where.host, detail::either_variable("no_proxy", "NO_PROXY"))) {
        out.connections.proxy = through.find("://") == through.npos ? "http://" + through : through;
        if (const auto parsed = detail::proxy::parse(out.connections.proxy); !parsed)
            return parsed.error();
    }

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
