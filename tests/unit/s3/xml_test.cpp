// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/xml.hpp>

#include <objectcache/s3/detail/xml_scanner.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using namespace objectcache::s3;

namespace xml_test {

const std::string listing = R"(<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>p</Prefix>
  <EncodingType>url</EncodingType><KeyCount>2</KeyCount><IsTruncated>true</IsTruncated>
  <NextContinuationToken>a&amp;b==</NextContinuationToken>
  <Contents><Key>p/a%2Bb+c%C3%BC</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>
    <ETag>&quot;d41d&#34;</ETag><Size>18446744073709551615</Size><Owner><ID>Key</ID></Owner></Contents>
  <!-- <Contents/> --><Contents><Key>p/z</Key><Size> 0 </Size></Contents>
  <CommonPrefixes><Prefix>p%2F</Prefix></CommonPrefixes></ListBucketResult>
)";

using s3::detail::xml_scanner;

/** The tokens of a document, written down. */
std::string scan(std::string_view xml)
{
    xml_scanner s(xml);
    std::string out;
    for (;;) {
        switch (s.next()) {
        case xml_scanner::token::open:
            out.append("<").append(s.name()).append(">");
            break;
        case xml_scanner::token::close:
            out.append("</").append(s.name()).append(">");
            break;
        case xml_scanner::token::text:
            out.append("'").append(s.text()).append("'");
            break;
        case xml_scanner::token::end:
            return out;
        case xml_scanner::token::bad:
            return out + "!";
        }
    }
}

TEST_CASE("xml: tokens")
{
    CHECK(scan("<a/>") == "<a></a>");
    CHECK(scan(" <n:a x='>' y=\"/\"><b/>t&lt;&#x41;&#8364;<![CDATA[<&>]]>u</n:a>\n") ==
          "<a><b></b>'t<A\xe2\x82\xac<&>u'</a>");
    CHECK(scan("<a>&#x10FFFF;</a >") == "<a>'\xf4\x8f\xbf\xbf'</a>");
    for (const char* bad : {"",
                            " ",
                            "text",
                            "<a>",
                            "<a></b>",
                            "</a>",
                            "<a/><b/>",
                            "<a/>t",
                            "t<a/>",
                            "<a",
                            "<a x='",
                            "<a x='>",
                            "<>",
                            "< a/>",
                            "<a><b></a></b>",
                            "<a>&foo;</a>",
                            "<a>&amp</a>",
                            "<a>&</a>",
                            "<a>&#0;</a>",
                            "<a>&#xd800;</a>",
                            "<a>&#x110000;</a>",
                            "<a>&#99999999999;</a>",
                            "<a>&#;</a>",
                            "<a>&#x;</a>",
                            "<a>&#-1;</a>",
                            "<!DOCTYPE a><a/>",
                            "<!-- <a/>",
                            "<? <a/>",
                            "<a><![CDATA[</a>",
                            "<![CDATA[x]]><a/>",
                            "<a <b/></a>",
                            "<a></a x>"})
        CHECK_MESSAGE(scan(bad).ends_with("!"), bad);
}

TEST_CASE("xml: nesting is bounded")
{
    std::string deep;
    for (std::size_t i = 0; i < xml_scanner::max_depth; ++i)
        deep += "<a>";
    std::string closing;
    for (std::size_t i = 0; i < xml_scanner::max_depth; ++i)
        closing += "</a>";
    CHECK_FALSE(scan(deep + closing).ends_with("!"));
    CHECK(scan(deep + "<a>" + closing + "</a>").ends_with("!"));
    CHECK(scan(std::string(1 << 20, '<')).ends_with("!"));
}

TEST_CASE("xml: a page of a listing")
{
    const auto page = parse_list_page(listing);
    REQUIRE(page);
    REQUIRE(page->objects.size() == 2);
    CHECK(page->objects[0].key == "p/a+b c\xc3\xbc");
    CHECK(page->objects[0].size == ~std::uint64_t(0));
    CHECK(page->objects[0].etag == "\"d41d\"");
    CHECK(page->objects[1].key == "p/z");
    CHECK(page->objects[1].size == 0);
    CHECK(page->objects[0].modified == std::chrono::sys_days(std::chrono::year(2024) / 1 / 1));
    CHECK(page->objects[1].modified == std::chrono::system_clock::time_point::max()); // it does not say
    CHECK(page->continuation == "a&b==");
    CHECK(page->common_prefixes == std::vector<std::string>{"p/"});

    const auto plain =
        parse_list_page("<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken>x"
                        "</NextContinuationToken><Contents><Key>a+b%</Key></Contents></ListBucketResult>");
    REQUIRE(plain);
    CHECK(plain->objects[0].key == "a+b%"); // not encoded unless it says so
    CHECK(plain->continuation.empty());
    CHECK(parse_list_page("<ListBucketResult/>")->objects.empty());
}

TEST_CASE("xml: a listing that is not whole is no listing")
{
    const std::size_t last = listing.rfind('>');
    for (std::size_t n = 0; n <= last; ++n)
        CHECK(parse_list_page(listing.substr(0, n)).code() == errc::malformed_response);
    for (const char* bad :
         {"<Error/>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
          "<ListBucketResult><Contents/></ListBucketResult>",
          "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>",
          "<ListBucketResult><Contents><Key>k</Key><Size>18446744073709551616</Size></Contents>"
          "</ListBucketResult>",
          "<ListBucketResult><Contents><Key>k</Key><LastModified>yesterday</LastModified></Contents>"
          "</ListBucketResult>",
          "<ListBucketResult><Contents><Key>k</Key><LastModified>2024-13-01T00:00:00Z</LastModified></"
          "Contents>"
          "</ListBucketResult>",
          "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%</Key></Contents>"
          "</ListBucketResult>"})
        CHECK_MESSAGE(parse_list_page(bad).error() == condition::corrupt, bad);
}

TEST_CASE("xml: no byte of a listing, whatever it becomes, does harm")
{
    std::string copy = listing;
    for (std::size_t i = 0; i < copy.size(); ++i)
        for (const char c : {'<', '>', '&', '/', '\0', '\xff', '"'}) {
            const char kept = copy[i];
            copy[i] = c;
            const auto page = parse_list_page(copy);
            CHECK((page.ok() || page.error() == condition::corrupt));
            copy[i] = kept;
        }
}

TEST_CASE("xml: error documents")
{
    const auto e =
        parse_error_document("<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>It &lt;is&gt; gone"
                             "</Message><Inner><Code>x</Code></Inner></Error>");
    REQUIRE(e);
    CHECK(e->code == "NoSuchKey");
    CHECK(e->message == "It <is> gone");
    CHECK(parse_error_document("<Error><Code>SlowDown</Code><Mess")->code == "SlowDown");
    CHECK(parse_error_document("<Error/>")->code.empty());
    CHECK_FALSE(parse_error_document("<Error>"));
    CHECK_FALSE(parse_error_document("<html><Code>x</Code></html>"));
    CHECK_FALSE(parse_error_document(""));
}

} // namespace xml_test
