// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/listing_progress.hpp>

#include <doctest/doctest.h>

using objectcache::errc;
using objectcache::status;
using objectcache::s3::detail::listing_progress;

TEST_CASE("a listing gets on from page to page, empty ones among them, and ends")
{
    listing_progress progress;
    CHECK(progress.turn("", "a", 1000).ok());
    CHECK(progress.turn("a", "b", 0).ok());
    CHECK(progress.turn("b", "c", 7).ok());
    CHECK(progress.turn("c", "", 0).ok());
}

TEST_CASE("a listing that gives the same page again does not get on")
{
    listing_progress progress;
    CHECK(progress.turn("", "a", 10).ok());
    CHECK(progress.turn("a", "a", 10) == errc::malformed_response);
}

TEST_CASE("a listing of nothing but empty pages does not get on")
{
    listing_progress progress;
    unsigned turns = 0;
    for (std::string at; turns < 5000; ++turns) {
        const std::string next = turns % 2 == 0 ? "a" : "b";
        if (const status s = progress.turn(at, next, 0); !s.ok()) {
            CHECK(s == errc::malformed_response);
            break;
        }
        at = next;
    }
    CHECK(turns == listing_progress::most_empty);
}
