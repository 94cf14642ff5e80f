// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cuda_runtime_api.h>

/** What an engine would launch, as far as the tests and benchmarks need one. In a header without Asio, which nvcc rejects. */
namespace cuda_test {

/** A kernel of one thread that runs for so long. */
void launch_spin(cudaStream_t stream, unsigned microseconds);
/** A kernel that ends in a fault: the context is lost. */
void launch_trap(cudaStream_t stream);

} // namespace cuda_test
