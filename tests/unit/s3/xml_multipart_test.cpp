// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/xml_multipart.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>

using namespace objectcache;
using namespace objectcache::s3;

namespace xml_multipart_test {

constexpr std::string_view initiated =
    R"(<?xml version="1.0"?><InitiateMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">)"
    R"(<Bucket>b</Bucket><Key>k</Key><UploadId>2~a&amp;b</UploadId></InitiateMultipartUploadResult>)";
constexpr std::string_view completed =
    "\n \n<CompleteMultipartUploadResult><Location>http://x/b/k</Location><Bucket>b</Bucket><Key>k</Key>"
    "<ETag>&quot;3858f62230ac3c915f300c664312c11f-9&quot;</ETag><ChecksumCRC32C>4waSgw==-9</ChecksumCRC32C>"
    "<ChecksumCRC64NVME>rosUhgp5mIg=</ChecksumCRC64NVME></CompleteMultipartUploadResult>";
constexpr std::string_view refused =
    "<Error><Code>InternalError</Code><Message>We encountered\nan error</Message></Error>";

TEST_CASE("multipart XML: an upload begins and ends")
{
    const auto id = parse_initiated_upload(initiated);
    REQUIRE(id.ok());
    CHECK(*id == "2~a&b");

    const auto done = parse_stored_result(completed, checksum::crc64nvme);
    REQUIRE(done.ok());
    CHECK(done->etag == "\"3858f62230ac3c915f300c664312c11f-9\"");
    CHECK(done->checksum == "rosUhgp5mIg=");
    CHECK(parse_stored_result(completed, checksum::crc32c)->checksum == "4waSgw==-9");
    CHECK(parse_stored_result(completed)->checksum.empty());

    const auto copied =
        parse_stored_result("<CopyObjectResult><LastModified>2009-10-12T17:50:30.000Z</LastModified>"
                            "<ETag>\"9b2\"</ETag></CopyObjectResult>");
    REQUIRE(copied.ok());
    CHECK(copied->etag == "\"9b2\"");
    CHECK(copied->last_modified == "2009-10-12T17:50:30.000Z");
    CHECK(parse_stored_result("<CopyPartResult><ETag>e</ETag></CopyPartResult>").ok());

    // Ceph RGW 16.2
    const auto silent = parse_stored_result("<CompleteMultipartUploadResult><Location>localhost/b/k</"
                                            "Location><ETag></ETag></CompleteMultipartUploadResult>");
    REQUIRE(silent);
    CHECK(silent->etag.empty());
    CHECK(parse_stored_result("<CopyPartResult><ETag/></CopyPartResult>").ok());
    CHECK_FALSE(parse_stored_result("<CopyPartResult><E>e</E></CopyPartResult>").ok());
}

TEST_CASE("multipart XML: an error after a 200 is an error")
{
    const auto check = [](const status& found) {
        CHECK(found == errc::server_error);
        CHECK(found.detail() == "200 InternalError: We encountered an error");
    };
    check(parse_initiated_upload(refused).error());
    check(parse_stored_result(refused).error());
    check(parse_delete_result(refused).error());
    check(parse_upload_page(refused).error());
    CHECK(parse_stored_result("<Error><Code>SlowDown</Code></Error>").error() == errc::throttled);
}

TEST_CASE("multipart XML: other documents, and documents cut short anywhere")
{
    for (const std::string_view other : {"", "text", "<a/>", "<ListBucketResult/>", "<Result/>"}) {
        CHECK(parse_initiated_upload(other).error() == errc::malformed_response);
        CHECK(parse_stored_result(other).error() == errc::malformed_response);
        CHECK(parse_delete_result(other).error() == errc::malformed_response);
        CHECK(parse_upload_page(other).error() == errc::malformed_response);
    }
    CHECK(parse_initiated_upload("<InitiateMultipartUploadResult><UploadId/></InitiateMultipartUploadResult>")
              .error() == errc::malformed_response);
    for (std::size_t n = 0; n < initiated.size(); ++n)
        CHECK(parse_initiated_upload(initiated.substr(0, n)).error() == errc::malformed_response);
    for (std::size_t n = 0; n < completed.size(); ++n)
        CHECK(parse_stored_result(completed.substr(0, n)).error() == errc::malformed_response);
}

TEST_CASE("multipart XML: what a bulk delete did not delete")
{
    const auto none = parse_delete_result("<DeleteResult/>");
    REQUIRE(none.ok());
    CHECK(none->empty());
    const auto some = parse_delete_result(
        "<DeleteResult><Deleted><Key>gone</Key></Deleted><Error><Key>a&lt;b</Key><Code>AccessDenied</Code>"
        "<Message>Access Denied</Message></Error><Error><Key>c</Key></Error></DeleteResult>");
    REQUIRE(some.ok());
    REQUIRE(some->size() == 2);
    CHECK((*some)[0].key == "a<b");
    CHECK((*some)[0].code == "AccessDenied");
    CHECK((*some)[0].message == "Access Denied");
    CHECK((*some)[1].key == "c");

    CHECK((*some)[0].error() == errc::access_denied);
    CHECK((*some)[0].error().detail() == "DELETE of a<b: AccessDenied: Access Denied");
    CHECK((*some)[1].error() == errc::server_error);
    CHECK((*some)[1].error().detail() == "DELETE of c");
    CHECK(delete_failure{"two\nlines", "InternalError", ""}.error().detail() ==
          "DELETE of two lines: InternalError");
}

TEST_CASE("multipart XML: pending uploads, page by page")
{
    const std::string first =
        "<ListMultipartUploadsResult><Bucket>b</Bucket><KeyMarker/><NextKeyMarker>z%2F+1</NextKeyMarker>"
        "<NextUploadIdMarker>id2</NextUploadIdMarker><EncodingType>url</EncodingType><IsTruncated>true</"
        "IsTruncated>"
        "<Upload><Key>a+%C3%BC</Key><UploadId>id1</UploadId><Owner><ID>Key</ID></Owner>"
        "<Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>"
        "<Upload><Key>z%2F+1</Key><UploadId>id2</UploadId></Upload></ListMultipartUploadsResult>";
    const auto page = parse_upload_page(first);
    REQUIRE(page.ok());
    REQUIRE(page->uploads.size() == 2);
    CHECK(page->uploads[0].key == "a \xc3\xbc");
    CHECK(page->uploads[0].upload_id == "id1");
    CHECK(page->uploads[0].initiated == std::chrono::sys_days(std::chrono::year(2010) / 11 / 10) +
                                            std::chrono::hours(20) + std::chrono::seconds(48 * 60 + 33));
    CHECK(page->uploads[1].initiated == std::chrono::system_clock::time_point::max());
    CHECK(page->key_marker == "z/ 1");
    CHECK(page->upload_id_marker == "id2");

    std::string last = first;
    last.replace(last.find("true"), 4, "false");
    CHECK(parse_upload_page(last)->key_marker.empty());
    CHECK(parse_upload_page(last)->upload_id_marker.empty());
    std::string raw = first;
    raw.replace(raw.find("url"), 3, "xyz");
    CHECK(parse_upload_page(raw)->uploads[0].key == "a+%C3%BC");
    for (const auto& [from, to] :
         {std::array{"a+%C3%BC", "%zz"}, std::array{"id1", ""}, std::array{"2010-11-10T", "2010-11-10 "},
          std::array{"<NextKeyMarker>z%2F+1", "<NextKeyMarker>"},
          std::array{"<NextKeyMarker>z%2F", "<NextKeyMarker>%z"}}) {
        std::string bad = first;
        bad.replace(bad.find(from), std::string_view(from).size(), to);
        CHECK(parse_upload_page(bad).error() == errc::malformed_response);
    }
}

TEST_CASE("multipart XML: what is sent")
{
    const std::array parts{uploaded_part{1, "\"a\"", "4waSgw=="}, uploaded_part{12, "\"b\"", ""}};
    CHECK(complete_upload_document(parts, checksum::crc32c) ==
          "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
          "<Part><ChecksumCRC32C>4waSgw==</ChecksumCRC32C><ETag>&quot;a&quot;</ETag><PartNumber>1</"
          "PartNumber></Part>"
          "<Part><ETag>&quot;b&quot;</ETag><PartNumber>12</PartNumber></Part></CompleteMultipartUpload>");
    CHECK(complete_upload_document(parts).find("Checksum") == std::string::npos);

    const std::array<std::string, 2> keys{"a<&>'\"b", "line\r\n\tend"};
    const auto document = delete_document(keys);
    REQUIRE(document.ok());
    CHECK(*document == "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>"
                       "<Object><Key>a&lt;&amp;&gt;&apos;&quot;b</Key></Object>"
                       "<Object><Key>line&#13;&#10;&#9;end</Key></Object></Delete>");
    for (const std::string& bad :
         {std::string(), std::string("a\x01"), std::string(1, '\0'), std::string("\xef\xbf\xbf")}) {
        const std::array<std::string, 1> one{bad};
        CHECK(delete_document(one).error() == condition::invalid);
    }
    CHECK(delete_document({}).error() == condition::invalid);
    CHECK(delete_document(std::vector<std::string>(1000, "k")).ok());
    CHECK(delete_document(std::vector<std::string>(1001, "k")).error() == condition::invalid);
}

} // namespace xml_multipart_test
