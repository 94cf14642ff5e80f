// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/connection_control.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace connection_control_test {

using namespace objectcache;
using namespace objectcache::s3;
using namespace std::chrono_literals;

const time_point start{1h};
constexpr double MB = 1e6;

/** A link, and callers who always want more connections than they get. Each connection carries at most
    `per_connection`, all together at most `link` bytes per second; what is measured scatters by `noise` to either
    side. */
struct simulation {
    double per_connection, link, noise = 0;
    connection_control control;
    time_point now = start;
    std::size_t wanted = 1000;
    std::mt19937_64 random{17};
    double carried = 0, best = 0; // bytes

    double ideal(std::size_t connections) const
    {
        return std::min(per_connection * double(connections), link);
    }

    /** One interval of 250 ms, in pieces; tells the limit. */
    std::size_t interval()
    {
        std::uniform_real_distribution<double> scatter(1 - noise, 1 + noise);
        const std::size_t open = std::min(control.limit(now, wanted), wanted);
        const double factor = scatter(random);
        for (int i = 0; i < 10; ++i) {
            now += 25ms;
            const double bytes = 0.025 * ideal(open) * factor;
            for (std::size_t c = 0; c < open; ++c)
                control.received(static_cast<std::uint64_t>(bytes / double(open)));
            carried += bytes;
            best += 0.025 * link * factor;
            static_cast<void>(control.limit(now, wanted));
        }
        return control.limit();
    }
    std::vector<std::size_t> intervals(int n)
    {
        std::vector<std::size_t> out;
        carried = best = 0;
        for (int i = 0; i < n; ++i)
            out.push_back(interval());
        return out;
    }
};

std::size_t quantile(std::vector<std::size_t> in, double q)
{
    std::sort(in.begin(), in.end());
    return in[static_cast<std::size_t>(q * double(in.size() - 1))];
}

struct expected {
    double per_connection, link; // MB/s
    std::size_t low, high;       // where the limit mostly is
};

TEST_CASE("connections: as many as pay, on links of all kinds, in spite of noise")
{
    const expected rows[] = {
        {100, 1000, 8, 15},   // what AWS says of S3, on 8 Gbit/s: 10 fill it
        {1000, 1500, 2, 6},   // two fill it
        {2000, 1000, 2, 6},   // one does
        {2.2, 1000, 48, 64},  // 64 KiB in 30 ms each: all that are allowed
        {85, 12'500, 48, 64}, // 100 Gbit/s
        {30, 1000, 23, 52},   // 33 fill it
    };
    for (const expected& row : rows)
        for (const double noise : {0.0, 0.1, 0.2})
            for (const unsigned seed : {1u, 2u, 3u}) {
                CAPTURE(row.per_connection);
                CAPTURE(row.link);
                CAPTURE(noise);
                CAPTURE(seed);
                simulation sim{row.per_connection * MB, row.link * MB, noise, connection_control()};
                sim.random.seed(seed);
                const double most = std::min(1.0, 64 * row.per_connection / row.link);
                sim.intervals(64); // 16 s
                const auto limits = sim.intervals(500);
                CHECK(quantile(limits, 0.1) >= row.low);
                CHECK(quantile(limits, 0.9) <= row.high);
                CHECK(sim.carried >= 0.92 * most * sim.best);
            }
}

TEST_CASE("connections: a link that needs all of them has them within 4 s")
{
    simulation sim{2.2 * MB, 1000 * MB, 0.2, connection_control()};
    CHECK(sim.intervals(16).back() == 64);
}

TEST_CASE("connections: a saturated link is never worse off for it")
{
    simulation sim{1000 * MB, 1500 * MB, 0.2, connection_control()};
    static_cast<void>(sim.intervals(500));
    CHECK(sim.carried == doctest::Approx(sim.best));
}

TEST_CASE("connections: what a link can do changes")
{
    simulation sim{100 * MB, 1000 * MB, 0.1, connection_control()};
    sim.intervals(64);
    sim.link = 4000 * MB;
    sim.intervals(120); // 30 s
    sim.intervals(100);
    CHECK(sim.carried >= 0.85 * sim.best);
    sim.link = 200 * MB;
    sim.intervals(160);
    CHECK(quantile(sim.intervals(100), 0.9) <= 8);
}

TEST_CASE("connections: requests that are longer than an interval, counted at their end")
{
    connection_control control;
    std::mt19937_64 random(23);
    std::uniform_real_distribution<double> scatter(0.8, 1.2);
    // 64 MiB each at 100 MB/s per connection: 0.67 s, on a link of 1 GB/s.
    constexpr double size = 67.1e6;
    std::vector<double> left; // bytes, of each connection's request
    std::vector<std::size_t> limits;
    time_point now = start;
    for (int step = 0; step < 100'000; ++step, now += 5ms) {
        const std::size_t open = control.limit(now, 1000);
        while (left.size() < open)
            left.push_back(size * scatter(random));
        const double each = std::min(100 * MB, 1000 * MB / double(left.size())) * 0.005;
        for (std::size_t i = 0; i < left.size();) {
            left[i] -= each;
            if (left[i] > 0) {
                ++i;
                continue;
            }
            control.received(static_cast<std::uint64_t>(size));
            left[i] = size * scatter(random);
            if (left.size() > control.limit(now, 1000)) { // is given back and not replaced
                left[i] = left.back();
                left.pop_back();
            } else {
                ++i;
            }
        }
        limits.push_back(open);
    }
    limits.erase(limits.begin(), limits.begin() + 20'000);
    CHECK(quantile(limits, 0.1) >= 7);
    CHECK(quantile(limits, 0.9) <= 20);
}

TEST_CASE("connections: without demand nothing is concluded")
{
    simulation sim{100 * MB, 1000 * MB, 0, connection_control()};
    sim.wanted = 7;
    for (const std::size_t n : sim.intervals(200))
        CHECK(n == 8);
}

TEST_CASE("connections: idle ones are forgotten, half way for each 10 s")
{
    simulation sim{2 * MB, 1000 * MB, 0, connection_control()};
    sim.intervals(20);
    auto& control = sim.control;
    CHECK(control.limit() == 64);
    time_point now = sim.now;
    CHECK(control.limit(now + 9s, 1) == 64);
    CHECK(control.limit(now + 10s, 1) == 36);
    CHECK(control.limit(now + 19s, 1) == 36);
    CHECK(control.limit(now + 20s, 1) == 22);
    CHECK(control.limit(now + 1000s, 0) == 8);
    CHECK(control.limit(now + 1000s, 1000) == 8);

    simulation narrow{1000 * MB, 1000 * MB, 0, connection_control()};
    narrow.intervals(64);
    now = narrow.now;
    CHECK(narrow.control.limit() <= 3);
    CHECK(narrow.control.limit(now + 24h, 0) == 8);
}

TEST_CASE("connections: the store asks for less")
{
    simulation sim{2 * MB, 1000 * MB, 0, connection_control()};
    sim.intervals(20);
    auto& control = sim.control;
    CHECK(control.limit() == 64);
    control.throttled(sim.now);
    CHECK(control.limit() == 44);
    control.throttled(sim.now + 499ms); // the same wave
    CHECK(control.limit() == 44);
    control.throttled(sim.now + 500ms);
    CHECK(control.limit() == 30);
    for (int i = 1; i < 100; ++i)
        control.throttled(sim.now + i * 1s);
    CHECK(control.limit() == 2);

    sim.now += 100s;
    sim.intervals(300);
    CHECK(control.limit() >= 48);
}

TEST_CASE("connections: options at their limits")
{
    connection_control_options odd;
    odd.min = 0;
    odd.max = 0;
    odd.initial = 100;
    odd.interval = -1s;
    odd.idle = -1s;
    connection_control one(odd);
    CHECK(one.limit() == 1);
    one.throttled(start);
    CHECK(one.limit() == 1);
    time_point now = start;
    for (int i = 0; i < 1000; ++i, now += 10ms) {
        one.received(i % 7 ? ~std::uint64_t(0) : 0);
        CHECK(one.limit(now, static_cast<std::size_t>(i % 3)) == 1);
    }

    connection_control_options fixed;
    fixed.min = fixed.max = 16;
    simulation sim{100 * MB, 1000 * MB, 0.2, connection_control(fixed)};
    for (const std::size_t n : sim.intervals(100))
        CHECK(n == 16);
}

} // namespace connection_control_test
