// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/environment.hpp>

#include <initializer_list>
#include <string>
#include <string_view>

namespace objectcache::s3::detail {

/** What the hosts of a region of AWS end in; those in China are apart. */
[[nodiscard]] constexpr std::string_view amazon_domain(std::string_view region) noexcept
{
    return region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com";
}

/** Of the URLs that are configured for a service, the first that is set; AWS's own if none is, or if the environment wants
    them ignored. */
[[nodiscard]] inline std::string service_url(std::initializer_list<std::string> configured,
                                             std::string_view service, std::string_view region)
{
    const bool ignored = lower_case(environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")) == "true";
    std::string out = ignored ? std::string() : first_set(configured);
    if (out.empty())
        out.append("https://").append(service).append(".").append(region).append(amazon_domain(region));
    return out;
}

} // namespace objectcache::s3::detail
