// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/credentials_sources.hpp>

#include <objectcache/s3/detail/trusted_agent.hpp>

#include <objectcache/io/operation.hpp>
#include <objectcache/s3/sigv4.hpp>
#include <objectcache/testing/manual_clock.hpp>

#include <unit/s3/credentials_fixture.hpp>
#include <unit/s3/scripted_peer.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>

#include <support/run.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using namespace objectcache::s3;
using namespace std::chrono_literals;

namespace objectcache::s3::detail {
bool is_trusted_agent(const endpoint& where); // private, but worth a test of its own
}

namespace credentials_sources_test {

using credentials_fixture::has;
using peer_test::answer;
using peer_test::page;
using peer_test::scripted_peer;

constexpr auto close_it = answer::then::close;
constexpr auto stall = answer::then::stall;
const std::string json = R"("AccessKeyId":"A","SecretAccessKey":"SECRET key","Token":"SECRET token",)"
                         R"("SessionToken":"SECRET token","Expiration":"2030-01-01T06:00:00Z"})";

/** A role's credentials as STS gives them. */
std::string sts_answer(const std::string& action, const std::string& id = "ROLE")
{
    return page("200 OK", "<" + action + "Response><" + action + "Result><Credentials><AccessKeyId>" + id +
                              "</AccessKeyId><SecretAccessKey>SECRET " + id +
                              "</SecretAccessKey><SessionToken>SECRET token of " + id +
                              "</SessionToken><Expiration>2030-01-01T01:00:00Z</Expiration></Credentials></" +
                              action + "Result></" + action + "Response>");
}

struct fixture : credentials_fixture::clean_environment {
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);

    result<credentials> ask(const credentials_provider& source)
    {
        auto got = support::run(io, source());
        CHECK_FALSE(has(got.error().message(), "SECRET"));
        // A client hands these errors on: they must not speak of an object.
        CHECK(got.error() != condition::absent);
        return got;
    }
    void check(const result<credentials>& got, condition what, const std::string& why)
    {
        CHECK(got.error() == what);
        CHECK_MESSAGE(has(got.error().message(), why), got.error().message());
    }
    static std::vector<std::vector<answer>> in_turn(std::vector<answer> answers)
    {
        std::vector<std::vector<answer>> out;
        for (answer& a : answers)
            out.push_back({std::move(a)});
        return out;
    }
    /** What every source that asks over HTTP does about answers that are none. */
    template <class Make>
    void check_hostile(Make make, bool expect_json = true)
    {
        const auto got = [&](std::vector<answer> answers) {
            scripted_peer peer(io, in_turn(std::move(answers)));
            return ask(make(peer.url()));
        };
        const std::string text = expect_json ? "no JSON" : "no well-formed XML";
        check(got({{page("404 Not Found", "SECRET")}}), condition::unavailable, "404");
        check(got({{page("403 Forbidden", "SECRET")}}), condition::denied, "403");
        check(got({{page("302 Found\r\nLocation: http://127.0.0.1:1/SECRET")}}), condition::unavailable,
              "302");
        check(got({{page("200 OK", "<Error><Code>SECRET</Code><Message>SECRET</Message></Error>")}}),
              condition::unavailable, "an error with status 200");
        check(got({{page("200 OK")}}), condition::corrupt, text);
        check(got({{page("200 OK", "SECRET {")}}), condition::corrupt, text);
        check(got({{page("200 OK", std::string(65'000, '['))}}), condition::corrupt, text);
        check(got({{page("200 OK", std::string(66'000, 'x'))}}), condition::corrupt, "longer than");
        check(got({{"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nSECRET"}}),
              condition::corrupt, "longer than");
        check(got({{"SECRET\r\n\r\n"}}), condition::corrupt, "not an HTTP response");
    }
    /** The same for one that hangs. */
    void check_timeout(const credentials_provider& source, scripted_peer& peer, duration limit)
    {
        std::optional<status> ended;
        asio::co_spawn(io, note(source(), ended), asio::detached);
        REQUIRE(testing::run_until(io, [&] { return peer.stalled == 1; }));
        time.advance(limit);
        REQUIRE(testing::run_until(io, [&] { return ended.has_value(); }));
        CHECK(ended->message().find("deadline exceeded") != std::string::npos);
        CHECK_FALSE(has(ended->message(), "SECRET"));
    }
    static asio::awaitable<void> note(asio::awaitable<result<credentials>> asked, std::optional<status>& to)
    {
        const auto got = co_await std::move(asked);
        to = got.error();
    }
    sts_options sts(const scripted_peer& peer)
    {
        return {*endpoint::parse(peer.url(), "eu-west-1"), {}, 10s};
    }
};

/** Is the request signed by `who`, for STS in eu-west-1, at the clock's time? */
bool is_signed(const std::string& request, const credentials& who, sigv4_time at)
{
    const auto end = request.find("\r\n\r\n");
    std::vector<std::pair<std::string, std::string>> lines;
    for (std::size_t i = request.find("\r\n") + 2; i < end;) {
        const auto next = request.find("\r\n", i);
        const auto colon = request.find(": ", i);
        lines.emplace_back(request.substr(i, colon - i), request.substr(colon + 2, next - colon - 2));
        i = next + 2;
    }
    std::vector<field> headers;
    std::optional<authorization> claim;
    for (const auto& [name, value] : lines) {
        headers.push_back({name, value});
        if (name == "Authorization")
            claim = parse_authorization(value);
    }
    const const_byte_span body = std::as_bytes(std::span(request).subspan(end + 4));
    const std::string hash = payload_hash(std::span(&body, 1));
    return claim && claim->access_key_id == who.access_key_id && claim->scope.service == "sts" &&
           claim->scope.region == "eu-west-1" &&
           verify(*claim, {"POST", "/", {}, headers, hash, true}, at, who.secret_access_key).ok();
}

TEST_CASE_FIXTURE(fixture, "credentials_sources: the environment, at the time of the call")
{
    const auto source = environment_credentials();
    check(ask(source), condition::denied, "AWS_ACCESS_KEY_ID is not set");
    set("AWS_ACCESS_KEY_ID", "A");
    set("AWS_SECRET_ACCESS_KEY", "SECRET");
    CHECK(ask(source)->access_key_id == "A");
}

TEST_CASE("credentials_sources: a program")
{
    credentials_fixture::clean_environment env;
    asio::io_context io; // programs take real time
    const auto ask = [&](const std::string& command, duration limit = 20s) {
        auto got = support::run(io, process_credentials({command, limit})());
        CHECK_FALSE(has(got.error().message(), "SECRET"));
        return got;
    };
    const auto tool =
        env.script("my tool", "test \"$1\" = 'two words' && echo '{\"Version\":1," + json + "'\n");
    const auto got = ask("'" + tool.string() + "' \"two words\"");
    REQUIRE(got);
    CHECK(got->access_key_id == "A");
    CHECK(got->session_token == "SECRET token");
    CHECK(got->expiry == std::chrono::sys_days(std::chrono::year(2030) / 1 / 1) + 6h);

    const std::string name = "credential_process " + tool.string();
    CHECK(ask("'" + tool.string() + "' SECRET").error().message() ==
          name + ": ended with status 1: access denied");
    const auto chatty = env.script("chatty", "echo SECRET");
    CHECK(ask(chatty.string()).error().message() ==
          "credential_process " + chatty.string() + ": the answer is no JSON object: malformed response");
    const auto old = env.script("old", "echo '{" + json + "'");
    CHECK(has(ask(old.string()).error().message(), "Version is not 1"));
    CHECK(ask("").error() == condition::invalid);
    CHECK(ask("'SECRET").error() == condition::invalid);
    CHECK(ask("/nonexistent SECRET").error().message() ==
          "credential_process /nonexistent: cannot be started: No such file or directory: invalid argument");
    CHECK(ask(env.script("slow", "exec sleep 1000").string(), 100ms).error() == condition::timeout);
}

TEST_CASE_FIXTURE(fixture, "credentials_sources: where STS is")
{
    const auto url = [](const profile& p = {}) { return sts_options::from_env(p)->where.url(); };
    CHECK(url() == "https://sts.us-east-1.amazonaws.com");
    profile p;
    p.region = "eu-north-1";
    p.ca_bundle = "/profile.pem";
    CHECK(url(p) == "https://sts.eu-north-1.amazonaws.com");
    CHECK(sts_options::from_env(p)->where.region == "eu-north-1");
    CHECK(sts_options::from_env(p)->connections.ca_file == "/profile.pem");
    set("AWS_DEFAULT_REGION", "cn-north-1");
    CHECK(url(p) == "https://sts.cn-north-1.amazonaws.com.cn");
    set("AWS_REGION", "us-west-2");
    set("AWS_CA_BUNDLE", "/env.pem");
    CHECK(url(p) == "https://sts.us-west-2.amazonaws.com");
    CHECK(sts_options::from_env(p)->connections.ca_file == "/env.pem");
    connection_options how;
    how.ca_file = "/mine.pem";
    CHECK(sts_options::from_env(p, how)->connections.ca_file == "/mine.pem");
    p.endpoint_url = "http://profile:1";
    CHECK(url(p) == "http://profile:1");
    set("AWS_ENDPOINT_URL", "http://all:2");
    CHECK(url(p) == "http://all:2");
    set("AWS_ENDPOINT_URL_STS", "http://sts:3");
    CHECK(url(p) == "http://sts:3");
    set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    CHECK(url(p) == "https://sts.us-west-2.amazonaws.com");
    set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false");
    CHECK(sts_options::from_env(p)->where.region == "us-west-2");
    set("AWS_ENDPOINT_URL_STS", "nonsense");
    CHECK(sts_options::from_env().error() == condition::invalid);
}

TEST_CASE_FIXTURE(fixture, "credentials_sources: how STS is reached")
{
    const auto proxy = [](const profile& p = {}, const connection_options& how = {}) {
        return sts_options::from_env(p, how)->connections.proxy;
    };
    for (const char* name : {"https_proxy", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"})
        set(name, "");
    set("HTTPS_PROXY", "gate:8080");
    CHECK(proxy() == "http://gate:8080");
    profile p;
    p.endpoint_url = "http://profile:1";
    CHECK(proxy(p).empty()); // no TLS: another variable
    p.sts_endpoint_url = "https://sts.internal";
    CHECK(sts_options::from_env(p)->where.url() == "https://sts.internal");
    set("NO_PROXY", ".internal");
    CHECK(proxy(p).empty());
    connection_options how;
    how.proxy = "http://mine:1";
    CHECK(proxy({}, how) == "http://mine:1");
    set("HTTPS_PROXY", "ftp://gate");
    CHECK(sts_options::from_env().error() == condition::invalid);
    set("HTTPS_PROXY", "");
}

TEST_CASE_FIXTURE(fixture, "credentials_sources: a role, signed for")
{
    const credentials who{"USER", "SECRET", "SECRET session", {}};
    scripted_peer peer(io, in_turn({{sts_answer("AssumeRole")}, {sts_answer("AssumeRole")}}));
    const role_options role{"arn:aws:iam::1:role/r", "me", "a b&c", 900s};
    const auto got = ask(role_credentials(fixed_credentials(who), role, sts(peer)));
    REQUIRE(got);
    CHECK(got->access_key_id == "ROLE");
    CHECK(got->secret_access_key == "SECRET ROLE");
    CHECK(got->session_token == "SECRET token of ROLE");
    CHECK(got->expiry == time.date() + 1h);
    CHECK(peer.requests.at(0).ends_with(
        "\r\n\r\nAction=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&"
        "RoleSessionName=me&DurationSeconds=900&ExternalId=a%20b%26c"));
    CHECK(peer.requests.at(0).starts_with("POST / HTTP/1.1\r\n"));
    CHECK(has(peer.requests.at(0), "\r\nX-Amz-Security-Token: SECRET session\r\n"));
    const auto now = std::chrono::floor<std::chrono::seconds>(time.date());
    CHECK(is_signed(peer.requests.at(0), who, now));
    CHECK_FALSE(is_signed(peer.requests.at(0), {"USER", "other", "", {}}, now));

    CHECK(ask(role_credentials(fixed_credentials({"USER", "SECRET", "", {}}), {"r", "", "", {}}, sts(peer))));
    CHECK(peer.requests.at(1).ends_with("RoleArn=r&RoleSessionName=objectcache-1893456000"));
    CHECK_FALSE(has(peer.requests.at(1), "X-Amz-Security-Token"));
}

TEST_CASE_FIXTURE(fixture, "credentials_sources: a role, refused")
{
    const credentials who{"USER", "SECRET", "", {}};
    {
        const std::string error = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message>"
                                  "</Error></ErrorResponse>";
        scripted_peer peer(io, in_turn({{page("403 Forbidden", error)}}));
        check(ask(role_credentials(fixed_credentials(who), {"arn:r", "", "", {}}, sts(peer))),
              condition::denied,
              "AssumeRole of arn:r at " + peer.url() + ": 403 AccessDenied: not you: access denied");
    }
    const auto to = [&](const std::string& url) {
        return role_credentials(fixed_credentials(who), {"r", "", "", {}}, {*endpoint::parse(url), {}, 10s});
    };
    check_hostile(to, false);
    {
        scripted_peer peer(io, in_turn({{"", stall}}));
        check_timeout(to(peer.url()), peer, 10s);
    }
    scripted_peer peer(io, {});
    check(ask(role_credentials(environment_credentials(), {"r", "", "", {}}, sts(peer))), condition::denied,
          "AWS_ACCESS_KEY_ID is not set");
    check(ask(role_credentials(fixed_credentials(credentials::anonymous()), {"r", "", "", {}}, sts(peer))),
          condition::invalid, "anonymously");
    check(ask(role_credentials(fixed_credentials({"A\r\nX: y", "SECRET", "", {}}), {"r", "", "", {}},
                               sts(peer))),
          condition::invalid, "control characters");
    CHECK(peer.connections == 0);
}

TEST_CASE_FIXTURE(fixture, "credentials_sources: a web identity, whose token may change")
{
    CHECK(web_identity_options::from_env().code() == errc::no_credentials);
    const auto token = write("token", "SECRET.one\n");
    set("AWS_WEB_IDENTITY_TOKEN_FILE", token.string());
    CHECK(web_identity_options::from_env().error() == condition::invalid);
    set("AWS_ROLE_ARN", "arn:r");
    set("AWS_ROLE_SESSION_NAME", "pod");
    const auto options = web_identity_options::from_env();
    REQUIRE(options);

    const std::string action = "AssumeRoleWithWebIdentity";
    scripted_peer peer(io, in_turn({{sts_answer(action)}, {sts_answer(action, "TWO")}}));
    const auto source = web_identity_credentials(*options, sts(peer));
    CHECK(ask(source)->access_key_id == "ROLE");
    write("token", "SECRET.two");
    CHECK(ask(source)->access_key_id == "TWO");
    CHECK(peer.requests.at(0).ends_with(
        "\r\n\r\nAction=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Ar&"
        "RoleSessionName=pod&WebIdentityToken=SECRET.one"));
    CHECK(peer.requests.at(1).ends_with("WebIdentityToken=SECRET.two"));
    CHECK_FALSE(has(peer.requests.at(0), "Authorization"));
    {
        const std::string error = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code>"
                                  "<Message>what is SECRET.two?</Message></Error></ErrorResponse>";
        scripted_peer echo(io, in_turn({{page("400 Bad Request", error)}}));
        const auto got = ask(web_identity_credentials(*options, sts(echo)));
        CHECK(got.error().detail() == action + " of arn:r at " + echo.url() + ": 400");
    }
    check_hostile(
        [&](const std::string& url) {
            return web_identity_credentials(*options, {*endpoint::parse(url), {}, 10s});
        },
        false);
    write("token", " \n");
    check(ask(source), condition::invalid, "no token in '" + token.string() + "'");
}

TEST_CASE_FIXTURE(fixture, "credentials_sources: a container's agent")
{
    check(result<credentials>(container_options::from_env().error()), condition::denied, "RELATIVE_URI");
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/id");
    CHECK(container_options::from_env()->url == "http://169.254.170.2/v2/credentials/id");
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@elsewhere/");
    CHECK(container_options::from_env().error() == condition::invalid);
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "");

    const std::string task = page("200 OK", "{" + json);
    scripted_peer peer(io, in_turn({{task}, {task}, {task}}));
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", peer.url() + "/creds?id=SECRET");
    auto got = ask(container_credentials(*container_options::from_env()));
    REQUIRE(got);
    CHECK(got->access_key_id == "A");
    CHECK(got->session_token == "SECRET token");
    CHECK(got->expiry == time.date() + 6h);
    CHECK(peer.requests.at(0).starts_with("GET /creds?id=SECRET HTTP/1.1\r\n"));
    CHECK_FALSE(has(peer.requests.at(0), "Authorization"));
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "SECRET plain");
    CHECK(ask(container_credentials(*container_options::from_env())));
    CHECK(has(peer.requests.at(1), "\r\nAuthorization: SECRET plain\r\n"));
    const auto file = write("agent-token", "SECRET file\n");
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.string());
    CHECK(ask(container_credentials(*container_options::from_env())));
    CHECK(has(peer.requests.at(2), "\r\nAuthorization: SECRET file\r\n"));

    write("agent-token", "SECRET\r\nX: smuggled");
    check(ask(container_credentials(*container_options::from_env())), condition::invalid,
          "control characters");
    write("agent-token", "");
    check(ask(container_credentials(*container_options::from_env())), condition::invalid, "no token in");
    CHECK(peer.connections == 3);

    const auto to = [](const std::string& url) {
        container_options options;
        options.url = url + "/creds?SECRET";
        options.authorization = "SECRET";
        return container_credentials(options);
    };
    check_hostile(to);
    scripted_peer hangs(io, in_turn({{"HTTP/1.1 200 OK\r\n", stall}}));
    check_timeout(to(hangs.url()), hangs, 5s);
}

TEST_CASE_FIXTURE(fixture, "credentials_sources: keys are asked for over plain HTTP only within the machine")
{
    for (const char* url : {"http://example.com/", "http://169.254.169.254/", "http://169.254.170.3/",
                            "http://10.0.0.1/", "http://localhost.example.com/", "http://[fd00:ec2::24]/",
                            "http://127.0.0.1.example.com/", "http://[::ffff:10.0.0.1]/"}) {
        container_options options;
        options.url = url;
        check(ask(container_credentials(options)), condition::invalid, "neither https nor an address within");
    }
    for (const char* url : {"", "ftp://127.0.0.1/", "/relative", "http://127.0.0.1/a b"}) {
        container_options options;
        options.url = url;
        check(ask(container_credentials(options)), condition::invalid, "the container's agent");
    }
    using s3::detail::is_trusted_agent;
    for (const char* url :
         {"http://127.0.0.1", "http://127.9.9.9", "http://[::1]", "http://localhost", "https://example.com",
          "http://169.254.170.2", "http://169.254.170.23", "http://[fd00:ec2::23]"})
        CHECK_MESSAGE(is_trusted_agent(*endpoint::parse(url)), url);
}

TEST_CASE_FIXTURE(fixture, "credentials_sources: an instance's metadata")
{
    CHECK(instance_options::from_env()->url == "http://169.254.169.254");
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6");
    CHECK(instance_options::from_env()->url == "http://[fd00:ec2::254]");
    const answer token{page("200 OK", "SECRET session")};
    const answer list{page("200 OK", "my role\nother")};
    scripted_peer peer(io, in_turn({token,
                                    list,
                                    {page("200 OK", "{\"Code\":\"Success\"," + json)},
                                    token,
                                    list,
                                    {page("200 OK", "{" + json)}}));
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", peer.url() + "/");
    const auto source = instance_credentials(*instance_options::from_env());
    auto got = ask(source);
    REQUIRE(got);
    CHECK(got->access_key_id == "A");
    CHECK(got->expiry == time.date() + 6h);
    CHECK(peer.requests.at(0).starts_with("PUT /latest/api/token HTTP/1.1\r\n"));
    CHECK(
        has(peer.requests.at(0), "\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\nContent-Length: 0\r\n"));
    CHECK(peer.requests.at(1).starts_with("GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n"));
    CHECK(has(peer.requests.at(1), "\r\nX-aws-ec2-metadata-token: SECRET session\r\n"));
    CHECK(peer.requests.at(2).starts_with(
        "GET /latest/meta-data/iam/security-credentials/my%20role HTTP/1.1\r\n"));
    CHECK(has(peer.requests.at(2), "\r\nX-aws-ec2-metadata-token: SECRET session\r\n"));
    // Expired ones are what the service gives in its own bad times.
    time.advance(7h);
    got = ask(source);
    REQUIRE(got);
    CHECK(got->expiry == time.date() + 10min);
    set("AWS_EC2_METADATA_DISABLED", "True");
    CHECK(instance_options::from_env().code() == errc::no_credentials);
}

TEST_CASE_FIXTURE(fixture, "credentials_sources: an instance without, and one that fails at each step")
{
    const auto source = [](const std::string& url) { return instance_credentials({url, 1s}); };
    const auto got = [&](std::vector<answer> answers) {
        scripted_peer peer(io, in_turn(std::move(answers)));
        return ask(source(peer.url()));
    };
    const answer token{page("200 OK", "SECRET")}, list{page("200 OK", "role")};
    // A token that cannot be put into a header.
    check(got({{page("200 OK", "SECRET\nX: y")}}), condition::invalid, "control characters");
    check(got({{page("403 Forbidden")}}), condition::denied, "/latest/api/token: 403");
    check(got({token, {page("404 Not Found")}}), condition::denied, "no role is attached");
    check(got({token, {page("200 OK", "\n")}}), condition::denied, "no role is attached");
    check(got({token, {page("401 Unauthorized")}}), condition::denied, "security-credentials/: 401");
    check(got({token, list, {page("404 Not Found")}}), condition::unavailable,
          "security-credentials/role: 404");
    check(got({token, list, {page("200 OK", "{\"Code\":\"Failed\"}")}}), condition::denied, "Code is Failed");
    check(got({token, list, {page("200 OK", "SECRET")}}), condition::corrupt,
          "security-credentials/role: the answer is no");
    check(got({token, {page("200 OK", std::string(66'000, 'x'))}}), condition::corrupt, "longer than");

    std::string nowhere;
    {
        scripted_peer peer(io, in_turn({{"", stall}}));
        nowhere = peer.url();
        check_timeout(source(peer.url()), peer, 1s);
    }
    const auto nobody = ask(source(nowhere));
    CHECK(nobody.code() == errc::no_credentials);
    CHECK(credentials_fixture::has(nobody.error().detail(), "PUT " + nowhere + "/latest/api/token: "));
}

TEST_CASE_FIXTURE(fixture,
                  "credentials_sources: cancelled in flight, in a coroutine that would have it thrown")
{
    scripted_peer peer(io, in_turn({{"", stall}}));
    std::optional<status> ended;
    asio::cancellation_signal stop;
    const auto source = instance_credentials({peer.url(), 1s});
    asio::co_spawn(io, note(source(), ended), asio::bind_cancellation_slot(stop.slot(), asio::detached));
    REQUIRE(testing::run_until(io, [&] { return peer.stalled == 1; }));
    stop.emit(asio::cancellation_type::terminal);
    REQUIRE(testing::run_until(io, [&] { return ended.has_value(); }));
    CHECK(*ended == errc::cancelled);
}

} // namespace credentials_sources_test
