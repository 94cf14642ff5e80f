// SPDX-License-Identifier: BSL-1.0
#include "kernels.hpp"

namespace cuda_test {

namespace {

__device__ unsigned long long now_ns()
{
    unsigned long long t;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
    return t;
}

__global__ void spin(unsigned long long ns)
{
    const unsigned long long until = now_ns() + ns;
    while (now_ns() < until) {
    }
}

__global__ void trap()
{
    asm("trap;");
}

} // namespace

void launch_spin(cudaStream_t stream, unsigned microseconds)
{
    spin<<<1, 1, 0, stream>>>(1000ULL * microseconds);
}

void launch_trap(cudaStream_t stream)
{
    trap<<<1, 1, 0, stream>>>();
}

} // namespace cuda_test
