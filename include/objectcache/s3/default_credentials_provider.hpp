// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/cached_credentials.hpp>
#include <objectcache/s3/connection_pool.hpp>
#include <objectcache/s3/credentials_provider.hpp>
#include <objectcache/s3/profile.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <string>
#include <vector>

/** @file
    Sources of credentials made of others; what is said in credentials_sources.hpp holds for them, too. */
namespace objectcache::s3 {

/** Which profile, and how to reach what it refers to. */
struct profile_options {
    std::string name; ///< empty: AWS_PROFILE, or "default"
    profile_files files;
    connection_options connections; ///< to STS and to a container's agent
};

/** What a profile asks for: keys, `credential_process`, a web identity, or roles taken on one with the other. Reads files and
    environment at every call.

    @par Errors  `errc::no_credentials` only for the profile "default" that nobody asked for by name. */
[[nodiscard]] credentials_provider profile_credentials(profile_options options);

/** A source and how errors name it. */
struct named_source {
    std::string name;
    credentials_provider ask;
};

/** The first that has credentials, in this order. One that is configured and fails ends the search: another identity in
    its place would only fail later and less clearly.

    @par Errors  Of the last that was asked; the detail has a word on each. */
[[nodiscard]] credentials_provider first_of(std::vector<named_source> sources);

struct default_credentials_options {
    profile_options from_profile; ///< with a name, the environment's keys and token are not looked at
    refresh_options refresh;
};

/** What the AWS tools would use, in their order, remembered and refreshed: the environment's keys, its web identity, the
    profile, the container's agent, the instance's metadata. */
[[nodiscard]] cached_credentials default_credentials_provider(asio::any_io_executor executor,
                                                              default_credentials_options options = {});

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/default_credentials_provider.ipp>
#endif
