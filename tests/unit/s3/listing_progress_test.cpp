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

TEST_CASE("a listing that goes round does not get on, however long the way")
{
    for (const unsigned length : {2U, 3U, 7U, 100U})
        for (const unsigned before : {0U, 1U, 50U}) {
            CAPTURE(length);
            CAPTURE(before);
            listing_progress progress;
            const auto name = [&](unsigned i) {
                return "page " + std::to_string(i < before ? i : before + (i - before) % length);
            };
            unsigned turns = 0;
            while (turns < 2000 && progress.turn(turns == 0 ? "" : name(turns - 1), name(turns), 10).ok())
                ++turns;
            CHECK(turns <= 3 * (length + before) + 2);
        }
}

TEST_CASE("a listing of nothing but empty pages does not get on")
{
    listing_progress progress;
    unsigned turns = 0;
    for (std::string at; turns < 5000; ++turns) {
        const std::string next = std::to_string(turns);
        if (const status s = progress.turn(at, next, 0); !s.ok()) {
            CHECK(s == errc::malformed_response);
            break;
        }
        at = next;
    }
    CHECK(turns == listing_progress::most_empty);
}
