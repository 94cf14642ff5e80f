// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/error.hpp>
#include <objectcache/cuda/kv_move.hpp>
#include <objectcache/device/device.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace objectcache::cuda {

/** How kernels are launched, whichever way they were compiled; empty: there are none. */
using kv_kernel_launcher =
    std::function<cudaError_t(kv_direction, const detail::kv_launch_batch&, unsigned, cudaStream_t)>;

namespace detail {

/** Device memory for block tables, used again in the order of one stream, so that nobody waits for its last user.

    @par Threads Safe. */
class table_memory : public std::enable_shared_from_this<table_memory> {
public:
    explicit table_memory(int device) noexcept : device_(device) {}
    table_memory(const table_memory&) = delete;
    table_memory& operator=(const table_memory&) = delete;
    ~table_memory()
    {
        for (const block& b : free_)
            (void)cudaFree(b.at);
    }

    /** Room for `entries`; given back by itself, for what comes later in the same stream. */
    [[nodiscard]] result<std::shared_ptr<std::uint32_t>> take(std::size_t entries)
    {
        block b;
        {
            const std::lock_guard lock(mutex_);
            for (auto it = free_.begin(); it != free_.end(); ++it)
                if (it->entries >= entries) {
                    b = *it;
                    free_.erase(it);
                    break;
                }
        }
        if (!b.at) {
            {
                const std::lock_guard lock(mutex_);
                free_.reserve(++blocks_); // so that giving one back takes no memory: a destructor does that
            }
            const device_guard guard(device_);
            b.entries = (entries + least - 1) / least * least;
            void* at = nullptr;
            if (status s =
                    check(cudaMalloc(&at, b.entries * sizeof(std::uint32_t)), "memory for block tables");
                !s.ok())
                return s;
            b.at = static_cast<std::uint32_t*>(at);
        }
        return std::shared_ptr<std::uint32_t>(b.at, [self = shared_from_this(), b](std::uint32_t*) {
            const std::lock_guard lock(self->mutex_);
            self->free_.push_back(b);
        });
    }

private:
    static constexpr std::size_t least = 65536; // a million tokens in blocks of 16

    struct block {
        std::uint32_t* at = nullptr;
        std::size_t entries = 0;
    };
    int device_;
    std::mutex mutex_;
    std::size_t blocks_ = 0;
    std::vector<block> free_;
};

} // namespace detail

/** The pages of one sequence as `device` moves slices to and from them: by kernels, if there are any and the runs are short,
    else by the copy engine. Made by `device::map_pages`.

    @par Lifetime The device outlives it; may go while its moves are under way. */
class page_map {
public:
    [[nodiscard]] bool by_kernels() const noexcept { return batches_.has_value(); }

private:
    friend class device;
    page_map(copy_queue queue, kv_pages pages) : queue_(queue), pages_(std::move(pages)) {}

    copy_queue queue_;
    kv_pages pages_;
    std::optional<kv_batches> batches_;
    std::shared_ptr<std::uint32_t> table_; // on the device
};

} // namespace objectcache::cuda
