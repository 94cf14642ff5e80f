// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/presign.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace objectcache;
using namespace objectcache::s3;

namespace presign_test {

const credentials example{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", {}, {}};
const sigv4_time example_time = parse_amz_date("20130524T000000Z").value();

result<std::string> presigned(const request& what, const credentials& who = example,
                              std::chrono::seconds expires = std::chrono::hours(24),
                              std::string_view url = "https://s3.amazonaws.com")
{
    const auto where = endpoint::parse(url);
    REQUIRE(where.ok());
    signer with(where->region);
    return presign(what, *where, who, with, example_time, expires);
}

request get_of(std::string_view bucket, std::string_view key)
{
    request out;
    out.bucket = bucket;
    out.key = key;
    return out;
}

TEST_CASE("presign: the example of AWS's documentation")
{
    const auto url = presigned(get_of("examplebucket", "test.txt"));
    REQUIRE(url.ok());
    CHECK(*url == "https://examplebucket.s3.amazonaws.com/test.txt"
                  "?X-Amz-Algorithm=AWS4-HMAC-SHA256"
                  "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                  "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                  "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST_CASE("presign: what the URL names, it covers")
{
    const auto signature = [](const result<std::string>& url) {
        REQUIRE(url.ok());
        return url->substr(url->rfind('=') + 1);
    };
    const std::string plain = signature(presigned(get_of("bucket", "key")));
    request other = get_of("bucket", "key");
    other.method = "PUT";
    CHECK(signature(presigned(other)) != plain);
    CHECK(signature(presigned(get_of("bucket", "kez"))) != plain);
    CHECK(signature(presigned(get_of("bucket", "key"), example, std::chrono::seconds(1))) != plain);
    other = get_of("bucket", "key");
    other.payload = "ignored";
    other.content_length = 1;
    CHECK(signature(presigned(other)) == plain);

    request rich = get_of("bucket", "a key/\xc3\xbc");
    const std::array query{field{"versionId", "a b"}};
    const std::array headers{field{"x-amz-meta-a", "1"}, field{"If-Match", "\"x\""}};
    rich.query = query;
    rich.headers = headers;
    rich.range = byte_range{5, 10};
    credentials temporary = example;
    temporary.session_token = "a/token+";
    const auto url = presigned(rich, temporary, std::chrono::seconds(60), "http://127.0.0.1:9000/gate");
    REQUIRE(url.ok());
    CHECK(url->starts_with(
        "http://127.0.0.1:9000/gate/bucket/a%20key/%C3%BC?versionId=a%20b&X-Amz-Algorithm="));
    CHECK(url->find("&X-Amz-Security-Token=a%2Ftoken%2B&") != std::string::npos);
    CHECK(url->find("&X-Amz-SignedHeaders=host%3Bif-match%3Brange%3Bx-amz-meta-a&") != std::string::npos);
}

TEST_CASE("presign: what cannot be")
{
    const request good = get_of("bucket", "key");
    for (const std::int64_t seconds : {-1, 0, 604'801})
        CHECK(presigned(good, example, std::chrono::seconds(seconds)).error() == condition::invalid);
    for (const std::int64_t seconds : {1, 604'800})
        CHECK(presigned(good, example, std::chrono::seconds(seconds)).ok());
    CHECK(presigned(good, credentials::anonymous()).error() == condition::denied);
    CHECK(presigned(get_of("no/bucket", "key")).error() == condition::invalid);
    for (const char* name : {"X-Amz-Signature", "x-amz-date", "X-AMZ-EXPIRES"}) {
        const field mine{name, "1"};
        request what = good;
        what.query = std::span(&mine, 1);
        CHECK(presigned(what).error() == condition::invalid);
    }
    const field smuggled{"a", "b\r\nc: d"};
    request what = good;
    what.headers = std::span(&smuggled, 1);
    CHECK(presigned(what).error() == condition::invalid);
}

} // namespace presign_test
