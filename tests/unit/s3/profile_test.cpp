// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/profile.hpp>

#include <unit/s3/credentials_fixture.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using namespace objectcache::s3;

namespace profile_test {

using origin = profile_plan::origin;
using credentials_fixture::has;

result<profile_plan> plan(const std::string& config, const std::string& name = "p",
                          const std::string& keys = {})
{
    return plan_credentials(profiles::parse(config, keys), name);
}

std::string names(const profile_plan& of)
{
    std::string out = of.first.name;
    for (const profile& role : of.roles)
        out += " " + role.name;
    return out;
}

TEST_CASE("profile: every setting, from both files")
{
    const profiles known = profiles::parse(
        "[default]\nregion = bare\nca_bundle=/ca\n[profile default]\nregion=worded\n[default]\nregion=bare "
        "again\n"
        "[profile  \"two words\" ]\nAWS_Access_Key_ID=ignored\nrole_arn=arn:r # why\nsource_profile=s\n"
        "credential_source=Environment\nexternal_id=x\nrole_session_name=n\nduration_seconds=900\nmfa_serial="
        "m\n"
        "web_identity_token_file=/t\ncredential_process=/bin/p a\nsso_session=sso\nendpoint_url=http://h\n"
        "s3 =\n  region = nested\n\tAddressing_Style = path\nservices = there\n[services "
        "there]\nendpoint_url="
        "http://none\nS3 =\n endpoint_url=http://none\ns3 =\n endpoint_url=http://s3\n region=z\nsts =\n "
        "endpoint_url=http://sts\n[services elsewhere]\ns3 =\n endpoint_url=http://none\n[sso-session "
        "default]\nregion=other\n[profilex]\nregion=x\n[profile]\nregion=y\n",
        "[two words]\naws_access_key_id=id\naws_secret_access_key=secret\naws_session_token=token\n");
    const profile* p = known.find("default");
    REQUIRE(p);
    CHECK(p->region == "worded");
    CHECK(p->ca_bundle == "/ca");
    CHECK_FALSE(p->has_keys());
    p = known.find("two words");
    REQUIRE(p);
    CHECK(p->name == "two words");
    CHECK(p->access_key_id == "id");
    CHECK(p->secret_access_key == "secret");
    CHECK(p->session_token == "token");
    CHECK(p->has_keys());
    CHECK(p->role_arn == "arn:r");
    CHECK(p->source_profile == "s");
    CHECK(p->credential_source == "Environment");
    CHECK(p->external_id == "x");
    CHECK(p->role_session_name == "n");
    CHECK(p->duration_seconds == "900");
    CHECK(p->mfa_serial == "m");
    CHECK(p->web_identity_token_file == "/t");
    CHECK(p->credential_process == "/bin/p a");
    CHECK(p->sso == "sso");
    CHECK(p->endpoint_url == "http://h");
    CHECK(p->region.empty());
    CHECK(p->addressing_style == "path");
    CHECK(p->s3_endpoint_url == "http://s3");
    CHECK(p->sts_endpoint_url == "http://sts");
    for (const char* none : {"profilex", "x", "", "profile", "\"two words\""})
        CHECK_FALSE(known.find(none));
}

TEST_CASE("profile: where its files are")
{
    credentials_fixture::clean_environment env;
    const std::string home = std::getenv("HOME");
    CHECK(profile_files().located().config == home + "/.aws/config");
    CHECK(profile_files().located().credentials == home + "/.aws/credentials");
    env.set("AWS_CONFIG_FILE", "/c");
    env.set("AWS_SHARED_CREDENTIALS_FILE", "/k");
    CHECK(profile_files().located().config == "/c");
    CHECK(profile_files().located().credentials == "/k");
    CHECK(profile_files{"/mine", {}}.located().credentials == "/mine");
}

TEST_CASE("profile: origins")
{
    CHECK(plan("[profile p]\naws_access_key_id=a\naws_secret_access_key=s\ncredential_process=x\n")->from ==
          origin::keys);
    CHECK(plan("[profile p]\ncredential_process=x\n")->from == origin::process);
    CHECK(plan("[profile p]\nrole_arn=r\nweb_identity_token_file=/t\nsource_profile=q\n")->from ==
          origin::web_identity);
    CHECK(plan("[profile p]\nrole_arn=r\nweb_identity_token_file=/t\n")->roles.empty());
    CHECK(plan("[profile p]\nrole_arn=r\ncredential_source=Environment\n")->from == origin::environment);
    CHECK(plan("[profile p]\nrole_arn=r\ncredential_source=EcsContainer\n")->from == origin::container);
    CHECK(plan("[profile p]\nrole_arn=r\ncredential_source=Ec2InstanceMetadata\n")->from == origin::instance);
    CHECK(plan("[profile p]\nrole_arn=r\ncredential_source=Ec2InstanceMetadata\n")->roles.at(0).role_arn ==
          "r");
    CHECK(plan("", "p", "[p]\naws_access_key_id=a\naws_secret_access_key=s\n")->first.access_key_id == "a");
}

TEST_CASE("profile: chains of roles")
{
    const std::string keys = "aws_access_key_id=a\naws_secret_access_key=s\n";
    const auto three =
        plan("[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\nrole_arn=2\nsource_profile=r\n"
             "[profile r]\n" +
             keys);
    REQUIRE(three);
    CHECK(three->from == origin::keys);
    CHECK(names(*three) == "r q p"); // the order in which they are taken on
    const auto process =
        plan("[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\ncredential_process=x\n");
    REQUIRE(process);
    CHECK(process->from == origin::process);
    CHECK(names(*process) == "q p");
    // Keys of a source outrank its role, and a profile that is its own source means its own keys.
    const auto keyed =
        plan("[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\nrole_arn=2\nsource_profile=p\n" + keys);
    REQUIRE(keyed);
    CHECK(names(*keyed) == "q p");
    const auto own = plan("[profile p]\nrole_arn=1\nsource_profile=p\n" + keys);
    REQUIRE(own);
    CHECK(names(*own) == "p p");

    const auto circle =
        plan("[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\nrole_arn=2\nsource_profile=p\n");
    CHECK(circle.error() == condition::invalid);
    CHECK(circle.error().detail() == "profile p: a circle, p -> q -> p");
    CHECK(plan("[profile p]\nrole_arn=1\nsource_profile=p\n").error().detail() ==
          "profile p: a circle, p -> p");
    const auto later =
        plan("[profile p]\nrole_arn=1\nsource_profile=q\n[profile q]\nrole_arn=2\nsource_profile=q\n");
    CHECK(later.error().detail() == "profile p: a circle, p -> q -> q");
}

TEST_CASE("profile: what cannot be followed, and why")
{
    const auto refused = [](const std::string& config, condition what, const std::string& why) {
        const auto got = plan(config);
        CHECK(got.error() == what);
        CHECK_MESSAGE(has(got.error().detail(), why), got.error().detail());
        CHECK_FALSE(has(got.error().detail(), "SECRET"));
    };
    CHECK(plan("").code() == errc::no_credentials);
    CHECK(plan("[profile p]\nregion=x\n").code() == errc::no_credentials);
    refused("", condition::denied, "profile p is not there");
    refused("[profile p]\nregion=x\n", condition::denied,
            "profile p: no keys, no role and no credential_process");
    refused("[profile p]\naws_access_key_id=a\n", condition::denied, "only one of its two keys");
    refused("[profile p]\naws_secret_access_key=SECRET\n", condition::denied, "only one of its two keys");
    refused("[profile p]\nrole_arn=r\n", condition::invalid, "role_arn without source_profile");
    refused("[profile p]\nrole_arn=r\ncredential_source=Elsewhere\n", condition::invalid,
            "none of Environment");
    refused("[profile p]\nrole_arn=r\nsource_profile=q\ncredential_source=Environment\n", condition::invalid,
            "both");
    refused("[profile p]\nrole_arn=r\nsource_profile=q\n", condition::invalid,
            "its source_profile q is not there");
    refused("[profile p]\nrole_arn=r\nsource_profile=q\n[profile q]\nregion=x\n", condition::invalid,
            "profile q: no keys");
    refused("[profile p]\nrole_arn=r\nsource_profile=q\nmfa_serial=m\n", condition::invalid, "mfa_serial");
    refused("[profile p]\nrole_arn=r\nsource_profile=q\nduration_seconds=1h\n", condition::invalid,
            "duration_seconds");
    refused("[profile p]\nsso_start_url=https://x\n", condition::invalid, "aws sso login");
}

} // namespace profile_test
