// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/sts.hpp>

#include <doctest/doctest.h>

using namespace objectcache;

namespace sts_test {

using namespace objectcache::s3::detail;

std::string answer(const std::string& action, const std::string& credentials)
{
    return "<?xml version=\"1.0\"?>\n<" + action +
           "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" + action +
           "Result><AssumedRoleUser><Arn>arn</Arn></AssumedRoleUser><Credentials>" + credentials +
           "</Credentials></" + action + "Result><ResponseMetadata/></" + action + "Response>";
}

const std::string keys =
    "<AccessKeyId>A</AccessKeyId><SecretAccessKey>SECRET/+=</SecretAccessKey>"
    "<SessionToken>\n SECRET&amp;token \n</SessionToken><Expiration>2030-01-01T00:00:00.250Z</Expiration>";

std::string error(const std::string& code, const std::string& message)
{
    return "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>" + code + "</Code><Message>" +
           message + "</Message></Error><RequestId>r</RequestId></ErrorResponse>";
}

status failure(unsigned code, const std::string& xml)
{
    const std::string_view secrets[] = {"SECRET", ""};
    return sts_failure(code, xml, secrets);
}

TEST_CASE("sts: a form, encoded, without what is not given")
{
    const s3::field fields[] = {
        {"Action", "A"}, {"Empty", ""}, {"RoleArn", "arn:aws:iam::1:role/a b"}, {"T", "x+/=&\n"}};
    CHECK(form_of(fields) == "Action=A&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa%20b&T=x%2B%2F%3D%26%0A");
}

TEST_CASE("sts: credentials in XML")
{
    for (const std::string action : {"AssumeRole", "AssumeRoleWithWebIdentity"}) {
        const auto got = parse_sts_credentials(answer(action, keys), action);
        REQUIRE(got);
        CHECK(got->access_key_id == "A");
        CHECK(got->secret_access_key == "SECRET/+=");
        CHECK(got->session_token == "SECRET&token");
        CHECK(got->expiry == std::chrono::sys_days(std::chrono::year(2030) / 1 / 1));
    }
    const std::string whole = answer("AssumeRole", keys);
    CHECK_FALSE(parse_sts_credentials(whole, "AssumeRoleWithWebIdentity"));
    CHECK_FALSE(parse_sts_credentials(answer("AssumeRole", "<AccessKeyId>A</AccessKeyId>"), "AssumeRole"));
    CHECK_FALSE(
        parse_sts_credentials(answer("AssumeRole", keys + "<Expiration>never</Expiration>"), "AssumeRole"));
    // Elements of these names elsewhere are somebody else's.
    CHECK_FALSE(parse_sts_credentials(answer("AssumeRole", "<Other>" + keys + "</Other>"), "AssumeRole"));
    for (std::size_t n = 0; n < whole.size(); ++n) {
        const auto part = parse_sts_credentials(whole.substr(0, n), "AssumeRole");
        CHECK(part.code() == errc::malformed_response);
        CHECK(part.error().message().find("SECRET") == std::string::npos);
    }
}

TEST_CASE("sts: what a failure means")
{
    CHECK(failure(403, error("AccessDenied", "User is not authorized\nto know this")).detail() ==
          "403 AccessDenied: User is not authorized");
    CHECK(failure(403, error("AccessDenied", "no")) == errc::access_denied);
    CHECK(failure(400, error("ExpiredTokenException", "no")) == errc::access_denied);
    CHECK(failure(400, error("InvalidIdentityToken", "no")) == errc::access_denied);
    CHECK(failure(400, error("IDPCommunicationError", "no")) == errc::server_error);
    CHECK(failure(400, error("Throttling", "no")) == errc::throttled);
    CHECK(failure(400, error("MalformedPolicyDocument", "no")) == errc::unexpected_status);
    CHECK(failure(404, "") == errc::unexpected_status); // never "absent": that would be said of an object
    CHECK(failure(429, "") == errc::throttled);
    CHECK(failure(500, "<html>") == errc::server_error);
    CHECK(failure(400, "garbage SECRET").detail() == "400");
    CHECK(failure(403, error("SignatureDoesNotMatch", "it should have been SECRET")).detail() == "403");
    CHECK(failure(403, error("SECRET", "m")).detail() == "403");
    CHECK(failure(403, error("Long", std::string(5000, 'x'))).detail().size() < 300);
    CHECK(failure(400, error("Cut", "short").substr(0, 70)).detail() == "400 Cut");
}

} // namespace sts_test
