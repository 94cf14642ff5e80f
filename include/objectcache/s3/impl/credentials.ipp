// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/credentials.hpp>
#include <objectcache/s3/detail/environment.hpp>

namespace objectcache::s3 {

OBJECTCACHE_DECL result<credentials> credentials::from_env()
{
    credentials out{detail::environment("AWS_ACCESS_KEY_ID"), detail::environment("AWS_SECRET_ACCESS_KEY"),
                    detail::environment("AWS_SESSION_TOKEN"), std::nullopt};
    if (out.access_key_id.empty())
        return {errc::no_credentials, "AWS_ACCESS_KEY_ID is not set"};
    if (out.secret_access_key.empty())
        return {errc::no_credentials, "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not"};
    return out;
}

OBJECTCACHE_DECL result<credentials> credentials::from_profile(std::string profile, profile_files files)
{
    if (profile.empty())
        profile = detail::environment("AWS_PROFILE");
    if (profile.empty())
        profile = "default";
    files = files.located();
    const profiles known = profiles::load(files);
    const auto* found = known.find(profile);
    if (found && found->has_keys())
        return credentials{found->access_key_id, found->secret_access_key, found->session_token,
                           std::nullopt};
    return {errc::no_credentials, "no keys of profile " + profile + " in '" + files.credentials.string() +
                                      "' or '" + files.config.string() + "'"};
}

OBJECTCACHE_DECL result<credentials> default_credentials()
{
    auto env = credentials::from_env();
    if (env)
        return env;
    auto profile = credentials::from_profile();
    if (profile)
        return profile;
    return {errc::no_credentials, env.error().detail() + "; " + profile.error().detail()};
}

} // namespace objectcache::s3
