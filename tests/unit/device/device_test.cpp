// SPDX-License-Identifier: BSL-1.0
#include <objectcache/device/device.hpp>

#include <objectcache/device/host_device.hpp>
#include <objectcache/testing/gated_device.hpp>

#include <doctest/doctest.h>

#include <deque>
#include <vector>

using namespace objectcache;

namespace device_test {

template <class Device>
struct traits;

/** Memory of a device that copies with memcpy. */
struct host_memory {
    std::deque<std::vector<std::byte>> memory;

    byte_span buffer(std::vector<std::byte> bytes) { return memory.emplace_back(std::move(bytes)); }
    static std::vector<std::byte> read(byte_span from) { return {from.begin(), from.end()}; }
};

template <>
struct traits<host_device> : host_memory {
    host_device device;
    host_stream stream;

    void hold(copy_queue) {} // its threads run as they like
    void release(copy_queue queue) { wait(device.record(queue)); }
    void wait(const host_event& e) { e.wait(); }
    host_device::stream_ref engine() { return stream; }
    void pass() { stream.synchronize(); }
};

template <>
struct traits<testing::gated_device> : host_memory {
    testing::gated_device device;
    testing::gated_device::stream stream;

    void hold(copy_queue queue) { device.hold(queue); }
    void release(copy_queue queue) { device.release(queue); }
    void wait(const testing::gated_device::event& e) { CHECK(device.query(e) != event_state::pending); }
    testing::gated_device::stream_ref engine() { return &stream; }
    void pass() {} // its streams are lists of what they would wait for
};

} // namespace device_test

#define OBJECTCACHE_EVERY_DEVICE host_device, testing::gated_device
#include <support/device_conformance.hpp>

TEST_CASE("a gate that is forced is open, the others are not")
{
    testing::gated_device device;
    auto row = device.make_gates(3);
    device.force_gate(row, 1);
    CHECK(row.open(1));
    CHECK_FALSE(row.open(0));
    CHECK_FALSE(row.open(2));
}
