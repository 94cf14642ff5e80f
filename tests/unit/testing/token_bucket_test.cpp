// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/token_bucket.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

namespace token_bucket_test {

using namespace objectcache;
using namespace std::chrono_literals;
using testing::token_bucket;

const time_point start = time_point(1000h);

TEST_CASE("an unlimited link lets everything pass now")
{
    token_bucket link;
    CHECK(link.reserve(std::uint64_t(16) << 30, start) == start);
    CHECK(link.reserve(0, start + 1s) == start + 1s);
}

TEST_CASE("bytes take size / rate on an idle link, one after the other")
{
    token_bucket link(1000);
    CHECK(link.reserve(500, start) == start + 500ms);
    CHECK(link.reserve(500, start) == start + 1s);
    CHECK(link.reserve(0, start + 1s) == start + 1s);
    CHECK(link.reserve(100, start + 10s) == start + 10s + 100ms); // idle time is not saved up
}

TEST_CASE("a burst passes at once, and again only after as much idle time as it takes")
{
    token_bucket link(1000, 200);
    CHECK(link.reserve(200, start) == start);
    CHECK(link.reserve(100, start) == start + 100ms);
    CHECK(link.reserve(100, start + 200ms) == start + 200ms); // half of the burst has come back
    CHECK(link.reserve(100, start + 200ms) == start + 300ms);
    CHECK(link.reserve(200, start + 1h) == start + 1h); // never more than the burst
    CHECK(link.reserve(1, start + 1h) == start + 1h + 1ms);
}

TEST_CASE("a backlogged sender that wakes up late loses nothing within the slack")
{
    token_bucket link(1000);
    time_point due = link.reserve(100, start);
    for (int i = 0; i != 50; ++i)
        due = link.reserve(100, due + 30ms, 50ms); // each time 30 ms late
    CHECK(due == start + 51 * 100ms + 0ms);
    CHECK(link.reserve(100, due + 80ms, 50ms) == due + 80ms + 50ms); // only the slack's part is made up for
}

TEST_CASE("no drift: any sizes at any rate add up to the exact time")
{
    std::mt19937_64 random(1);
    for (const std::uint64_t rate :
         {3ull, 7'777ull, 12'500'000ull, 1'250'000'001ull, 12'500'000'000ull, 999'999'999'989ull}) {
        token_bucket link(rate);
        std::uint64_t total = 0;
        time_point due = start;
        for (int i = 0; i != 100'000; ++i) {
            const std::uint64_t size = random() % std::min<std::uint64_t>(rate, 1 << 20) + 1;
            total += size;
            due = link.reserve(size, due);
        }
        const long double exact = static_cast<long double>(total) / static_cast<long double>(rate) * 1e9L;
        CAPTURE(rate);
        CHECK(std::abs(static_cast<long double>((due - start).count()) - exact) <= 2.0L);
    }
}

TEST_CASE("the largest reservation does not overflow")
{
    token_bucket link(std::uint64_t(1) << 34);
    CHECK(link.reserve(std::uint64_t(1) << 34, start) == start + 1s);
    token_bucket fast(std::uint64_t(1) << 40, ~std::uint64_t(0));
    CHECK(fast.reserve((std::uint64_t(1) << 34) - 1, start) == start);
}

TEST_CASE("flows that reserve piece by piece share equally, whenever they come and whatever they still have")
{
    constexpr std::uint64_t rate = 1'000'000;
    constexpr std::uint64_t piece = 1000;
    token_bucket link(rate);
    struct flow {
        time_point next; // when it asks again
        std::uint64_t sent = 0;
    };
    // The second comes 1 s after the first, the third 1 s later; each asks as soon as its last piece has
    // passed.
    std::vector<flow> flows{{start}, {start + 1s}, {start + 2s}};
    for (;;) {
        auto first = std::min_element(flows.begin(), flows.end(),
                                      [](const flow& a, const flow& b) { return a.next < b.next; });
        if (first->next >= start + 5s)
            break;
        first->next = link.reserve(piece, first->next);
        first->sent += piece;
    }
    const auto near = [](std::uint64_t sent, std::uint64_t expected) {
        return sent + 2 * piece >= expected && sent <= expected + 2 * piece;
    };
    CHECK(near(flows[0].sent, rate + rate / 2 + rate));
    CHECK(near(flows[1].sent, rate / 2 + rate));
    CHECK(near(flows[2].sent, rate));
}

TEST_CASE("a new rate is in force for what is reserved after it")
{
    token_bucket link(1000);
    CHECK(link.reserve(1000, start) == start + 1s);
    link.set_rate(10'000);
    CHECK(link.reserve(1000, start) == start + 1s + 100ms);
    link.set_rate(0);
    CHECK(link.reserve(1000, start) == start);
    link.set_rate(1000);
    CHECK(link.reserve(1000, start + 2s) == start + 3s);
}

} // namespace token_bucket_test
