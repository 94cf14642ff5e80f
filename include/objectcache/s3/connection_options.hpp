// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/s3/connection_control.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace objectcache::s3 {

/** Turns a name into addresses, in order of preference. */
using host_resolver =
    std::function<boost::asio::awaitable<result<std::vector<boost::asio::ip::tcp::endpoint>>>(
        std::string host, std::uint16_t port)>;

/** How connections are made and kept. */
struct connection_options {
    std::size_t max_connections = 64;                   ///< open at once; more callers wait in line
    duration connect_timeout = std::chrono::seconds(5); ///< name, TCP, proxy and TLS together
    duration max_idle =
        std::chrono::seconds(20); ///< older idle connections are closed, see `connection_pool`
    std::string ca_file;          ///< PEM; empty: what OpenSSL trusts by default
    std::string
        certificate_file; ///< PEM, the client's own and what leads to its issuer; empty: none is shown
    std::string key_file; ///< PEM, not encrypted; empty: in `certificate_file`
    /** `http://[user:password@]host[:port]`, with or without a final slash; empty: none. Everything goes through it by
        CONNECT, TLS or not. Which hosts go around it is for the caller to know. */
    std::string proxy;
    /** How many of `max_connections` may be in use is found by measuring, beginning with all of them: a prompt waits for the
        first burst of requests, and must not wait until it is known what that is worth. `max` counts for nothing here; with
        `min` and `initial` at the maximum the number is fixed. */
    connection_control_options control = connection_control_options::from_the_top();
    host_resolver resolver = {};                     ///< empty: the system's
    duration address_ttl = std::chrono::seconds(15); ///< how long its answers are used
    duration address_quarantine =
        std::chrono::seconds(30); ///< for so long an address that failed is the last choice
};

} // namespace objectcache::s3
