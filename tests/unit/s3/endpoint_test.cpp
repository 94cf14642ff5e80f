// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/endpoint.hpp>

#include <unit/s3/credentials_fixture.hpp>

#include <doctest/doctest.h>

#include <cstdlib>

using namespace objectcache;
using namespace objectcache::s3;

TEST_CASE("endpoint: URLs")
{
    auto e = endpoint::parse("http://127.0.0.1:9000");
    REQUIRE(e);
    CHECK_FALSE(e->tls);
    CHECK(e->host == "127.0.0.1");
    CHECK(e->port == 9000);
    CHECK(e->region == "us-east-1");
    CHECK(e->url() == "http://127.0.0.1:9000");

    e = endpoint::parse("HTTPS://S3.Eu-West-1.amazonaws.com/");
    REQUIRE(e);
    CHECK(e->tls);
    CHECK(e->port == 443);
    CHECK(e->region == "eu-west-1");
    CHECK(e->url() == "https://s3.eu-west-1.amazonaws.com");
    CHECK(endpoint::parse("https://s3.amazonaws.com")->region == "us-east-1");
    CHECK(endpoint::parse("https://s3.dualstack.ap-south-1.amazonaws.com")->region == "ap-south-1");
    CHECK(endpoint::parse("https://s3.cn-north-1.amazonaws.com.cn")->region == "cn-north-1");
    CHECK(endpoint::parse("https://s3.eu-west-1.amazonaws.com", "mine")->region == "mine");

    e = endpoint::parse("http://[::1]:9000/gate%20way//");
    REQUIRE(e);
    CHECK(e->host == "::1");
    CHECK(e->base_path == "/gate way");
    CHECK(e->authority_for("b") == "[::1]:9000");
    CHECK(e->url() == "http://[::1]:9000/gate%20way");
    CHECK(endpoint::parse("https://[fe80::1]")->port == 443);
    CHECK(endpoint::parse("http://host/a%2F%2f/")->base_path == "/a");
}

TEST_CASE("endpoint: what is refused, in one line")
{
    for (const char* bad : {"",
                            "host",
                            "host:9000",
                            "ftp://host",
                            "http://",
                            "http://:9000",
                            "http:///path",
                            "http://host:",
                            "http://host:0",
                            "http://host:65536",
                            "http://host:9000x",
                            "http://host:-1",
                            "http://user:pw@host",
                            "http://host?x=1",
                            "http://host/#f",
                            "http://[::1",
                            "http://[]",
                            "http://[host]",
                            "http://[::1]9000",
                            "http://ho st",
                            "http://host\r\nX: y",
                            "http://h/%zz",
                            "://host"}) {
        const auto e = endpoint::parse(bad);
        CHECK_MESSAGE(!e, bad);
        CHECK(e.error() == condition::invalid);
    }
}

TEST_CASE("endpoint: where the bucket goes")
{
    auto aws = *endpoint::parse("https://s3.eu-west-1.amazonaws.com");
    CHECK(aws.is_virtual_host("bucket-1"));
    CHECK(aws.authority_for("bucket-1") == "bucket-1.s3.eu-west-1.amazonaws.com");
    CHECK_FALSE(aws.is_virtual_host("dotted.bucket")); // no wildcard certificate covers it
    CHECK_FALSE(aws.is_virtual_host("Upper"));
    CHECK_FALSE(aws.is_virtual_host("under_score"));
    CHECK_FALSE(aws.is_virtual_host(""));
    aws.style = addressing::path;
    CHECK_FALSE(aws.is_virtual_host("bucket-1"));

    auto local = *endpoint::parse("http://localhost:9000");
    CHECK_FALSE(local.is_virtual_host("bucket"));
    CHECK(local.authority_for("bucket") == "localhost:9000");
    local.style = addressing::virtual_host;
    CHECK(local.host_for("dotted.bucket") == "dotted.bucket.localhost");

    auto address = *endpoint::parse("http://10.0.0.1");
    address.style = addressing::virtual_host;
    CHECK(address.host_for("bucket") == "10.0.0.1");
    CHECK(address.authority_for("bucket") == "10.0.0.1");
}

TEST_CASE_FIXTURE(credentials_fixture::clean_environment, "endpoint: the environment")
{
    CHECK(endpoint::from_env()->url() == "https://s3.us-east-1.amazonaws.com");
    set("AWS_DEFAULT_REGION", "eu-west-1");
    CHECK(endpoint::from_env()->url() == "https://s3.eu-west-1.amazonaws.com");
    set("AWS_REGION", "eu-west-2");
    CHECK(endpoint::from_env()->region == "eu-west-2");
    set("AWS_ENDPOINT_URL", "http://a:1");
    CHECK(endpoint::from_env()->url() == "http://a:1");
    CHECK(endpoint::from_env()->region == "eu-west-2");
    set("AWS_ENDPOINT_URL_S3", "http://b:2");
    CHECK(endpoint::from_env()->url() == "http://b:2");
    set("AWS_ENDPOINT_URL_S3", "b:2");
    CHECK(endpoint::from_env().error() == condition::invalid);
    set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True");
    CHECK(endpoint::from_env()->url() == "https://s3.eu-west-2.amazonaws.com");
    set("AWS_REGION", "cn-north-1");
    CHECK(endpoint::from_env()->url() == "https://s3.cn-north-1.amazonaws.com.cn");
}

TEST_CASE_FIXTURE(credentials_fixture::clean_environment,
                  "endpoint: a profile, where the environment is silent")
{
    write("config", "[default]\nregion = eu-west-3\n"
                    "[profile mine]\nendpoint_url = http://profile:1\nservices = near\ns3 =\n  "
                    "addressing_style = virtual\n"
                    "[services near]\nsts =\n  endpoint_url = http://sts:2\ns3 =\n  endpoint_url = "
                    "http://service:3\n"
                    "[profile plain]\nregion = r\nendpoint_url = http://plain:4\ns3 =\n  addressing_style = "
                    "path\n"
                    "[profile odd]\ns3 =\n  addressing_style = sideways\n");
    CHECK(endpoint::from_env()->url() == "https://s3.eu-west-3.amazonaws.com");
    CHECK(endpoint::from_env()->region == "eu-west-3");
    set("AWS_PROFILE", "mine");
    CHECK(endpoint::from_env()->url() == "http://service:3");
    CHECK(endpoint::from_env()->style == addressing::virtual_host);
    set("AWS_PROFILE", "plain");
    CHECK(endpoint::from_env()->url() == "http://plain:4");
    CHECK(endpoint::from_env()->region == "r");
    CHECK(endpoint::from_env()->style == addressing::path);
    set("AWS_REGION", "other");
    set("AWS_ENDPOINT_URL", "http://variable:5");
    CHECK(endpoint::from_env()->url() == "http://variable:5");
    CHECK(endpoint::from_env()->region == "other");
    set("AWS_PROFILE", "odd");
    CHECK(endpoint::from_env().error() == condition::invalid);
    CHECK(endpoint::from_env().error().message().find("addressing_style") != std::string::npos);
    set("AWS_PROFILE", "absent"); // who has no credentials either will be told
    CHECK(endpoint::from_env()->url() == "http://variable:5");
}
