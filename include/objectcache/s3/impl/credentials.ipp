// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/credentials.hpp>
#include <objectcache/s3/detail/environment.hpp>
#include <objectcache/s3/detail/ini.hpp>

#include <fstream>

namespace objectcache::s3 {

namespace detail {

[[nodiscard]] OBJECTCACHE_DECL std::filesystem::path aws_file(std::filesystem::path given,
                                                              const char* variable, const char* name)
{
    if (!given.empty())
        return given;
    if (const std::string set = environment(variable); !set.empty())
        return set;
    const std::string home = environment("HOME");
    return home.empty() ? std::filesystem::path() : std::filesystem::path(home) / ".aws" / name;
}

/** The text of a small file; empty if it cannot be read. */
[[nodiscard]] OBJECTCACHE_DECL std::string small_file(const std::filesystem::path& file)
{
    constexpr std::size_t limit = 1 << 20; // no sane file of this kind is larger; a device may be endless
    std::string text;
    std::ifstream in(file, std::ios::binary);
    char block[4096];
    while (text.size() < limit && (in.read(block, sizeof block), in.gcount() > 0))
        text.append(block, static_cast<std::size_t>(in.gcount()));
    return text;
}

[[nodiscard]] OBJECTCACHE_DECL std::optional<credentials> profile_credentials(std::string_view text,
                                                                              std::string_view section)
{
    credentials out;
    out.access_key_id = ini_value(text, section, "aws_access_key_id");
    out.secret_access_key = ini_value(text, section, "aws_secret_access_key");
    out.session_token = ini_value(text, section, "aws_session_token");
    if (out.access_key_id.empty() || out.secret_access_key.empty())
        return std::nullopt;
    return out;
}

} // namespace detail

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
    files.credentials = detail::aws_file(files.credentials, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    files.config = detail::aws_file(files.config, "AWS_CONFIG_FILE", "config");

    if (auto found = detail::profile_credentials(detail::small_file(files.credentials), profile))
        return *found;
    const std::string config = detail::small_file(files.config);
    if (auto found = detail::profile_credentials(config, "profile " + profile))
        return *found;
    if (profile == "default")
        if (auto found = detail::profile_credentials(config, profile))
            return *found;
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
