// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace objectcache::s3 {

/** Where the bucket's name goes. */
enum class addressing {
    automatic,   ///< virtual host at amazonaws.com, path everywhere else
    path,        ///< https://host/bucket/key
    virtual_host ///< https://bucket.host/key
};

/** An S3 service: where it is and how its buckets are addressed. */
struct endpoint {
    bool tls = true;
    std::string host; ///< a name or an address; IPv6 without brackets
    std::uint16_t port = 443;
    std::string base_path; ///< before the bucket, as a gateway may want it: "" or "/prefix"
    std::string region = "us-east-1";
    addressing style = addressing::automatic;

    /** From a URL: `http://127.0.0.1:9000`, `https://s3.eu-west-1.amazonaws.com`, `http://[::1]:9000/gateway`.

        @param region Empty: the region named by an amazonaws.com host, otherwise us-east-1.
        @par Errors   `condition::invalid` for anything but http or https with a host, and for user information, a query
                      or a fragment, which mean nothing here. */
    [[nodiscard]] static result<endpoint> parse(std::string_view url, std::string region = {});

    /** What the AWS tools would talk to. Each is the first of these that is set:

        @li where   AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, `endpoint_url` of the profile's `services`, and its own; or AWS
                    itself, as also if AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is `true`;
        @li region  AWS_REGION, AWS_DEFAULT_REGION, the profile's `region`;
        @li style   the profile's `addressing_style` below `s3 =`: `path`, `virtual` or `auto`.

        The profile is the one that AWS_PROFILE names, or `default`, in ~/.aws: see profile.hpp.

        @par Errors  `condition::invalid` as `parse`, and for another style.
        @par Cost    Reads two small files. */
    [[nodiscard]] static result<endpoint> from_env();

    /** Does `bucket` become part of the host name? Never where that cannot work: with an address for a host, a name that
        is not one DNS label, or TLS and a dot (wildcard certificates cover one label). */
    [[nodiscard]] bool is_virtual_host(std::string_view bucket) const;
    /** The host to connect to for `bucket`. */
    [[nodiscard]] std::string host_for(std::string_view bucket) const;
    /** The Host header for `bucket`: with the port unless it is the scheme's own. */
    [[nodiscard]] std::string authority_for(std::string_view bucket) const;
    /** Is this AWS itself, and not a server that speaks its protocol? */
    [[nodiscard]] bool is_amazon() const noexcept;
    /** scheme://host[:port][/prefix] */
    [[nodiscard]] std::string url() const;
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/endpoint.ipp>
#endif
