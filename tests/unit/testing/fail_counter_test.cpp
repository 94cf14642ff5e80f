// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/fail_counter.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace objectcache;

TEST_CASE("each run fails one step, the next one after, until a run is not hit")
{
    std::vector<std::size_t> failed_at;
    testing::fail_counter fuse(0, errc::device_failed);
    for (;; fuse.next()) {
        std::size_t failures = 0;
        for (std::size_t step = 0; step < 3; ++step)
            if (const error_code ec = fuse.step()) {
                CHECK(ec == condition::device);
                failed_at.push_back(step);
                ++failures;
            }
        CHECK(failures == (fuse.fired() ? 1 : 0));
        CHECK(fuse.steps() == 3);
        if (!fuse.fired())
            break;
    }
    CHECK(failed_at == std::vector<std::size_t>{0, 1, 2});
    CHECK(fuse.fail_at() == 3);
}
