// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace objectcache::s3 {

/** What proves to the store who we are. Nothing in the library prints the secret or the token. */
struct credentials {
    std::string access_key_id;
    std::string secret_access_key;
    std::string session_token; ///< of temporary credentials; empty otherwise
    std::optional<std::chrono::system_clock::time_point> expiry; ///< none: until somebody revokes them

    /** Requests go unsigned: public buckets. */
    [[nodiscard]] bool anonymous() const noexcept { return access_key_id.empty(); }
};

} // namespace objectcache::s3
