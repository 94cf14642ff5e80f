// SPDX-License-Identifier: BSL-1.0
#include <objectcache/pipeline/event_scheduler.hpp>

#include <objectcache/device/host_device.hpp>
#include <objectcache/testing/gated_device.hpp>
#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>
#include <support/counting_device.hpp>

#include <deque>
#include <optional>
#include <vector>

using namespace objectcache;
using namespace std::chrono_literals;

namespace event_scheduler_test {

using support::counting_device;

struct fixture {
    counting_device device;
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    std::optional<event_scheduler<counting_device>> scheduler{std::in_place, io.get_executor(), device};

    static asio::awaitable<void> wait(fixture& f, counting_device::event e, std::optional<error_code>& out)
    {
        out = co_await f.scheduler->wait(std::move(e), event_kind::compute);
    }
    void start(const counting_device::event& e, std::optional<error_code>& out)
    {
        asio::co_spawn(io, wait(*this, e, out), asio::detached);
        turns(5);
    }
    /** Looks without pause are posted one behind the other, so running what is ready has no end. */
    void turns(int n)
    {
        for (int i = 0; i < n; ++i) {
            io.restart();
            io.poll_one();
        }
    }
    void pass(duration by)
    {
        time.advance(by);
        turns(5);
    }
    /** Teach it that events of this kind take `each`. */
    void learn(duration each, int times)
    {
        for (int i = 0; i < times; ++i) {
            const auto e = device.make_event();
            std::optional<error_code> out;
            start(e, out);
            for (duration t{}; t < each; t += 250us)
                pass(250us);
            device.reach(e);
            for (int j = 0; j < 20 && !out; ++j)
                pass(1ms);
            REQUIRE(out == error_code());
        }
    }
};

} // namespace event_scheduler_test

TEST_CASE_FIXTURE(event_scheduler_test::fixture,
                  "an event that is reached, and one that failed, need no wait")
{
    std::optional<error_code> none, reached, failed;
    start({}, none);
    CHECK(none == error_code());
    const auto a = device.make_event(), b = device.make_event();
    device.reach(a);
    device.fail(b);
    start(a, reached);
    start(b, failed);
    CHECK(reached == error_code());
    REQUIRE(failed);
    CHECK(*failed == condition::device);
    CHECK(scheduler->waiting() == 0);
    CHECK(time.pending() == 0);
}

TEST_CASE_FIXTURE(event_scheduler_test::fixture,
                  "it sleeps until shortly before the foretold end, then looks often")
{
    learn(10ms, 40);
    const duration first = scheduler->predictor(event_kind::compute).first_look();
    CHECK(first > 5ms);
    CHECK(scheduler->predictor(event_kind::load_copy).first_look() ==
          duration::zero()); // each kind on its own

    const auto e = device.make_event();
    std::optional<error_code> out;
    start(e, out);
    device.queries = 0;
    turns(20);
    CHECK(device.queries == 0); // asleep
    CHECK(time.pending() == 1);
    pass(first - 100us);
    CHECK(device.queries == 1); // once in between: it might have been shorter
    pass(100us);
    turns(20);
    CHECK(device.queries > 5); // awake, no pause
    device.reach(e);
    turns(5);
    CHECK(out == error_code());
    CHECK(time.pending() == 0);
}

TEST_CASE_FIXTURE(event_scheduler_test::fixture, "an event that is much shorter than foretold is seen soon")
{
    learn(10ms, 40);
    const auto e = device.make_event();
    std::optional<error_code> out;
    start(e, out);
    duration passed{};
    for (; passed < 1ms; passed += 50us)
        pass(50us);
    device.reach(e);
    for (; !out && passed < 10ms; passed += 50us)
        pass(50us);
    CHECK(out == error_code());
    CHECK(passed <= wait_predictor::trusting_pause);
}

TEST_CASE_FIXTURE(
    event_scheduler_test::fixture,
    "of events that were recorded at once, each is expected as long after the one before as it takes")
{
    constexpr std::size_t layers = 16;
    constexpr duration each = 10ms;
    duration latest{};
    for (int step = 0; step < 6; ++step) {
        std::vector<event_scheduler_test::counting_device::event> events;
        std::deque<std::optional<error_code>> outs(layers);
        for (std::size_t l = 0; l < layers; ++l) {
            events.push_back(device.make_event());
            start(events.back(), outs[l]);
        }
        latest = {};
        device.queries = 0;
        duration late{}; // what seeing one late leaves of the next one's time
        for (std::size_t l = 0; l < layers; ++l) {
            for (duration t = late; t < each; t += 100us)
                pass(100us);
            device.reach(events[l]);
            for (late = {}; !outs[l] && late < 5 * each; late += 100us)
                pass(100us);
            REQUIRE(outs[l] == error_code());
            latest = std::max(latest, late);
        }
    }
    CHECK(latest <= wait_predictor::longest_pause);
    CHECK(device.queries < 100 * layers * layers / 4); // of so many turns: it slept most of the time
}

TEST_CASE_FIXTURE(event_scheduler_test::fixture,
                  "many events share one timer and one look, and end each in its own time")
{
    learn(10ms, 40);
    constexpr std::size_t n = 50;
    std::vector<event_scheduler_test::counting_device::event> events;
    std::deque<std::optional<error_code>> outs(n);
    for (std::size_t i = 0; i < n; ++i) {
        events.push_back(device.make_event());
        start(events.back(), outs[i]);
    }
    CHECK(scheduler->waiting() == n);
    CHECK(time.pending() == 1);
    for (std::size_t i = n; i-- > 0;) { // in any order
        device.reach(events[i]);
        for (int j = 0; j < 20 && !outs[i]; ++j)
            pass(1ms);
        CHECK(outs[i] == error_code());
        CHECK(scheduler->waiting() == i);
    }
    CHECK(time.pending() == 0);
}

TEST_CASE_FIXTURE(event_scheduler_test::fixture,
                  "a device that fails ends the waits for its events, with the reason")
{
    const auto e = device.make_event(), other = device.make_event();
    std::optional<error_code> out, untouched;
    start(e, out);
    start(other, untouched);
    CHECK_FALSE(out);
    device.fail(e);
    turns(10);
    REQUIRE(out);
    CHECK(*out == condition::device);
    CHECK_FALSE(untouched);
    CHECK(scheduler->waiting() == 1);
    CHECK(scheduler->predictor(event_kind::compute).first_look() ==
          duration::zero()); // nothing learnt from it
}

TEST_CASE_FIXTURE(
    event_scheduler_test::fixture,
    "what nobody stands still for is looked at now and then, with every other, and teaches nothing")
{
    const auto leisurely = [](event_scheduler_test::fixture& f,
                              event_scheduler_test::counting_device::event e,
                              std::optional<error_code>& to) -> asio::awaitable<void> {
        to = co_await f.scheduler->wait(std::move(e), event_kind::load_copy, event_haste::at_leisure);
    };
    constexpr duration leisure = event_scheduler<event_scheduler_test::counting_device>::leisure;
    const auto e = device.make_event();
    std::optional<error_code> out;
    asio::co_spawn(io, leisurely(*this, e, out), asio::detached);
    turns(5);
    device.queries = 0;
    turns(20);
    CHECK(device.queries == 0);
    SUBCASE("alone")
    {
        pass(leisure);
        CHECK(device.queries == 1);
        device.reach(e);
        pass(leisure / 2);
        CHECK_FALSE(out);
        pass(leisure / 2);
    }
    SUBCASE("beside one that somebody stands still for")
    {
        device.reach(e);
        const auto other = device.make_event();
        std::optional<error_code> reached;
        start(other, reached);
        CHECK_FALSE(reached);
        scheduler.reset();
        turns(10);
        CHECK(reached == condition::cancelled);
    }
    SUBCASE("until somebody does")
    {
        scheduler->hurry(event_kind::compute);
        turns(20);
        CHECK(device.queries == 0); // another kind
        scheduler->hurry(event_kind::load_copy);
        turns(20);
        CHECK(device.queries > 5);
        device.reach(e);
        turns(5);
        CHECK(out == error_code());
        CHECK(scheduler->predictor(event_kind::load_copy).next_look(1h) == wait_predictor().next_look(1h));
        return;
    }
    SUBCASE("and a failure is seen")
    {
        device.fail(e);
        pass(leisure);
        REQUIRE(out);
        CHECK(*out == condition::device);
        return;
    }
    CHECK(out == error_code());
    if (scheduler)
        CHECK(scheduler->predictor(event_kind::load_copy).next_look(1h) ==
              wait_predictor().next_look(1h)); // as if nothing had been
    CHECK(time.pending() == 0);
}

TEST_CASE_FIXTURE(event_scheduler_test::fixture, "a wait that was given up is not looked for any more")
{
    const auto e = device.make_event();
    std::optional<error_code> out;
    asio::cancellation_signal signal;
    asio::co_spawn(io, wait(*this, e, out), asio::bind_cancellation_slot(signal.slot(), asio::detached));
    turns(5);
    signal.emit(asio::cancellation_type::terminal);
    turns(10);
    REQUIRE(out);
    CHECK(*out == condition::cancelled);
    CHECK(scheduler->waiting() == 0);
    device.queries = 0;
    pass(1h);
    CHECK(device.queries == 0);
}

TEST_CASE_FIXTURE(event_scheduler_test::fixture, "a scheduler that goes ends its waits, asleep or awake")
{
    SUBCASE("awake") {}
    SUBCASE("asleep")
    {
        learn(10ms, 40);
    }
    const auto e = device.make_event();
    std::optional<error_code> out;
    start(e, out);
    CHECK_FALSE(out);
    scheduler.reset();
    turns(10);
    REQUIRE(out);
    CHECK(*out == condition::cancelled);
    CHECK(time.pending() == 0);
}

TEST_CASE("events of a device with threads of its own are seen")
{
    host_device device;
    asio::io_context io;
    event_scheduler<host_device> scheduler(io.get_executor(), device);
    std::vector<std::byte> a(1 << 20, std::byte{3}), b(a.size());
    const copy_op op{b.data(), a.data(), a.size()};
    for (int i = 0; i < 20; ++i) {
        CHECK_FALSE(device.copy(copy_queue::load, {&op, 1}));
        const auto behind = device.record(copy_queue::load);
        REQUIRE(testing::run_coroutine(
            io, [](event_scheduler<host_device>& s, host_device::event e) -> asio::awaitable<void> {
                const error_code ec = co_await s.wait(std::move(e), event_kind::load_copy);
                CHECK_FALSE(ec);
            }(scheduler, behind)));
        CHECK(device.query(behind) == event_state::done);
    }
    CHECK(b == a);
}
