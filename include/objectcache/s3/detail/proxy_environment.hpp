// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/environment.hpp>
#include <objectcache/s3/detail/proxy.hpp>
#include <objectcache/s3/endpoint.hpp>

#include <string>
#include <string_view>

namespace objectcache::s3::detail {

/** Does a list like "localhost,.internal,10.0.0.1" name the host? As curl reads it: a name covers those below it. */
[[nodiscard]] inline bool is_listed(std::string_view host, std::string_view list)
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

/** The proxy that the environment has for an endpoint, as a URL; empty: none. HTTPS_PROXY, or http_proxy for one without TLS,
    unless NO_PROXY names the host; the lower case outranks. */
[[nodiscard]] inline result<std::string> proxy_in_environment(const endpoint& where)
{
    std::string url = where.tls ? first_set({environment("https_proxy"), environment("HTTPS_PROXY")})
                                : first_set({environment("http_proxy"), environment("HTTP_PROXY")});
    const std::string around = first_set({environment("no_proxy"), environment("NO_PROXY")});
    if (url.empty() || is_listed(where.host, around))
        return std::string();
    if (url.find("://") == url.npos)
        url.insert(0, "http://");
    if (const auto parsed = proxy::parse(url); !parsed)
        return parsed.error();
    return url;
}

} // namespace objectcache::s3::detail
