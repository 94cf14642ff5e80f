// SPDX-License-Identifier: BSL-1.0
#include <objectcache/device/device.hpp>

#include <objectcache/device/host_device.hpp>
#include <objectcache/testing/gated_device.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <vector>

using namespace objectcache;

/** What the pipeline relies on, for every device there is. A new device earns its place by a traits class here. */
namespace device_test {

template <class Device>
struct traits;

template <>
struct traits<host_device> {
    host_device device;
    host_stream stream;

    void hold(copy_queue) {} // its threads run as they like
    void release(copy_queue queue) { wait(device.record(queue)); }
    void wait(const host_event& e) { e.wait(); }
    host_device::stream_ref engine() { return stream; }
};

template <>
struct traits<testing::gated_device> {
    testing::gated_device device;
    testing::gated_device::stream stream;

    void hold(copy_queue queue) { device.hold(queue); }
    void release(copy_queue queue) { device.release(queue); }
    void wait(const testing::gated_device::event& e) { CHECK(device.query(e) != event_state::pending); }
    testing::gated_device::stream_ref engine() { return &stream; }
};

std::vector<std::byte> pattern(std::size_t n, unsigned seed)
{
    std::vector<std::byte> out(n);
    for (std::size_t i = 0; i < n; ++i)
        out[i] = static_cast<std::byte>((i * 7 + seed) & 0xff);
    return out;
}

} // namespace device_test

#define OBJECTCACHE_EVERY_DEVICE host_device, testing::gated_device

TEST_CASE_TEMPLATE("staging is memory that can be written, and is given back", Device,
                   OBJECTCACHE_EVERY_DEVICE)
{
    device_test::traits<Device> t;
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
        device_test::traits<Device> t;
        // Each copy reads what the one before wrote: any other order ends with other bytes.
        std::array<std::vector<std::byte>, 33> stages;
        for (std::size_t i = 0; i < stages.size(); ++i)
            stages[i] = device_test::pattern(4096, static_cast<unsigned>(i));
        const auto first = stages[0];
        t.hold(queue);
        for (std::size_t i = 1; i < stages.size(); ++i) {
            const std::array ops = {copy_op{stages[i].data(), stages[i - 1].data(), 2048},
                                    copy_op{stages[i].data() + 2048, stages[i - 1].data() + 2048, 2048}};
            CHECK_FALSE(t.device.copy(queue, ops)); // the list of operations need not outlive the call
        }
        const auto behind = t.device.record(queue);
        t.release(queue);
        t.wait(behind);
        CHECK(t.device.query(behind) == event_state::done);
        CHECK(stages.back() == first);
    }
}

TEST_CASE_TEMPLATE("a default event is done, and a copy of an event is the event", Device,
                   OBJECTCACHE_EVERY_DEVICE)
{
    device_test::traits<Device> t;
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
    device_test::traits<Device> t;
    constexpr std::size_t gates = 64;
    const auto source = device_test::pattern(gates * 1024, 3);
    std::vector<std::byte> target(source.size());
    auto row = t.device.make_gates(gates);
    for (std::size_t i = 0; i < gates; ++i)
        CHECK_FALSE(t.device.wait_gate(row, i, t.engine()));
    t.hold(copy_queue::load);
    for (std::size_t i = 0; i < gates; ++i) {
        const copy_op op{target.data() + i * 1024, source.data() + i * 1024, 1024};
        CHECK_FALSE(t.device.copy(copy_queue::load, {&op, 1}));
        CHECK_FALSE(t.device.open_gate(row, i));
    }
    t.release(copy_queue::load);
    if constexpr (std::is_same_v<Device, host_device>)
        t.stream.synchronize(); // behind all gates
    CHECK(target == source);
}

TEST_CASE_TEMPLATE("a gate can be forced whatever its queue does, and before anybody waits", Device,
                   OBJECTCACHE_EVERY_DEVICE)
{
    device_test::traits<Device> t;
    auto row = t.device.make_gates(3);
    t.hold(copy_queue::load);
    t.device.force_gate(row, 1);
    t.device.force_gate(row, 1); // again is no harm
    CHECK_FALSE(t.device.wait_gate(row, 1, t.engine()));
    if constexpr (std::is_same_v<Device, host_device>)
        t.stream.synchronize();
    else {
        CHECK(row.open(1));
        CHECK_FALSE(row.open(0));
        CHECK_FALSE(row.open(2));
    }
    t.release(copy_queue::load);
}

TEST_CASE_TEMPLATE("gates may go while a stream still has to pass them", Device, OBJECTCACHE_EVERY_DEVICE)
{
    device_test::traits<Device> t;
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
    if constexpr (std::is_same_v<Device, host_device>)
        t.stream.synchronize();
}
