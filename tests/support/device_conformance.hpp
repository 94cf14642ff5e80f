// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/device.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

/** @file
    What the pipeline relies on, for every device there is. A device earns its place by a specialisation of `traits`, before
    this is included, and by being named in OBJECTCACHE_EVERY_DEVICE. A specialisation has

    - `device`; `hold(queue)`: work that is enqueued there from now on waits for `release(queue)`, where the device can
    - `wait(event)`, and `engine()`: a stream of an engine, of which `pass()` waits until it has done everything
    - `buffer(bytes)`: memory that the device copies from and to, and `read(span)` of it */
namespace device_test {

using namespace objectcache;

inline std::vector<std::byte> pattern(std::size_t n, unsigned seed)
{
    std::vector<std::byte> out(n);
    for (std::size_t i = 0; i < n; ++i)
        out[i] = static_cast<std::byte>((i * 7 + seed) & 0xff);
    return out;
}

TEST_CASE_TEMPLATE("staging is memory that can be written, and is given back", Device,
                   OBJECTCACHE_EVERY_DEVICE)
{
    traits<Device> t;
    auto block = t.device.allocate_staging(8192);
    REQUIRE(block.ok());
    REQUIRE(block->size() == 8192);
    std::memset(block->data(), 0x5a, block->size());
    t.device.free_staging(*block);
}

TEST_CASE_TEMPLATE("copies of a queue happen in order, and an event comes after those before it", Device,
                   OBJECTCACHE_EVERY_DEVICE)
{
    for (const copy_queue queue : {copy_queue::load, copy_queue::store}) {
        traits<Device> t;
        // Each copy reads what the one before wrote: any other order ends with other bytes.
        std::vector<byte_span> stages;
        for (std::size_t i = 0; i < 33; ++i)
            stages.push_back(t.buffer(pattern(4096, static_cast<unsigned>(i))));
        t.hold(queue);
        for (std::size_t i = 1; i < stages.size(); ++i) {
            std::vector<copy_op> ops; // few, or many: a device may treat them differently
            const std::size_t n = i % 2 == 0 ? 2 : 16, size = 4096 / n;
            for (std::size_t at = 0; at < 4096; at += size)
                ops.push_back({stages[i].data() + at, stages[i - 1].data() + at, size});
            CHECK_FALSE(t.device.copy(queue, ops)); // the list of operations need not outlive the call
        }
        const auto behind = t.device.record(queue);
        t.release(queue);
        t.wait(behind);
        CHECK(t.device.query(behind) == event_state::done);
        CHECK(t.read(stages.back()) == pattern(4096, 0));
    }
}

TEST_CASE_TEMPLATE("a default event is done, and a copy of an event is the event", Device,
                   OBJECTCACHE_EVERY_DEVICE)
{
    traits<Device> t;
    CHECK(t.device.query(typename Device::event()) == event_state::done);
    const auto e = t.device.record(copy_queue::load);
    const auto same = e;
    t.release(copy_queue::load);
    t.wait(e);
    CHECK(t.device.query(same) == event_state::done);
}

TEST_CASE_TEMPLATE("a gate opens behind the copies before it, on the device's side", Device,
                   OBJECTCACHE_EVERY_DEVICE)
{
    traits<Device> t;
    constexpr std::size_t gates = 64;
    const auto source = t.buffer(pattern(gates * 1024, 3));
    const auto target = t.buffer(std::vector<std::byte>(source.size()));
    auto row = t.device.make_gates(gates);
    CHECK(row.size() == gates);
    CHECK(typename Device::gates().size() == 0);
    for (std::size_t i = 0; i < gates; ++i)
        CHECK_FALSE(t.device.wait_gate(row, i, t.engine()));
    t.hold(copy_queue::load);
    for (std::size_t i = 0; i < gates; ++i) {
        const copy_op op{target.data() + i * 1024, source.data() + i * 1024, 1024};
        CHECK_FALSE(t.device.copy(copy_queue::load, {&op, 1}));
        CHECK_FALSE(t.device.open_gate(row, i));
    }
    t.release(copy_queue::load);
    t.pass(); // all gates
    CHECK(t.read(target) == pattern(gates * 1024, 3));
}

TEST_CASE_TEMPLATE("a gate can be forced whatever its queue does, and before anybody waits", Device,
                   OBJECTCACHE_EVERY_DEVICE)
{
    traits<Device> t;
    auto row = t.device.make_gates(3);
    t.hold(copy_queue::load);
    t.device.force_gate(row, 1);
    t.device.force_gate(row, 1); // again is no harm
    CHECK_FALSE(t.device.wait_gate(row, 1, t.engine()));
    t.pass();
    t.release(copy_queue::load);
}

TEST_CASE_TEMPLATE("gates may go while a stream still has to pass them", Device, OBJECTCACHE_EVERY_DEVICE)
{
    traits<Device> t;
    {
        auto row = t.device.make_gates(2);
        CHECK_FALSE(t.device.wait_gate(row, 0, t.engine()));
        CHECK_FALSE(t.device.wait_gate(row, 1, t.engine()));
        t.hold(copy_queue::load);
        CHECK_FALSE(t.device.open_gate(row, 0));
        CHECK_FALSE(t.device.open_gate(row, 1));
        auto moved = std::move(row);
    }
    t.release(copy_queue::load);
    t.pass();
}

} // namespace device_test
