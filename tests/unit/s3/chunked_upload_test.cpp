// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/chunked_upload.hpp>

#include <objectcache/s3/endpoint.hpp>
#include <objectcache/s3/request.hpp>

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

using namespace objectcache;
using namespace objectcache::s3;

namespace chunked_upload_test {

const credentials example{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", {}, {}};
const sigv4_time example_time = parse_amz_date("20130524T000000Z").value();

const_byte_span bytes_of(std::string_view text)
{
    return std::as_bytes(std::span(text.data(), text.size()));
}

/** Everything that is sent, after the checks that hold for every upload. */
std::string encoded(chunked_upload& upload, std::string_view seed)
{
    signer with("us-east-1");
    upload.begin(with.key_for(example, example_time), example_time, seed);
    std::string out;
    for (auto spans = upload.next(); !spans.empty(); spans = upload.next())
        for (const const_byte_span span : spans)
            out.append(reinterpret_cast<const char*>(span.data()), span.size());
    CHECK(upload.next().empty());
    CHECK(out.size() == upload.encoded_size());
    return out;
}

std::string value_of(const chunked_upload& upload, std::string_view name)
{
    for (const field& f : upload.headers())
        if (f.name == name)
            return std::string(f.value);
    return {};
}

/** The request of AWS's examples. */
std::string signed_head(const chunked_upload& upload)
{
    std::vector<field> headers{{"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    for (const field& f : upload.headers())
        headers.push_back(f);
    headers.push_back({"host", "s3.amazonaws.com"});
    headers.push_back({"x-amz-content-sha256", upload.payload()});
    headers.push_back({"x-amz-date", "20130524T000000Z"});
    const std::string length = std::to_string(upload.encoded_size());
    if (upload.payload().ends_with("PAYLOAD")) // the other example does not sign it
        headers.push_back({"content-length", length});
    signer with("us-east-1");
    return "PUT / HTTP/1.1\r\nAuthorization: " +
           with.authorization({"PUT", "/examplebucket/chunkObject.txt", {}, headers, upload.payload()},
                              example, example_time) +
           "\r\nHost: h\r\n\r\n";
}

TEST_CASE("chunked upload: AWS's example of signed chunks")
{
    const std::string body(66'560, 'a');
    const const_byte_span whole = bytes_of(body);
    chunked_options options;
    options.chunk_bytes = 64 << 10;
    auto upload = chunked_upload::make(std::span(&whole, 1), options);
    REQUIRE(upload.ok());
    CHECK(upload->payload() == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    CHECK(upload->encoded_size() == 66'824);
    CHECK(value_of(*upload, "content-encoding") == "aws-chunked");
    CHECK(value_of(*upload, "x-amz-decoded-content-length") == "66560");
    CHECK(value_of(*upload, "x-amz-trailer").empty());
    const std::string head = signed_head(*upload);
    const std::string_view seed = signature_in(head);
    REQUIRE(seed == "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");

    const std::string expected =
        "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" +
        body.substr(0, 65'536) +
        "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" +
        body.substr(0, 1024) +
        "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n";
    CHECK((encoded(*upload, seed) == expected));
    CHECK((encoded(*upload, seed) == expected)); // another try
    CHECK(upload->trailing_checksum().empty());
}

TEST_CASE("chunked upload: AWS's example of a signed trailer")
{
    const std::string body(66'560, 'a');
    const const_byte_span whole = bytes_of(body);
    chunked_options options;
    options.chunk_bytes = 64 << 10;
    options.trailer = checksum::crc32c;
    auto upload = chunked_upload::make(std::span(&whole, 1), options);
    REQUIRE(upload.ok());
    CHECK(upload->payload() == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER");
    CHECK(upload->encoded_size() == 66'946);
    CHECK(value_of(*upload, "x-amz-trailer") == "x-amz-checksum-crc32c");
    const std::string head = signed_head(*upload);
    const std::string_view seed = signature_in(head);
    REQUIRE(seed == "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");

    // AWS's page prints 63bddb24... for the trailer, which is the signature under the label of a chunk
    // (AWS4-HMAC-SHA256-PAYLOAD). Its text, its SDKs and S3 itself say AWS4-HMAC-SHA256-TRAILER.
    const std::string sent = encoded(*upload, seed);
    CHECK(
        (sent ==
         "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" +
             body.substr(0, 65'536) +
             "\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n" +
             body.substr(0, 1024) +
             "\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
             "x-amz-checksum-crc32c:sOO8/Q==\r\n"
             "x-amz-trailer-signature:"
             "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"));
    CHECK(upload->trailing_checksum() == "sOO8/Q==");
}

TEST_CASE("chunked upload: unsigned, with a trailer, whatever the parts")
{
    std::mt19937 random(5);
    std::string body(100'000, '\0');
    for (char& c : body)
        c = static_cast<char>(random());
    for (const std::size_t size : {0, 1, 8191, 8192, 8193, 16'384, 100'000}) {
        const std::string_view content = std::string_view(body).substr(0, size);
        std::string expected;
        for (std::size_t at = 0; at < size; at += 8192) {
            const std::string_view chunk = content.substr(at, 8192);
            expected += (chunk.size() == 8192 ? "2000"
                         : chunk.size() == 1  ? "1"
                                              : "") +
                        std::string(chunk.size() == 1 || chunk.size() == 8192 ? ""
                                    : chunk.size() == 8191                    ? "1fff"
                                                                              : "6a0");
            expected += "\r\n" + std::string(chunk) + "\r\n";
        }
        const const_byte_span whole = bytes_of(content);
        const std::string sum = checksum_of(checksum::crc64nvme, std::span(&whole, 1));
        expected += "0\r\nx-amz-checksum-crc64nvme:" + sum + "\r\n\r\n";
        for (int round = 0; round < 8; ++round) {
            std::vector<const_byte_span> parts;
            for (const_byte_span rest = whole; !rest.empty();) {
                const std::size_t n =
                    round == 0 ? rest.size() : std::min<std::size_t>(rest.size(), random() % 20'000);
                parts.push_back(rest.first(n)); // some are empty
                rest = rest.subspan(n);
            }
            chunked_options options;
            options.sign_chunks = false;
            options.trailer = checksum::crc64nvme;
            options.chunk_bytes = chunked_options::least_chunk;
            auto upload = chunked_upload::make(parts, options);
            REQUIRE(upload.ok());
            CHECK(upload->payload() == "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
            CHECK((encoded(*upload, "") == expected));
            CHECK(upload->trailing_checksum() == sum);
        }
    }
}

TEST_CASE("chunked upload: what cannot be")
{
    chunked_options options;
    options.chunk_bytes = chunked_options::least_chunk - 1;
    CHECK(chunked_upload::make({}, options).error() == condition::invalid);
    options.chunk_bytes = chunked_options::least_chunk;
    options.sign_chunks = false;
    CHECK(chunked_upload::make({}, options).error() == condition::invalid);
    const std::vector<const_byte_span> absurd(
        2, const_byte_span(static_cast<const std::byte*>(nullptr), std::size_t(1) << 60));
    CHECK(chunked_upload::make(absurd, {}).error() == condition::invalid);
}

TEST_CASE("chunked upload: the signature of a request")
{
    CHECK(signature_in("").empty());
    CHECK(signature_in("GET / HTTP/1.1\r\nHost: Signature=x\r\n\r\n").empty());
    CHECK(signature_in("GET / HTTP/1.1\r\nAuthorization: Basic x\r\nA: Signature=x\r\n\r\n").empty());
    request what;
    what.method = "PUT";
    what.bucket = "bucket";
    what.key = "key";
    const auto where = endpoint::parse("http://127.0.0.1:9000");
    REQUIRE(where.ok());
    signer with(where->region);
    const auto head = serialize(what, *where, example, with, example_time);
    REQUIRE(head.ok());
    CHECK(signature_in(*head).size() == 64);
    CHECK(head->find("Signature=" + std::string(signature_in(*head)) + "\r\n") != std::string::npos);
    const auto anonymous = serialize(what, *where, credentials::anonymous(), with, example_time);
    REQUIRE(anonymous.ok());
    CHECK(signature_in(*anonymous).empty());
}

} // namespace chunked_upload_test
