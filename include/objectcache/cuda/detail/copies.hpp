// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/error.hpp>
#include <objectcache/cuda/stream.hpp>
#include <objectcache/device/device.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace objectcache::cuda::detail {

/** How a list of copies gets into a stream: as a batch, with one call of the driver, where it is long and the driver can.

    @par Threads One at a time. */
class copies {
public:
    copies()
    {
#if CUDART_VERSION >= 13000
        int version = 0;
        batches_ = cudaDriverGetVersion(&version) == cudaSuccess && version >= 13000;
#endif
    }

    [[nodiscard]] error_code enqueue(std::span<const copy_op> ops, cudaMemcpyKind kind, stream_ref to) noexcept
    {
        if (batches_ && ops.size() >= least_batch)
            return batch(ops, to);
        for (const copy_op& op : ops)
            if (const error_code ec =
                    check(cudaMemcpyAsync(op.destination, op.source, op.size, kind, to.native())))
                return ec;
        return {};
    }

private:
    static constexpr std::size_t least_batch = 4;

#if CUDART_VERSION >= 13000
    error_code batch(std::span<const copy_op> ops, stream_ref to) noexcept
    {
        try {
            destinations_.clear();
            sources_.clear();
            sizes_.clear();
            for (const copy_op& op : ops) {
                destinations_.push_back(op.destination);
                sources_.push_back(op.source);
                sizes_.push_back(op.size);
            }
        } catch (...) {
            return make_error_code(errc::exhausted);
        }
        cudaMemcpyAttributes how{};
        how.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
        how.flags = cudaMemcpyFlagPreferOverlapWithCompute;
        std::size_t first = 0;
        return check(cudaMemcpyBatchAsync(destinations_.data(), sources_.data(), sizes_.data(), sizes_.size(),
                                          &how, &first, 1, to.native()));
    }
    std::vector<void*> destinations_;
    std::vector<const void*> sources_;
    std::vector<std::size_t> sizes_;
#else
    error_code batch(std::span<const copy_op>, stream_ref) noexcept { return {}; }
#endif
    bool batches_ = false;
};

} // namespace objectcache::cuda::detail
