// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/uri_encode.hpp>

#include <doctest/doctest.h>

using namespace objectcache::s3::detail;

TEST_CASE("uri_encode: every byte comes back, and only unreserved ones travel bare")
{
    std::string all;
    for (int c = 0; c < 256; ++c)
        all += static_cast<char>(c);
    std::string encoded;
    append_uri_encoded(encoded, all, slash::encode);
    CHECK(encoded.size() == 66 + 3 * (256 - 66));
    CHECK(encoded.find('/') == std::string::npos);
    CHECK(uri_decoded(encoded) == all);

    std::string path;
    append_uri_encoded(path, "a/b c/\xe1\x88\xb4", slash::keep);
    CHECK(path == "a/b%20c/%E1%88%B4");
}

TEST_CASE("uri_encode: decoding refuses a broken escape and leaves a plus alone")
{
    CHECK(uri_decoded("a+b%2b%2B") == "a+b++");
    CHECK(uri_decoded("").value().empty());
    for (const char* bad : {"%", "%4", "a%", "%zz", "%4x", "%x4", "%%41"})
        CHECK_FALSE(uri_decoded(bad));
}
