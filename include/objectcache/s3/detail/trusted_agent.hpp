// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/endpoint.hpp>

#include <boost/asio/ip/address.hpp>

namespace objectcache::s3::detail {

/** May credentials be asked for there? Unencrypted only where the way is within this machine, or to an agent's address. */
[[nodiscard]] inline bool is_trusted_agent(const endpoint& where)
{
    if (where.tls || where.host == "localhost")
        return true;
    boost::system::error_code not_an_address;
    const auto address = boost::asio::ip::make_address(where.host, not_an_address);
    if (not_an_address)
        return false;
    for (const char* agent : {"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}) // ECS, EKS, EKS over IPv6
        if (address == boost::asio::ip::make_address(agent))
            return true;
    return address.is_loopback();
}

} // namespace objectcache::s3::detail
