// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/credentials_json.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using s3::detail::credentials_dialect;
using s3::detail::parse_credentials_json;

namespace credentials_json_test {

constexpr auto process = credentials_dialect::process;
constexpr auto container = credentials_dialect::container;
constexpr auto instance = credentials_dialect::instance;

void refused(std::string_view text, credentials_dialect of, const std::string& why,
             errc code = errc::malformed_response)
{
    const auto got = parse_credentials_json(text, of);
    CHECK(got.code() == code);
    CHECK_MESSAGE(got.error().detail().find(why) != std::string::npos, got.error().detail());
    CHECK(got.error().message().find("SECRET") == std::string::npos);
}

TEST_CASE("credentials_json: the three dialects")
{
    const auto task = parse_credentials_json(
        R"({"RoleArn":"arn","AccessKeyId":"A","SecretAccessKey":"S/+=","Token":"T","Expiration":"2030-01-01T00:00:00Z"})",
        container);
    REQUIRE(task);
    CHECK(task->access_key_id == "A");
    CHECK(task->secret_access_key == "S/+=");
    CHECK(task->session_token == "T");
    CHECK(task->expiry == std::chrono::sys_days(std::chrono::year(2030) / 1 / 1));
    const auto host = parse_credentials_json(
        R"({"Code":"Success","LastUpdated":"x","Type":"AWS-HMAC","AccessKeyId":"A","SecretAccessKey":"S","Token":"T"})",
        instance);
    REQUIRE(host);
    CHECK(host->session_token == "T");
    CHECK_FALSE(host->expiry);
    const auto program = parse_credentials_json(
        R"({"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","SessionToken":null,"Token":"of another dialect"})",
        process);
    REQUIRE(program);
    CHECK(program->session_token.empty());
}

TEST_CASE("credentials_json: refused, without a word of what was in it")
{
    for (const auto of : {process, container, instance}) {
        refused("", of, "no JSON");
        refused("SECRET", of, "no JSON");
        refused("{\"SecretAccessKey\":\"SECRET\"", of, "no JSON");
        refused("[{\"SecretAccessKey\":\"SECRET\"}]", of, "no JSON");
    }
    refused("{\"SecretAccessKey\":\"SECRET\"}", container, "no AccessKeyId");
    refused("{\"AccessKeyId\":\"SECRET\",\"SecretAccessKey\":{}}", container, "no SecretAccessKey");
    refused("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\",\"Expiration\":\"SECRET\"}", container,
            "Expiration is no time");
    refused("{\"AccessKeyId\":\"A\\r\\nX: SECRET\",\"SecretAccessKey\":\"S\"}", container,
            "control characters");
    refused("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"SECRET\\n\"}", instance,
            "control characters");
    refused("{\"Code\":\"Failed\\nbadly\"}", instance, "Code is Failed badly", errc::access_denied);
    refused("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\"}", process, "Version");
    refused("{\"Version\":2,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\"}", process, "Version");
}

} // namespace credentials_json_test
