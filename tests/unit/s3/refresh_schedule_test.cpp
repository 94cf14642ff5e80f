// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/refresh_schedule.hpp>

#include <doctest/doctest.h>

using namespace objectcache;

namespace refresh_schedule_test {

using s3::detail::refresh_schedule;
using action = refresh_schedule::action;
using namespace std::chrono_literals;

const refresh_schedule::date day{};
const time_point start{1h};

TEST_CASE("refresh_schedule: used, renewed in time, waited for")
{
    refresh_schedule schedule{s3::refresh_options{}};
    CHECK(schedule.next(day, start) == action::wait);
    schedule.refreshed(day, day + 1h);
    CHECK(schedule.next(day, start) == action::use);
    CHECK(schedule.next(day + 55min - 1ns, start) == action::use);
    CHECK(schedule.next(day + 55min, start) == action::renew);
    CHECK(schedule.next(day + 1h - 30s, start) == action::wait);
    CHECK(schedule.is_valid(day + 1h - 1ns));
    CHECK_FALSE(schedule.is_valid(day + 1h));
    schedule.refreshed(day + 56min, std::nullopt); // for ever
    CHECK(schedule.next(day + 24h * 365, start) == action::use);
    schedule.forget();
    CHECK(schedule.next(day, start) == action::wait);
}

TEST_CASE("refresh_schedule: a short life is renewed half way through, and not all the time")
{
    refresh_schedule schedule{s3::refresh_options{}};
    schedule.refreshed(day, day + 40s);
    CHECK(schedule.next(day + 19s, start) == action::use);
    CHECK(schedule.next(day + 20s, start) == action::renew);
    CHECK(schedule.next(day + 30s, start) == action::wait);
    schedule.refreshed(day, refresh_schedule::date::max());
    CHECK(schedule.next(day + 24h * 365, start) == action::use);
}

TEST_CASE("refresh_schedule: after a failure a pause, longer each time, and bounded")
{
    refresh_schedule schedule{s3::refresh_options{}};
    time_point now = start;
    schedule.failed(now);
    CHECK(schedule.next(day, now) == action::give_up);
    CHECK(schedule.next(day, now + 1s - 1ns) == action::give_up);
    CHECK(schedule.next(day, now + 1s) == action::wait);
    schedule.failed(now);
    CHECK(schedule.next(day, now + 2s - 1ns) == action::give_up);
    for (int i = 0; i < 1000; ++i)
        schedule.failed(now);
    CHECK(schedule.next(day, now + 1min - 1ns) == action::give_up);
    CHECK(schedule.next(day, now + 1min) == action::wait);
    schedule.refreshed(day, day + 1h);
    schedule.failed(now); // the first one again; what is valid serves on
    CHECK(schedule.next(day + 56min, now) == action::use);
    CHECK(schedule.next(day + 56min, now + 1s) == action::renew);
    CHECK(schedule.next(day + 1h, now) == action::give_up);
}

} // namespace refresh_schedule_test
