// SPDX-License-Identifier: BSL-1.0
#include <objectcache/pipeline/wait_predictor.hpp>

#include <doctest/doctest.h>

#include <utility>

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
    CHECK(p.first_look() == 9500us - wait_predictor::oversleep); // a twentieth
    CHECK(p.next_look(0us) == wait_predictor::trusting_pause);
    CHECK(p.next_look(8ms) == std::min(duration(2ms), p.first_look() - 8ms));
    p.observe(8ms); // not so regular after all
    CHECK(p.next_look(0us) == wait_predictor::shortest_pause);
    CHECK(p.next_look(4ms) == 1ms);
    for (int i = 0; i < 64; ++i)
        p.observe(10ms);
    CHECK(p.next_look(9ms) == p.first_look() - 9ms);
    CHECK(p.next_look(10ms) == duration::zero()); // inside the spin
    CHECK(p.next_look(20ms) > 500us);             // far off the prediction: do not burn a core
}

/** When an event that takes `took` is seen, and how many looks that costs, apart from those without pause. */
std::pair<duration, int> see(wait_predictor& p, duration took)
{
    int looks = 0;
    for (duration elapsed{};;) {
        if (elapsed >= took) {
            p.observe(elapsed);
            return {elapsed, looks};
        }
        const duration pause = p.next_look(elapsed);
        looks += pause > duration::zero() ? 1 : 0;
        elapsed += std::max(pause, duration(3us));
    }
}

TEST_CASE("events that became much shorter are seen soon, and learnt from")
{
    wait_predictor p;
    for (int i = 0; i < 64; ++i)
        see(p, 500ms);
    duration lost{};
    for (int i = 0; i < 32; ++i)
        lost += see(p, 5ms).first - 5ms;
    CHECK(lost < 32 * 1300us);
    for (int i = 0; i < 64; ++i)
        see(p, 5ms);
    CHECK(see(p, 5ms).first < 5100us);
    see(p, 10s); // a module was loaded
    CHECK(see(p, 30ms).first < 38ms);
}

TEST_CASE("looking now and then is cheap")
{
    wait_predictor p;
    for (int i = 0; i < 64; ++i)
        see(p, 20ms);
    CHECK(see(p, 20ms).second < 30);
    CHECK(see(p, 20ms).first < 20100us);
    for (const duration took :
         {duration(500us), duration(1ms), duration(3ms), duration(10ms), duration(100ms)}) {
        wait_predictor regular;
        for (int i = 0; i < 64; ++i)
            see(regular, took);
        CAPTURE(took.count());
        CHECK(see(regular, took).second <= (took < 10ms ? 3 : took < 20ms ? 6 : 25));
    }
}

TEST_CASE("what was spun through because a thread once woke up late is slept through again")
{
    wait_predictor p;
    for (int i = 0; i < 64; ++i)
        p.observe(500us);
    for (int i = 0; i < 4; ++i) {
        p.woke(1ms);
        p.observe(500us);
    }
    CHECK(p.first_look() == duration::zero());
    for (int i = 0; i < 64; ++i)
        p.observe(500us); // it spun: nobody woke up
    CHECK(p.first_look() > 400us);
    for (int i = 0; i < 1000; ++i)
        p.observe(57us); // but this is shorter than waking up takes
    CHECK(p.first_look() == duration::zero());
}

TEST_CASE("scatter widens the margin, and a jump is followed")
{
    wait_predictor p;
    for (int i = 0; i < 200; ++i)
        p.observe(i % 2 ? 8ms : 12ms);
    CHECK(p.first_look() < 9ms);
    CHECK(p.first_look() > 8500us); // an eighth
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
    CHECK(p.first_look() < 19ms - 290us);
    CHECK(p.first_look() > 19ms - 400us);
    CHECK(p.next_look(20ms) == duration::zero());
    sleep(1us, 100);
    CHECK(p.first_look() > 19ms - 40us); // forgotten again
    sleep(1s, 1);
    CHECK(p.first_look() > 19ms - 2 * wait_predictor::longest_oversleep);
}

TEST_CASE("a long wait spins for milliseconds only, however much it scatters")
{
    for (const duration scatter : {duration(0), duration(100ms), duration(3s)}) {
        wait_predictor p;
        for (int i = 0; i < 200; ++i)
            p.observe(i % 2 ? 10s - scatter : 10s + scatter);
        duration spun{}, latest{};
        for (duration elapsed{}; elapsed < 15s;) {
            const duration pause = p.next_look(elapsed);
            if (pause == duration::zero())
                spun += 5us;
            if (elapsed >= p.first_look())
                latest = std::max(latest, pause);
            elapsed += std::max(pause, duration(5us));
        }
        CAPTURE(scatter.count());
        CHECK(spun < 6ms);
        CHECK(latest <= wait_predictor::longest_pause);
    }
}

TEST_CASE("very short work never sleeps")
{
    wait_predictor p;
    for (int i = 0; i < 50; ++i)
        p.observe(5us);
    CHECK(p.first_look() == duration::zero());
}
