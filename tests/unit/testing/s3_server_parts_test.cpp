// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/s3_server.hpp>

#include <objectcache/s3/chunked_upload.hpp>
#include <objectcache/testing/detail/aws_chunked.hpp>
#include <objectcache/testing/detail/s3_answer.hpp>
#include <objectcache/testing/detail/shaped_link.hpp>

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
    using verdict = aws_chunked_decoder::verdict;
    const std::string wire =
        "5;chunk-signature=00ff\r\nhello\r\n1\r\n \r\n00B\r\nworld\r\nmore\r\n0\r\nTrailer: x\r\n\r\n";
    const std::string expected = "hello world\r\nmore";
    for (std::size_t first = 0; first <= wire.size(); ++first) {
        for (std::size_t second = first; second <= wire.size(); ++second) {
            aws_chunked_decoder decoder({}, "trailer");
            std::string out;
            for (std::string_view piece : {std::string_view(wire).substr(0, first),
                                           std::string_view(wire).substr(first, second - first),
                                           std::string_view(wire).substr(second)})
                while (!piece.empty())
                    out += decoder.next(piece);
            REQUIRE(out == expected);
            REQUIRE(decoder.judge() == verdict::complete);
            REQUIRE(decoder.trailing_value() == "x");
        }
    }
    const auto judge = [](std::string_view input, std::string trailer = {}) {
        aws_chunked_decoder decoder({}, std::move(trailer));
        for (std::string_view piece = input; !piece.empty();)
            (void)decoder.next(piece);
        return decoder.judge();
    };
    for (std::size_t n = 0; n < wire.size(); ++n)
        CHECK(judge(wire.substr(0, n), "trailer") == verdict::unfinished);
    for (const std::string bad :
         {"g\r\n", "\r\n", ";x\r\n", "1\r\nab\r\n", "1 \r\na\r\n", "1000000000000000\r\n", "1\na\n",
          "1\r\na\n", "0\r\na:b\r\n\r\n", "0\r\n\r\n0"}) {
        CAPTURE(bad);
        CHECK(judge(bad) == verdict::malformed);
    }
    CHECK(judge("0\r\n\r\n") == verdict::complete);
    CHECK(judge("0\r\n\r\n", "a") == verdict::malformed); // announced, and not there
    CHECK(judge("0\r\na:b\r\na:b\r\n\r\n", "a") == verdict::malformed);
    CHECK(judge(std::string(2000, '0')) == verdict::malformed);
}

TEST_CASE("what was signed chunk by chunk is believed, and nothing else")
{
    using verdict = aws_chunked_decoder::verdict;
    const s3::credentials who{"key", "secret", {}, {}};
    const s3::sigv4_time at = s3::parse_amz_date("20260101T000000Z").value();
    s3::signer with("us-east-1");
    const s3::scoped_key key = with.key_for(who, at);
    const std::string seed(64, 'a');
    const std::string body(20'000, 'x');
    const const_byte_span whole = std::as_bytes(std::span(body));

    for (const auto trailer : {s3::checksum::none, s3::checksum::sha256}) {
        s3::chunked_options options;
        options.chunk_bytes = s3::chunked_options::least_chunk;
        options.trailer = trailer;
        auto encoder = s3::chunked_upload::make(std::span(&whole, 1), options);
        REQUIRE(encoder.ok());
        encoder->begin(key, at, seed);
        std::string wire;
        for (auto spans = encoder->next(); !spans.empty(); spans = encoder->next())
            for (const const_byte_span span : spans)
                wire.append(reinterpret_cast<const char*>(span.data()), span.size());
        const auto judge = [&](std::string_view input, std::string_view signed_by = {}) {
            aws_chunked_decoder decoder(
                s3::detail::chunk_chain(key, at, signed_by.empty() ? std::string_view(seed) : signed_by),
                std::string(s3::checksum_header(trailer)));
            std::string out;
            for (std::string_view piece = input; !piece.empty();)
                out += decoder.next(piece);
            CHECK((decoder.judge() != verdict::complete || out == body));
            return decoder.judge();
        };
        CHECK(judge(wire) == verdict::complete);
        CHECK(judge(wire, std::string(64, 'b')) == verdict::forged);
        // Whatever byte changes, what is stored is what was signed, or nothing.
        for (std::size_t i = 0; i < wire.size(); i += wire[i] == 'x' && wire[i + 1] == 'x' ? 997 : 1) {
            std::string changed = wire;
            changed[i] = static_cast<char>(changed[i] ^ 1);
            CAPTURE(i);
            CHECK(judge(changed) != verdict::complete);
        }
        // Nor may a chunk be left out, or the end be cut off.
        const std::size_t second = wire.find("\r\n2000;") + 2;
        const std::size_t third = wire.find("\r\n", second + 100) + 2;
        CHECK(judge(wire.substr(0, second) + wire.substr(third)) == verdict::forged);
        CHECK(judge(wire.substr(0, wire.size() - 2)) == verdict::unfinished);
        CHECK(judge("4e20\r\n" + body + "\r\n0\r\n\r\n") == verdict::forged);
    }
}

TEST_CASE("checksums of other clients")
{
    const std::string text = "123456789";
    const auto sum = [&](std::string_view algorithm) {
        body_checksum checksum(algorithm);
        for (const char& c : text)
            checksum.update(std::as_bytes(std::span(&c, 1)));
        return checksum.finish();
    };
    CHECK(sum("crc32") == "y/Q5Jg==");
    CHECK(sum("crc32c") == "4waSgw==");
    CHECK(sum("crc64nvme") == "rosUhgp5mIg=");
    CHECK(sum("sha1") == "98O8HYCOBHMq32eZZczDTKeuNEE=");
    CHECK(sum("sha256") == "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=");
    for (const std::string_view algorithm : checksum_algorithms)
        CHECK(base64_of(bytes_of_base64(sum(algorithm))) == sum(algorithm));
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

TEST_CASE("turns on the link are short on a slow one, and few on a fast one")
{
    constexpr auto longest = shaped_link::longest_piece;
    CHECK(longest(1'000) == 1024);
    CHECK(longest(10'000'000) == 20'000); // 2 ms
    CHECK(longest(1'000'000'000) == 256 << 10);
    CHECK(longest(12'500'000'000) == 2'500'000); // 200 us
    CHECK(longest(100'000'000'000) == 4 << 20);
    shaped_link link;
    const shaped_link::flow flow(link);
    CHECK(flow.piece(1 << 30) == 1 << 30);
    link.set_rate(12'500'000'000, 0);
    CHECK(flow.piece(1 << 30) == 2'500'000);
    CHECK(flow.piece(100) == 100);
}

} // namespace s3_server_parts_test
