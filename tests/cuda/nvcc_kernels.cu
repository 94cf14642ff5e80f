// SPDX-License-Identifier: BSL-1.0
#include "nvcc_kernels.hpp"

#include <objectcache/cuda/kv_kernels.cuh>

cudaError_t nvcc_kernels::launch(objectcache::cuda::kv_direction direction,
                                 const objectcache::cuda::detail::kv_launch_batch& batch, unsigned blocks,
                                 cudaStream_t stream) const noexcept
{
    return objectcache::cuda::compiled_kv_kernels().launch(direction, batch, blocks, stream);
}
