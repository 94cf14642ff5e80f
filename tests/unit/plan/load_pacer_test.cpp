// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/load_pacer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace load_pacer_test {

using namespace objectcache;
using seconds = std::chrono::duration<double>;

time_point at(double s)
{
    return time_point() + std::chrono::hours(1) + std::chrono::duration_cast<duration>(seconds(s));
}

/** A link that all requests under way share equally, each after its latency and none faster than its connection. */
struct link {
    double rate, latency;
    double connection = std::numeric_limits<double>::infinity();
    load_pacer pacer{{0, std::chrono::duration_cast<duration>(seconds(latency)), 0}};
    struct request {
        double sent = 0, left = 0;
        std::size_t layer = 0;
        double pause = 0; // seconds that it stands still for, hardly begun
        double bytes = 0;
        bool waits = false, over = false;
        double arrived = 0;
    };
    std::vector<request> requests;
    double step = 1e-4;
    double pause = 0; // of every fifth request
    std::size_t most_under_way = 0;
    double received = 0;

    [[nodiscard]] std::uint64_t got() const { return static_cast<std::uint64_t>(received); }

    /** Layers of `each` requests of `bytes`, no more than 64 requests at once, when the pacer says so.

        @param parts that each request of the first layer is split into */
    void run(std::size_t layers, std::size_t each, double bytes, std::size_t parts = 1)
    {
        std::size_t under_way = 0;
        std::vector<request> planned;
        for (std::size_t layer = 0; layer < layers; ++layer) {
            const std::size_t n = layer == 0 ? parts : 1;
            planned.resize(planned.size() + n * each,
                           {.left = bytes / static_cast<double>(n), .layer = layer});
        }
        const std::size_t count = planned.size();
        for (double now = 0; now < 1000; now += step) {
            for (std::size_t i = requests.size(); i < count && under_way < 64; ++i) {
                const auto size = static_cast<std::uint64_t>(planned[i].left);
                const bool together = i != 0 && planned[i].layer == planned[i - 1].layer;
                if (!(together && pacer.known().bytes_per_second <= 0) &&
                    pacer.next(size, got(), at(now)) > at(now))
                    break;
                CHECK(pacer.sent(size, planned[i].layer == 0, got(), at(now)) == i);
                requests.push_back(planned[i]);
                requests.back().sent = now;
                requests.back().bytes = planned[i].left;
                requests.back().pause = i % 5 == 4 ? pause : 0;
                most_under_way = std::max(most_under_way, ++under_way);
            }
            double busy = 0;
            for (request& r : requests) {
                r.waits = !r.over && now < r.sent + latency;
                if (!r.over && !r.waits && r.left < r.bytes && r.pause > 0) {
                    r.waits = true;
                    r.pause -= step;
                }
                busy += r.over || r.waits ? 0 : 1;
            }
            for (std::size_t i = 0; i < requests.size(); ++i) {
                request& r = requests[i];
                if (r.over || r.waits)
                    continue;
                const double piece = std::min(r.left, step * std::min(connection, rate / busy));
                r.left -= piece;
                received += piece;
                if (r.left <= 0) {
                    pacer.answered(i, 0, at(r.sent + latency));
                    r.over = true;
                    r.arrived = now;
                    --under_way;
                    pacer.arrived(i, true, requests.size() < count, got(), at(now));
                }
            }
            if (requests.size() == count && under_way == 0)
                return;
        }
        FAIL("not in time");
    }
    [[nodiscard]] double layer_ready(std::size_t layer) const
    {
        double last = 0;
        for (const request& r : requests)
            if (r.layer == layer)
                last = std::max(last, r.arrived);
        return last;
    }
    /** What part of the link was used from the first request to the last byte, but for the first latency. */
    [[nodiscard]] double used(double bytes) const
    {
        double last = 0;
        for (const request& r : requests)
            last = std::max(last, r.arrived);
        const double most = std::min(rate, 64 * connection);
        return static_cast<double>(requests.size()) * bytes / most / (last - latency);
    }
};

TEST_CASE("nothing is held back while nothing is under way, or a layer's requests before anything is known")
{
    load_pacer pacer;
    CHECK(pacer.next(1000, 0, at(0)) == time_point::min());
    const auto first = pacer.sent(1000, false, 0, at(0));
    CHECK(pacer.next(1000, 0, at(0)) == time_point::max());
    pacer.arrived(first, true, true, 1000, at(1));
    CHECK(pacer.next(1000, 1000, at(1)) == time_point::min());
    CHECK(pacer.known().bytes_per_second == doctest::Approx(1000));
    CHECK(pacer.known().of_one == doctest::Approx(1000));
}

TEST_CASE("the latency is not taken for transfer, a failure teaches nothing, and a store that takes no time "
          "is not paced")
{
    load_pacer pacer({0, std::chrono::milliseconds(500), 0});
    (void)pacer.sent(1000, false, 0, at(0));
    pacer.arrived(0, false, true, 0, at(7));
    CHECK(pacer.known().bytes_per_second == 0);
    (void)pacer.sent(1000, false, 0, at(10));
    pacer.arrived(1, true, true, 1000, at(11.5));
    CHECK(pacer.known().bytes_per_second == doctest::Approx(1000));
    CHECK(pacer.known().of_one == doctest::Approx(1000));

    load_pacer quick;
    for (std::size_t i = 0; i < 3; ++i) {
        (void)quick.sent(1000, false, 1000 * i, at(1));
        quick.arrived(i, true, true, 1000 * (i + 1), at(1));
    }
    (void)quick.sent(1000, false, 3000, at(1));
    CHECK(quick.next(1000, 3000, at(1)) <= at(1.001));
}

TEST_CASE("how long answers take to begin is learnt from them, and a slow one among them counts little")
{
    load_pacer pacer({1e9, std::chrono::milliseconds(5), 1e9});
    const auto answer = [&](double after) {
        pacer.answered(pacer.sent(1000, false, 0, at(0)), 1, at(after));
        return seconds(pacer.known().latency).count();
    };
    for (int i = 0; i < 20; ++i)
        (void)answer(0.001);
    CHECK(answer(0.001) == doctest::Approx(0.001));
    CHECK(answer(0.1) < 0.0011);
    for (int i = 0; i < 200; ++i)
        (void)answer(i % 2 == 0 ? 0.002 : 0.003); // the matches' questions were answered sooner
    CHECK(answer(0.002) == doctest::Approx(0.002).epsilon(0.15));
    for (int i = 0; i < 40; ++i)
        (void)answer(0.0005);
    CHECK(answer(0.0005) == doctest::Approx(0.0005).epsilon(0.1));
    CHECK(answer(0) == 0); // a store in memory
    CHECK(answer(0.001) == doctest::Approx(0.001));

    load_pacer cold({0, std::chrono::milliseconds(1), 0}); // what matches saw is another kind of answer
    cold.answered(cold.sent(1000, false, 0, at(0)), 1, at(0.01));
    CHECK(seconds(cold.known().latency).count() == doctest::Approx(0.01));
}

TEST_CASE("a store that answers sooner than it did is not taken for an endless link")
{
    load_pacer pacer({1e9, std::chrono::milliseconds(100), 1e9});
    std::uint64_t received = 0;
    for (int i = 0; i < 50; ++i) {
        const double sent = i;
        const std::size_t number = pacer.sent(1'000'000, false, received, at(sent));
        received += 1'000'000;
        if (i % 2 == 0) // not every tier tells when an answer began
            pacer.answered(number, 10'000, at(sent + 0.03));
        pacer.arrived(number, true, false, received, at(sent + 0.031));
        CHECK(pacer.known().of_one <= 2.1e9);
        CHECK(pacer.known().bytes_per_second <= 2.1e9);
    }
}

TEST_CASE("a link is found out in one load, however little its first request says of it")
{
    for (const double latency : {0.001, 0.01, 0.03}) {
        CAPTURE(latency);
        link cold{12.5e9, latency, 3e9};
        cold.pacer = load_pacer({0, std::chrono::milliseconds(1), 0});
        cold.step = 1e-5;
        cold.run(32, 2, 7.4e6);
        CAPTURE(cold.pacer.known().bytes_per_second);
        CHECK(cold.used(7.4e6) > 0.25);
        CHECK(cold.pacer.known().bytes_per_second > 6e9);
    }
}

TEST_CASE("a rate that was low because nothing more was to be sent is not believed")
{
    load_pacer pacer({1e6, std::chrono::milliseconds(1), 1e6});
    (void)pacer.sent(1000, false, 0, at(0));
    pacer.arrived(0, true, false, 1000, at(0.002));
    (void)pacer.sent(1000, false, 1000, at(1));
    pacer.arrived(1, true, false, 2000, at(1.0021)); // it took no longer than one alone
    CHECK(pacer.known().bytes_per_second == doctest::Approx(1e6));
}

TEST_CASE("a request that the client sends again takes back what it brought, and teaches nothing")
{
    constexpr double rate = 1e9;
    load_pacer pacer({rate, std::chrono::milliseconds(1), rate});
    std::uint64_t received = 0;
    double now = 0;
    const auto one_by_one = [&](std::uint64_t lost) {
        std::vector<std::size_t> sent;
        for (int i = 0; i < 8; ++i)
            sent.push_back(pacer.sent(1'000'000, false, received + lost, at(now)));
        now += 0.001; // the latency
        for (const std::size_t number : sent) {
            now += 0.001;
            received += 1'000'000;
            pacer.arrived(number, true, false, received, at(now));
        }
    };
    one_by_one(0);
    CHECK(pacer.known().bytes_per_second == doctest::Approx(rate).epsilon(0.01));
    one_by_one(14'000'000); // another one had brought so much, and was reset
    CHECK(pacer.known().bytes_per_second == doctest::Approx(rate).epsilon(0.01));
}

TEST_CASE("a link that became slow is found out also by a load that is never held back")
{
    load_pacer pacer({100e9, std::chrono::milliseconds(1), 100e9}); // it brings 1 GB/s now
    std::uint64_t received = 0;
    std::vector<std::size_t> sent;
    for (int i = 0; i < 16; ++i) {
        CHECK(pacer.next(1'000'000, 0, at(0)) < at(0.001));
        sent.push_back(pacer.sent(1'000'000, false, 0, at(0)));
    }
    for (const std::size_t number : sent) {
        received += 1'000'000;
        pacer.arrived(number, true, false, received, at(0.001 + static_cast<double>(received) / 1e9));
    }
    CHECK(pacer.known().bytes_per_second < 2e9);
}

TEST_CASE("a shared link is filled, and layers arrive one after the other")
{
    for (const double latency : {0.0005, 0.01, 0.05})
        for (const std::size_t each : {1U, 4U, 32U}) {
            CAPTURE(latency);
            CAPTURE(each);
            constexpr double bytes = 8e6, rate = 500e6; // 16 ms a request
            link cold{rate, latency};
            cold.run(8, each, bytes);
            link warm{rate, latency};
            warm.pacer = load_pacer(cold.pacer.known());
            warm.run(8, each, bytes);
            CAPTURE(cold.used(bytes));
            CHECK(warm.used(bytes) > (each == 1 ? 0.85 : 0.95));
            // The first layer is not much later than on a link of its own.
            const double alone = latency + static_cast<double>(each) * bytes / rate;
            CHECK(warm.layer_ready(0) < alone * (each == 32 ? 1.15 : 1.6) + latency);
            for (std::size_t i = 1; i < 8; ++i)
                CHECK(warm.layer_ready(i) > warm.layer_ready(i - 1));
        }
}

TEST_CASE("the link stays full although requests stand still for milliseconds")
{
    constexpr double latency = 0.001, bytes = 8.4e6;
    for (const double rate : {1.25e9, 3.125e9, 12.5e9}) {
        CAPTURE(rate);
        link cold{rate, latency, 5e9};
        cold.step = 2e-5;
        cold.pause = 0.004;
        cold.run(16, 28, bytes);
        link warm{rate, latency, 5e9, load_pacer(cold.pacer.known())};
        warm.step = 2e-5;
        warm.pause = 0.004;
        warm.run(16, 28, bytes);
        CHECK(warm.used(bytes) > 0.98);
        // What is under way for that does not travel beside the first layer: at most a request does.
        link calm{rate, latency, 5e9, load_pacer(cold.pacer.known())};
        calm.step = 2e-5;
        calm.run(16, 28, bytes);
        CHECK(calm.layer_ready(0) - latency - 28 * bytes / rate < std::max(0.003, bytes / rate));
    }
}

TEST_CASE("where each connection gets only so much, as many are used as bring more")
{
    for (const double latency : {0.001, 0.02}) {
        CAPTURE(latency);
        constexpr double bytes = 8e6;
        link cold{12.5e9, latency, 3e9};
        cold.step = 1e-5;
        cold.run(64, 2, bytes);
        link warm{12.5e9, latency, 3e9};
        warm.step = 1e-5;
        warm.pacer = load_pacer(cold.pacer.known());
        warm.run(64, 2, bytes);
        CAPTURE(cold.used(bytes));
        CHECK(warm.used(bytes) > 0.85);
    }
    link slow{100e9, 0.02, 90e6}; // an object store far away: 64 connections are 5.8 GB/s
    slow.run(128, 8, 8e6);
    CHECK(slow.most_under_way > 48);
    CHECK(slow.used(8e6) > 0.65);
}

TEST_CASE("the first layer comes hardly later than alone, however large, where it is split as is said")
{
    constexpr double rate = 12.5e9, latency = 0.001, bytes = 8.4e6;
    for (const double connection : {2.7e9, 4e9})
        for (const std::size_t each : {1U, 2U, 7U, 28U, 56U}) {
            CAPTURE(connection);
            CAPTURE(each);
            double later = 0; // the latest of the other layers
            const auto late = [&](bool split) {
                load_pacer::knowledge known{0, std::chrono::milliseconds(1)};
                double out = 0;
                for (int load = 0; load < 4; ++load) { // the later ones know the link
                    link l{rate, latency, connection, load_pacer(known)};
                    l.step = 1e-5;
                    const double layer = static_cast<double>(each) * bytes;
                    const auto most =
                        static_cast<double>(known.first_request_bytes(static_cast<std::uint64_t>(layer)));
                    l.run(12, each, bytes,
                          split && most < bytes ? static_cast<std::size_t>(std::ceil(bytes / most)) : 1);
                    known = l.pacer.known();
                    out = l.layer_ready(0) - latency - layer / rate;
                    later = 0;
                    for (std::size_t i = 1; i < 12; ++i)
                        later = std::max(later, l.layer_ready(i) - latency -
                                                    static_cast<double>(i + 1) * layer / rate);
                    if (load > 0)
                        CHECK(known.of_one < 1.1 * connection); // small requests make nobody believe in more
                }
                return out;
            };
            const double unsplit = late(false), alone = latency + bytes / connection;
            CHECK(late(true) < 0.002);
            CHECK(late(true) < unsplit / 3);
            // What is under way beside a layer is not much more than fills the link.
            CHECK(later < 2 * alone);
        }
}

TEST_CASE("the first layer is not split where one connection fills the link, or nothing is known")
{
    constexpr auto whole = std::numeric_limits<std::uint64_t>::max();
    using known = load_pacer::knowledge;
    constexpr auto ms = std::chrono::milliseconds(1);
    CHECK(known{}.first_request_bytes(100'000'000) == whole);
    CHECK(known{500e6, 10 * ms, 500e6}.first_request_bytes(100'000'000) == whole);
    // Over four connections; no longer on the way than the answer takes; and not too small to be worth it.
    CHECK(known{12e9, 10 * ms, 3e9}.first_request_bytes(8'000'000) == 2'000'000);
    CHECK(known{12e9, 2 * ms, 3e9}.first_request_bytes(100'000'000) == 6'000'000);
    CHECK(known{12e9, duration::zero(), 3e9}.first_request_bytes(100'000'000) == load_pacer::worth_a_request);
}

TEST_CASE("a link that became slower, or faster, is followed")
{
    link l{500e6, 0.01};
    l.run(8, 8, 8e6);
    for (const double rate : {100e6, 2000e6}) {
        CAPTURE(rate);
        link changed{rate, 0.01};
        changed.pacer = load_pacer(l.pacer.known());
        changed.run(16, 8, 8e6);
        CHECK(changed.used(8e6) > 0.85);
        CHECK(changed.pacer.known().bytes_per_second == doctest::Approx(rate).epsilon(0.3));
    }
}

} // namespace load_pacer_test
