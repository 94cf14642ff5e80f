// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

namespace objectcache::s3 {

/** Where the shared files of the AWS tools are. An empty path means the usual place: AWS_SHARED_CREDENTIALS_FILE or
    ~/.aws/credentials, AWS_CONFIG_FILE or ~/.aws/config. */
struct profile_files {
    std::filesystem::path credentials;
    std::filesystem::path config;
};

/** What proves to the store who we are. Nothing in the library prints the secret or the token.

    The factories read environment and files when they are called, and remember nothing.

    @par Errors  `errc::no_credentials`, with a detail that says what was looked at and never what was found there. */
struct credentials {
    std::string access_key_id;
    std::string secret_access_key;
    std::string session_token; ///< of temporary credentials; empty otherwise
    std::optional<std::chrono::system_clock::time_point> expiry; ///< none: until somebody revokes them

    /** AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary credentials, AWS_SESSION_TOKEN. */
    [[nodiscard]] static result<credentials> from_env();

    /** The keys of one profile, from the credentials file before the config file.

        @param profile Empty: AWS_PROFILE, or "default". */
    [[nodiscard]] static result<credentials> from_profile(std::string profile = {}, profile_files files = {});

    /** Requests go unsigned: public buckets. */
    [[nodiscard]] static credentials anonymous() { return {}; }
    [[nodiscard]] bool is_anonymous() const noexcept { return access_key_id.empty(); }
};

/** The environment, then the profile; the first that has credentials. */
[[nodiscard]] result<credentials> default_credentials();

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/credentials.ipp>
#endif
