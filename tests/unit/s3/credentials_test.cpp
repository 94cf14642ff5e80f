// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/credentials.hpp>

#include <objectcache/s3/detail/ini.hpp>

#include <unit/s3/credentials_fixture.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using namespace objectcache::s3;

TEST_CASE("credentials: the environment")
{
    credentials_fixture::clean_environment env;
    CHECK(credentials::from_env().error().detail() == "AWS_ACCESS_KEY_ID is not set");
    env.set("AWS_ACCESS_KEY_ID", "AK");
    CHECK(credentials::from_env().error() == condition::denied);
    env.set("AWS_SECRET_ACCESS_KEY", "SK");
    auto found = credentials::from_env();
    REQUIRE(found);
    CHECK(found->access_key_id == "AK");
    CHECK(found->secret_access_key == "SK");
    CHECK(found->session_token.empty());
    CHECK_FALSE(found->is_anonymous());
    env.set("AWS_SESSION_TOKEN", "ST");
    CHECK(credentials::from_env()->session_token == "ST");
    CHECK(credentials::anonymous().is_anonymous());
}

TEST_CASE("credentials: profiles, the credentials file before the config file")
{
    credentials_fixture::clean_environment env;
    const auto missing = default_credentials();
    CHECK(missing.code() == errc::no_credentials);
    CHECK(missing.error().detail().find("AWS_ACCESS_KEY_ID is not set; no keys of profile default in '") ==
          0);

    env.write("config", "[default]\naws_access_key_id=C0\naws_secret_access_key=S\n"
                        "[profile team]\naws_access_key_id=C1\naws_secret_access_key=S\n"
                        "[bare]\naws_access_key_id=C2\naws_secret_access_key=S\n");
    CHECK(default_credentials()->access_key_id == "C0");
    CHECK(credentials::from_profile("team")->access_key_id == "C1");
    CHECK_FALSE(credentials::from_profile("bare")); // other profiles of the config file need the word
    env.write("credentials",
              "[default]\naws_access_key_id = D0\naws_secret_access_key = S # not part of it\r\n"
              "aws_session_token\t=\tT\n[half]\naws_access_key_id=H\n");
    CHECK(default_credentials()->access_key_id == "D0");
    CHECK(default_credentials()->secret_access_key == "S");
    CHECK(default_credentials()->session_token == "T");
    CHECK_FALSE(credentials::from_profile("half"));

    env.set("AWS_PROFILE", "team");
    CHECK(default_credentials()->access_key_id == "C1");
    CHECK(credentials::from_profile("default")->access_key_id == "D0");
    const auto other = env.write("elsewhere", "[team]\naws_access_key_id=E\naws_secret_access_key=S");
    CHECK(credentials::from_profile("", {other, {}})->access_key_id == "E");
    env.set("AWS_SHARED_CREDENTIALS_FILE", other.string());
    CHECK(default_credentials()->access_key_id == "E");
    env.set("AWS_ACCESS_KEY_ID", "first");
    env.set("AWS_SECRET_ACCESS_KEY", "S");
    CHECK(default_credentials()->access_key_id == "first");
}

TEST_CASE("credentials: a file that never ends is read in part")
{
    CHECK_FALSE(credentials::from_profile("p", {"/dev/zero", "/dev/null"}));
    CHECK_FALSE(credentials::from_profile("p", {"/", "/nonexistent"}));
}

TEST_CASE("ini: what counts and what does not")
{
    using s3::detail::ini_value;
    const std::string_view text =
        "key=outside\n# [a]\n;key=comment\n[a]\nkey = 1\nkey=2\ns3 =\n  key = nested\n"
        "[ b ]\nkey=x=y\n[a\nkey=unclosed\n[a]\nkey=3;4#5\nother = v ; comment\n=\n[]\nkey=none";
    CHECK(ini_value(text, "a", "key") == "3;4#5");
    CHECK(ini_value(text, "a", "other") == "v");
    CHECK(ini_value(text, "b", "key") == "x=y");
    CHECK(ini_value(text, "", "key") == "none");
    CHECK(ini_value(text, "c", "key").empty());
    CHECK(ini_value("", "a", "key").empty());
    std::string nested;
    s3::detail::for_each_setting(
        "[a]\n no = one\nouter =\n\tx = 1\n # y = 2\n [b]\n  z = 3 # three\nv = w\n no = one\no =\n[c]\n no "
        "= one",
        [&](std::string_view section, std::string_view key, std::string_view value, std::string_view outer) {
            nested.append(section).append(".").append(outer).append(".");
            nested.append(key).append("=").append(value).append(" ");
        });
    CHECK(nested == "a..outer= a.outer.x=1 a.outer.z=3 a..v=w a..o= ");
    // Hostile: every prefix of the text, and bytes of all kinds, only ever yield a part of the input.
    for (std::size_t n = 0; n < text.size(); ++n)
        CHECK(ini_value(text.substr(0, n), "a", "key").size() < 10);
    std::string noise = "[a]\n";
    for (int i = 0; i < 4096; ++i)
        noise += static_cast<char>(i * 7919 >> 3);
    CHECK(ini_value(noise + "\n[a]\nkey=found\n", "a", "key") == "found");
}
