// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/amazon.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/environment.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/endpoint.hpp>
#include <objectcache/s3/profile.hpp>

namespace objectcache::s3 {

namespace detail {

[[nodiscard]] OBJECTCACHE_DECL bool is_address(std::string_view host) noexcept
{
    // No top-level domain is numeric: what ends in a digit is an IPv4 address, what has a colon is IPv6.
    return host.find(':') != host.npos || (!host.empty() && host.back() >= '0' && host.back() <= '9');
}

/** "eu-west-1" of s3.eu-west-1.amazonaws.com and of s3.dualstack.eu-west-1.amazonaws.com. */
[[nodiscard]] OBJECTCACHE_DECL std::string region_of_amazon(std::string_view host)
{
    host = host.substr(0, host.rfind(".amazonaws.com"));
    const auto dot = host.rfind('.');
    const std::string_view last = dot == host.npos ? std::string_view() : host.substr(dot + 1);
    return last.find('-') == last.npos ? "us-east-1" : std::string(last);
}

[[nodiscard]] OBJECTCACHE_DECL bool is_host(std::string_view host) noexcept
{
    for (const char c : host)
        if (!is_unreserved(static_cast<unsigned char>(c)))
            return false;
    return !host.empty() && host.size() <= 253;
}

[[nodiscard]] OBJECTCACHE_DECL bool is_ipv6(std::string_view host) noexcept
{
    for (const char c : host)
        if (hex_value(c) < 0 && c != ':' && c != '.')
            return false;
    return host.size() >= 2 && host.find(':') != host.npos;
}

} // namespace detail

// By hand, because Boost.URL has to be linked: it would be the one thing that keeps this library from being header-only.
OBJECTCACHE_DECL result<endpoint> endpoint::parse(std::string_view url, std::string region)
{
    const auto refused = [&](const char* why) {
        return result<endpoint>(errc::invalid_argument,
                                "endpoint '" + std::string(url.substr(0, 200)) + "': " + why);
    };
    const auto colon = url.find("://");
    if (colon == url.npos)
        return refused("not a URL (expected http://host:port or https://host)");
    const std::string scheme = detail::lower_case(url.substr(0, colon));
    endpoint out;
    if (scheme != "http" && scheme != "https")
        return refused("the scheme is neither http nor https");
    out.tls = scheme == "https";
    out.port = out.tls ? 443 : 80;

    const std::string_view rest = url.substr(colon + 3);
    if (rest.find_first_of("@?#") != rest.npos)
        return refused("user information, query and fragment have no meaning here");
    std::string_view authority = rest.substr(0, rest.find('/'));
    const std::string_view path = rest.substr(authority.size());

    std::string_view port;
    if (authority.starts_with('[')) {
        const auto close = authority.find(']');
        if (close == authority.npos || !detail::is_ipv6(authority.substr(1, close - 1)))
            return refused("not an IPv6 address");
        out.host = authority.substr(1, close - 1);
        port = authority.substr(close + 1);
    } else {
        out.host = detail::lower_case(authority.substr(0, authority.find(':')));
        port = authority.substr(out.host.size());
        if (!detail::is_host(out.host))
            return refused("not a host name");
    }
    if (!port.empty()) {
        const auto number = port[0] == ':' ? detail::parse_number(port.substr(1)) : std::nullopt;
        if (!number || *number == 0 || *number > 65535)
            return refused("not a port");
        out.port = static_cast<std::uint16_t>(*number);
    }
    auto decoded = detail::uri_decoded(path);
    if (!decoded)
        return refused("a broken escape in the path");
    out.base_path = std::move(*decoded);
    while (out.base_path.ends_with('/'))
        out.base_path.pop_back();
    if (!region.empty())
        out.region = std::move(region);
    else if (out.is_amazon())
        out.region = detail::region_of_amazon(out.host);
    return out;
}

OBJECTCACHE_DECL result<endpoint> endpoint::from_env()
{
    using detail::environment;
    const profile mine = profile::from_env();
    std::string region =
        detail::first_set({environment("AWS_REGION"), environment("AWS_DEFAULT_REGION"), mine.region});
    const std::string url =
        detail::service_url({environment("AWS_ENDPOINT_URL_S3"), environment("AWS_ENDPOINT_URL"),
                             mine.s3_endpoint_url, mine.endpoint_url},
                            "s3", region.empty() ? "us-east-1" : region);
    auto out = parse(url, std::move(region));
    const std::string style = detail::lower_case(mine.addressing_style);
    if (!out || style.empty() || style == "auto")
        return out;
    if (style != "path" && style != "virtual")
        return {errc::invalid_argument,
                "profile " + mine.name + ": addressing_style is none of path, virtual, auto"};
    out->style = style == "path" ? addressing::path : addressing::virtual_host;
    return out;
}

OBJECTCACHE_DECL bool endpoint::is_amazon() const noexcept
{
    return host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
}

OBJECTCACHE_DECL bool endpoint::is_virtual_host(std::string_view bucket) const
{
    const bool wanted = style == addressing::virtual_host || (style == addressing::automatic && is_amazon());
    if (!wanted || bucket.empty() || bucket.size() > 63 || detail::is_address(host))
        return false;
    for (const char c : bucket)
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || (c == '.' && !tls)))
            return false;
    return true;
}

OBJECTCACHE_DECL std::string endpoint::host_for(std::string_view bucket) const
{
    return is_virtual_host(bucket) ? std::string(bucket) + '.' + host : host;
}

OBJECTCACHE_DECL std::string endpoint::authority_for(std::string_view bucket) const
{
    std::string out = host_for(bucket);
    if (out.find(':') != out.npos)
        out = '[' + out + ']';
    if (port != (tls ? 443 : 80))
        out += ':' + std::to_string(port);
    return out;
}

OBJECTCACHE_DECL std::string endpoint::url() const
{
    std::string out = (tls ? "https://" : "http://") + authority_for({});
    detail::append_uri_encoded(out, base_path, detail::slash::keep);
    return out;
}

} // namespace objectcache::s3
