// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/iso8601.hpp>

#include <doctest/doctest.h>

using objectcache::s3::detail::parse_iso8601;

TEST_CASE("iso8601: the forms in which services write an expiry")
{
    using std::chrono::system_clock;
    const auto at = system_clock::time_point(std::chrono::sys_days(std::chrono::year(2030) / 1 / 2)) +
                    std::chrono::hours(3) + std::chrono::minutes(4) + std::chrono::seconds(5);
    for (const char* text :
         {"2030-01-02T03:04:05Z", "2030-01-02T03:04:05.123456789Z", "2030-01-02T03:04:05+00:00",
          "2030-01-02T03:04:05.5-00:00", "2030-01-02T05:34:05+02:30", "2030-01-01T23:04:05-04:00"})
        CHECK(parse_iso8601(text) == at);
    CHECK(parse_iso8601("9999-12-31T23:59:59Z") == system_clock::time_point::max());
    CHECK(parse_iso8601("2262-04-11T23:47:17Z") == system_clock::time_point::max());
    CHECK(parse_iso8601("0001-01-01T00:00:00Z") == system_clock::time_point());
    for (const char* text :
         {"", "2030-01-02", "2030-01-02T03:04:05", "2030-01-02 03:04:05Z", "2030-02-30T03:04:05Z",
          "2030-01-02T24:04:05Z", "2030-01-02T03:04:05.Z", "2030-01-02T03:04:05.1", "2030-01-02T03:04:05ZZ",
          "2030-01-02T03:04:05+0000", "2030-01-02T03:04:05+24:00", "2030-01-02T03:04:05+-1:00",
          "2030/01/02T03:04:05Z", "20300102T030405Z", "1893553445", "2030-1--2T03:04:05Z"})
        CHECK_MESSAGE(!parse_iso8601(text), text);
}
