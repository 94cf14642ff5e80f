// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/environment.hpp>
#include <objectcache/s3/detail/files.hpp>
#include <objectcache/s3/detail/ini.hpp>
#include <objectcache/s3/profile.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace objectcache::s3 {

namespace detail {

/** "dev" of `[profile dev]`, where the word is "profile"; nothing for sections of another kind. */
[[nodiscard]] OBJECTCACHE_DECL std::optional<std::string_view> name_of_section(std::string_view section,
                                                                               std::string_view word)
{
    if (!section.starts_with(word) || section.size() == word.size() ||
        (section[word.size()] != ' ' && section[word.size()] != '\t'))
        return std::nullopt;
    std::string_view name = trimmed(section.substr(word.size()));
    if (name.size() >= 2 && (name[0] == '"' || name[0] == '\'') && name.back() == name[0])
        name = name.substr(1, name.size() - 2);
    return name;
}

OBJECTCACHE_DECL void set_profile_value(profile& of, std::string_view key, std::string_view value,
                                        std::string_view outer)
{
    if (!outer.empty()) {
        if (lower_case(outer) == "s3" && lower_case(key) == "addressing_style")
            of.addressing_style = value;
        return;
    }
    constexpr std::array<std::pair<std::string_view, std::string profile::*>, 17> settings{{
        {"aws_access_key_id", &profile::access_key_id},
        {"aws_secret_access_key", &profile::secret_access_key},
        {"aws_session_token", &profile::session_token},
        {"role_arn", &profile::role_arn},
        {"source_profile", &profile::source_profile},
        {"credential_source", &profile::credential_source},
        {"external_id", &profile::external_id},
        {"role_session_name", &profile::role_session_name},
        {"duration_seconds", &profile::duration_seconds},
        {"mfa_serial", &profile::mfa_serial},
        {"web_identity_token_file", &profile::web_identity_token_file},
        {"credential_process", &profile::credential_process},
        {"sso_session", &profile::sso},
        {"sso_start_url", &profile::sso},
        {"region", &profile::region},
        {"ca_bundle", &profile::ca_bundle},
        {"endpoint_url", &profile::endpoint_url},
    }};
    const std::string wanted = lower_case(key);
    for (const auto& [name, member] : settings)
        if (wanted == name)
            of.*member = value;
}

[[nodiscard]] OBJECTCACHE_DECL std::filesystem::path aws_file(const std::filesystem::path& given,
                                                              const char* variable, const char* name)
{
    if (!given.empty())
        return given;
    if (const std::string set = environment(variable); !set.empty())
        return set;
    const std::string home = environment("HOME");
    return home.empty() ? std::filesystem::path() : std::filesystem::path(home) / ".aws" / name;
}

[[nodiscard]] OBJECTCACHE_DECL result<profile_plan> profile_refused(errc why, const profile& of,
                                                                    const std::string& what)
{
    return result<profile_plan>(why, "profile " + of.name + ": " + what);
}

/** Where the credentials of a profile come from that takes on no role of its own, or has its role from a token. */
[[nodiscard]] OBJECTCACHE_DECL result<profile_plan> plan_origin(const profile& of)
{
    using origin = profile_plan::origin;
    if (!of.role_arn.empty())
        return profile_plan{origin::web_identity, of, {}};
    if (of.has_keys())
        return profile_plan{origin::keys, of, {}};
    if (!of.credential_process.empty())
        return profile_plan{origin::process, of, {}};
    if (!of.sso.empty())
        return profile_refused(
            errc::invalid_argument, of,
            "single sign-on needs a person; after `aws sso login`, credential_process = aws "
            "configure export-credentials --profile " +
                of.name);
    if (of.access_key_id.empty() != of.secret_access_key.empty())
        return profile_refused(errc::no_credentials, of, "only one of its two keys is set");
    return profile_refused(errc::no_credentials, of, "no keys, no role and no credential_process");
}

/** From where a role without `source_profile` is taken on. */
[[nodiscard]] OBJECTCACHE_DECL result<profile_plan> plan_source(const profile& of)
{
    using origin = profile_plan::origin;
    if (of.credential_source.empty())
        return profile_refused(
            errc::invalid_argument, of,
            "role_arn without source_profile, credential_source or web_identity_token_file");
    if (of.credential_source == "Environment")
        return profile_plan{origin::environment, of, {}};
    if (of.credential_source == "EcsContainer")
        return profile_plan{origin::container, of, {}};
    if (of.credential_source == "Ec2InstanceMetadata")
        return profile_plan{origin::instance, of, {}};
    return profile_refused(errc::invalid_argument, of,
                           "credential_source is none of Environment, EcsContainer, Ec2InstanceMetadata");
}

} // namespace detail

OBJECTCACHE_DECL profile_files profile_files::located() const
{
    return {detail::aws_file(credentials, "AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            detail::aws_file(config, "AWS_CONFIG_FILE", "config")};
}

OBJECTCACHE_DECL profile& profiles::at(std::string_view name)
{
    auto found = all_.find(name);
    if (found == all_.end()) {
        found = all_.emplace(name, profile()).first;
        found->second.name = name;
    }
    return found->second;
}

OBJECTCACHE_DECL const profile* profiles::find(std::string_view name) const noexcept
{
    const auto found = all_.find(name);
    return found == all_.end() ? nullptr : &found->second;
}

OBJECTCACHE_DECL profiles profiles::parse(std::string_view config, std::string_view credentials)
{
    profiles out;
    using text = std::string_view;
    struct endpoints {
        std::string s3, sts;
    };
    std::map<std::string, endpoints, std::less<>> services;
    std::map<std::string, std::string, std::less<>> wants; // profile: services
    // [profile default] outranks [default], wherever they stand.
    for (const bool bare : {true, false})
        detail::for_each_setting(config, [&](text section, text key, text value, text outer) {
            if (const auto group = detail::name_of_section(section, "services")) {
                if (bare && key == "endpoint_url" && (outer == "s3" || outer == "sts"))
                    (outer == "s3" ? services[std::string(*group)].s3 : services[std::string(*group)].sts) =
                        value;
                return;
            }
            const auto name = section == "default" ? section : detail::name_of_section(section, "profile");
            if (!name || bare != (section == "default"))
                return;
            detail::set_profile_value(out.at(*name), key, value, outer);
            if (key == "services" && outer.empty())
                wants.insert_or_assign(std::string(*name), value);
        });
    detail::for_each_setting(credentials, [&](text name, text key, text value, text outer) {
        detail::set_profile_value(out.at(name), key, value, outer);
    });
    for (const auto& [name, group] : wants)
        if (const auto found = services.find(group); found != services.end()) {
            out.at(name).s3_endpoint_url = found->second.s3;
            out.at(name).sts_endpoint_url = found->second.sts;
        }
    return out;
}

OBJECTCACHE_DECL profile profile::from_env()
{
    std::string name = detail::environment("AWS_PROFILE");
    if (name.empty())
        name = "default";
    const profiles known = profiles::load({});
    const profile* found = known.find(name);
    return found ? *found : profile();
}

OBJECTCACHE_DECL profiles profiles::load(const profile_files& files)
{
    const profile_files where = files.located();
    return parse(detail::small_file(where.config), detail::small_file(where.credentials));
}

OBJECTCACHE_DECL result<profile_plan> plan_credentials(const profiles& known, std::string_view name)
{
    std::vector<const profile*> path; // the roles on the way, the last to be taken on first
    std::string trace;
    for (const profile* here = known.find(name);; here = known.find(here->source_profile)) {
        if (!here)
            return path.empty() ? result<profile_plan>(errc::no_credentials,
                                                       "profile " + std::string(name) + " is not there")
                                : detail::profile_refused(errc::invalid_argument, *path.back(),
                                                          "its source_profile " +
                                                              path.back()->source_profile + " is not there");
        trace += (path.empty() ? "" : " -> ") + here->name;
        const bool again = std::find(path.begin(), path.end(), here) != path.end();
        // A profile that is its own source means its keys; keys of a source outrank its role.
        const bool ends_with_keys = here->has_keys() && (again ? path.back() == here : !path.empty());
        if (again && !ends_with_keys)
            return detail::profile_refused(errc::invalid_argument, *path.front(), "a circle, " + trace);

        result<profile_plan> plan;
        if (ends_with_keys) {
            plan = profile_plan{profile_plan::origin::keys, *here, {}};
        } else if (here->role_arn.empty() || !here->web_identity_token_file.empty()) {
            plan = detail::plan_origin(*here);
        } else {
            if (!here->mfa_serial.empty())
                return detail::profile_refused(errc::invalid_argument, *here, "mfa_serial needs a person");
            if (!here->duration_seconds.empty() && !detail::parse_number(here->duration_seconds))
                return detail::profile_refused(errc::invalid_argument, *here,
                                               "duration_seconds is no number");
            if (!here->source_profile.empty() && !here->credential_source.empty())
                return detail::profile_refused(errc::invalid_argument, *here,
                                               "both source_profile and credential_source");
            path.push_back(here);
            if (!here->source_profile.empty())
                continue;
            plan = detail::plan_source(*here);
        }
        if (plan)
            for (auto role = path.rbegin(); role != path.rend(); ++role)
                plan->roles.push_back(**role);
        else if (!path.empty() && plan.code() == errc::no_credentials) // it was asked for by name
            return result<profile_plan>(errc::invalid_argument, plan.error().detail());
        return plan;
    }
}

} // namespace objectcache::s3
