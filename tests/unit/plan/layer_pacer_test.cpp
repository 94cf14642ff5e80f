// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/layer_pacer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

namespace layer_pacer_test {

using namespace objectcache;
using seconds = std::chrono::duration<double>;

time_point at(double s)
{
    return time_point() + std::chrono::hours(1) + std::chrono::duration_cast<duration>(seconds(s));
}
double of(time_point t)
{
    return seconds(t - at(0)).count();
}

/** A link that all groups under way share, each after its latency. */
struct link {
    double rate, latency;
    layer_pacer pacer;
    struct group {
        double sent, left;
        bool over = false;
        double arrived = 0;
    };
    std::vector<group> groups;

    /** Send `count` groups of `bytes`, at most `depth` at once, when the pacer says so; in steps of a tenth of a ms. */
    void run(std::size_t count, double bytes, std::size_t depth)
    {
        constexpr double step = 1e-4;
        std::size_t under_way = 0;
        for (double now = 0; now < 100; now += step) {
            while (groups.size() < count && under_way < depth && pacer.next() <= at(now)) {
                pacer.sent(groups.size(), static_cast<std::uint64_t>(bytes), at(now));
                groups.push_back({now, bytes});
                ++under_way;
            }
            double busy = 0;
            for (const group& g : groups)
                busy += !g.over && now >= g.sent + latency ? 1 : 0;
            for (std::size_t i = 0; i < groups.size(); ++i) {
                group& g = groups[i];
                if (g.over || now < g.sent + latency)
                    continue;
                g.left -= step * rate / busy;
                if (g.left <= 0) {
                    g.over = true;
                    g.arrived = now;
                    --under_way;
                    pacer.arrived(i, true, at(now));
                }
            }
            if (groups.size() == count && under_way == 0)
                return;
        }
        FAIL("not in time");
    }
    /** How long the last group took longer than on a link that never stands still. */
    [[nodiscard]] double lost(double bytes) const
    {
        return groups.back().arrived - latency - static_cast<double>(groups.size()) * bytes / rate;
    }
};

layer_pacer knowing(double rate, double latency)
{
    return layer_pacer({rate, std::chrono::duration_cast<duration>(seconds(latency))});
}

TEST_CASE("nothing is held back while nothing is under way, or before a rate is known after the first")
{
    layer_pacer pacer;
    CHECK(pacer.next() == time_point::min());
    pacer.sent(0, 1000, at(0));
    CHECK(pacer.next() == time_point::max());
    pacer.arrived(0, true, at(1));
    CHECK(pacer.next() == time_point::min());
    CHECK(pacer.known().bytes_per_second == doctest::Approx(1000));
    pacer.sent(1, 2000, at(2));
    CHECK(of(pacer.next()) == doctest::Approx(2 + 2 - 0.5));
}

TEST_CASE("the latency is not taken for transfer, and the next group is asked for that much earlier")
{
    layer_pacer pacer = knowing(0, 0.5);
    pacer.sent(0, 1000, at(0));
    pacer.arrived(0, true, at(1.5));
    const layer_pacer::knowledge known = pacer.known();
    CHECK(known.bytes_per_second == doctest::Approx(1000));
    layer_pacer later(known);
    later.sent(0, 4000, at(2));
    CHECK(of(later.next()) == doctest::Approx(2 + 0.5 + 4 - 0.5 - 1));
    later.sent(1, 4000, at(5));
    CHECK(of(later.next()) == doctest::Approx(2 + 0.5 + 8 - 0.5 - 1));
}

TEST_CASE("requests of a group follow one another a quarter faster than the link brings them, once its rate is known")
{
    layer_pacer pacer;
    CHECK(pacer.spacing(1000) == duration::zero());
    CHECK(std::chrono::duration<double>(knowing(2000, 0.5).spacing(1000)).count() == doctest::Approx(0.4));
}

TEST_CASE("a group that failed teaches nothing, and a store that takes no time is not paced")
{
    layer_pacer pacer;
    pacer.sent(0, 1000, at(0));
    pacer.arrived(0, false, at(1));
    CHECK(pacer.known().bytes_per_second == 0);
    pacer.sent(1, 1000, at(1));
    pacer.arrived(1, true, at(1));
    pacer.sent(2, 1000, at(1));
    CHECK(pacer.next() <= at(1));
}

TEST_CASE(
    "groups arrive one after the other, each as early as the link allows, and the link hardly stands still")
{
    for (const double latency : {0.0, 0.001, 0.02, 0.1}) {
        CAPTURE(latency);
        constexpr double bytes = 1.5e6, rate = 50e6; // 30 ms a group
        link mine{rate, latency, knowing(0, latency), {}};
        mine.run(16, bytes, 16);
        // The first one is alone: as early as can be.
        CHECK(mine.groups[0].arrived == doctest::Approx(latency + bytes / rate).epsilon(0.02));
        // One latency is lost, because the first rate is known only when the first has arrived.
        CHECK(mine.lost(bytes) < latency + 0.01);
        link again{rate, latency, layer_pacer(mine.pacer.known()), {}};
        again.run(16, bytes, 16);
        CHECK(again.lost(bytes) < 0.01);
        for (std::size_t i = 1; i < 16; ++i) // and none shares the link with more than a part of the next
            CHECK(again.groups[i].arrived - again.groups[i - 1].arrived > 0.3 * bytes / rate);
        CHECK(again.groups[0].arrived < latency + 1.4 * bytes / rate);
    }
}

} // namespace layer_pacer_test
