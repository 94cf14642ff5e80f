// SPDX-License-Identifier: BSL-1.0
#include <objectcache/pipeline/wait_predictor.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using namespace std::chrono_literals;

TEST_CASE("without history it looks at once, spins briefly, then backs off by an eighth")
{
    wait_predictor p;
    CHECK(p.first_look() == duration::zero());
    CHECK(p.next_look(0us) == duration::zero());
    CHECK(p.next_look(40us) == duration::zero());
    CHECK(p.next_look(800us) == 100us);
    CHECK(p.next_look(80ms) == wait_predictor::longest_pause);
}

TEST_CASE("with regular layers it sleeps until shortly before the end")
{
    wait_predictor p;
    for (int i = 0; i < 64; ++i)
        p.observe(10ms);
    CHECK(p.first_look() > 9800us);
    CHECK(p.first_look() <= 10ms - wait_predictor::oversleep);
    CHECK(p.next_look(0us) == p.first_look());
    CHECK(p.next_look(10ms) == duration::zero()); // inside the spin
    CHECK(p.next_look(20ms) > 500us);             // far off the prediction: do not burn a core
}

TEST_CASE("scatter widens the margin, and a jump is followed")
{
    wait_predictor p;
    for (int i = 0; i < 200; ++i)
        p.observe(i % 2 ? 8ms : 12ms);
    CHECK(p.first_look() < 8500us);
    for (int i = 0; i < 100; ++i)
        p.observe(2ms);
    CHECK(p.first_look() < 2ms);
    CHECK(p.first_look() > 1500us);
}

TEST_CASE("a thread that wakes up late is woken earlier, and the foretold end stays inside the spin")
{
    wait_predictor p;
    for (int i = 0; i < 64; ++i)
        p.observe(20ms);
    const auto sleep = [&](duration late, int times) {
        for (int i = 0; i < times; ++i) {
            const duration planned = p.first_look();
            p.woke(late);
            CHECK(p.first_look() == planned); // not while it is waited for
            p.observe(20ms);
        }
    };
    sleep(300us, 8);
    CHECK(p.first_look() < 20ms - 290us);
    CHECK(p.first_look() > 20ms - 400us);
    CHECK(p.next_look(20ms) == duration::zero());
    sleep(1us, 100);
    CHECK(p.first_look() > 20ms - 80us); // forgotten again
    sleep(1s, 1);
    CHECK(p.first_look() > 20ms - 2 * wait_predictor::longest_oversleep);
}

TEST_CASE("very short work never sleeps")
{
    wait_predictor p;
    for (int i = 0; i < 50; ++i)
        p.observe(5us);
    CHECK(p.first_look() == duration::zero());
}
