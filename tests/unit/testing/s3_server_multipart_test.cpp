// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/s3_server.hpp>

#include "s3_wire.hpp"

#include <objectcache/s3/checksum.hpp>
#include <objectcache/s3/chunked_upload.hpp>
#include <objectcache/s3/presign.hpp>
#include <objectcache/s3/request.hpp>
#include <objectcache/s3/xml_multipart.hpp>

#include <doctest/doctest.h>

#include <array>

// Multipart uploads, copies, bulk deletes, checksums; and the protocol pieces of s3/ against their other end.
namespace s3_server_multipart_test {

using namespace s3_wire;

std::string checksum_text(s3::checksum kind, std::string_view text)
{
    const const_byte_span whole = bytes_of(text);
    return s3::checksum_of(kind, std::span(&whole, 1));
}

s3_server server_with_small_parts(const std::filesystem::path& directory = {})
{
    s3_server_options options;
    options.least_part_bytes = 10;
    options.directory = directory;
    return server_with_bucket(options);
}

/** A client of one multipart upload. */
struct upload_session {
    explicit upload_session(const s3_server& to, std::string key, header_list headers = {})
        : c(to)
        , path("/kv-test/" + std::move(key))
    {
        ask a = with_method("POST", path);
        a.query = {{"uploads", ""}};
        a.headers = std::move(headers);
        const answer got = c.exchange(a);
        REQUIRE(got.status == 200);
        auto parsed = s3::parse_initiated_upload(got.body);
        REQUIRE(parsed.ok());
        id = *parsed;
    }
    answer part(unsigned number, std::string body, header_list headers = {})
    {
        ask a = put_of(path, std::move(body));
        a.query = {{"partNumber", std::to_string(number)}, {"uploadId", id}};
        a.headers = std::move(headers);
        return c.exchange(a);
    }
    answer complete(const std::string& document, header_list headers = {})
    {
        ask a = with_method("POST", path);
        a.query = {{"uploadId", id}};
        a.body = document;
        a.headers = std::move(headers);
        return c.exchange(a);
    }
    answer complete(const std::vector<s3::uploaded_part>& parts, s3::checksum kind = s3::checksum::none)
    {
        return complete(s3::complete_upload_document(parts, kind));
    }

    connection c;
    std::string path;
    std::string id;
};

TEST_CASE("an object of three parts, in memory and in files")
{
    const scratch_directory scratch;
    for (const bool disk : {false, true}) {
        s3_server server = server_with_small_parts(disk ? scratch.path : std::filesystem::path());
        upload_session session(server, "a/big one");
        const std::string one = distinct_text(3'000'000), two = "0123456789", three = "end";
        std::vector<s3::uploaded_part> parts(3);
        // In any order, and one of them twice: the last counts.
        parts[2] = {70, session.part(70, three).header("ETag"), {}};
        CHECK(session.part(7, "something else").status == 200);
        parts[1] = {7, session.part(7, two).header("ETag"), {}};
        parts[0] = {2, session.part(2, one).header("ETag"), {}};
        CHECK(parts[1].etag == "\"781e5e245d69b566979b86e28d23f2c7\"");
        CHECK(session.part(9, "is not named at the end").status == 200);
        CHECK(server.pending_uploads() == 1);
        CHECK(server.objects().empty());

        ask parts_of = get_of(session.path);
        parts_of.query = {{"uploadId", session.id}};
        const answer listed = session.c.exchange(parts_of);
        CHECK(listed.status == 200);
        CHECK(listed.body.find("<PartNumber>70</PartNumber>") != std::string::npos);

        const answer done = session.complete(parts);
        REQUIRE(done.status == 200);
        const auto parsed = s3::parse_stored_result(done.body);
        REQUIRE(parsed.ok());
        CHECK(parsed->etag.ends_with("-3\""));
        CHECK((text_of(*server.read("kv-test", "a/big one")) == one + two + three));
        CHECK(server.pending_uploads() == 0);
        const answer got = session.c.exchange(get_of(session.path));
        CHECK((got.body == one + two + three));
        CHECK(got.header("ETag") == parsed->etag);
        CHECK(session.complete(parts).code() == "NoSuchUpload");
        CHECK(session.part(1, "late").code() == "NoSuchUpload");
    }
    // Nothing but the objects is left of it.
    CHECK(std::filesystem::is_empty(scratch.path / ".uploads"));
}

TEST_CASE("the ETag of a multipart object is the MD5 of its parts' MD5s")
{
    s3_server server = server_with_small_parts();
    upload_session session(server, "k");
    const std::vector<s3::uploaded_part> parts{{1, session.part(1, "0123456789").header("ETag"), {}},
                                               {2, session.part(2, "abc").header("ETag"), {}}};
    const answer done = session.complete(parts);
    // python3: md5(md5(b"0123456789").digest() + md5(b"abc").digest()).hexdigest()
    CHECK(s3::parse_stored_result(done.body)->etag == "\"8ce036c9a9938a6bde1122534ff784ad-2\"");
}

TEST_CASE("what cannot be completed stays as it was")
{
    s3_server server = server_with_small_parts();
    upload_session session(server, "k");
    const std::string one = session.part(1, "0123456789").header("ETag");
    const std::string two = session.part(2, "short").header("ETag");
    const std::string three = session.part(3, "x").header("ETag");
    CHECK(session.complete({{2, two, {}}, {1, one, {}}}).code() == "InvalidPartOrder");
    CHECK(session.complete({{1, one, {}}, {1, one, {}}}).code() == "InvalidPartOrder");
    CHECK(session.complete({{1, two, {}}}).code() == "InvalidPart");
    CHECK(session.complete({{1, one, {}}, {4, three, {}}}).code() == "InvalidPart");
    CHECK(session.complete({{1, one, {}}, {2, two, {}}, {3, three, {}}}).code() == "EntityTooSmall");
    for (const char* bad : {"", "<a/>", "<CompleteMultipartUpload/>", "<CompleteMultipartUpload><Part>",
                            "<CompleteMultipartUpload><Part><PartNumber>0</PartNumber><ETag>e</ETag></Part>"
                            "</CompleteMultipartUpload>",
                            "<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>e</ETag></Part>"
                            "</CompleteMultipartUpload>",
                            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part>"
                            "</CompleteMultipartUpload>"})
        CHECK(session.complete(std::string(bad)).code() == "MalformedXML");
    REQUIRE(server.put("kv-test", "k", bytes_of("before")).ok());
    CHECK(session
              .complete(s3::complete_upload_document(std::vector<s3::uploaded_part>{{1, one, {}}}),
                        {{"If-None-Match", "*"}})
              .code() == "PreconditionFailed");
    CHECK(text_of(*server.read("kv-test", "k")) == "before");
    CHECK(server.pending_uploads() == 1);
    CHECK(session.complete({{1, one, {}}, {2, two, {}}}).status == 200);
    CHECK(text_of(*server.read("kv-test", "k")) == "0123456789short");

    for (const char* number : {"0", "10001", "x", "-1", ""}) {
        ask a = put_of("/kv-test/k", "v");
        a.query = {{"partNumber", number}, {"uploadId", session.id}};
        CHECK(once(server, a).code() == "InvalidArgument");
    }
    upload_session other(server, "other");
    other.path = "/kv-test/k"; // an id is good for its own key only
    CHECK(other.part(1, "v").code() == "NoSuchUpload");
}

TEST_CASE("aborted uploads are gone, pending ones are listed page by page")
{
    s3_server server = server_with_small_parts();
    std::vector<std::pair<std::string, std::string>> expected;
    for (const char* key : {"a", "a", "b &", "c/d"}) {
        upload_session session(server, key);
        expected.emplace_back(key, session.id);
    }
    std::vector<std::pair<std::string, std::string>> listed;
    s3::upload_page page;
    do {
        ask a = get_of("/kv-test");
        a.query = {{"uploads", ""}, {"max-uploads", "1"}, {"encoding-type", "url"}};
        if (!page.key_marker.empty()) {
            a.query.emplace_back("key-marker", page.key_marker);
            a.query.emplace_back("upload-id-marker", page.upload_id_marker);
        }
        auto parsed = s3::parse_upload_page(once(server, a).body);
        REQUIRE(parsed.ok());
        page = std::move(*parsed);
        REQUIRE(page.uploads.size() == 1);
        listed.emplace_back(page.uploads[0].key, page.uploads[0].upload_id);
    } while (!page.key_marker.empty());
    CHECK(listed == expected);

    ask with_prefix = get_of("/kv-test");
    with_prefix.query = {{"uploads", ""}, {"prefix", "c/"}};
    const auto some = s3::parse_upload_page(once(server, with_prefix).body);
    REQUIRE(some.ok());
    REQUIRE(some->uploads.size() == 1);
    CHECK(some->uploads[0].key == "c/d");

    for (const auto& [key, id] : expected) {
        ask a = with_method("DELETE", "/kv-test/" + key);
        a.query = {{"uploadId", id}};
        CHECK(once(server, a).status == 204);
        CHECK(once(server, a).code() == "NoSuchUpload");
    }
    CHECK(server.pending_uploads() == 0);

    const upload_session left_over(server, "k");
    CHECK(once(server, with_method("DELETE", "/kv-test")).status == 204);
    CHECK(server.pending_uploads() == 0); // went with its bucket
}

TEST_CASE("checksums are verified, kept, and given out where asked for")
{
    const scratch_directory scratch;
    for (const bool disk : {false, true}) {
        s3_server server = server_with_small_parts(disk ? scratch.path : std::filesystem::path());
        for (const auto kind : {s3::checksum::crc32c, s3::checksum::crc64nvme, s3::checksum::sha256}) {
            const std::string name(s3::checksum_header(kind));
            ask a = put_of("/kv-test/k", "hello");
            a.headers = {{name, checksum_text(kind, "hello")}};
            CHECK(once(server, a).header(name) == checksum_text(kind, "hello"));
            ask read = get_of("/kv-test/k");
            CHECK(once(server, read).header(name).empty());
            read.headers = {{"x-amz-checksum-mode", "ENABLED"}};
            CHECK(once(server, read).header(name) == checksum_text(kind, "hello"));
            CHECK(once(server, read).header("x-amz-checksum-type") == "FULL_OBJECT");
            read.method = "HEAD";
            CHECK(once(server, read).header(name) == checksum_text(kind, "hello"));
            read = get_of("/kv-test/k", "bytes=0-1");
            read.headers.emplace_back("x-amz-checksum-mode", "ENABLED");
            CHECK(once(server, read).header(name).empty());

            a.body = "hellp";
            CHECK(once(server, a).code() == "BadDigest");
            a.headers = {{name, "nonsense"}};
            CHECK(once(server, a).code() == "InvalidRequest");
            CHECK(text_of(*server.read("kv-test", "k")) == "hello");
        }
        ask two = put_of("/kv-test/k", "v");
        two.headers = {{"x-amz-checksum-crc32c", "AAAAAA=="}, {"x-amz-checksum-sha256", "x"}};
        CHECK(once(server, two).code() == "InvalidRequest");
        ask md5 = put_of("/kv-test/k", "hello");
        md5.headers = {{"Content-MD5", "XUFAKrxLKna5cZ2REBfFkg=="}};
        CHECK(once(server, md5).status == 200);
        md5.body = "hellp";
        CHECK(once(server, md5).code() == "BadDigest");
        md5.headers = {{"Content-MD5", "x"}};
        CHECK(once(server, md5).code() == "InvalidDigest");
    }
}

TEST_CASE("the checksum of a multipart object is of its bytes, or of its parts' checksums")
{
    s3_server server = server_with_small_parts();
    const std::string one = "0123456789", two = "abc";
    const auto put_parts = [&](upload_session& session, s3::checksum kind) {
        std::vector<s3::uploaded_part> parts;
        for (const std::string& body : {one, two}) {
            const auto number = static_cast<unsigned>(parts.size() + 1);
            const std::string sum = checksum_text(kind, body);
            const answer stored = session.part(number, body, {{std::string(s3::checksum_header(kind)), sum}});
            CHECK(stored.status == 200);
            parts.push_back({number, stored.header("ETag"), sum});
        }
        return parts;
    };
    {
        upload_session session(server, "whole", {{"x-amz-checksum-algorithm", "CRC64NVME"}});
        const auto parts = put_parts(session, s3::checksum::crc64nvme);
        const auto done = s3::parse_stored_result(session.complete(parts, s3::checksum::crc64nvme).body,
                                                  s3::checksum::crc64nvme);
        REQUIRE(done.ok());
        CHECK(done->checksum == checksum_text(s3::checksum::crc64nvme, one + two));
    }
    {
        upload_session session(server, "parts", {{"x-amz-checksum-algorithm", "CRC32C"}});
        auto parts = put_parts(session, s3::checksum::crc32c);
        CHECK(session.part(3, "x", {{"x-amz-checksum-sha256", checksum_text(s3::checksum::sha256, "x")}})
                  .code() == "InvalidRequest");
        CHECK(session.complete(parts).code() == "InvalidRequest"); // the parts' checksums are missing
        std::swap(parts[0].checksum, parts[1].checksum);
        CHECK(session.complete(parts, s3::checksum::crc32c).code() == "InvalidPart");
        std::swap(parts[0].checksum, parts[1].checksum);
        const answer got = session.complete(parts, s3::checksum::crc32c);
        const auto done = s3::parse_stored_result(got.body, s3::checksum::crc32c);
        REQUIRE_MESSAGE(done.ok(), got.body);
        CHECK(done->checksum.ends_with("-2"));
        CHECK(s3::compare_checksum(s3::checksum::crc32c, done->checksum,
                                   checksum_text(s3::checksum::crc32c, one + two)) ==
              s3::checksum_match::not_comparable);
        ask read = get_of("/kv-test/parts");
        read.headers = {{"x-amz-checksum-mode", "ENABLED"}};
        CHECK(once(server, read).header("x-amz-checksum-crc32c") == done->checksum);
        CHECK(once(server, read).header("x-amz-checksum-type") == "COMPOSITE");
    }
    {
        upload_session session(
            server, "checked",
            {{"x-amz-checksum-algorithm", "CRC32C"}, {"x-amz-checksum-type", "FULL_OBJECT"}});
        const auto parts = put_parts(session, s3::checksum::crc32c);
        const std::string document = s3::complete_upload_document(parts, s3::checksum::crc32c);
        CHECK(session.complete(document, {{"x-amz-checksum-crc32c", "AAAAAA=="}}).code() == "BadDigest");
        CHECK(session
                  .complete(document,
                            {{"x-amz-checksum-crc32c", checksum_text(s3::checksum::crc32c, one + two)}})
                  .status == 200);
    }
    for (const header_list& bad :
         {header_list{{"x-amz-checksum-algorithm", "MD5"}}, header_list{{"x-amz-checksum-type", "COMPOSITE"}},
          header_list{{"x-amz-checksum-algorithm", "CRC64NVME"}, {"x-amz-checksum-type", "COMPOSITE"}},
          header_list{{"x-amz-checksum-algorithm", "SHA256"}, {"x-amz-checksum-type", "FULL_OBJECT"}}}) {
        ask a = with_method("POST", "/kv-test/k");
        a.query = {{"uploads", ""}};
        a.headers = bad;
        CHECK(once(server, a).code() == "InvalidRequest");
    }
}

TEST_CASE("objects, and parts of objects, are copied by the server")
{
    const scratch_directory scratch;
    for (const bool disk : {false, true}) {
        s3_server server = server_with_small_parts(disk ? scratch.path : std::filesystem::path());
        REQUIRE(server.create_bucket("other").ok());
        const std::string body = distinct_text(2'500'000);
        REQUIRE(server.put("kv-test", "a +%", bytes_of(body)).ok());
        ask a = put_of("/other/copy", "");
        a.headers = {{"x-amz-copy-source", "/kv-test/a%20%2B%25"}, {"x-amz-checksum-algorithm", "CRC32C"}};
        const auto copied = s3::parse_stored_result(once(server, a).body, s3::checksum::crc32c);
        REQUIRE(copied.ok());
        CHECK(copied->checksum == checksum_text(s3::checksum::crc32c, body));
        CHECK((text_of(*server.read("other", "copy")) == body));
        // The copy is another object.
        REQUIRE(server.corrupt("kv-test", "a +%", 0).ok());
        CHECK((text_of(*server.read("other", "copy")) == body));

        const auto refused = [&](std::string source, header_list more = {}) {
            ask bad = put_of("/other/copy", "");
            bad.headers = std::move(more);
            bad.headers.emplace_back("x-amz-copy-source", std::move(source));
            return once(server, bad).code();
        };
        CHECK(refused("kv-test/none") == "NoSuchKey");
        CHECK(refused("none/k") == "NoSuchBucket");
        CHECK(refused("kv-test") == "InvalidArgument");
        CHECK(refused("kv-test/") == "InvalidArgument");
        CHECK(refused("kv-test/%zz") == "InvalidArgument");
        CHECK(refused("other/copy") == "InvalidRequest"); // onto itself
        CHECK(refused("other/copy", {{"x-amz-metadata-directive", "REPLACE"}}).empty());
        CHECK(refused("kv-test/a%20%2B%25", {{"x-amz-copy-source-if-match", "\"0\""}}) ==
              "PreconditionFailed");
        CHECK(refused("kv-test/a%20%2B%25", {{"If-None-Match", "*"}}) == "PreconditionFailed");
        CHECK(refused("other/copy?versionId=1") == "NotImplemented");

        upload_session session(server, "joined");
        const auto copy_part = [&](unsigned number, const std::string& range) {
            ask part = put_of("/kv-test/joined", "");
            part.query = {{"partNumber", std::to_string(number)}, {"uploadId", session.id}};
            part.headers = {{"x-amz-copy-source", "other/copy"}};
            if (!range.empty())
                part.headers.emplace_back("x-amz-copy-source-range", range);
            return once(server, part);
        };
        std::vector<s3::uploaded_part> parts;
        for (const char* range : {"bytes=10-2000009", "", "bytes=0-2"}) {
            const auto number = static_cast<unsigned>(parts.size() + 1);
            const auto done = s3::parse_stored_result(copy_part(number, range).body);
            REQUIRE(done.ok());
            parts.push_back({number, done->etag, {}});
        }
        for (const char* range : {"bytes=0-2500000", "bytes=5-2", "bytes=5-", "bytes=-5", "5-6"})
            CHECK(copy_part(9, range).code() == "InvalidArgument");
        CHECK(session.complete(parts).status == 200);
        CHECK((text_of(*server.read("kv-test", "joined")) ==
               body.substr(10, 2'000'000) + body + body.substr(0, 3)));
    }
}

TEST_CASE("a bulk delete needs a digest, and says what it did")
{
    s3_server server = server_with_bucket();
    std::vector<std::string> keys;
    for (const char* key : {"a", "b&<>", "line\nend", "not there"}) {
        keys.emplace_back(key);
        if (keys.size() < 4)
            REQUIRE(server.put("kv-test", key, bytes_of("v")).ok());
    }
    REQUIRE(server.put("kv-test", "stays", bytes_of("v")).ok());
    ask a = with_method("POST", "/kv-test");
    a.query = {{"delete", ""}};
    const auto document = s3::delete_document(keys);
    REQUIRE(document.ok());
    a.body = *document;
    CHECK(once(server, a).code() == "InvalidRequest");
    a.headers = {{"x-amz-checksum-crc32c", "AAAAAA=="}};
    CHECK(once(server, a).code() == "BadDigest");
    CHECK(server.objects().size() == 4);
    a.headers = {{"x-amz-checksum-crc32c", checksum_text(s3::checksum::crc32c, a.body)}};
    const answer done = once(server, a);
    CHECK(done.status == 200);
    const auto failures = s3::parse_delete_result(done.body);
    REQUIRE(failures.ok());
    CHECK(failures->empty());
    CHECK(done.body.find("<Deleted>") == std::string::npos); // quiet
    REQUIRE(server.objects().size() == 1);
    CHECK(server.objects()[0].key == "stays");
    for (const char* bad :
         {"", "<Delete/>", "<Delete><Object><Key/></Object></Delete>", "<Delete><Object><Key>k"}) {
        a.body = bad;
        a.headers = {{"x-amz-checksum-crc32c", checksum_text(s3::checksum::crc32c, bad)}};
        CHECK(once(server, a).code() == "MalformedXML");
    }
}

TEST_CASE("URLs that the library presigns are good for what they say, as long as they say")
{
    s3_server_options options;
    options.credentials.session_token = "a/token+";
    s3_server server = server_with_bucket(options);
    REQUIRE(server.put("kv-test", "a b", bytes_of("v")).ok());
    const auto where = s3::endpoint::parse(server.endpoint_url());
    REQUIRE(where.ok());
    s3::signer with(where->region);
    const auto send = [&](std::string_view signed_method, std::string_view method, std::string_view key,
                          std::string_view body = {}, std::string_view tamper = {}) {
        const s3::field meta{"x-amz-meta-a", "1"};
        s3::request what;
        what.method = signed_method;
        what.bucket = "kv-test";
        what.key = key;
        what.headers = std::span(&meta, 1);
        const auto url =
            s3::presign(what, *where, server.credentials(), with,
                        std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()), 60s);
        REQUIRE(url.ok());
        std::string target = url->substr(server.endpoint_url().size());
        if (!tamper.empty())
            target.replace(target.find("X-Amz-Expires=60"), 16, tamper);
        connection c(server);
        c.send(std::string(method) + " " + target + " HTTP/1.1\r\nHost: " + where->authority_for("kv-test") +
               "\r\nx-amz-meta-a: 1\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
               std::string(body));
        return c.read(method == "HEAD");
    };
    CHECK(send("GET", "GET", "a b").body == "v");
    CHECK(send("HEAD", "HEAD", "a b").header("Content-Length") == "1");
    CHECK(send("PUT", "PUT", "new", "w").status == 200);
    CHECK(text_of(*server.read("kv-test", "new")) == "w");
    CHECK(send("DELETE", "DELETE", "new").status == 204);
    CHECK(send("GET", "PUT", "a b", "w").code() == "SignatureDoesNotMatch");
    CHECK(send("GET", "GET", "a b", {}, "X-Amz-Expires=61").code() == "SignatureDoesNotMatch");
    server.set_clock_offset(61s);
    CHECK(send("GET", "GET", "a b").code() == "AccessDenied");
    CHECK(text_of(*server.read("kv-test", "a b")) == "v");
}

TEST_CASE("uploads that the library signs chunk by chunk arrive, and are verified")
{
    s3_server server = server_with_bucket();
    const auto where = s3::endpoint::parse(server.endpoint_url());
    REQUIRE(where.ok());
    s3::signer with(where->region);
    const std::string body = distinct_text(300'000);
    const std::array parts{bytes_of(body).first(100'001), bytes_of(body).subspan(100'001)};
    const auto send = [&](s3::chunked_options options, std::size_t flip_behind_head) {
        auto upload = s3::chunked_upload::make(parts, options);
        REQUIRE(upload.ok());
        const auto headers = upload->headers();
        s3::request what;
        what.method = "PUT";
        what.bucket = "kv-test";
        what.key = "k";
        what.headers = headers;
        what.content_length = upload->encoded_size();
        what.payload = upload->payload();
        const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
        const auto head = s3::serialize(what, *where, server.credentials(), with, now);
        REQUIRE(head.ok());
        upload->begin(with.key_for(server.credentials(), now), now, s3::signature_in(*head));
        std::string wire = *head;
        for (auto spans = upload->next(); !spans.empty(); spans = upload->next())
            for (const const_byte_span span : spans)
                wire.append(reinterpret_cast<const char*>(span.data()), span.size());
        if (flip_behind_head != 0)
            wire[head->size() + flip_behind_head] ^= 1;
        connection c(server);
        c.send(wire);
        return c.read();
    };
    for (const auto trailer : {s3::checksum::none, s3::checksum::crc64nvme, s3::checksum::sha256}) {
        s3::chunked_options options;
        options.trailer = trailer;
        options.chunk_bytes = 64 << 10;
        for (const bool signs : {true, false}) {
            options.sign_chunks = signs;
            if (!signs && trailer == s3::checksum::none)
                continue;
            (void)server.erase("kv-test", "k");
            const answer forged = send(options, 150'000);
            CHECK(forged.code() == (signs ? "SignatureDoesNotMatch" : "BadDigest"));
            CHECK(server.objects().empty());
            const answer stored = send(options, 0);
            CHECK(stored.status == 200);
            CHECK((text_of(*server.read("kv-test", "k")) == body));
            if (trailer != s3::checksum::none)
                CHECK(stored.header(s3::checksum_header(trailer)) == checksum_text(trailer, body));
        }
    }
}

} // namespace s3_server_multipart_test
