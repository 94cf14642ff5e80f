// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/client_options.hpp>

#include <limits>
#include <utility>

namespace support {

/** A client that sends each request once, so that what one request ends with can be seen. */
inline objectcache::s3::client_options one_try(objectcache::s3::client_options options = {})
{
    options.retry.max_attempts = 1;
    options.circuit.consecutive_failures = std::numeric_limits<unsigned>::max();
    options.circuit.min_requests = std::numeric_limits<unsigned>::max();
    options.hedge.budget = 0;
    options.throttling.enabled = false;
    return options;
}

} // namespace support
