// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/detail/kv_kernel_source.hpp>

#include <cuda_runtime_api.h>

namespace objectcache::cuda {

/** The kernels as nvcc compiles them into the program that includes this header in a .cu file.

    Give one to move_with_kernels() (cuda/kv_move.hpp). Hosts without nvcc have runtime_kv_kernels (cuda/kv_kernels.hpp), of the same source.

    This header wants C++17 and includes nothing of the library's host side, so that any .cu file can have it.

    @par Threads Stateless. */
class compiled_kv_kernels {
public:
    /** Enqueue one batch.

        @par Errors what the launch returns (a mistake of the arguments, or an earlier fault of the device). */
    [[nodiscard]] cudaError_t launch(kv_direction direction, const detail::kv_launch_batch& batch,
                                     unsigned blocks, cudaStream_t stream) const noexcept
    {
        // Not <<<>>>, whose errors are taken from, or left for, whoever asks the runtime next.
        const void* const kernel = direction == kv_direction::scatter
                                       ? reinterpret_cast<const void*>(&detail::kv_kernel<true>)
                                       : reinterpret_cast<const void*>(&detail::kv_kernel<false>);
        void* parameters[] = {const_cast<detail::kv_launch_batch*>(&batch)};
        return cudaLaunchKernel(kernel, dim3(blocks), dim3(detail::kv_threads), parameters, 0, stream);
    }
};

} // namespace objectcache::cuda
