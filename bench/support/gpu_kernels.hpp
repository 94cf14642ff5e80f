// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cuda_runtime_api.h>

/** What the benchmarks launch beside tests/cuda/kernels.hpp. In a header without Asio, which nvcc rejects. */
namespace bench {

/** A kernel of one thread that writes the device's clock (globaltimer, ns) to `at`, memory of the device or pinned. */
void launch_stamp(cudaStream_t stream, unsigned long long* at);
/** The smallest step that the device's clock was seen to make, ns, to `at`. */
void launch_clock_step(cudaStream_t stream, unsigned long long* at);

} // namespace bench
