// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/request.hpp>

#include <objectcache/s3/detail/uri_encode.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace objectcache;
using namespace objectcache::s3;

namespace request_test {

const endpoint local = *endpoint::parse("http://127.0.0.1:9000");
const credentials who{"AK", "SK", "", {}};
const sigv4_time now = *parse_amz_date("20240102T030405Z");

std::string head_of(const request& what, const endpoint& where = local, const credentials& as = who)
{
    signer with(where.region);
    const auto head = serialize(what, where, as, with, now);
    REQUIRE(head);
    return *head;
}

bool has_line(const std::string& head, const std::string& line)
{
    return head.find("\r\n" + line + "\r\n") != std::string::npos;
}

TEST_CASE("request: a ranged GET, as it travels")
{
    const request get{.bucket = "b", .key = "k", .range = byte_range{5, 10}};
    const std::string head = head_of(get);
    CHECK(head.starts_with("GET /b/k HTTP/1.1\r\nHost: 127.0.0.1:9000\r\n"));
    CHECK(has_line(head, "Range: bytes=5-14"));
    CHECK(has_line(head, "x-amz-date: 20240102T030405Z"));
    CHECK(has_line(head, "x-amz-content-sha256: " + std::string(empty_payload)));
    CHECK(head.find("Content-Length") == std::string::npos);
    CHECK(head.find("x-amz-security-token") == std::string::npos);
    CHECK(head.ends_with("\r\n\r\n"));
    CHECK(head.find("SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,") != std::string::npos);
    CHECK(head.find("SK") == std::string::npos);
}

TEST_CASE("request: what is signed is what a server verifies")
{
    const std::string key = "a b/\xc3\xbc+%2F?#&=\x01/..//x";
    const field query[] = {{"prefix", "p/ \xff"}, {"list-type", "2"}, {"flag", ""}};
    const field headers[] = {{"If-None-Match", "*"}};
    for (const char* base :
         {"http://127.0.0.1:9000", "https://s3.eu-west-1.amazonaws.com", "http://h/a%20prefix"}) {
        const endpoint where = *endpoint::parse(base);
        const credentials temporary{"AK", "SK", "token==", {}};
        const std::string head =
            head_of({"PUT", "bucket", key, query, headers, {}, 3, unsigned_payload}, where, temporary);

        // Read the head as a server would.
        const std::string target = head.substr(4, head.find(' ', 4) - 4);
        const auto path = s3::detail::uri_decoded(target.substr(0, target.find('?')));
        REQUIRE(path);
        CHECK(path->ends_with("/" + key));
        std::vector<field> received;
        std::string_view rest = std::string_view(head).substr(head.find("\r\n") + 2);
        std::string_view authorization_value;
        while (!rest.starts_with("\r\n")) {
            const std::string_view line = rest.substr(0, rest.find("\r\n"));
            rest.remove_prefix(line.size() + 2);
            received.push_back({line.substr(0, line.find(':')), line.substr(line.find(':') + 2)});
            if (received.back().name == "Authorization")
                authorization_value = received.back().value;
        }
        const auto claim = parse_authorization(authorization_value);
        REQUIRE(claim);
        CHECK(verify(*claim, {"PUT", *path, query, received, unsigned_payload}, now, "SK").ok());
        CHECK_FALSE(verify(*claim, {"GET", *path, query, received, unsigned_payload}, now, "SK").ok());
        CHECK(std::count(claim->signed_headers.begin(), claim->signed_headers.end(),
                         "x-amz-security-token") == 1);
        CHECK(target.find_first_of(" #\x01\xff") == std::string::npos);
        CHECK(target.find("?prefix=p%2F%20%FF&list-type=2&flag=") != std::string::npos);
        CHECK(has_line(head, "Content-Length: 3"));
    }
}

TEST_CASE("request: where the bucket goes")
{
    const endpoint aws = *endpoint::parse("https://s3.eu-west-1.amazonaws.com");
    const endpoint gateway = *endpoint::parse("http://h:1/x");
    CHECK(head_of({.bucket = "b", .key = "k"}, aws)
              .starts_with("GET /k HTTP/1.1\r\nHost: b.s3.eu-west-1.amazonaws.com\r\n"));
    CHECK(head_of({.bucket = "b"}, aws).starts_with("GET / HTTP/1.1\r\n"));
    CHECK(head_of({.bucket = "b.c", .key = "k"}, aws).starts_with("GET /b.c/k HTTP/1.1\r\nHost: s3.eu"));
    CHECK(head_of({.bucket = "b"}).starts_with("GET /b HTTP/1.1\r\n"));
    CHECK(
        head_of({.bucket = "b", .key = "/k"}, gateway).starts_with("GET /x/b//k HTTP/1.1\r\nHost: h:1\r\n"));
    CHECK(describe({.bucket = "b", .key = "a b"}, local) == "GET http://127.0.0.1:9000/b/a%20b");
    CHECK(describe({.method = "HEAD", .bucket = "b"}, aws) == "HEAD https://b.s3.eu-west-1.amazonaws.com/");
}

TEST_CASE("request: anonymous requests are not signed")
{
    const std::string head = head_of({.bucket = "b", .key = "k"}, local, credentials::anonymous());
    CHECK(head.find("Authorization") == std::string::npos);
    CHECK(head.find("x-amz-") == std::string::npos);
}

TEST_CASE("request: nothing that would mean something else is sent")
{
    signer with("r");
    const auto refused = [&](const request& what, const credentials& as = who) {
        const auto head = serialize(what, local, as, with, now);
        return head.error() == condition::invalid;
    };
    for (const char* bucket : {"", "a/b", "a b", "a\r\nX: y", ".", "..", "b?x", "b#", "\xc3\xbc"})
        CHECK_MESSAGE(refused({.bucket = bucket, .key = "k"}), bucket);
    CHECK(refused({.bucket = "b", .key = "k", .range = byte_range{3, 0}}));
    CHECK(refused({.bucket = "b", .key = "k", .range = byte_range{~std::uint64_t(0), 2}}));
    CHECK_FALSE(refused({.bucket = "b", .key = "k", .range = byte_range{~std::uint64_t(0), 1}}));
    const field split[] = {{"A", "1\r\nB: 2"}};
    const field name[] = {{"A: 1\r\nB", "2"}};
    CHECK(refused({.bucket = "b", .headers = split}));
    CHECK(refused({.bucket = "b", .headers = name}));
    CHECK(refused({.bucket = "b"}, {"A\n", "S", "", {}}));
    CHECK(refused({.bucket = "b"}, {"A", "S", "t\r\nX: y", {}}));
}

} // namespace request_test
