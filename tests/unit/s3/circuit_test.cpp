// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/circuit.hpp>

#include <doctest/doctest.h>

#include <random>
#include <set>

namespace circuit_test {

using namespace objectcache;
using namespace objectcache::s3;
using namespace std::chrono_literals;
using state = circuit::state;

const time_point start{1h};

/** One request that ends at once. */
void request(circuit& c, verdict how, time_point now)
{
    const auto pass = c.admit(now);
    REQUIRE(pass.admitted());
    c.report(pass, how, now);
}

void fail(circuit& c, unsigned times, time_point now)
{
    for (unsigned i = 0; i < times; ++i)
        request(c, verdict::failed, now);
}

TEST_CASE("circuit: what speaks against an endpoint, and what does not")
{
    using v = verdict;
    struct row {
        status outcome;
        v says;
    };
    const row rows[] = {
        {status(), v::alive},
        {errc::not_found, v::alive},
        {errc::already_exists, v::alive},
        {errc::access_denied, v::alive},
        {errc::throttled, v::alive},
        {errc::unexpected_status, v::alive},
        {errc::length_mismatch, v::alive},
        {errc::checksum_mismatch, v::alive},
        {errc::wrong_chunk, v::alive},
        {errc::server_error, v::failed},
        {errc::unreachable, v::failed},
        {errc::connection_lost, v::failed},
        {errc::tls_failed, v::failed},
        {errc::malformed_response, v::failed},
        {errc::deadline_exceeded, v::failed},
        {make_error_code(std::errc::connection_refused), v::failed},
        {make_error_code(std::errc::connection_reset), v::failed},
        {make_error_code(std::errc::timed_out), v::failed},
        {errc::cancelled, v::unknown},
        {errc::shut_down, v::unknown},
        {errc::no_credentials, v::unknown},
        {errc::invalid_argument, v::unknown},
        {errc::exhausted, v::unknown},
        {make_error_code(std::errc::too_many_files_open), v::unknown},
    };
    for (const row& r : rows) {
        CAPTURE(r.outcome.message());
        CHECK(verdict_on_endpoint(r.outcome) == r.says);
    }
}

TEST_CASE("circuit: opens after so many failures in a row, and not if there was a sign of life between")
{
    circuit c;
    fail(c, 4, start);
    request(c, verdict::alive, start);
    fail(c, 4, start);
    request(c, verdict::unknown, start); // says nothing, and so does not help either
    CHECK(c.current() == state::closed);
    fail(c, 1, start);
    CHECK(c.current() == state::open);
    CHECK(c.openings() == 1);

    const auto refused = c.admit(start);
    CHECK(!refused.admitted());
    CHECK(refused.until() >= start + 500ms);
    CHECK(refused.until() <= start + 1s);
    CHECK(!c.admit(refused.until() - 1ns).admitted());
}

TEST_CASE("circuit: opens when half of a window fails")
{
    circuit c;
    time_point now = start;
    for (int i = 0; i < 10; ++i, now += 100ms) {
        CHECK(c.current() == state::closed);
        request(c, verdict::alive, now);
        request(c, verdict::failed, now);
    }
    CHECK(c.current() == state::open);
}

TEST_CASE("circuit: failures of the distant past do not count")
{
    circuit c;
    time_point now = start;
    for (int i = 0; i < 1000; ++i, now += 2s) { // 5 in a window: too few to judge by
        request(c, verdict::failed, now);
        request(c, i % 2 ? verdict::alive : verdict::failed, now);
        CHECK(c.current() == state::closed);
    }
    for (int i = 0; i < 100; ++i)
        request(c, verdict::alive, now);
    now += 20s;
    for (int i = 0; i < 18; ++i)
        request(c, i % 3 ? verdict::failed : verdict::alive, now);
    CHECK(c.current() == state::closed);
    request(c, verdict::alive, now);
    request(c, verdict::failed, now);
    CHECK(c.current() == state::open); // the 100 are forgotten
}

TEST_CASE("circuit: one probe closes it")
{
    circuit c;
    fail(c, 5, start);
    const time_point now = c.admit(start).until();
    const auto probe = c.admit(now);
    CHECK(probe.admitted());
    CHECK(probe.probe());
    CHECK(c.current() == state::half_open);
    const auto other = c.admit(now);
    CHECK(!other.admitted());
    CHECK(other.until() == now + 1s);

    c.report(probe, verdict::alive, now + 10ms);
    CHECK(c.current() == state::closed);
    const auto pass = c.admit(now + 10ms);
    CHECK(pass.admitted());
    CHECK(!pass.probe());
    fail(c, 4, now + 10ms); // counted from zero
    CHECK(c.current() == state::closed);
}

TEST_CASE(
    "circuit: the cool-down doubles up to its cap while probes fail, and begins anew after a healthy time")
{
    circuit c;
    fail(c, 5, start);
    time_point now = start;
    for (const duration cooldown : {1s, 2s, 4s, 8s, 16s, 30s, 30s, 30s}) {
        const auto refused = c.admit(now);
        CHECK(!refused.admitted());
        CHECK(refused.until() - now >= cooldown / 2);
        CHECK(refused.until() - now <= cooldown);
        now = refused.until();
        const auto probe = c.admit(now);
        CHECK(probe.probe());
        c.report(probe, verdict::failed, now);
    }
    now = c.admit(now).until();
    request(c, verdict::alive, now);
    CHECK(c.current() == state::closed);

    SUBCASE("an endpoint that flaps")
    {
        now += 9s;
        fail(c, 5, now);
        CHECK(c.admit(now).until() - now >= 15s);
    }
    SUBCASE("an endpoint that was well")
    {
        now += 10s;
        fail(c, 5, now);
        CHECK(c.admit(now).until() - now <= 1s);
    }
}

TEST_CASE("circuit: a probe that says nothing is followed by another")
{
    circuit c;
    fail(c, 5, start);
    time_point now = c.admit(start).until();
    const auto cancelled = c.admit(now);
    c.report(cancelled, verdict::unknown, now);
    const auto second = c.admit(now);
    CHECK(second.probe());

    // The second is never heard of: there is a third after a cool-down, and then only that one counts.
    now += 1s;
    const auto third = c.admit(now);
    CHECK(third.probe());
    c.report(second, verdict::failed, now);
    CHECK(c.current() == state::half_open);
    c.report(third, verdict::alive, now);
    CHECK(c.current() == state::closed);
}

TEST_CASE("circuit: what began before it opened says nothing about it now")
{
    circuit c;
    const auto early = c.admit(start);
    fail(c, 5, start);
    c.report(early, verdict::alive, start);
    CHECK(c.current() == state::open);
    const time_point now = c.admit(start).until();
    const auto probe = c.admit(now);
    c.report(early, verdict::failed, now);
    CHECK(c.current() == state::half_open);
    c.report(probe, verdict::alive, now);
    c.report(probe, verdict::failed, now); // twice: ignored
    c.report(c.admit(now), verdict::alive, now);
    CHECK(c.current() == state::closed);
}

TEST_CASE("circuit: clients do not probe in step")
{
    std::set<time_point> probes;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        circuit c({}, seed);
        fail(c, 5, start);
        probes.insert(c.admit(start).until());
    }
    CHECK(probes.size() > 80);
    CHECK(*probes.rbegin() - *probes.begin() > 400ms);
}

TEST_CASE("circuit: options at their limits")
{
    circuit_options odd;
    odd.consecutive_failures = 0;
    odd.min_requests = 0;
    odd.window = 0s;
    odd.cooldown = -1s;
    odd.max_cooldown = -1s;
    circuit c(odd);
    request(c, verdict::alive, start);
    CHECK(c.current() == state::closed);
    request(c, verdict::failed, start);
    CHECK(c.current() == state::open);
    CHECK(c.admit(start + 1ms).probe());

    odd.cooldown = odd.max_cooldown = duration::max() / 4;
    circuit patient(odd);
    request(patient, verdict::failed, start);
    CHECK(!patient.admit(start + 24h).admitted());
}

TEST_CASE("circuit: an outage costs few requests, and ends within a cool-down of the endpoint's return")
{
    std::mt19937_64 random(5);
    circuit c;
    const time_point down = start + 10s, up = start + 100s;
    int lost = 0, refused_when_up = 0;
    time_point healed = time_point::max();
    for (time_point now = start; now < start + 200s; now += 5ms) {
        const bool fails = (now >= down && now < up) || random() % 100 == 0; // 1 % also fails in good times
        const auto pass = c.admit(now);
        if (!pass.admitted()) {
            REQUIRE(pass.until() <= now + 30s);
            refused_when_up += now < down;
            continue;
        }
        lost += fails && now >= down && now < up;
        c.report(pass, fails ? verdict::failed : verdict::alive, now);
        if (now >= up && c.current() == state::closed)
            healed = std::min(healed, now);
    }
    CHECK(lost <= 5 + 9); // those that opened it, and a probe each time
    CHECK(refused_when_up == 0);
    CHECK(healed - up <= 30s);
    CHECK(c.current() == state::closed);
}

} // namespace circuit_test
