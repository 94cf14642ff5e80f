// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/s3/connection_pool.hpp>
#include <objectcache/s3/credentials_provider.hpp>
#include <objectcache/s3/endpoint.hpp>
#include <objectcache/s3/profile.hpp>

#include <chrono>
#include <filesystem>
#include <string>

/** @file
    Where credentials come from. Every source here is a `credentials_provider` that asks anew whenever it is called; what they
    have in common:

    @par Completion    With credentials, or with one line that says what was looked at and why it gave none. No message ever
                       holds a key, a token or what a stranger answered beside an error.
    @par Resumes       On the awaiting coroutine's executor, where its I/O is done, too.
    @par Cancellation  Terminal, partial and total, at any point; completes once what was begun is over.
    @par Errors
    @li `errc::no_credentials`    nothing is configured here: another source may be asked. Every other error is of a source
                                  that is configured, and failed.
    @li `condition::denied`       the service refused.
    @li `condition::invalid`      the configuration contradicts itself.
    @li `condition::timeout`, `condition::unavailable`, `condition::corrupt`, `condition::cancelled`. */
namespace objectcache::s3 {

/** `credentials::from_env()` at the time of the call. */
[[nodiscard]] credentials_provider environment_credentials();

/** The program of a profile's `credential_process`. */
struct process_options {
    std::string command; ///< words with shell quoting; no shell is run, so nothing in it is expanded
    duration timeout = std::chrono::minutes(1);
};

/** What a program prints: {"Version": 1, "AccessKeyId": ..., "SecretAccessKey": ..., "SessionToken": ..., "Expiration": ...}.
    It has a process group of its own, no input and our standard error; past the timeout its group is killed. */
[[nodiscard]] credentials_provider process_credentials(process_options options);

/** The Security Token Service, and how it is reached. */
struct sts_options {
    endpoint where; ///< with the region that requests are signed for
    connection_options connections;
    duration timeout = std::chrono::seconds(10); ///< of one answer, with tries

    /** AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, the profile's `sts_endpoint_url` or endpoint_url, or AWS's own in AWS_REGION,
        AWS_DEFAULT_REGION or the profile's region, as also if AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is `true`. Where `how` names
        no CA file, AWS_CA_BUNDLE or the profile's ca_bundle; where it names no proxy, the one for that address as in
        `client_options::from_env`. */
    [[nodiscard]] static result<sts_options> from_env(const profile& settings = {},
                                                      connection_options how = {});
};

/** A role to take on. */
struct role_options {
    std::string arn;
    std::string session_name;        ///< shown in the account's log; empty: objectcache- and the time
    std::string external_id;         ///< if the role's owner gave one
    std::chrono::seconds duration{}; ///< zero: as long as the service likes, usually an hour
};

/** AssumeRole, signed with the credentials of `source`. */
[[nodiscard]] credentials_provider role_credentials(credentials_provider source, role_options role,
                                                    sts_options sts);

/** A role and the file with the token, of an OpenID Connect provider, that entitles to it. */
struct web_identity_options {
    std::filesystem::path token_file; ///< read anew every time: it is replaced while the program runs
    role_options role;

    /** AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN and AWS_ROLE_SESSION_NAME. */
    [[nodiscard]] static result<web_identity_options> from_env();
};

/** AssumeRoleWithWebIdentity. */
[[nodiscard]] credentials_provider web_identity_credentials(web_identity_options options, sts_options sts);

/** The agent that gives a container its credentials: ECS, EKS Pod Identity, Greengrass. */
struct container_options {
    /** https, or http to this machine or to one of the agents' fixed addresses; nowhere else. */
    std::string url;
    std::string authorization;
    std::filesystem::path authorization_file; ///< outranks `authorization`; read anew every time
    connection_options connections;
    duration timeout = std::chrono::seconds(5);

    /** AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_CONTAINER_CREDENTIALS_FULL_URI;
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or AWS_CONTAINER_AUTHORIZATION_TOKEN. */
    [[nodiscard]] static result<container_options> from_env();
};

[[nodiscard]] credentials_provider container_credentials(container_options options);

/** The metadata service of an EC2 instance, version 2. */
struct instance_options {
    std::string url = "http://169.254.169.254";
    /** Of each of the three answers. Short: elsewhere than on EC2 nobody is there. */
    duration timeout = std::chrono::seconds(1);

    /** AWS_EC2_METADATA_SERVICE_ENDPOINT, AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE (IPv4, IPv6) and
        AWS_EC2_METADATA_DISABLED. */
    [[nodiscard]] static result<instance_options> from_env();
};

/** The role that is attached to the instance. Credentials that have expired already, which the service gives while it is
    itself in trouble and AWS goes on accepting, are given ten more minutes, as the AWS SDKs do.

    @par Errors  `errc::no_credentials` also where nobody answers. */
[[nodiscard]] credentials_provider instance_credentials(instance_options options);

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/credentials_sources.ipp>
#endif
