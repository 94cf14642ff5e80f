// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace objectcache::s3 {

/** Where the shared files of the AWS tools are. An empty path means the usual place: AWS_SHARED_CREDENTIALS_FILE or
    ~/.aws/credentials, AWS_CONFIG_FILE or ~/.aws/config. */
struct profile_files {
    std::filesystem::path credentials;
    std::filesystem::path config;

    /** Both paths, the empty ones looked up in the environment; still empty where there is no home either. */
    [[nodiscard]] profile_files located() const;
};

/** One profile of the shared files: the settings that we know, as they are written there. Empty: not set. */
struct profile {
    std::string name;

    std::string access_key_id;
    std::string secret_access_key;
    std::string session_token;

    std::string role_arn;          ///< the role to take on,
    std::string source_profile;    ///< with the credentials of this profile,
    std::string credential_source; ///< or from there: Environment, EcsContainer or Ec2InstanceMetadata
    std::string external_id;
    std::string role_session_name;
    std::string duration_seconds;
    std::string mfa_serial;

    std::string web_identity_token_file;
    std::string credential_process;
    std::string sso; ///< the session or the URL of a single sign-on

    std::string region;
    std::string ca_bundle;
    std::string endpoint_url;
    std::string s3_endpoint_url,
        sts_endpoint_url;         ///< `endpoint_url` of one service, from the `[services]` it names
    std::string addressing_style; ///< of its `s3 =`: path, virtual or auto

    /** What AWS_PROFILE names, or `default`, in the shared files; without a setting if it is not there. */
    [[nodiscard]] static profile from_env();

    /** Does it hold keys of its own? */
    [[nodiscard]] bool has_keys() const noexcept
    {
        return !access_key_id.empty() && !secret_access_key.empty();
    }
};

/** The profiles of both shared files. What the credentials file says of a profile outranks the config file. */
class profiles {
public:
    /** Safe on any input: lines that mean nothing are passed over. */
    [[nodiscard]] static profiles parse(std::string_view config, std::string_view credentials);
    /** Reads the files; one that cannot be read is as good as empty. */
    [[nodiscard]] static profiles load(const profile_files& files);

    /** The profile of that name, or null. */
    [[nodiscard]] const profile* find(std::string_view name) const noexcept;

private:
    profile& at(std::string_view name);

    std::map<std::string, profile, std::less<>> all_;
};

/** How to come by the credentials of a profile. */
struct profile_plan {
    enum class origin { keys, process, web_identity, environment, container, instance };

    origin from = origin::keys;
    profile first; ///< has the keys, the process or the token; of no meaning for the other origins
    std::vector<profile>
        roles; ///< then these roles are taken on, each with the credentials of the one before
};

/** What the profile `name` asks for, following `source_profile`.

    @par Errors
    @li `errc::no_credentials`    there is no such profile, or it says nothing of credentials.
    @li `condition::invalid`      it contradicts itself, refers to a profile that is not there or to itself in a circle, or
                                  wants what only a person can give (MFA, single sign-on). */
[[nodiscard]] result<profile_plan> plan_credentials(const profiles& known, std::string_view name);

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/profile.ipp>
#endif
