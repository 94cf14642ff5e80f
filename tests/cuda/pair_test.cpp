// SPDX-License-Identifier: BSL-1.0
#include <cuda/gpu.hpp>

#include <objectcache/cuda/device.hpp>

#include <thread>

// What needs two devices: a program of its own, so that it is seen to be skipped where there is one.
namespace cuda_pair_test {

using namespace objectcache;

TEST_CASE("a device beside another: each has its own, and the current one stays what it was")
{
    cuda::device_options how;
    how.ordinal = 1;
    auto second = cuda::device::create(how);
    REQUIRE(second.ok());
    int current = -1;
    gpu::ok(cudaGetDevice(&current));
    CHECK(current == 0);
    const auto first = gpu::device();
    for (cuda::device* d : {first.get(), second->get()}) {
        const auto e = d->record(copy_queue::load);
        while (d->query(e) == event_state::pending)
            std::this_thread::yield();
        CHECK(d->query(e) == event_state::done);
    }
    gpu::ok(cudaGetDevice(&current));
    CHECK(current == 0);
}

} // namespace cuda_pair_test
