// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <chrono>

namespace objectcache::s3 {

/** When `cached_credentials` asks for new ones. */
struct refresh_options {
    /** Before the expiry, while the old ones still serve. */
    std::chrono::seconds ahead = std::chrono::minutes(5);
    /** Before the expiry, when callers wait for the new ones. */
    std::chrono::seconds urgent = std::chrono::seconds(30);
    duration timeout = std::chrono::minutes(2);   ///< of one refresh
    duration retry_min = std::chrono::seconds(1); ///< between failed refreshes, doubling
    duration retry_max = std::chrono::minutes(1);
};

} // namespace objectcache::s3
