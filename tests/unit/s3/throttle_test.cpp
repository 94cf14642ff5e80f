// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/throttle.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <queue>
#include <random>
#include <utility>
#include <vector>

namespace throttle_test {

using namespace objectcache;
using namespace objectcache::s3;
using namespace std::chrono_literals;

const time_point start{1h};

/** A store that accepts `rate` requests per second (with a burst of `burst_seconds` of them), whoever sends them, and
    clients that always have `concurrency` requests in line or under way. Everything happens in simulated time. */
struct simulation {
    struct client {
        throttle pace;
        int waiting = 0; // requests in line
        bool armed = false;
        std::uint64_t accepted = 0, refused = 0;
    };
    struct event {
        time_point at;
        std::size_t who;
        time_point sent;
        enum { send, answer_accepted, answer_refused } what;
        bool operator<(const event& other) const { return at > other.at; }
    };

    simulation(std::size_t count, int concurrency, double accept)
        : clients(count)
        , rate(accept)
        , tokens(accept * burst_seconds)
    {
        for (std::size_t i = 0; i < count; ++i) {
            clients[i].waiting = concurrency;
            arm(i);
        }
    }

    /** Only the first in line waits. */
    void arm(std::size_t who)
    {
        client& c = clients[who];
        if (c.waiting > 0 && !std::exchange(c.armed, true))
            events.push({c.pace.earliest(now), who, {}, event::send});
    }

    void run(duration length)
    {
        const time_point end = now + length;
        while (!events.empty() && events.top().at < end) {
            const event e = events.top();
            events.pop();
            now = e.at;
            step(e);
        }
        now = end;
    }

    void step(const event& e)
    {
        client& c = clients[e.who];
        if (e.what == event::answer_accepted) {
            --in_flight;
            c.pace.accepted(now);
            ++c.accepted, ++c.waiting;
        } else if (e.what == event::answer_refused) {
            c.pace.refused(e.sent, now);
            ++c.refused, ++c.waiting;
        } else {
            c.armed = false;
            if (c.pace.earliest(now) <= now) {
                c.pace.sent(now);
                --c.waiting;
                const auto what = admits() ? event::answer_accepted : event::answer_refused;
                std::uniform_real_distribution<double> spread(0.5, 1.5);
                const auto took = std::chrono::round<duration>(spread(random) * latency);
                events.push({now + took, e.who, now, what});
            }
        }
        arm(e.who);
    }

    bool admits()
    {
        if (in_flight >= most_in_flight)
            return false;
        const double gone = std::chrono::duration<double>(now - filled_at).count();
        tokens = std::min(tokens + gone * rate, std::max(1.0, rate * burst_seconds));
        filled_at = now;
        if (tokens < 1)
            return false;
        --tokens;
        ++in_flight;
        return true;
    }

    struct outcome {
        double goodput, refused_share, least, most; // least, most: share of a client, in equal shares
    };
    outcome measure(duration length)
    {
        for (client& c : clients)
            c.accepted = c.refused = 0;
        run(length);
        std::uint64_t accepted = 0, refused = 0, least = ~std::uint64_t(0), most = 0;
        for (const client& c : clients) {
            accepted += c.accepted;
            refused += c.refused;
            least = std::min(least, c.accepted);
            most = std::max(most, c.accepted);
        }
        const double equal = double(accepted) / double(clients.size());
        return {double(accepted) / std::chrono::duration<double>(length).count() / rate,
                double(refused) / double(refused + accepted), double(least) / equal, double(most) / equal};
    }

    std::vector<client> clients;
    double rate;
    double burst_seconds = 0.1;
    std::chrono::duration<double> latency = 20ms;
    int most_in_flight = 1 << 30, in_flight = 0; // of those it accepted
    double tokens;
    time_point now = start, filled_at = start;
    std::priority_queue<event> events;
    std::mt19937_64 random{3};
};

TEST_CASE("throttle: what a store allows is used, whatever it is, however many share it, and as it changes")
{
    struct row {
        std::size_t clients;
        double rate;
    };
    for (const row r : {row{1, 5}, {1, 50}, {1, 500}, {1, 1500}, {4, 50}, {4, 500}, {16, 500}}) {
        CAPTURE(r.clients);
        CAPTURE(r.rate);
        simulation sim(r.clients, 256, r.rate);
        sim.run(10s);
        const auto steady = sim.measure(30s);
        CHECK(steady.goodput >= 0.9);
        CHECK(steady.refused_share < 0.1);
        CHECK(steady.least >= 0.4); // of an equal share: nobody starves
        CHECK(steady.most <= 2.2);

        sim.rate *= 4;
        sim.run(20s);
        const auto more = sim.measure(20s);
        CHECK(more.goodput >= 0.9);
        CHECK(more.refused_share < 0.1);

        sim.rate /= 4;
        sim.run(10s);
        const auto less = sim.measure(20s);
        CHECK(less.goodput >= 0.9);
        CHECK(less.refused_share < 0.1);
    }
}

TEST_CASE("throttle: a store that limits the requests in flight")
{
    simulation sim(2, 32, 1e9);
    sim.most_in_flight = 4;
    sim.run(10s);
    const auto steady = sim.measure(30s);
    const double possible = 4 / sim.latency.count();
    CHECK(steady.goodput * sim.rate > 0.5 * possible); // arrivals are even, answers are not
    CHECK(steady.refused_share < 0.1);
}

TEST_CASE("throttle: no limit before the first refusal")
{
    throttle t;
    for (int i = 0; i < 1000; ++i) {
        CHECK(t.earliest(start) == start);
        t.sent(start);
        t.accepted(start);
    }
    CHECK(!t.limited(start));
    CHECK(std::isinf(t.rate(start)));
}

/** Sends and accepts `rate` requests/s for 5 s, and refuses the next. */
time_point throttled_at(throttle& t, int rate)
{
    for (int i = 0; i < 5 * rate; ++i) {
        t.sent(start + i * (1'000'000'000ns / rate));
        t.accepted(start + i * (1'000'000'000ns / rate));
    }
    const time_point at = start + 5s;
    t.sent(at);
    t.refused(at, at);
    return at;
}

TEST_CASE("throttle: the first refusal limits to what was accepted, and the way back is a cubic")
{
    throttle t;
    const time_point at = throttled_at(t, 1000);
    CHECK(t.limited(at));
    CHECK(t.rate(at) == doctest::Approx(850).epsilon(0.01));
    CHECK(t.rate(at + 2500ms) == doctest::Approx(1000 - 150 / 8.0).epsilon(0.01));
    CHECK(t.rate(at + 5s) == doctest::Approx(1000).epsilon(0.01));
    CHECK(t.rate(at + 10s) == doctest::Approx(1150).epsilon(0.01));
    CHECK(t.rate(at + 20s) == doctest::Approx(1000 + 27 * 150).epsilon(0.01));

    CHECK(double((t.earliest(at) - at).count()) == doctest::Approx(1e9 / 850).epsilon(0.01));
}

TEST_CASE("throttle: one wave of refusals is one cut, a second one soon after goes to what is accepted")
{
    throttle t;
    const time_point at = throttled_at(t, 1000);
    for (int i = 0; i < 50; ++i)
        t.refused(at - 1ms, at + i * 1ms); // on their way at the time of the cut
    CHECK(t.rate(at) == doctest::Approx(850).epsilon(0.01));

    t.refused(at + 1ms, at + 500ms); // nothing accepted since: 1000 / e requests/s, but not below half
    CHECK(t.rate(at + 500ms) == doctest::Approx(890 / 2.0).epsilon(0.01));
    const double before = t.rate(at + 4s);
    t.refused(at + 4s, at + 4s); // long after: the usual cut
    CHECK(t.rate(at + 4s) == doctest::Approx(0.85 * before));
}

TEST_CASE("throttle: never slower than the least rate, and forgotten after a minute of peace")
{
    throttle t;
    time_point now = start;
    for (int i = 0; i < 200; ++i, now += 10ms) {
        t.sent(now);
        t.refused(now, now);
    }
    CHECK(t.rate(now) >= 0.5);
    CHECK(t.rate(now) == doctest::Approx(0.5).epsilon(0.1));
    CHECK(t.earliest(now) - now <= 2s);

    CHECK(t.limited(now + 59s));
    CHECK(!t.limited(now + 60s));
    CHECK(t.earliest(now + 60s) == now + 60s);
    // What comes then is a beginning.
    t.sent(now + 60s);
    t.refused(now + 60s, now + 60s);
    CHECK(t.limited(now + 60s));
}

TEST_CASE("throttle: a refusal out of nothing")
{
    throttle t;
    t.refused(start, start);
    CHECK(t.limited(start));
    CHECK(t.rate(start) == 0.5);
    CHECK(t.earliest(start) == start); // nothing was sent yet that one could be too close to

    throttle_options odd;
    odd.cut = 7;
    odd.min_rate = -1;
    odd.plateau = -1s;
    throttle u(odd);
    u.sent(start);
    u.refused(start, start);
    CHECK(u.rate(start) > 0);
    CHECK(u.earliest(start) > start);
}

} // namespace throttle_test
