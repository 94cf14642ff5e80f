// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/s3_server.hpp>

#include "s3_wire.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <thread>

// The protocol: what is stored, found, listed, refused.
namespace s3_server_test {

using namespace s3_wire;

TEST_CASE("an object is stored, read, asked after and deleted, over one connection")
{
    s3_server server = server_with_bucket();
    connection c(server);
    const answer stored = c.exchange(put_of("/kv-test/a/b", "hello"));
    CHECK(stored.status == 200);
    CHECK(stored.header("ETag") == "\"5d41402abc4b2a76b9719d911017c592\"");

    const answer got = c.exchange(get_of("/kv-test/a/b"));
    CHECK(got.status == 200);
    CHECK(got.body == "hello");
    CHECK(got.header("ETag") == stored.header("ETag"));
    CHECK(got.header("Last-Modified").ends_with(" GMT"));

    const answer asked = c.exchange(with_method("HEAD", "/kv-test/a/b"));
    CHECK(asked.status == 200);
    CHECK(asked.header("Content-Length") == "5");

    CHECK(c.exchange(with_method("DELETE", "/kv-test/a/b")).status == 204);
    CHECK(c.exchange(with_method("DELETE", "/kv-test/a/b")).status == 204);
    const answer gone = c.exchange(get_of("/kv-test/a/b"));
    CHECK(gone.status == 404);
    CHECK(gone.code() == "NoSuchKey");
    CHECK(gone.body.find("<Resource>/kv-test/a/b</Resource>") != std::string::npos);
    CHECK(gone.body.find("<RequestId>" + gone.header("x-amz-request-id") + "</RequestId>") !=
          std::string::npos);
    CHECK(c.exchange(with_method("HEAD", "/kv-test/a/b")).status == 404);

    const auto stats = server.stats();
    CHECK(stats.connections == 1);
    CHECK(stats.requests == 7);
    CHECK(stats.gets == 2);
    CHECK(stats.heads == 2);
    CHECK(stats.puts == 1);
    CHECK(stats.deletes == 2);
    CHECK(stats.errors_4xx == 2);
    CHECK(stats.bytes_in == 5);
    CHECK(stats.bytes_out == 5 + gone.body.size());
}

TEST_CASE("ranges, from memory and from a file")
{
    const scratch_directory scratch;
    for (const bool disk : {false, true}) {
        s3_server_options options;
        if (disk)
            options.directory = scratch.path;
        s3_server server = server_with_bucket(options);
        REQUIRE(server.put("kv-test", "k", bytes_of("0123456789")).ok());
        REQUIRE(server.put("kv-test", "empty", {}).ok());
        connection c(server);
        const auto check = [&](const std::string& key, const std::string& range, unsigned status,
                               const std::string& body, const std::string& content_range) {
            CAPTURE(range);
            const answer a = c.exchange(get_of("/kv-test/" + key, range));
            CHECK(a.status == status);
            CHECK(a.header("Content-Range") == content_range);
            if (status != 416)
                CHECK(a.body == body);
            else
                CHECK(a.code() == "InvalidRange");
        };
        check("k", "bytes=0-0", 206, "0", "bytes 0-0/10");
        check("k", "bytes=2-5", 206, "2345", "bytes 2-5/10");
        check("k", "bytes=8-", 206, "89", "bytes 8-9/10");
        check("k", "bytes=8-99", 206, "89", "bytes 8-9/10");
        check("k", "bytes=8-18446744073709551615", 206, "89", "bytes 8-9/10");
        check("k", "bytes=-3", 206, "789", "bytes 7-9/10");
        check("k", "bytes=-99", 206, "0123456789", "bytes 0-9/10");
        check("k", "bytes=10-", 416, "", "bytes */10");
        check("k", "bytes=-0", 416, "", "bytes */10");
        check("empty", "bytes=0-", 416, "", "bytes */0");
        check("empty", "bytes=-1", 416, "", "bytes */0");
        for (const char* ignored : {"bytes=5-2", "bytes=0-1,4-5", "bytes=", "bytes=-", "lines=1-2",
                                    "bytes=a-b", "bytes=+1-2", "bytes=99999999999999999999-"})
            check("k", ignored, 200, "0123456789", "");
        check("empty", "", 200, "", "");
    }
}

TEST_CASE("large bodies arrive and leave whole, whatever pieces they travel in")
{
    const scratch_directory scratch;
    const std::string body = distinct_text(3'000'000);
    for (const bool disk : {false, true}) {
        s3_server_options options;
        if (disk)
            options.directory = scratch.path;
        s3_server server = server_with_bucket(options);
        connection c(server);
        for (const std::uint64_t rate : {0, 200'000'000}) {
            server.set_bandwidth(rate, rate);
            CHECK(c.exchange(put_of("/kv-test/k", body)).status == 200);
            CHECK((text_of(*server.read("kv-test", "k")) == body));
            CHECK((c.exchange(get_of("/kv-test/k")).body == body));
            CHECK((c.exchange(get_of("/kv-test/k", "bytes=99999-2500000")).body ==
                   body.substr(99'999, 2'400'002)));
        }
    }
}

TEST_CASE("each way to get a signature wrong has S3's answer")
{
    s3_server server = server_with_bucket();
    const auto refused = [&](const ask& a, unsigned status, const std::string& code) {
        const answer got = once(server, a);
        CHECK(got.status == status);
        CHECK(got.code() == code);
        CHECK(got.whole);
    };
    ask good = put_of("/kv-test/k +&=%/ü", "body");
    good.region = "eu-north-7";
    CHECK(once(server, good).status == 200);

    ask unknown_key = good;
    unknown_key.who.access_key_id = "somebody";
    refused(unknown_key, 403, "InvalidAccessKeyId");
    ask wrong_secret = good;
    wrong_secret.who.secret_access_key += "x";
    refused(wrong_secret, 403, "SignatureDoesNotMatch");
    ask anonymous = good;
    anonymous.anonymous = true;
    refused(anonymous, 403, "AccessDenied");
    ask malformed = anonymous;
    malformed.headers.emplace_back("Authorization", "AWS4-HMAC-SHA256 Credential=x");
    refused(malformed, 400, "AuthorizationHeaderMalformed");
    ask other_body = good;
    other_body.payload = std::string(s3::empty_payload);
    refused(other_body, 400, "XAmzContentSHA256Mismatch");
    ask get_with_body_hash = get_of("/kv-test/k");
    get_with_body_hash.payload = std::string(64, '0');
    refused(get_with_body_hash, 400, "XAmzContentSHA256Mismatch");
    ask signed_chunks = good;
    signed_chunks.payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    refused(signed_chunks, 411, "MissingContentLength");
    signed_chunks.headers.emplace_back("x-amz-decoded-content-length", "4");
    refused(signed_chunks, 400, "IncompleteBody");
    ask other_chunks = good;
    other_chunks.payload = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD";
    refused(other_chunks, 501, "NotImplemented");
    ask unsigned_body = good;
    unsigned_body.payload = std::string(s3::unsigned_payload);
    CHECK(once(server, unsigned_body).status == 200);
    ask token = good;
    token.who.session_token = "not expected";
    refused(token, 400, "InvalidToken");

    for (const auto& [skew, accepted] : {std::pair{-14min, true}, std::pair{-16min, false},
                                         std::pair{14min, true}, std::pair{16min, false}}) {
        ask skewed = good;
        skewed.skew = skew;
        if (accepted)
            CHECK(once(server, skewed).status == 200);
        else
            refused(skewed, 403, "RequestTimeTooSkewed");
    }
    for (const auto skew : {std::chrono::years(-2000), std::chrono::years(7000)}) {
        ask far = good;
        far.skew = std::chrono::duration_cast<std::chrono::seconds>(skew);
        refused(far, 403, "RequestTimeTooSkewed");
    }
    server.set_clock_offset(1h);
    refused(good, 403, "RequestTimeTooSkewed");
    good.skew = 1h;
    CHECK(once(server, good).status == 200);
    CHECK(server.objects().size() == 1);
}

TEST_CASE("a header or a query that was changed on the way is noticed")
{
    s3_server server = server_with_bucket();
    ask a = get_of("/kv-test");
    a.query = {{"list-type", "2"}, {"prefix", "secret/"}};
    a.headers.emplace_back("x-amz-meta-owner", "me");
    const std::string sent = serialize(a);
    CHECK(once(server, a).status == 200);
    for (const auto& [from, to] : {std::pair{"secret%2F", "public%2F"}, std::pair{"owner: me", "owner: we"},
                                   std::pair{"GET ", "PUT "}, std::pair{"/kv-test?", "/kv-tesT?"}}) {
        std::string changed = sent;
        changed.replace(changed.find(from), std::strlen(from), to);
        connection c(server);
        c.send(changed);
        CAPTURE(changed);
        CHECK(c.read().code() == "SignatureDoesNotMatch");
    }
}

TEST_CASE("session tokens and anonymous requests, where the server wants them")
{
    s3_server_options options;
    options.credentials.session_token = "token";
    options.allow_anonymous = true;
    s3_server server = server_with_bucket(options);
    ask a = put_of("/kv-test/k", "v");
    CHECK(once(server, a).code() == "InvalidToken");
    a.who.session_token = "token";
    CHECK(once(server, a).status == 200);
    a.who.secret_access_key = "wrong"; // allowed to be absent is not allowed to be wrong
    CHECK(once(server, a).code() == "SignatureDoesNotMatch");
    a.anonymous = true;
    CHECK(once(server, a).status == 200);
}

TEST_CASE("a presigned URL is good until it expires, and for nothing else")
{
    s3_server server = server_with_bucket();
    REQUIRE(server.put("kv-test", "k", bytes_of("v")).ok());
    const auto presigned = [](const ask& base, const std::string& expires) {
        ask a = base;
        a.anonymous = true; // nothing in the headers
        const auto at = now_of(a);
        s3::credential_scope scope;
        scope.day = s3::format_amz_date(at).substr(0, 8);
        scope.region = "us-east-1";
        a.query = {{"X-Amz-Algorithm", "AWS4-HMAC-SHA256"},
                   {"X-Amz-Credential", a.who.access_key_id + "/" + scope.text()},
                   {"X-Amz-Date", s3::format_amz_date(at)},
                   {"X-Amz-Expires", expires},
                   {"X-Amz-SignedHeaders", "host"}};
        std::vector<s3::field> query;
        for (const auto& [name, value] : a.query)
            query.push_back({name, value});
        const std::vector<s3::field> headers{{"host", a.host}};
        s3::signable_request signable;
        signable.method = a.method;
        signable.path = a.path;
        signable.query = query;
        signable.headers = headers;
        signable.payload = s3::unsigned_payload;
        a.query.emplace_back("X-Amz-Signature",
                             s3::signature(s3::signing_key(a.who.secret_access_key, scope),
                                           s3::string_to_sign(s3::canonical_request(signable), at, scope)));
        return a;
    };
    const ask good = presigned(get_of("/kv-test/k"), "60");
    CHECK(once(server, good).body == "v");
    ask other_method = good;
    other_method.method = "DELETE";
    CHECK(once(server, other_method).code() == "SignatureDoesNotMatch");
    ask longer = good;
    longer.query[3].second = "6000";
    CHECK(once(server, longer).code() == "SignatureDoesNotMatch");
    CHECK(once(server, presigned(get_of("/kv-test/k"), "700000")).code() ==
          "AuthorizationQueryParametersError");
    CHECK(once(server, presigned(put_of("/kv-test/k", "w"), "60")).status == 200);
    CHECK(text_of(*server.read("kv-test", "k")) == "w");
    server.set_clock_offset(61s);
    CHECK(once(server, good).code() == "AccessDenied");
}

TEST_CASE("conditions on PUT and GET")
{
    s3_server server = server_with_bucket();
    connection c(server);
    const auto with = [](ask a, std::string name, std::string value) {
        a.headers.emplace_back(std::move(name), std::move(value));
        return a;
    };
    const ask put = put_of("/kv-test/k", "1");
    const std::string etag = "\"c4ca4238a0b923820dcc509a6f75849b\"";
    CHECK(c.exchange(with(put, "If-Match", etag)).code() == "PreconditionFailed");
    CHECK(c.exchange(with(put, "If-None-Match", "*")).status == 200);
    CHECK(c.exchange(with(put, "If-None-Match", "*")).code() == "PreconditionFailed");
    CHECK(c.exchange(with(put, "If-Match", etag)).status == 200);
    CHECK(c.exchange(with(put, "If-Match", "\"other\"")).status == 412);

    const ask get = get_of("/kv-test/k");
    CHECK(c.exchange(with(get, "If-Match", etag)).status == 200);
    CHECK(c.exchange(with(get, "If-Match", "\"other\"")).status == 412);
    const answer same = c.exchange(with(get, "If-None-Match", etag));
    CHECK(same.status == 304);
    CHECK(same.body.empty());
    CHECK(c.exchange(with(get, "If-None-Match", "\"other\"")).body == "1");
}

TEST_CASE("of many conditional writers exactly one wins, and what is stored is the winner's")
{
    const scratch_directory scratch;
    for (const bool disk : {false, true}) {
        s3_server_options options;
        options.threads = 4;
        if (disk)
            options.directory = scratch.path;
        s3_server server = server_with_bucket(options);
        std::vector<unsigned> status(12);
        std::vector<std::thread> writers;
        for (std::size_t i = 0; i != status.size(); ++i)
            writers.emplace_back([&, i] {
                ask a = put_of("/kv-test/k", std::string(100'000, static_cast<char>('a' + i)));
                a.headers.emplace_back("If-None-Match", "*");
                status[i] = once(server, a).status;
            });
        for (std::thread& w : writers)
            w.join();
        CHECK(std::count(status.begin(), status.end(), 200) == 1);
        CHECK(std::count(status.begin(), status.end(), 412) == 11);
        const auto winner = std::find(status.begin(), status.end(), 200u) - status.begin();
        CHECK(text_of(*server.read("kv-test", "k")) == std::string(100'000, static_cast<char>('a' + winner)));
    }
}

TEST_CASE("buckets")
{
    s3_server server = server_with_bucket();
    connection c(server);
    CHECK(c.exchange(with_method("HEAD", "/kv-test")).status == 200);
    CHECK(c.exchange(with_method("HEAD", "/absent")).status == 404);
    CHECK(c.exchange(put_of("/second", "<CreateBucketConfiguration/>")).status == 200);
    CHECK(c.exchange(put_of("/second", "")).code() == "BucketAlreadyOwnedByYou");
    CHECK(c.exchange(put_of("/Bad", "")).code() == "InvalidBucketName");
    CHECK(c.exchange(put_of("/absent/k", "v")).code() == "NoSuchBucket");
    CHECK(c.exchange(get_of("/absent/k")).code() == "NoSuchBucket");
    CHECK(c.exchange(get_of("/")).body.find("<Name>second</Name>") != std::string::npos);
    CHECK(c.exchange(put_of("/second/k", "v")).status == 200);
    CHECK(c.exchange(with_method("DELETE", "/second")).code() == "BucketNotEmpty");
    CHECK(c.exchange(with_method("DELETE", "/second/k")).status == 204);
    CHECK(c.exchange(with_method("DELETE", "/second")).status == 204);
    CHECK(c.exchange(with_method("DELETE", "/second")).code() == "NoSuchBucket");
}

TEST_CASE("virtual-host style addresses the same objects")
{
    s3_server server = server_with_bucket();
    ask a = put_of("/a/b", "v");
    a.host = "kv-test.localhost:" + std::to_string(server.port());
    CHECK(once(server, a).status == 200);
    CHECK(text_of(*server.read("kv-test", "a/b")) == "v");
    ask list = get_of("/");
    list.host = "kv-test.localhost";
    CHECK(once(server, list).body.find("<Key>a/b</Key>") != std::string::npos);
    ask service = get_of("/");
    service.host = "localhost";
    CHECK(once(server, service).body.find("<ListAllMyBucketsResult") != std::string::npos);
}

TEST_CASE("lists: pages, tokens, prefixes, names that need encoding")
{
    s3_server server = server_with_bucket();
    for (const char* key : {"a", "b/1", "b/2", "b/x/3", "c & <d>", "e\x01", "z+%"})
        REQUIRE(server.put("kv-test", key, bytes_of("v")).ok());
    connection c(server);
    const auto list = [&](std::vector<std::pair<std::string, std::string>> query) {
        ask a = get_of("/kv-test");
        a.query = std::move(query);
        return c.exchange(a);
    };
    const auto keys = [](const answer& a) {
        std::vector<std::string> out;
        for (std::size_t at = 0; (at = a.body.find("<Key>", at)) != std::string::npos;) {
            at += 5;
            out.push_back(a.body.substr(at, a.body.find("</Key>", at) - at));
        }
        return out;
    };
    using names = std::vector<std::string>;
    CHECK(keys(list({{"list-type", "2"}})) ==
          names{"a", "b/1", "b/2", "b/x/3", "c &amp; &lt;d&gt;", "e&#1;", "z+%"});
    CHECK(keys(list({{"list-type", "2"}, {"encoding-type", "url"}})) ==
          names{"a", "b/1", "b/2", "b/x/3", "c%20%26%20%3Cd%3E", "e%01", "z%2B%25"});
    CHECK(keys(list({{"list-type", "2"}, {"start-after", "b/x/3"}})).front() == "c &amp; &lt;d&gt;");

    const answer rolled = list({{"list-type", "2"}, {"delimiter", "/"}, {"max-keys", "2"}});
    CHECK(keys(rolled) == names{"a"});
    CHECK(rolled.body.find("<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>") != std::string::npos);
    CHECK(rolled.body.find("<KeyCount>2</KeyCount>") != std::string::npos);
    CHECK(rolled.body.find("<IsTruncated>true</IsTruncated>") != std::string::npos);
    const std::size_t at = rolled.body.find("<NextContinuationToken>") + 23;
    const std::string token = rolled.body.substr(at, rolled.body.find('<', at) - at);
    const answer rest = list({{"list-type", "2"}, {"delimiter", "/"}, {"continuation-token", token}});
    CHECK(keys(rest) == names{"c &amp; &lt;d&gt;", "e&#1;", "z+%"});
    CHECK(rest.body.find("CommonPrefixes") == std::string::npos);

    const answer v1 = list({{"prefix", "b/"}, {"max-keys", "1"}});
    CHECK(v1.body.find("<NextMarker>b/1</NextMarker>") != std::string::npos);
    CHECK(keys(list({{"prefix", "b/"}, {"marker", "b/1"}})) == names{"b/2", "b/x/3"});

    for (const char* bad : {"", "1/", "1/4+", "1/999+YWJj", "1/x+YWJj", "2/3+YWJj", "1/3+====", "1/3+Y"}) {
        CAPTURE(bad);
        CHECK(list({{"list-type", "2"}, {"continuation-token", bad}}).code() == "InvalidArgument");
    }
    CHECK(list({{"list-type", "2"}, {"max-keys", "-1"}}).code() == "InvalidArgument");
    CHECK(list({{"list-type", "2"}, {"max-keys", "0"}}).body.find("<IsTruncated>false") != std::string::npos);
}

TEST_CASE("pipelined requests are answered in order")
{
    s3_server server = server_with_bucket();
    connection c(server);
    c.send(serialize(put_of("/kv-test/k", "one")) + serialize(get_of("/kv-test/k")) +
           serialize(put_of("/kv-test/k", "other")) + serialize(get_of("/kv-test/k")));
    CHECK(c.read().status == 200);
    CHECK(c.read().body == "one");
    CHECK(c.read().status == 200);
    CHECK(c.read().body == "other");
}

TEST_CASE("100 Continue comes only if the body is wanted")
{
    s3_server server = server_with_bucket();
    ask a = put_of("/kv-test/k", "body");
    a.headers.emplace_back("Expect", "100-continue");
    const auto send_head = [](connection& c, const ask& what) {
        const std::string all = serialize(what);
        c.send(std::string_view(all).substr(0, all.size() - what.body.size()));
    };
    connection c(server);
    send_head(c, a);
    CHECK(c.read().status == 100);
    c.send("body");
    CHECK(c.read().status == 200);

    a.who.secret_access_key = "wrong";
    send_head(c, a);
    const answer refused = c.read();
    CHECK(refused.status == 403);
    CHECK(refused.header("Connection") == "close");
    CHECK(c.ended());
}

TEST_CASE("a body in aws-chunked framing with a trailer, as newer SDKs send it")
{
    s3_server server = server_with_bucket();
    ask a =
        put_of("/kv-test/k", "6\r\nhello \r\n5;x=y\r\nworld\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n");
    a.payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    a.headers.emplace_back("Content-Encoding", "aws-chunked");
    a.headers.emplace_back("x-amz-trailer", "x-amz-checksum-crc32");
    a.headers.emplace_back("x-amz-decoded-content-length", "11");
    const answer stored = once(server, a);
    CHECK(stored.status == 200);
    CHECK(stored.header("x-amz-checksum-crc32") == "DUoRhQ==");
    CHECK(text_of(*server.read("kv-test", "k")) == "hello world");

    // The same inside chunked transfer coding.
    ask chunked = a;
    chunked.path = "/kv-test/chunked";
    chunked.content_length = false;
    chunked.headers.emplace_back("Transfer-Encoding", "chunked");
    const std::string framed = a.body;
    chunked.body.clear();
    for (std::size_t at = 0; at < framed.size(); at += 7) {
        const std::string piece = framed.substr(at, 7);
        chunked.body += std::to_string(piece.size()) + "\r\n" + piece + "\r\n";
    }
    chunked.body += "0\r\n\r\n";
    connection c(server);
    CHECK(c.exchange(chunked).status == 200);
    CHECK(text_of(*server.read("kv-test", "chunked")) == "hello world");
    CHECK(c.exchange(get_of("/kv-test/chunked")).body == "hello world");

    for (const auto& [length, body] :
         {std::pair{"12", a.body}, std::pair{"10", a.body}, std::pair{"11", a.body.substr(0, 20)},
          std::pair{"11", std::string("xyz\r\n")}, std::pair{"11", std::string("ffffffffffffffff1\r\n")}}) {
        ask bad = a;
        bad.path = "/kv-test/bad";
        bad.headers.back().second = length;
        bad.body = body;
        CAPTURE(bad.body);
        CHECK(once(server, bad).code() == "IncompleteBody");
    }
    const auto with_trailer = [&](const std::string& announced, const std::string& line) {
        ask changed = a;
        changed.path = "/kv-test/bad";
        changed.headers[1].second = announced;
        changed.body = "b\r\nhello world\r\n0\r\n" + line + "\r\n";
        return once(server, changed).code();
    };
    CHECK(with_trailer("x-amz-checksum-crc32", "x-amz-checksum-crc32:AAAAAA==\r\n") == "BadDigest");
    CHECK(with_trailer("x-amz-checksum-crc32", "x-amz-checksum-crc32:AAAA\r\n") == "InvalidRequest");
    CHECK(with_trailer("x-amz-checksum-crc32", "x-amz-checksum-crc32c:AAAAAA==\r\n") == "IncompleteBody");
    CHECK(with_trailer("x-amz-checksum-crc32", "") == "IncompleteBody");
    CHECK(with_trailer("x-amz-meta-a", "x-amz-meta-a:1\r\n") == "InvalidRequest");
    ask plain = put_of("/kv-test/bad", "hello world");
    plain.headers = {{"x-amz-trailer", "x-amz-checksum-crc32"}};
    CHECK(once(server, plain).code() == "InvalidRequest");
    CHECK(server.read("kv-test", "bad").error() == condition::absent);
}

TEST_CASE("hostile and foreign requests get an answer, not an effect")
{
    s3_server_options options;
    options.max_object_bytes = 1000;
    s3_server server = server_with_bucket(options);
    const auto raw = [&](const std::string& bytes) {
        connection c(server);
        c.send(bytes);
        return c.read();
    };
    CHECK(raw("NONSENSE\r\n\r\n").status == 400);
    CHECK(raw("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n").code() ==
          "RequestHeaderSectionTooLarge");
    CHECK(raw("GET kv-test HTTP/1.1\r\nHost: h\r\n\r\n").code() == "InvalidURI");
    CHECK(raw("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n").code() == "InvalidURI");
    CHECK(raw("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n").status == 400);
    CHECK(raw("PUT /kv-test/k HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n").status ==
          403);

    CHECK(once(server, put_of("/kv-test/k", std::string(1001, 'x'))).code() == "EntityTooLarge");
    CHECK(once(server, put_of("/kv-test/k", std::string(1000, 'x'))).status == 200);
    CHECK(once(server, put_of("/kv-test/" + std::string(1025, 'k'), "v")).code() == "KeyTooLongError");
    ask no_length = put_of("/kv-test/k", "");
    no_length.content_length = false;
    CHECK(once(server, no_length).code() == "MissingContentLength");
    ask big_list = get_of("/kv-test");
    big_list.body = std::string(5'000'000, 'x');
    CHECK(once(server, big_list).code() == "MaxMessageLengthExceeded");

    CHECK(once(server, with_method("POST", "/kv-test/k")).code() == "MethodNotAllowed");
    ask acl = get_of("/kv-test");
    acl.query = {{"acl", ""}};
    CHECK(once(server, acl).code() == "NotImplemented");
    // Parameters that make another operation of it
    for (const char* name : {"uploads", "delete", "partNumber", "uploadId", "acl"}) {
        for (const char* method : {"GET", "HEAD", "PUT", "DELETE"}) {
            ask other = with_method(method, "/kv-test/k");
            other.query = {{name, "1"}};
            CHECK(once(server, other).status >= 400);
            other.path = "/kv-test";
            CHECK((once(server, other).status >= 400 ||
                   (method == std::string("GET") && name == std::string("uploads"))));
        }
    }
    CHECK(server.objects().size() == 1);
}

TEST_CASE("objects in a directory are plain files and outlive the server")
{
    const scratch_directory scratch;
    s3_server_options options;
    options.directory = scratch.path / "made" / "by the server";
    const std::vector<std::string> keys{
        "plain", "a/b", "a", "..", "../../up", "/", ".hidden", "ü", std::string(1024, '/'), "a%2Fb"};
    {
        s3_server server = server_with_bucket(options);
        for (const std::string& key : keys)
            CHECK(once(server, put_of("/kv-test/" + key, "of " + key)).status == 200);
    }
    std::ifstream plain(options.directory / "kv-test" / "plain");
    CHECK(std::string(std::istreambuf_iterator<char>(plain), {}) == "of plain");
    std::ofstream(options.directory / "kv-test" / "not a key").put('x');
    std::ofstream(options.directory / ".uploads" / "17").put('x'); // of a server that was killed

    s3_server server = server_with_bucket(options);
    CHECK(std::filesystem::is_empty(options.directory / ".uploads"));
    CHECK(server.objects().size() == keys.size());
    for (const std::string& key : keys) {
        CAPTURE(key);
        CHECK(once(server, get_of("/kv-test/" + key)).body == "of " + key);
    }
    CHECK(once(server, get_of("/kv-test/plain")).header("ETag") == "\"fa661bc758c1f312f2755ee9cd9fd656\"");
    CHECK(once(server, with_method("DELETE", "/kv-test/a/b")).status == 204);
    CHECK(server.objects().size() == keys.size() - 1);
    std::size_t outside = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch.path))
        outside += entry.is_regular_file() &&
                   entry.path().string().find("by the server/kv-test/") == std::string::npos;
    CHECK(outside == 0);
}

TEST_CASE("what cannot start says why")
{
    s3_server running = server_with_bucket();
    s3_server_options taken;
    taken.port = running.port();
    CHECK(s3_server::start(taken).code() == std::errc::address_in_use);
    s3_server_options name;
    name.buckets = {"../up"};
    CHECK(s3_server::start(name).error() == condition::invalid);
    s3_server_options idle;
    idle.threads = 0;
    CHECK(s3_server::start(idle).error() == condition::invalid);
    s3_server_options tls;
    tls.tls = testing::certificate{"no", "PEM"};
    CHECK(s3_server::start(tls).error() == condition::invalid);
    s3_server_options directory;
    directory.directory = "/proc/nowhere";
    CHECK_FALSE(s3_server::start(directory).ok());
}

} // namespace s3_server_test
