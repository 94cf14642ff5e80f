// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/hedge.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

namespace hedge_test {

using namespace objectcache;
using namespace objectcache::s3;
using namespace std::chrono_literals;

constexpr std::uint64_t MiB = std::uint64_t(1) << 20;

duration seconds_of(double s)
{
    return std::chrono::round<duration>(std::chrono::duration<double>(s));
}

double exact_quantile(std::vector<double> in, double q)
{
    const auto at = in.begin() + static_cast<std::ptrdiff_t>(std::ceil(q * double(in.size()))) - 1;
    std::nth_element(in.begin(), at, in.end());
    return *at;
}

TEST_CASE("histogram: quantiles of the samples, a bucket too long at most")
{
    std::mt19937_64 random(1);
    for (const double scale : {1e-4, 1e-2, 1.0}) {
        duration_histogram h;
        std::lognormal_distribution<double> draw(std::log(scale), 1);
        std::vector<double> samples;
        for (std::uint32_t i = 0; i < duration_histogram::memory - 1; ++i) {
            samples.push_back(draw(random));
            h.add(seconds_of(samples.back()));
        }
        CHECK(h.count() == samples.size());
        for (const double q : {0.01, 0.5, 0.9, 0.95, 0.99, 1.0}) {
            const double exact = exact_quantile(samples, q);
            const double got = std::chrono::duration<double>(h.quantile(q)).count();
            CHECK(got >= exact * 0.999999);
            CHECK(got <= std::max(exact * 1.1251, 1.9e-5));
        }
    }
}

TEST_CASE("histogram: the edges")
{
    duration_histogram h;
    CHECK(h.quantile(0.5) == 0ns);
    for (const duration odd : {duration(0ns), duration(-1s), duration::min(), duration(1ns)}) {
        duration_histogram low;
        low.add(odd);
        CHECK(low.quantile(1) == 18432ns); // the end of the first bucket
    }
    for (const duration odd : {duration(275s), duration(24h), duration::max()}) {
        duration_histogram high;
        high.add(odd);
        CHECK(high.quantile(0.01) == duration(std::int64_t(1) << 38));
    }
    h.add(20ms);
    CHECK(h.quantile(0.01) == h.quantile(1));
}

TEST_CASE("histogram: forgets, and keeps the tail while it does")
{
    duration_histogram h;
    for (int i = 0; i < 100'000; ++i) {
        h.add(i % 50 == 0 ? 1s : 10ms);
        REQUIRE(h.count() < duration_histogram::memory);
    }
    CHECK(h.quantile(0.975) < 12ms);
    CHECK(h.quantile(0.985) > 900ms);

    for (int i = 0; i < 1024; ++i)
        h.add(100ms);
    CHECK(h.quantile(0.5) >= 100ms);
    CHECK(h.quantile(0.5) < 113ms);
    for (int i = 0; i < 10'000; ++i)
        h.add(1ms);
    CHECK(h.quantile(0.99) < 1200us);
}

TEST_CASE("hedge: nothing is late before enough is known of its size, and too large reads never are")
{
    hedge_policy h;
    for (int i = 0; i < 63; ++i)
        h.completed(MiB, 20ms);
    CHECK(!h.delay(MiB));
    h.completed(MiB / 2 + 1, 20ms); // the same class
    CHECK(h.delay(MiB));
    CHECK(*h.delay(MiB) >= 20ms);
    CHECK(*h.delay(MiB) <= 22500us);
    CHECK(!h.delay(MiB / 2));
    CHECK(!h.delay(MiB + 1));

    for (int i = 0; i < 100; ++i) {
        h.completed(0, 10us);
        h.completed(~std::uint64_t(0), 10us);
        h.completed(16 * MiB + 1, 10us);
        h.completed(16 * MiB, 10us);
    }
    CHECK(h.delay(0) == duration(1ms)); // never sooner
    CHECK(h.delay(4096) == duration(1ms));
    CHECK(h.delay(16 * MiB));
    CHECK(!h.delay(16 * MiB + 1));
    CHECK(!h.delay(~std::uint64_t(0)));
}

TEST_CASE("hedge: the budget")
{
    hedge_policy h;
    CHECK(!h.take(true)); // it has to be earned
    for (int i = 0; i < 21; ++i)
        h.completed(MiB, 1ms);
    CHECK(!h.take(false)); // not while the store is in trouble; costs nothing
    CHECK(h.take(true));
    CHECK(!h.take(true));
    for (int i = 0; i < 10'000; ++i)
        h.completed(MiB, 1ms);
    int saved = 0;
    while (h.take(true))
        ++saved;
    CHECK(saved == 16);
    CHECK(h.stats().hedges == 17);
    CHECK(h.stats().denied == 4);
    CHECK(h.stats().requests == 10'021);
}

/** Operations of one size on a store of given latency. */
struct tail {
    double p50 = 0, p995 = 0, p999 = 0, extra = 0;
};
tail operate(hedge_policy* h, int operations, const std::function<double(std::mt19937_64&)>& latency)
{
    std::mt19937_64 random(11);
    std::vector<double> took;
    int hedges = 0;
    for (int i = 0; i < operations; ++i) {
        const double first = latency(random);
        double done = first;
        if (h) {
            const auto late = h->delay(MiB);
            const double after = late ? std::chrono::duration<double>(*late).count() : first;
            if (first > after && h->take(true)) {
                ++hedges;
                done = std::min(first, after + latency(random));
            }
            h->completed(MiB, seconds_of(done), done < first);
        }
        took.push_back(done);
    }
    return {exact_quantile(took, 0.5), exact_quantile(took, 0.995), exact_quantile(took, 0.999),
            double(hedges) / operations};
}

/** Log-normal around 10 ms; `share` of the requests take 50 times as long. */
double with_stragglers(double share, std::mt19937_64& random)
{
    std::lognormal_distribution<double> usual(std::log(0.010), 0.25);
    return usual(random) * (std::bernoulli_distribution(share)(random) ? 50 : 1);
}

TEST_CASE("hedge: the tail of a store with stragglers, for 5 % more requests")
{
    for (const double share : {0.01, 0.02}) {
        const auto latency = [share](std::mt19937_64& random) { return with_stragglers(share, random); };
        const tail plain = operate(nullptr, 100'000, latency);
        hedge_policy h;
        const tail hedged = operate(&h, 100'000, latency);
        CHECK(hedged.p995 * 3 <= plain.p995); // of 1 % stragglers p99 is the edge itself
        CHECK(hedged.p999 * 3 <= plain.p999);
        CHECK(hedged.extra <= 0.05);
        CHECK(hedged.p50 == doctest::Approx(plain.p50).epsilon(0.02));
        CHECK(h.stats().won > h.stats().hedges / 10);
    }
}

TEST_CASE("hedge: what is late stays what exceeds the quantile, though hedged requests are cut short")
{
    const auto latency = [](std::mt19937_64& random) { return with_stragglers(0.01, random); };
    hedge_policy h;
    static_cast<void>(operate(&h, 200'000, latency));
    std::mt19937_64 random(12);
    std::vector<double> samples;
    for (int i = 0; i < 100'000; ++i)
        samples.push_back(latency(random));
    const double late = std::chrono::duration<double>(*h.delay(MiB)).count();
    const double exact = exact_quantile(samples, 0.95);
    CHECK(late >= exact * 0.9);
    CHECK(late <= exact * 1.25);
}

TEST_CASE(
    "hedge: a store that has become slower is not asked twice for everything, and then is known to be slower")
{
    hedge_policy h;
    int operations = 0;
    const auto latency = [&operations](std::mt19937_64& random) {
        return with_stragglers(0.01, random) * (operations++ < 20'000 ? 1 : 10);
    };
    const tail all = operate(&h, 40'000, latency);
    CHECK(all.extra <= 0.05);
    const double late = std::chrono::duration<double>(*h.delay(MiB)).count();
    CHECK(late > 0.12);
    CHECK(late < 0.2);
}

} // namespace hedge_test
