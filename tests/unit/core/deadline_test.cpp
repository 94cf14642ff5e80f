// SPDX-License-Identifier: BSL-1.0
#include <objectcache/core/deadline.hpp>

#include <doctest/doctest.h>

namespace deadline_test {

using namespace objectcache;
using namespace std::chrono_literals;

TEST_CASE("a default deadline never passes")
{
    CHECK(deadline() == deadline::never());
    CHECK_FALSE(deadline().passed(time_point(duration(1h))));
    CHECK_FALSE(deadline().passed(time_point::max() - duration(1)));
}

TEST_CASE("a deadline passes at its time, not after it")
{
    const time_point at(duration(5s));
    const deadline limit(at);
    CHECK_FALSE(limit.passed(at - duration(1)));
    CHECK(limit.passed(at));
    CHECK(limit.at() == at);
}

TEST_CASE("the nearer of two deadlines wins, in either order")
{
    const deadline near(time_point(1s)), far(time_point(2s));
    CHECK(near.nearer(far) == near);
    CHECK(far.nearer(near) == near);
    CHECK(near.nearer(deadline::never()) == near);
    CHECK(deadline::never().nearer(near) == near);
    CHECK(near < far);
}

TEST_CASE("a duration beyond the end of time ends there")
{
    const time_point now(1h);
    CHECK(later(now, 5s) == time_point(1h + 5s));
    CHECK(later(now, -2h) == time_point(-1h));
    CHECK(later(now, duration::max()) == time_point::max());
    CHECK(later(now, duration::max() - duration(1h)) == time_point::max());
    CHECK(later(now, duration::max() - duration(1h) - duration(1)) == time_point::max() - duration(1));
    CHECK(later(time_point(-1h), duration::max()) == time_point::max() - duration(1h));
    CHECK(later(time_point(-1h), duration::min()) == time_point::min());
    CHECK(later(time_point::max(), duration(1)) == time_point::max());
    CHECK(later(time_point::max(), duration::zero()) == time_point::max());
}

} // namespace deadline_test
