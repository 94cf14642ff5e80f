// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/kv_batch.hpp>

#include <cuda_runtime_api.h>

/** compiled_kv_kernels behind a function, for programs that nvcc does not compile. */
struct nvcc_kernels {
    [[nodiscard]] cudaError_t launch(objectcache::cuda::kv_direction direction,
                                     const objectcache::cuda::detail::kv_launch_batch& batch, unsigned blocks,
                                     cudaStream_t stream) const noexcept;
};
