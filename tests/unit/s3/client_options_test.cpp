// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/client_options.hpp>

#include <unit/s3/credentials_fixture.hpp>

#include <doctest/doctest.h>

namespace client_options_test {

using namespace objectcache;
using namespace objectcache::s3;

/** Without the machine's own proxies, too. */
struct fixture : credentials_fixture::clean_environment {
    fixture()
    {
        for (const char* name :
             {"https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"})
            set(name, "");
    }
    endpoint plain = *endpoint::parse("http://store.internal:9000");
    endpoint secure = *endpoint::parse("https://s3.eu-west-1.amazonaws.com");
};

TEST_CASE_FIXTURE(fixture, "client_options: an empty environment changes nothing")
{
    const auto out = client_options::from_env(secure);
    REQUIRE(out);
    const client_options usual;
    CHECK(out->connections.ca_file.empty());
    CHECK(out->connections.proxy.empty());
    CHECK(out->retry.max_attempts == usual.retry.max_attempts);
    CHECK(out->upload_checksum == usual.upload_checksum);
    CHECK(out->verify == usual.verify);
}

TEST_CASE_FIXTURE(fixture, "client_options: what the AWS tools take from the environment")
{
    set("AWS_CA_BUNDLE", "/etc/ca.pem");
    set("AWS_MAX_ATTEMPTS", "7");
    set("AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_SUPPORTED");
    set("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required");
    const auto out = client_options::from_env(secure);
    REQUIRE(out);
    CHECK(out->connections.ca_file == "/etc/ca.pem");
    CHECK(out->retry.max_attempts == 7);
    CHECK(out->upload_checksum == checksum::crc32c);
    CHECK(out->verify == checksum_check::off);
}

TEST_CASE_FIXTURE(fixture, "client_options: the profile's authorities, unless a variable names others")
{
    write("config", "[profile p]\nca_bundle = /profile.pem\n");
    set("AWS_PROFILE", "p");
    CHECK(client_options::from_env(secure)->connections.ca_file == "/profile.pem");
    set("AWS_CA_BUNDLE", "/etc/ca.pem");
    CHECK(client_options::from_env(secure)->connections.ca_file == "/etc/ca.pem");
}

TEST_CASE_FIXTURE(fixture, "client_options: proxies, and who goes around them")
{
    const auto proxy_to = [](const endpoint& where) {
        const auto out = client_options::from_env(where);
        REQUIRE(out);
        return out->connections.proxy;
    };
    set("HTTPS_PROXY", "http://u:p@10.0.0.1:3128/");
    set("http_proxy", "gate:8080");
    CHECK(proxy_to(secure) == "http://u:p@10.0.0.1:3128/");
    CHECK(proxy_to(plain) == "http://gate:8080");
    set("https_proxy", "http://lower:1");
    CHECK(proxy_to(secure) == "http://lower:1");
    for (const char* list : {"*", "internal", ".internal", "x.y, store.internal ,z", "STORE.Internal"}) {
        CAPTURE(list);
        set("NO_PROXY", list);
        CHECK(proxy_to(plain).empty());
    }
    for (const char* list : {"", ",", "nternal", "other.internal", "store.internal.org", "store"}) {
        CAPTURE(list);
        set("NO_PROXY", list);
        CHECK_FALSE(proxy_to(plain).empty());
    }
}

TEST_CASE_FIXTURE(fixture, "client_options: values that mean nothing are named")
{
    const auto refused = [&](const char* name, const char* value) {
        set(name, value);
        const auto out = client_options::from_env(secure);
        set(name, "");
        CHECK(out.error() == condition::invalid);
        return out.error().detail();
    };
    for (const char* value : {"0", "-1", "x", "3x", "99999999999999999999", "1001"})
        CHECK(refused("AWS_MAX_ATTEMPTS", value).starts_with("AWS_MAX_ATTEMPTS: "));
    CHECK(
        refused("AWS_REQUEST_CHECKSUM_CALCULATION", "yes").starts_with("AWS_REQUEST_CHECKSUM_CALCULATION: "));
    CHECK(
        refused("AWS_RESPONSE_CHECKSUM_VALIDATION", "no").starts_with("AWS_RESPONSE_CHECKSUM_VALIDATION: "));
    CHECK(refused("HTTPS_PROXY", "socks5://a:1").starts_with("proxy: "));
    CHECK(refused("HTTPS_PROXY", "http://user:secret@:x").find("secret") == std::string::npos);
}

} // namespace client_options_test
