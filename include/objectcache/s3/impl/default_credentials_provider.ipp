// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/credentials_sources.hpp>
#include <objectcache/s3/default_credentials_provider.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/environment.hpp>
#include <objectcache/s3/detail/quietly.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace objectcache::s3 {

namespace detail {

/** A source whose configuration is looked up when it is asked. */
[[nodiscard]] OBJECTCACHE_DECL credentials_provider
asked_late(std::function<result<credentials_provider>()> configure)
{
    return [configure = std::move(configure)] {
        const auto source = configure();
        return source ? (*source)() : known_credentials(source.error());
    };
}

[[nodiscard]] OBJECTCACHE_DECL credentials_provider web_identity_in_environment(connection_options how)
{
    return asked_late([how = std::move(how)]() -> result<credentials_provider> {
        auto options = web_identity_options::from_env();
        if (!options)
            return options.error();
        auto sts = sts_options::from_env({}, how);
        if (!sts)
            return sts.error();
        return web_identity_credentials(std::move(*options), std::move(*sts));
    });
}

[[nodiscard]] OBJECTCACHE_DECL credentials_provider container_in_environment(connection_options how)
{
    return asked_late([how = std::move(how)]() -> result<credentials_provider> {
        auto options = container_options::from_env();
        if (!options)
            return options.error();
        options->connections = how;
        return container_credentials(std::move(*options));
    });
}

[[nodiscard]] OBJECTCACHE_DECL credentials_provider instance_in_environment()
{
    return asked_late([]() -> result<credentials_provider> {
        auto options = instance_options::from_env();
        if (!options)
            return options.error();
        return instance_credentials(std::move(*options));
    });
}

[[nodiscard]] OBJECTCACHE_DECL role_options role_of(const profile& from)
{
    constexpr std::uint64_t a_year = 365 * 24 * 3600; // STS will say what it allows
    role_options out{from.role_arn, from.role_session_name, from.external_id, {}};
    if (const auto seconds = parse_number(from.duration_seconds))
        out.duration = std::chrono::seconds(std::min(*seconds, a_year));
    return out;
}

/** What a plan begins with. */
[[nodiscard]] OBJECTCACHE_DECL result<credentials_provider> first_source(const profile_plan& plan,
                                                                         const connection_options& how)
{
    const profile& from = plan.first;
    switch (plan.from) {
    case profile_plan::origin::keys:
        return fixed_credentials(
            {from.access_key_id, from.secret_access_key, from.session_token, std::nullopt});
    case profile_plan::origin::process:
        return process_credentials({.command = from.credential_process});
    case profile_plan::origin::environment:
        return environment_credentials();
    case profile_plan::origin::container:
        return container_in_environment(how);
    case profile_plan::origin::instance:
        return instance_in_environment();
    case profile_plan::origin::web_identity:
        break;
    }
    auto sts = sts_options::from_env(from, how);
    if (!sts)
        return sts.error();
    return web_identity_credentials({from.web_identity_token_file, role_of(from)}, std::move(*sts));
}

[[nodiscard]] OBJECTCACHE_DECL result<credentials_provider> source_of(const profile_plan& plan,
                                                                      const connection_options& how)
{
    result<credentials_provider> out = first_source(plan, how);
    for (const profile& role : plan.roles) {
        auto sts = sts_options::from_env(role, how);
        if (!out)
            break;
        if (!sts)
            return sts.error();
        out = role_credentials(std::move(*out), role_of(role), std::move(*sts));
    }
    return out;
}

[[nodiscard]] OBJECTCACHE_DECL asio::awaitable<result<credentials>>
credentials_of_profile(profile_options options)
{
    std::string name = options.name;
    if (name.empty())
        name = environment("AWS_PROFILE");
    const bool wanted = !name.empty();
    if (name.empty())
        name = "default";
    const profile_files files = options.files.located();
    const result<profile_plan> plan = plan_credentials(profiles::load(files), name);
    if (!plan) {
        // To go on with somebody else's credentials is not what naming a profile means.
        const bool fatal = wanted && plan.code() == errc::no_credentials;
        co_return status(fatal ? make_error_code(errc::invalid_argument) : plan.code(),
                         plan.error().detail() + ", in '" + files.credentials.string() + "' and '" +
                             files.config.string() + "'");
    }
    const result<credentials_provider> source = source_of(*plan, options.connections);
    if (!source)
        co_return source.error();
    result<credentials> who = co_await (*source)();
    if (who)
        co_return who;
    const bool fatal =
        who.code() == errc::no_credentials; // the profile is configured, whatever its parts say
    co_return status(fatal ? make_error_code(errc::invalid_argument) : who.code(),
                     "profile " + name + ": " + who.error().detail());
}

[[nodiscard]] OBJECTCACHE_DECL asio::awaitable<result<credentials>>
first_credentials(std::vector<named_source> sources)
{
    std::string told;
    error_code last = make_error_code(errc::no_credentials);
    for (const named_source& source : sources) {
        result<credentials> got = co_await source.ask();
        if (got || got.error() == condition::cancelled)
            co_return got;
        last = got.code();
        told += (told.empty() ? "" : "; ") + source.name + ": " + got.error().detail();
        if (last != errc::no_credentials)
            break;
    }
    co_return status(last, std::move(told));
}

} // namespace detail

OBJECTCACHE_DECL credentials_provider profile_credentials(profile_options options)
{
    return [=] { return detail::quietly(detail::credentials_of_profile(options)); };
}

OBJECTCACHE_DECL credentials_provider first_of(std::vector<named_source> sources)
{
    return [=] { return detail::quietly(detail::first_credentials(sources)); };
}

OBJECTCACHE_DECL cached_credentials default_credentials_provider(asio::any_io_executor executor,
                                                                 default_credentials_options options)
{
    const connection_options how = options.from_profile.connections;
    std::vector<named_source> chain;
    if (options.from_profile.name.empty()) {
        chain.push_back({"environment", environment_credentials()});
        chain.push_back({"web identity", detail::web_identity_in_environment(how)});
    }
    chain.push_back({"profile", profile_credentials(std::move(options.from_profile))});
    chain.push_back({"container", detail::container_in_environment(how)});
    chain.push_back({"instance metadata", detail::instance_in_environment()});
    return cached_credentials(std::move(executor), first_of(std::move(chain)), options.refresh);
}

} // namespace objectcache::s3
