// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/s3_server.hpp>

#include <objectcache/testing/detail/s3_answer.hpp>

#include <doctest/doctest.h>

#include <random>
#include <set>

// The pure parts of the server.
namespace s3_server_parts_test {

using namespace objectcache;
using namespace objectcache::testing::detail;

TEST_CASE("a list is the same in one page or in many, with and without delimiter, as by brute force")
{
    std::mt19937 random(7);
    for (int round = 0; round != 60; ++round) {
        std::map<std::string, stored_object> bucket;
        for (int i = 0; i != 40; ++i) {
            std::string key;
            for (std::size_t n = random() % 5 + 1; n != 0; --n)
                key += "ab/\xff"[random() % 4];
            bucket.emplace(key, stored_object());
        }
        for (const std::string prefix : {"", "a", "a/", "/", "\xff"}) {
            for (const std::string delimiter : {"", "/", "b/"}) {
                std::vector<std::string> expected;
                for (const auto& [key, object] : bucket) {
                    if (!key.starts_with(prefix))
                        continue;
                    const std::size_t at =
                        delimiter.empty() ? std::string::npos : key.find(delimiter, prefix.size());
                    const std::string item =
                        at == std::string::npos ? key : key.substr(0, at + delimiter.size()) + "*";
                    if (expected.empty() || expected.back() != item)
                        expected.push_back(item);
                }
                for (const std::size_t page_size : {1, 2, 7, 1000}) {
                    list_query query{prefix, delimiter, {}, page_size};
                    std::vector<std::string> listed;
                    for (bool more = true; more;) {
                        const list_page page = list_objects(bucket, query);
                        std::vector<std::string> items;
                        for (const auto& [key, object] : page.objects)
                            items.push_back(key);
                        for (const std::string& shared : page.common_prefixes)
                            items.push_back(shared + "*");
                        REQUIRE(items.size() <= page_size);
                        REQUIRE((!page.truncated || items.size() == page_size));
                        std::sort(items.begin(), items.end());
                        listed.insert(listed.end(), items.begin(), items.end());
                        query.after = page.last;
                        more = page.truncated;
                    }
                    CAPTURE(prefix);
                    CAPTURE(delimiter);
                    CHECK(std::set(listed.begin(), listed.end()).size() == listed.size());
                    CHECK(std::set(listed.begin(), listed.end()) ==
                          std::set(expected.begin(), expected.end()));
                }
            }
        }
    }
}

TEST_CASE("keys become paths one to one, and none leaves its folder")
{
    std::set<std::filesystem::path> paths;
    std::mt19937 random(3);
    std::set<std::string> keys{".",
                               "..",
                               "../x",
                               "/",
                               "//",
                               "/etc/passwd",
                               "a+",
                               "a%2B",
                               "%",
                               "con",
                               std::string("\0", 1),
                               "a",
                               "a/",
                               "a/b",
                               std::string(1024, '/'),
                               std::string(1024, '.'),
                               std::string(200, 'a'),
                               std::string(201, 'a'),
                               std::string(200, 'a') + "+",
                               std::string(200, 'a') + ".b"};
    for (int i = 0; i != 2000; ++i) {
        std::string key;
        for (std::size_t n = random() % 300 + 1; n != 0; --n)
            key += "./+%a\xc3"[random() % 6];
        keys.insert(key);
    }
    for (const std::string& key : keys) {
        const std::filesystem::path path = path_of_key(key);
        CHECK(paths.insert(path).second);
        CHECK(key_of_path(path) == key);
        CHECK(path.is_relative());
        for (const auto& component : path) {
            CHECK(component.string().size() <= 255);
            CHECK(component.string().find_first_of(std::string("/\0", 2)) == std::string::npos);
            CHECK(component.string().front() != '.');
        }
    }
    for (const char* foreign : {"%2", "%2f", "a b", "folder/file", "a+"})
        CHECK_FALSE(key_of_path(foreign).has_value());
}

TEST_CASE("the aws-chunked decoder gives the same bytes wherever the input is cut")
{
    const std::string wire =
        "5;chunk-signature=00ff\r\nhello\r\n1\r\n \r\n00B\r\nworld\r\nmore\r\n0\r\ntrailer:x\r\n\r\n";
    const std::string expected = "hello world\r\nmore";
    for (std::size_t first = 0; first <= wire.size(); ++first) {
        for (std::size_t second = first; second <= wire.size(); ++second) {
            aws_chunked_decoder decoder;
            std::string out;
            for (std::string_view piece : {std::string_view(wire).substr(0, first),
                                           std::string_view(wire).substr(first, second - first),
                                           std::string_view(wire).substr(second)})
                while (!piece.empty())
                    out += decoder.next(piece);
            REQUIRE(out == expected);
            REQUIRE(decoder.complete());
        }
    }
    for (const std::string bad :
         {"g\r\n", "\r\n", ";x\r\n", "1\r\nab\r\n", "1 \r\na\r\n", "1000000000000000\r\n"}) {
        aws_chunked_decoder decoder;
        for (std::string_view piece = bad; !piece.empty();)
            (void)decoder.next(piece);
        CAPTURE(bad);
        CHECK(decoder.broken());
        CHECK_FALSE(decoder.complete());
    }
}

TEST_CASE("targets: path and virtual-host style, decoded once")
{
    const auto check = [](std::string_view target, std::string_view host, std::string_view bucket,
                          std::string_view key) {
        const auto parsed = parse_target(target, host, "localhost");
        REQUIRE(parsed.has_value());
        CAPTURE(target);
        CHECK(parsed->bucket == bucket);
        CHECK(parsed->key == key);
    };
    check("/", "127.0.0.1:9000", "", "");
    check("/b", "127.0.0.1", "b", "");
    check("/b/", "127.0.0.1", "b", "");
    check("/b//k", "127.0.0.1", "b", "/k");
    check("/b/%2525", "[::1]:9000", "b", "%25");
    check("/b/a+b?x=1", "localhost:9000", "b", "a+b");
    check("/k/l", "b.localhost:9000", "b", "k/l");
    check("/k", "a.b.localhost", "a.b", "k");
    check("/b/k", "b.localhost.example.org", "b", "k");
    check("/b/k", "notlocalhost", "b", "k");
    check("/b/k", ".localhost", "b", "k");
    const auto query = parse_target("/b?a=1&b&=x&&c=%3D%26&a=2", "h", "localhost");
    REQUIRE(query.has_value());
    CHECK(query->query == query_list{{"a", "1"}, {"b", ""}, {"", "x"}, {"c", "=&"}, {"a", "2"}});
    for (const char* bad : {"", "*", "http://h/b", "/%", "/%4", "/?%zz", "/?a=%"})
        CHECK_FALSE(parse_target(bad, "h", "localhost").has_value());
}

TEST_CASE("bucket names are S3's and safe as file names")
{
    for (const char* good : {"abc", "a-b", "a.b", "0-9", "kv-test"})
        CHECK(valid_bucket_name(good));
    for (const std::string& bad :
         {std::string("ab"), std::string(64, 'a'), std::string("A-b"), std::string("a/b"), std::string("..."),
          std::string("a..b"), std::string("-ab"), std::string("ab."), std::string("a_b"),
          std::string(".uploads")})
        CHECK_FALSE(valid_bucket_name(bad));
}

TEST_CASE("dates as HTTP and as XML write them")
{
    const system_time at = std::chrono::sys_days(std::chrono::year(2024) / 2 / 29) + std::chrono::hours(7) +
                           std::chrono::seconds(5) + std::chrono::milliseconds(42);
    CHECK(http_date(at) == "Thu, 29 Feb 2024 07:00:05 GMT");
    CHECK(iso_date(at) == "2024-02-29T07:00:05.042Z");
    CHECK(http_date(system_time()) == "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST_CASE("continuation tokens come back as they were")
{
    for (const std::string last : {"", "a", "ab", "abc", "\xff\xfe/+", "k/\x01"})
        CHECK(parse_continuation_token(continuation_token(last)) == last);
    CHECK(parse_continuation_token(continuation_token(std::string(1024, '\xff'))) ==
          std::string(1024, '\xff'));
}

} // namespace s3_server_parts_test
