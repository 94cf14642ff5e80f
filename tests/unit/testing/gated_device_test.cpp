// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/gated_device.hpp>

#include <doctest/doctest.h>

using namespace objectcache;

// What all devices have in common is in tests/unit/device/device_test.cpp.

TEST_CASE("a held queue moves only when it is told to, one item at a time")
{
    testing::gated_device device;
    std::byte from{1}, to{0};
    const copy_op op{&to, &from, 1};
    auto row = device.make_gates(1);
    device.hold(copy_queue::load);
    CHECK_FALSE(device.copy(copy_queue::load, {&op, 1}));
    CHECK_FALSE(device.open_gate(row, 0));
    const auto behind = device.record(copy_queue::load);
    CHECK(device.queued(copy_queue::load) == 3);
    CHECK(device.any_gate_closed());

    CHECK(device.run_one(copy_queue::load));
    CHECK(to == from);
    CHECK_FALSE(row.open(0));
    CHECK(device.run_one(copy_queue::load));
    CHECK(row.open(0));
    CHECK(device.last_gates().open(0));
    CHECK_FALSE(device.any_gate_closed());
    CHECK(device.query(behind) == event_state::pending);
    CHECK(device.run_one(copy_queue::load));
    CHECK(device.query(behind) == event_state::done);
    CHECK_FALSE(device.run_one(copy_queue::load));
    CHECK(device.copied(copy_queue::load) == 1);

    device.release(copy_queue::load);
    to = std::byte{0};
    CHECK_FALSE(device.copy(copy_queue::load, {&op, 1}));
    CHECK(to == from); // at once again
}

TEST_CASE("the engine's events are reached or failed when the test says so")
{
    testing::gated_device device;
    const auto a = device.make_event(), b = device.make_event();
    CHECK(device.query(a) == event_state::pending);
    device.reach(a);
    device.fail(b);
    CHECK(device.query(a) == event_state::done);
    CHECK(device.query(b) == event_state::failed);
}

TEST_CASE("every fallible call is a step, and a failed event fails behind the copies, not before")
{
    testing::fail_counter fuse(1, errc::device_failed);
    testing::gated_device device;
    device.set_fuse(&fuse);
    std::byte from{1}, to{0};
    const copy_op op{&to, &from, 1};
    device.hold(copy_queue::store);
    CHECK_FALSE(device.copy(copy_queue::store, {&op, 1}));
    const auto behind = device.record(copy_queue::store);
    CHECK(fuse.fired());
    CHECK(device.query(behind) == event_state::pending);
    device.release(copy_queue::store);
    CHECK(to == from);
    CHECK(device.query(behind) == event_state::failed);

    auto row = device.make_gates(1);
    testing::gated_device::stream stream;
    for (std::size_t at = 0; at < 4; ++at) {
        testing::fail_counter one(at, errc::device_failed);
        device.set_fuse(&one);
        std::size_t failures = 0;
        auto staging = device.allocate_staging(16);
        failures += !staging.ok();
        failures += device.copy(copy_queue::load, {&op, 1}) == condition::device;
        failures += device.open_gate(row, 0) == condition::device;
        failures += device.wait_gate(row, 0, &stream) == condition::device;
        CHECK(failures == 1);
        if (staging)
            device.free_staging(*staging);
        CHECK(device.staging_allocated() == 0);
    }
    CHECK(stream.waits().size() == 3);
}

TEST_CASE("staging that goes takes the copies that would touch it along")
{
    testing::gated_device device;
    auto staging = device.allocate_staging(16);
    REQUIRE(staging.ok());
    std::byte to{0};
    (*staging)[0] = std::byte{9};
    const copy_op op{&to, staging->data(), 1};
    device.hold(copy_queue::load);
    CHECK_FALSE(device.copy(copy_queue::load, {&op, 1}));
    device.free_staging(*staging);
    CHECK(to == std::byte{9});
    CHECK(device.queued(copy_queue::load) == 0);
    CHECK(device.staging_allocated() == 0);
}
