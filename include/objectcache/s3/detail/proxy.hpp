// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/s3/detail/base64.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/endpoint.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace objectcache::s3::detail {

/** An HTTP proxy that opens a way through by CONNECT. */
struct proxy {
    std::string host;
    std::uint16_t port = 80;
    std::string authorization; ///< "Basic ...", or empty

    /** @par Errors  `condition::invalid`; the detail never has the password in it. */
    [[nodiscard]] static result<proxy> parse(std::string_view url)
    {
        constexpr std::string_view scheme = "http://";
        const auto refused = [](const std::string& why) {
            return result<proxy>(errc::invalid_argument, "proxy: " + why);
        };
        if (url.substr(0, scheme.size()) != scheme)
            return refused("expected http://[user:password@]host[:port]");
        std::string_view rest = url.substr(scheme.size());
        proxy out;
        // The last one: a password may have an @ that nobody escaped.
        if (const auto at = rest.rfind('@'); at != rest.npos) {
            const auto who = uri_decoded(rest.substr(0, at));
            if (!who)
                return refused("a broken escape in the user information");
            out.authorization = "Basic " + base64(std::as_bytes(std::span(*who)));
            rest.remove_prefix(at + 1);
        }
        const auto where = endpoint::parse(std::string(scheme) + std::string(rest));
        if (!where)
            return refused(where.error().detail());
        if (!where->base_path.empty())
            return refused("a path has no meaning here");
        out.host = where->host;
        out.port = where->port;
        return out;
    }

    /** "proxy 10.0.0.1:3128": how errors name it. */
    [[nodiscard]] std::string name() const { return "proxy " + authority(host, port); }

    [[nodiscard]] std::string connect_head(const std::string& to_host, std::uint16_t to_port) const
    {
        const std::string target = authority(to_host, to_port);
        std::string out = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n";
        if (!authorization.empty())
            out += "Proxy-Authorization: " + authorization + "\r\n";
        return out + "\r\n";
    }

private:
    [[nodiscard]] static std::string authority(const std::string& host, std::uint16_t port)
    {
        const bool v6 = host.find(':') != host.npos;
        return (v6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
    }
};

} // namespace objectcache::s3::detail
