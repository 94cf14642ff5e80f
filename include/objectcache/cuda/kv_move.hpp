// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/detail/copy_batch.hpp>
#include <objectcache/cuda/kv_batch.hpp>

#include <new>
#include <span>
#include <vector>

#include <cuda_runtime_api.h>

namespace objectcache::cuda {

/** Enqueue the move of slices between their payloads and the engine's pages, by kernels.

    `Kernels` is compiled_kv_kernels (cuda/kv_kernels.cuh, nvcc) or runtime_kv_kernels (cuda/kv_kernels.hpp, NVRTC).
    Payloads may be device memory or pinned host memory that the device can address: the kernel then reads or writes over
    the bus, and no staging on the device is needed.

    @param blocks most thread blocks of a launch. A block is half an SM (512 threads), which is also what it takes from the
           engine's compute, and has 32 KiB in flight: over a bus of 2 us that makes some 16 GB/s (reckoned, bench/kv_kernels measures)
    @pre no two slices overlap in what is written
    @par Lifetime Nothing of the arguments is used after the return but the memory: pages, payloads and the block table on
         the device stay until the stream has got past the kernels.
    @par Errors that of the first launch that failed; the launches before it run.
    @par Cost a launch per kv_batches::by_value slices; no allocation, no synchronisation. */
template <class Kernels>
[[nodiscard]] cudaError_t move_with_kernels(const Kernels& kernels, kv_direction direction,
                                            const kv_batches& batches, std::span<const kv_slice> slices,
                                            unsigned blocks, cudaStream_t stream) noexcept
{
    return batches.for_each_launch(slices, blocks,
                                   [&](const detail::kv_launch_batch& batch, unsigned wanted) noexcept {
                                       return kernels.launch(direction, batch, wanted, stream);
                                   });
}

/** The same by the copy engine: takes no SM, and many calls where the layout has short runs (prefers_copy_engine()).

    @pre `pages` is valid; slices as kv_batches::batch
    @par Lifetime as move_with_kernels
    @par Errors that of the first call that failed; the copies before it run. cudaErrorMemoryAllocation: no host memory.
    @par Cost a call for each stretch of contiguous runs that are equally far apart, and one for each stretch between; or a
         two-dimensional copy per block, or per block and head. */
[[nodiscard]] inline cudaError_t move_with_copies(kv_direction direction, const kv_pages& pages,
                                                  std::span<const kv_slice> slices,
                                                  cudaStream_t stream) noexcept
{
    try {
        const bool in = direction == kv_direction::scatter;
        cudaError_t error = cudaSuccess;
        std::vector<copy_op> runs;
        std::size_t each = 0; // runs of every slice; 0 where they differ
        for (const kv_slice& s : slices) {
            const std::size_t before = runs.size();
            const auto run = [&](std::byte* memory, std::size_t offset, std::size_t size) {
                if (in)
                    runs.push_back({memory, s.payload + offset, size});
                else
                    runs.push_back({s.payload + offset, memory, size});
            };
            if (pages.whole_rows() && pages.token_stride() == pages.geometry().row_bytes()) {
                pages.for_each_piece(s.layer, s.first_token, s.tokens, run);
                const std::size_t mine = runs.size() - before;
                each = &s == &slices.front() || mine == each ? mine : 0;
                continue;
            }
            pages.for_each_rectangle(s.layer, s.first_token, s.tokens, [&](const kv_rectangle& r) {
                if (r.rows == 1 || r.memory_pitch > detail::most_pitch) {
                    for (std::size_t i = 0; i < r.rows; ++i)
                        run(r.memory + i * r.memory_pitch, r.offset + i * r.slice_pitch, r.width);
                    return;
                }
                if (error != cudaSuccess)
                    return;
                std::byte* const payload = s.payload + r.offset;
                error = in ? cudaMemcpy2DAsync(r.memory, r.memory_pitch, payload, r.slice_pitch, r.width,
                                               r.rows, cudaMemcpyDefault, stream)
                           : cudaMemcpy2DAsync(payload, r.slice_pitch, r.memory, r.memory_pitch, r.width,
                                               r.rows, cudaMemcpyDefault, stream);
            });
            if (error != cudaSuccess)
                return error;
        }
        // The K of all slices, then their V: that is how they are rows of one copy.
        if (each > 1 && runs.size() == each * slices.size()) {
            std::vector<copy_op> turned;
            turned.reserve(runs.size());
            for (std::size_t i = 0; i < each; ++i)
                for (std::size_t s = 0; s < slices.size(); ++s)
                    turned.push_back(runs[s * each + i]);
            runs.swap(turned);
        }
        return detail::enqueue_copies(runs, stream);
    } catch (const std::bad_alloc&) {
        return cudaErrorMemoryAllocation;
    }
}

} // namespace objectcache::cuda
