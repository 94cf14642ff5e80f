// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/default_credentials_provider.hpp>

#include <objectcache/testing/manual_clock.hpp>

#include <unit/s3/credentials_fixture.hpp>
#include <unit/s3/scripted_peer.hpp>

#include <support/run.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using namespace objectcache::s3;
using namespace std::chrono_literals;

namespace default_credentials_provider_test {

using credentials_fixture::has;
using peer_test::answer;
using peer_test::page;
using peer_test::scripted_peer;

std::string role_answer(const std::string& action, const std::string& id)
{
    return page("200 OK", "<" + action + "Response><" + action + "Result><Credentials><AccessKeyId>" + id +
                              "</AccessKeyId><SecretAccessKey>SECRET " + id +
                              "</SecretAccessKey><SessionToken>SECRET token of " + id +
                              "</SessionToken><Expiration>2030-01-01T01:00:00Z</Expiration></Credentials></" +
                              action + "Result></" + action + "Response>");
}

const std::string task =
    page("200 OK", R"({"AccessKeyId":"TASK","SecretAccessKey":"SECRET","Token":"SECRET"})");

struct fixture : credentials_fixture::clean_environment {
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);

    fixture() { set("AWS_EC2_METADATA_DISABLED", "true"); }

    /** The key id, or the one line that says why there is none. */
    std::string ask(const credentials_provider& source)
    {
        const auto got = support::run(io, source());
        CHECK_FALSE(has(got.error().message(), "SECRET"));
        return got ? got->access_key_id : got.error().message();
    }
    std::string ask_default(default_credentials_options options = {})
    {
        return ask(default_credentials_provider(io.get_executor(), std::move(options)));
    }
    std::string ask_profile(const std::string& name = {}) { return ask(profile_credentials({name, {}, {}})); }

    static std::vector<std::vector<answer>> in_turn(std::vector<std::string> answers)
    {
        std::vector<std::vector<answer>> out;
        for (std::string& a : answers)
            out.push_back({{std::move(a)}});
        return out;
    }
};

TEST_CASE_FIXTURE(fixture, "default_credentials_provider: nowhere, and every place is named")
{
    const std::string home = std::getenv("HOME");
    CHECK(ask_default() == "environment: AWS_ACCESS_KEY_ID is not set; "
                           "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set; "
                           "profile: profile default is not there, in '" +
                               home + "/.aws/credentials' and '" + home +
                               "/.aws/config'; "
                               "container: neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor "
                               "AWS_CONTAINER_CREDENTIALS_FULL_URI is set; "
                               "instance metadata: AWS_EC2_METADATA_DISABLED is true: no credentials");
}

TEST_CASE_FIXTURE(fixture, "default_credentials_provider: the order")
{
    scripted_peer instance(io,
                           in_turn({page("200 OK", "SECRET"), page("200 OK", "role"),
                                    page("200 OK", R"({"AccessKeyId":"HOST","SecretAccessKey":"SECRET"})")}));
    set("AWS_EC2_METADATA_DISABLED", "false");
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.url());
    CHECK(ask_default() == "HOST");
    scripted_peer agent(io, in_turn({task}));
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url());
    CHECK(ask_default() == "TASK");
    write("config", "[profile other]\naws_access_key_id=OTHER\naws_secret_access_key=SECRET\n");
    write("credentials", "[default]\naws_access_key_id=DEFAULT\naws_secret_access_key=SECRET\n");
    CHECK(ask_default() == "DEFAULT");
    set("AWS_PROFILE", "other");
    CHECK(ask_default() == "OTHER");
    scripted_peer sts(io, in_turn({role_answer("AssumeRoleWithWebIdentity", "POD")}));
    set("AWS_ENDPOINT_URL_STS", sts.url());
    set("AWS_WEB_IDENTITY_TOKEN_FILE", write("token", "SECRET").string());
    set("AWS_ROLE_ARN", "arn:r");
    CHECK(ask_default() == "POD");
    set("AWS_ACCESS_KEY_ID", "ENV");
    set("AWS_SECRET_ACCESS_KEY", "SECRET");
    CHECK(ask_default() == "ENV");
    // A profile that the program names outranks what the environment says.
    default_credentials_options options;
    options.from_profile.name = "default";
    CHECK(ask_default(options) == "DEFAULT");
}

TEST_CASE_FIXTURE(fixture, "default_credentials_provider: who is configured and fails ends the search")
{
    write("credentials", "[default]\naws_access_key_id=DEFAULT\naws_secret_access_key=SECRET\n");
    set("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent");
    set("AWS_ROLE_ARN", "arn:r");
    CHECK(ask_default() ==
          "environment: AWS_ACCESS_KEY_ID is not set; web identity: no token in '/nonexistent': "
          "invalid argument");
    set("AWS_WEB_IDENTITY_TOKEN_FILE", "");
    set("AWS_PROFILE", "absent");
    CHECK(has(ask_default(), "profile: profile absent is not there, in '"));
    CHECK_FALSE(has(ask_default(), "container"));
}

TEST_CASE_FIXTURE(fixture, "default_credentials_provider: remembered and refreshed")
{
    scripted_peer sts(io, in_turn({role_answer("AssumeRole", "FIRST"), role_answer("AssumeRole", "SECOND")}));
    set("AWS_ENDPOINT_URL_STS", sts.url());
    write("config", "[default]\nrole_arn=arn:r\nsource_profile=default\n");
    write("credentials", "[default]\naws_access_key_id=USER\naws_secret_access_key=SECRET\n");
    const auto provider = default_credentials_provider(io.get_executor());
    CHECK(ask(provider) == "FIRST");
    CHECK(ask(provider) == "FIRST");
    time.advance(56min);
    CHECK(ask(provider) == "FIRST");
    REQUIRE(testing::run_until(io, [&] { return sts.ended == 2; }));
    io.restart();
    io.poll();
    CHECK(ask(provider) == "SECOND");
    CHECK(sts.connections == 2);
}

TEST_CASE_FIXTURE(fixture, "profile_credentials: a chain of roles, each signed with the one before")
{
    scripted_peer sts(io, in_turn({role_answer("AssumeRole", "MIDDLE"), role_answer("AssumeRole", "TOP")}));
    write("config",
          "[profile top]\nrole_arn=arn:top\nsource_profile=middle\nexternal_id=x\nduration_seconds=900\n"
          "role_session_name=s\nendpoint_url=" +
              sts.url() +
              "\nregion=eu-west-1\n"
              "[profile middle]\nrole_arn=arn:middle\nsource_profile=base\nendpoint_url=" +
              sts.url() + "\n[profile base]\naws_access_key_id=BASE\naws_secret_access_key=SECRET\n");
    CHECK(ask_profile("top") == "TOP");
    CHECK(has(sts.requests.at(0), "Credential=BASE/20300101/us-east-1/sts/aws4_request"));
    CHECK(has(sts.requests.at(0), "RoleArn=arn%3Amiddle&RoleSessionName=objectcache-1893456000"));
    CHECK(has(sts.requests.at(1), "Credential=MIDDLE/20300101/eu-west-1/sts/aws4_request"));
    CHECK(has(sts.requests.at(1), "X-Amz-Security-Token: SECRET token of MIDDLE\r\n"));
    CHECK(
        sts.requests.at(1).ends_with("RoleArn=arn%3Atop&RoleSessionName=s&DurationSeconds=900&ExternalId=x"));
}

TEST_CASE_FIXTURE(fixture, "profile_credentials: other origins")
{
    scripted_peer sts(io, in_turn({role_answer("AssumeRoleWithWebIdentity", "POD"),
                                   role_answer("AssumeRole", "A"), role_answer("AssumeRole", "B")}));
    scripted_peer agent(io, in_turn({task}));
    set("AWS_ENDPOINT_URL_STS", sts.url());
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url());
    const auto token = write("token", "SECRET");
    write("config", "[profile web]\nrole_arn=arn:w\nweb_identity_token_file=" + token.string() +
                        "\n[profile env]\nrole_arn=arn:e\ncredential_source=Environment\n"
                        "[profile task]\nrole_arn=arn:t\ncredential_source=EcsContainer\n"
                        "[profile host]\nrole_arn=arn:h\ncredential_source=Ec2InstanceMetadata\n"
                        "[profile tool]\ncredential_process=/nonexistent SECRET\n"
                        "[profile astray]\nrole_arn=arn:a\nsource_profile=tool\nendpoint_url=nonsense\n");
    CHECK(ask_profile("web") == "POD");
    // Configured is configured: what is missing is an error of the profile, and no reason to ask elsewhere.
    CHECK(ask_profile("env") == "profile env: AWS_ACCESS_KEY_ID is not set: invalid argument");
    set("AWS_ACCESS_KEY_ID", "ENV");
    set("AWS_SECRET_ACCESS_KEY", "SECRET");
    CHECK(ask_profile("env") == "A");
    CHECK(has(sts.requests.at(1), "Credential=ENV/"));
    CHECK(ask_profile("task") == "B");
    CHECK(has(sts.requests.at(2), "Credential=TASK/"));
    CHECK(ask_profile("host") == "profile host: AWS_EC2_METADATA_DISABLED is true: invalid argument");
    CHECK(ask_profile("tool") ==
          "profile tool: credential_process /nonexistent: cannot be started: No such file or "
          "directory: invalid argument");
    set("AWS_ENDPOINT_URL_STS", "");
    CHECK(has(ask_profile("astray"), "STS: endpoint 'nonsense'"));
    CHECK(has(ask_profile(), "profile default is not there"));
    CHECK(has(ask_profile("nobody"), "profile nobody is not there"));
}

TEST_CASE_FIXTURE(fixture, "first_of: one, none, and a cancellation")
{
    const auto failing = [](errc why) {
        return [why]() -> asio::awaitable<result<credentials>> {
            co_return result<credentials>(why, "because");
        };
    };
    const auto good = fixed_credentials({"GOOD", "SECRET", "", {}});
    CHECK(ask(first_of({})) == "no credentials");
    CHECK(ask(first_of({{"a", failing(errc::no_credentials)}, {"b", good}})) == "GOOD");
    CHECK(ask(first_of({{"a", failing(errc::throttled)}, {"b", good}})) ==
          "a: because: throttled by the store");
    CHECK(ask(first_of({{"a", failing(errc::cancelled)}, {"b", good}})) == "because: cancelled");
    CHECK(ask(first_of({{"a", failing(errc::no_credentials)}, {"b", failing(errc::no_credentials)}})) ==
          "a: because; b: because: no credentials");
}

} // namespace default_credentials_provider_test
