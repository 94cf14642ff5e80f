// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/detail/copy_rows.hpp>
#include <objectcache/device/device.hpp>

#include <cstddef>
#include <new>
#include <span>
#include <vector>

#include <cuda_runtime_api.h>

namespace objectcache::cuda::detail {

/** Enqueue copies of any kind of memory one by one, or with one call where runtime and driver have one for that (CUDA 12.8). */
inline cudaError_t enqueue_batch(std::span<const copy_op> ops, cudaStream_t stream) noexcept
{
#if CUDART_VERSION >= 12080
    // Of one copy the plain call is the shorter way; the default stream takes no batch.
    if (ops.size() > 1 && stream != nullptr && stream != cudaStreamLegacy) {
        try {
            std::vector<void*> to;
            std::vector<const void*> from;
            std::vector<std::size_t> sizes;
            to.reserve(ops.size());
            from.reserve(ops.size());
            sizes.reserve(ops.size());
            for (const copy_op& op : ops) {
                to.push_back(op.destination);
                from.push_back(op.source);
                sizes.push_back(op.size);
            }
            cudaMemcpyAttributes order{};
            order.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
            order.flags = cudaMemcpyFlagPreferOverlapWithCompute; // that is what copies are for here
            std::size_t first = 0;
#if CUDART_VERSION >= 13000
            const cudaError_t error = cudaMemcpyBatchAsync(to.data(), from.data(), sizes.data(), ops.size(),
                                                           &order, &first, 1, stream);
#else
            std::size_t failed = 0;
            const cudaError_t error =
                cudaMemcpyBatchAsync(to.data(), const_cast<void**>(from.data()), sizes.data(), ops.size(),
                                     &order, &first, 1, &failed, stream);
#endif
            if (error != cudaErrorCallRequiresNewerDriver && error != cudaErrorNotSupported)
                return error;
            (void)cudaGetLastError(); // handled
        } catch (const std::bad_alloc&) {
            return cudaErrorMemoryAllocation;
        }
    }
#endif
    for (const copy_op& op : ops)
        if (const cudaError_t error =
                cudaMemcpyAsync(op.destination, op.source, op.size, cudaMemcpyDefault, stream);
            error != cudaSuccess)
            return error;
    return cudaSuccess;
}

/** The same, with one call for each run of operations that are rows (copy_rows): of a segment's slices, whose K are all
    equally far apart, and their V, that is two calls instead of two entries of a batch for each slice. */
inline cudaError_t enqueue_copies(std::span<const copy_op> ops, cudaStream_t stream) noexcept
{
    return for_each_stretch(
        ops,
        [&](const copy_rows& r, std::span<const copy_op> same) {
            const cudaError_t error =
                cudaMemcpy2DAsync(r.destination, r.destination_pitch, r.source, r.source_pitch, r.width,
                                  r.rows, cudaMemcpyDefault, stream);
            if (error != cudaErrorInvalidValue)
                return error;
            (void)cudaGetLastError(); // of several allocations, say
            return enqueue_batch(same, stream);
        },
        [&](std::span<const copy_op> others) { return enqueue_batch(others, stream); });
}

} // namespace objectcache::cuda::detail
