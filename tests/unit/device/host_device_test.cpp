// SPDX-License-Identifier: BSL-1.0
#include <objectcache/device/host_device.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace objectcache;

// What all devices have in common is in device_test.cpp.

TEST_CASE("staging of the host device begins on a page")
{
    host_device device;
    auto block = device.allocate_staging(100);
    REQUIRE(block.ok());
    CHECK(reinterpret_cast<std::uintptr_t>(block->data()) % 4096 == 0);
    device.free_staging(*block);
}

TEST_CASE("giving staging back waits for the copies that read it")
{
    host_device device;
    constexpr std::size_t size = 16 << 20;
    auto block = device.allocate_staging(size);
    REQUIRE(block.ok());
    std::fill(block->begin(), block->end(), std::byte{0x77});
    std::vector<std::byte> target(size);
    const copy_op op{target.data(), block->data(), size};
    CHECK_FALSE(device.copy(copy_queue::load, {&op, 1}));
    device.free_staging(*block); // under a sanitizer this is the test
    CHECK(target.front() == std::byte{0x77});
    CHECK(target.back() == std::byte{0x77});
}

TEST_CASE("the two queues do not wait for one another, and gates hold the engine's stream only")
{
    host_device device;
    host_stream engine;
    auto row = device.make_gates(1);
    CHECK_FALSE(device.wait_gate(row, 0, engine));
    const host_event held = engine.record();
    std::vector<std::byte> a(4096, std::byte{1}), b(4096), c(4096);
    const copy_op load{b.data(), a.data(), a.size()}, store{c.data(), a.data(), a.size()};
    CHECK_FALSE(device.copy(copy_queue::store, {&store, 1}));
    device.record(copy_queue::store).wait();
    CHECK_FALSE(device.copy(copy_queue::load, {&load, 1}));
    device.record(copy_queue::load).wait();
    CHECK(b == a);
    CHECK(c == a);
    CHECK_FALSE(held.done());
    device.force_gate(row, 0);
    held.wait();
}
