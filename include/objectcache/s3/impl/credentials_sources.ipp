// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/s3/credentials_sources.hpp>
#include <objectcache/s3/detail/amazon.hpp>
#include <objectcache/s3/detail/credentials_json.hpp>
#include <objectcache/s3/detail/environment.hpp>
#include <objectcache/s3/detail/files.hpp>
#include <objectcache/s3/detail/http_fetch.hpp>
#include <objectcache/s3/detail/process.hpp>
#include <objectcache/s3/detail/proxy_environment.hpp>
#include <objectcache/s3/detail/quietly.hpp>
#include <objectcache/s3/detail/shell_words.hpp>
#include <objectcache/s3/detail/sts.hpp>
#include <objectcache/s3/detail/trusted_agent.hpp>
#include <objectcache/s3/sigv4.hpp>

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <utility>

namespace objectcache::s3 {

namespace detail {

using awaited_credentials = asio::awaitable<result<credentials>>;

/** A status with what it happened to in front. */
[[nodiscard]] OBJECTCACHE_DECL status explained(const std::string& what, const status& why)
{
    return {why.code(), why.detail().empty() ? what : what + ": " + why.detail()};
}

[[nodiscard]] OBJECTCACHE_DECL awaited_credentials credentials_of_process(process_options options)
{
    auto words = shell_words(options.command);
    if (!words || words->empty())
        co_return result<credentials>(errc::invalid_argument, "credential_process: not a command line");
    const std::string name = "credential_process " + words->front();
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const deadline until(clock::of(executor).now() + options.timeout);
    const result<std::string> text = co_await run_process(std::move(*words), until);
    if (!text)
        co_return status(text.code(), "credential_process " + text.error().detail());
    auto found = parse_credentials_json(*text, credentials_dialect::process);
    if (!found)
        co_return explained(name, found.error());
    co_return found;
}

/** The request of an STS action, without a signature. */
[[nodiscard]] OBJECTCACHE_DECL http_request sts_request(const endpoint& where, std::string form)
{
    http_request out;
    out.method = "POST";
    out.where = where;
    out.target.clear();
    append_uri_encoded(out.target, where.base_path + '/', slash::keep);
    out.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    out.body = std::move(form);
    return out;
}

OBJECTCACHE_DECL void sign_sts_request(http_request& what, const credentials& who, sigv4_time now)
{
    const std::string host = what.where.authority_for({});
    const std::string path = what.where.base_path + '/';
    const const_byte_span body = std::as_bytes(std::span(what.body));
    const std::string hash = payload_hash(std::span(&body, 1));
    what.headers.emplace_back("X-Amz-Date", format_amz_date(now));
    if (!who.session_token.empty())
        what.headers.emplace_back("X-Amz-Security-Token", who.session_token);
    std::vector<field> covered{{"Host", host}};
    for (const auto& [name, value] : what.headers)
        covered.push_back({name, value});
    signer sign(what.where.region, "sts");
    what.headers.emplace_back("Authorization",
                              sign.authorization({"POST", path, {}, covered, hash, true}, who, now));
}

/** The fields that both actions have, in the order of the AWS documentation. */
[[nodiscard]] OBJECTCACHE_DECL std::string role_form(std::string_view action, const role_options& role,
                                                     std::string_view token, sigv4_time now)
{
    const std::string duration = role.duration.count() > 0 ? std::to_string(role.duration.count()) : "";
    const std::string session = role.session_name.empty()
                                    ? "objectcache-" + std::to_string(now.time_since_epoch().count())
                                    : role.session_name;
    const field fields[] = {
        {"Action", action},           {"Version", "2011-06-15"},     {"RoleArn", role.arn},
        {"RoleSessionName", session}, {"DurationSeconds", duration}, {"ExternalId", role.external_id},
        {"WebIdentityToken", token}};
    return form_of(fields);
}

/** Take on a role with a token, or signed as somebody. */
[[nodiscard]] OBJECTCACHE_DECL awaited_credentials credentials_of_role(std::string action, role_options role,
                                                                       sts_options sts, credentials who,
                                                                       std::string token)
{
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const clock& time = clock::of(executor);
    const auto now = std::chrono::floor<std::chrono::seconds>(time.date());
    http_request what = sts_request(sts.where, role_form(action, role, token, now));
    if (!who.is_anonymous())
        sign_sts_request(what, who, now);
    const std::string name = action + " of " + one_line(role.arn) + " at " + sts.where.url();
    const deadline until(time.now() + sts.timeout);
    const result<http_response> got = co_await http_fetch(std::move(what), std::move(sts.connections), until);
    if (!got)
        co_return status(got.code(), action + " of " + one_line(role.arn) + ": " + got.error().detail());
    if (got->code / 100 != 2) {
        const std::string_view secrets[] = {who.secret_access_key, who.session_token, token};
        co_return explained(name, sts_failure(got->code, got->text, secrets));
    }
    auto found = parse_sts_credentials(got->text, action);
    if (!found)
        co_return explained(name, found.error());
    co_return found;
}

[[nodiscard]] OBJECTCACHE_DECL awaited_credentials credentials_of_web_identity(web_identity_options options,
                                                                               sts_options sts)
{
    std::string token(trimmed(small_file(options.token_file)));
    if (token.empty())
        co_return result<credentials>(errc::invalid_argument,
                                      "no token in '" + options.token_file.string() + "'");
    std::string action = "AssumeRoleWithWebIdentity";
    credentials nobody;
    co_return co_await credentials_of_role(std::move(action), std::move(options.role), std::move(sts),
                                           std::move(nobody), std::move(token));
}

[[nodiscard]] OBJECTCACHE_DECL awaited_credentials credentials_by_role(credentials_provider source,
                                                                       role_options role, sts_options sts)
{
    result<credentials> who = co_await source();
    if (!who)
        co_return who;
    if (who->is_anonymous())
        co_return result<credentials>(errc::invalid_argument, "a role cannot be taken on anonymously");
    std::string action = "AssumeRole";
    std::string no_token;
    co_return co_await credentials_of_role(std::move(action), std::move(role), std::move(sts),
                                           std::move(*who), std::move(no_token));
}

[[nodiscard]] OBJECTCACHE_DECL awaited_credentials credentials_of_container(container_options options)
{
    result<http_request> what = request_for(options.url);
    if (!what)
        co_return explained("the container's agent", what.error());
    if (!is_trusted_agent(what->where))
        co_return result<credentials>(errc::invalid_argument,
                                      "the container's agent: " + what->where.url() +
                                          " is neither https nor an address within this machine");
    if (!options.authorization_file.empty()) {
        options.authorization = trimmed(small_file(options.authorization_file));
        if (options.authorization.empty())
            co_return result<credentials>(errc::invalid_argument,
                                          "no token in '" + options.authorization_file.string() + "'");
    }
    if (!options.authorization.empty())
        what->headers.emplace_back("Authorization", std::move(options.authorization));
    const std::string name = describe(*what);
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const deadline until(clock::of(executor).now() + options.timeout);
    const result<http_response> got =
        co_await http_fetch(std::move(*what), std::move(options.connections), until);
    if (!got)
        co_return got.error();
    if (got->code != 200)
        co_return explained(name, refusal(got->code));
    auto found = parse_credentials_json(got->text, credentials_dialect::container);
    if (!found)
        co_return explained(name, found.error());
    co_return found;
}

/** One answer of the instance's metadata. */
[[nodiscard]] OBJECTCACHE_DECL asio::awaitable<result<http_response>>
instance_metadata(std::string method, std::string url, std::string header, std::string value,
                  duration timeout)
{
    result<http_request> what = request_for(url);
    if (!what)
        co_return what.error();
    what->method = std::move(method);
    what->headers.emplace_back(std::move(header), std::move(value));
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const deadline until(clock::of(executor).now() + timeout);
    connection_options how;
    co_return co_await http_fetch(std::move(*what), std::move(how), until);
}

[[nodiscard]] OBJECTCACHE_DECL awaited_credentials credentials_of_instance(instance_options options)
{
    while (options.url.ends_with('/'))
        options.url.pop_back();
    std::string method = "PUT", header = "X-aws-ec2-metadata-token-ttl-seconds", value = "21600";
    std::string url = options.url + "/latest/api/token";
    std::string name = method + ' ' + url;
    result<http_response> got = co_await instance_metadata(
        std::move(method), std::move(url), std::move(header), std::move(value), options.timeout);
    if (!got) {
        const status why = got.error();
        const bool nobody = why == condition::unavailable || why == condition::timeout;
        co_return status(nobody ? make_error_code(errc::no_credentials) : why.code(), why.message());
    }
    if (got->code != 200)
        co_return explained(name, refusal(got->code));

    method = "GET", header = "X-aws-ec2-metadata-token", value = std::move(got->text);
    const std::string roles = options.url + "/latest/meta-data/iam/security-credentials/";
    url = roles;
    name = method + ' ' + url;
    got = co_await instance_metadata(method, std::move(url), header, value, options.timeout);
    if (!got)
        co_return got.error();
    if (got->code != 200 && got->code != 404)
        co_return explained(name, refusal(got->code));
    const std::string_view role = trimmed(std::string_view(got->text).substr(0, got->text.find('\n')));
    if (role.empty() || got->code == 404)
        co_return result<credentials>(errc::no_credentials, "no role is attached to this instance");

    url = roles;
    append_uri_encoded(url, role, slash::encode);
    name = method + ' ' + url;
    got = co_await instance_metadata(std::move(method), std::move(url), std::move(header), std::move(value),
                                     options.timeout);
    if (!got)
        co_return got.error();
    if (got->code != 200)
        co_return explained(name, refusal(got->code));
    auto found = parse_credentials_json(got->text, credentials_dialect::instance);
    if (!found)
        co_return explained(name, found.error());
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const auto now = clock::of(executor).date();
    if (found->expiry && *found->expiry <= now)
        found->expiry = now + std::chrono::minutes(10);
    co_return found;
}

} // namespace detail

OBJECTCACHE_DECL result<sts_options> sts_options::from_env(const profile& settings, connection_options how)
{
    using detail::environment;
    using detail::first_set;
    const std::string region = first_set(
        {environment("AWS_REGION"), environment("AWS_DEFAULT_REGION"), settings.region, "us-east-1"});
    const std::string url =
        detail::service_url({environment("AWS_ENDPOINT_URL_STS"), environment("AWS_ENDPOINT_URL"),
                             settings.sts_endpoint_url, settings.endpoint_url},
                            "sts", region);
    auto where = endpoint::parse(url, region);
    if (!where)
        return detail::explained("STS", where.error());
    sts_options out;
    out.where = std::move(*where);
    out.connections = std::move(how);
    out.connections.ca_file =
        first_set({out.connections.ca_file, environment("AWS_CA_BUNDLE"), settings.ca_bundle});
    if (out.connections.proxy.empty()) {
        auto through = detail::proxy_in_environment(out.where);
        if (!through)
            return detail::explained("STS", through.error());
        out.connections.proxy = std::move(*through);
    }
    return out;
}

OBJECTCACHE_DECL result<web_identity_options> web_identity_options::from_env()
{
    web_identity_options out;
    out.token_file = detail::environment("AWS_WEB_IDENTITY_TOKEN_FILE");
    out.role.arn = detail::environment("AWS_ROLE_ARN");
    out.role.session_name = detail::environment("AWS_ROLE_SESSION_NAME");
    if (out.token_file.empty())
        return {errc::no_credentials, "AWS_WEB_IDENTITY_TOKEN_FILE is not set"};
    if (out.role.arn.empty())
        return {errc::invalid_argument, "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not"};
    return out;
}

OBJECTCACHE_DECL result<container_options> container_options::from_env()
{
    container_options out;
    const std::string relative = detail::environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    out.url = detail::environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative.empty()) {
        if (relative[0] != '/') // would become part of the host
            return {errc::invalid_argument,
                    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a slash"};
        out.url = "http://169.254.170.2" + relative;
    }
    if (out.url.empty())
        return {errc::no_credentials, "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor "
                                      "AWS_CONTAINER_CREDENTIALS_FULL_URI is set"};
    out.authorization = detail::environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    out.authorization_file = detail::environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    return out;
}

OBJECTCACHE_DECL result<instance_options> instance_options::from_env()
{
    instance_options out;
    if (detail::lower_case(detail::environment("AWS_EC2_METADATA_DISABLED")) == "true")
        return {errc::no_credentials, "AWS_EC2_METADATA_DISABLED is true"};
    if (const std::string url = detail::environment("AWS_EC2_METADATA_SERVICE_ENDPOINT"); !url.empty())
        out.url = url;
    else if (detail::lower_case(detail::environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")) == "ipv6")
        out.url = "http://[fd00:ec2::254]";
    return out;
}

OBJECTCACHE_DECL credentials_provider environment_credentials()
{
    return [] { return detail::known_credentials(credentials::from_env()); };
}

OBJECTCACHE_DECL credentials_provider process_credentials(process_options options)
{
    return [=] { return detail::quietly(detail::credentials_of_process(options)); };
}

OBJECTCACHE_DECL credentials_provider role_credentials(credentials_provider source, role_options role,
                                                       sts_options sts)
{
    return [=] { return detail::quietly(detail::credentials_by_role(source, role, sts)); };
}

OBJECTCACHE_DECL credentials_provider web_identity_credentials(web_identity_options options, sts_options sts)
{
    return [=] { return detail::quietly(detail::credentials_of_web_identity(options, sts)); };
}

OBJECTCACHE_DECL credentials_provider container_credentials(container_options options)
{
    return [=] { return detail::quietly(detail::credentials_of_container(options)); };
}

OBJECTCACHE_DECL credentials_provider instance_credentials(instance_options options)
{
    return [=] { return detail::quietly(detail::credentials_of_instance(options)); };
}

} // namespace objectcache::s3
