// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/s3/profile.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace objectcache::s3 {

/** What proves to the store who we are. Nothing in the library prints the secret or the token.

    The factories read environment and files when they are called, and remember nothing.

    @par Errors  `errc::no_credentials`, with a detail that says what was looked at and never what was found there. */
struct credentials {
    std::string access_key_id;
    std::string secret_access_key;
    std::string session_token; ///< of temporary credentials; empty otherwise
    std::optional<std::chrono::system_clock::time_point> expiry; ///< none: until somebody revokes them

    friend bool operator==(const credentials&, const credentials&) = default;

    /** AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary credentials, AWS_SESSION_TOKEN. */
    [[nodiscard]] static result<credentials> from_env();

    /** The keys of one profile, see `profiles`. Not what it refers to: `profile_credentials` follows that.

        @param profile Empty: AWS_PROFILE, or "default". */
    [[nodiscard]] static result<credentials> from_profile(std::string profile = {}, profile_files files = {});

    /** Requests go unsigned: public buckets. */
    [[nodiscard]] static credentials anonymous() { return {}; }
    [[nodiscard]] bool is_anonymous() const noexcept { return access_key_id.empty(); }
};

/** The keys in the environment, then those of the profile: what can be had without asking anybody. See
    `default_credentials_provider` for all the rest. */
[[nodiscard]] result<credentials> default_credentials();

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/credentials.ipp>
#endif
