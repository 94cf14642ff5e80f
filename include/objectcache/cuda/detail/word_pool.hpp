// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/cuda/error.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace objectcache::cuda::detail {

/** 32-bit words in pinned memory that streams write and wait for, and the host reads without asking the driver.

    Whoever takes a word gets a *value* with it: one more than the word has held so far. It is reached when the word holds
    that value or a later one, counted cyclically (the driver's CU_STREAM_WAIT_VALUE_GEQ). A word goes back when its value
    is reached, never before: the write that is still to come would undo its next user's. Waits for an earlier value that a
    stream still has enqueued remain satisfied, so that nobody has to know when they have passed.

    @par Threads Safe. */
class word_pool : public std::enable_shared_from_this<word_pool> {
public:
    class word {
    public:
        word(std::shared_ptr<word_pool> pool, std::uint32_t* at, std::uint32_t value)
            : pool_(std::move(pool))
            , at_(at)
            , value_(value)
        {}
        word(const word&) = delete;
        word& operator=(const word&) = delete;
        ~word() { pool_->give(at_, value_, retired_); }

        [[nodiscard]] std::uint32_t value() const noexcept { return value_; }
        /** The same in all address spaces: cudaHostAllocPortable under unified addressing. */
        [[nodiscard]] CUdeviceptr address() const noexcept { return reinterpret_cast<CUdeviceptr>(at_); }
        [[nodiscard]] bool reached() const noexcept { return word_pool::reached(at_, value_); }
        /** From the host. */
        void set(std::uint32_t value) const noexcept
        {
            std::atomic_ref<std::uint32_t>(*at_).store(value, std::memory_order_release);
        }
        /** Never to be used again: nobody knows when its last write comes. */
        void retire() noexcept { retired_ = true; }

    private:
        std::shared_ptr<word_pool> pool_;
        std::uint32_t* at_;
        std::uint32_t value_;
        bool retired_ = false;
    };

    explicit word_pool(int device) noexcept : device_(device) {}
    word_pool(const word_pool&) = delete;
    word_pool& operator=(const word_pool&) = delete;
    ~word_pool()
    {
        for (const unreached& w : waiting_)
            lost_ = lost_ || !reached(w.at, w.value);
        // A write is still to come: memory that a device may write to is not given back. Nor may a host function do so.
        if (lost_ || in_host_function())
            return;
        for (std::uint32_t* block : blocks_)
            (void)cudaFreeHost(block);
    }

    /** @par Errors `condition::exhausted`: no pinned memory. */
    [[nodiscard]] result<std::shared_ptr<word>> take()
    {
        std::uint32_t* at = nullptr;
        {
            const std::lock_guard lock(mutex_);
            // In the order in which they were given back, which is about that in which they are reached.
            if (!waiting_.empty() && reached(waiting_.front().at, waiting_.front().value)) {
                free_.push_back(waiting_.front().at);
                waiting_.pop_front();
            }
            if (free_.empty())
                if (status s = grow(); !s.ok())
                    return s;
            at = free_.back();
            free_.pop_back();
        }
        const std::uint32_t now = std::atomic_ref<std::uint32_t>(*at).load(std::memory_order_acquire);
        return std::make_shared<word>(shared_from_this(), at, now + 1);
    }

    /** Of this thread: it runs a function that a stream called, from which CUDA may not be called. */
    [[nodiscard]] static bool& in_host_function() noexcept
    {
        thread_local bool yes = false;
        return yes;
    }

    [[nodiscard]] static bool reached(std::uint32_t* at, std::uint32_t value) noexcept
    {
        const std::uint32_t now = std::atomic_ref<std::uint32_t>(*at).load(std::memory_order_acquire);
        return static_cast<std::int32_t>(now - value) >= 0;
    }

private:
    static constexpr std::size_t block_words = 1024;

    struct unreached {
        std::uint32_t* at;
        std::uint32_t value;
    };

    status grow()
    {
        const device_guard guard(device_);
        void* block = nullptr;
        if (status s =
                check(cudaHostAlloc(&block, block_words * sizeof(std::uint32_t), cudaHostAllocPortable),
                      "allocating words for events and gates");
            !s.ok())
            return s;
        auto* const words = static_cast<std::uint32_t*>(block);
        blocks_.push_back(words);
        for (std::size_t i = 0; i < block_words; ++i) {
            words[i] = 0;
            free_.push_back(words + i);
        }
        return {};
    }

    void give(std::uint32_t* at, std::uint32_t value, bool retired) noexcept
    {
        try {
            const std::lock_guard lock(mutex_);
            if (retired)
                lost_ = true;
            else if (reached(at, value))
                free_.push_back(at);
            else
                waiting_.push_back({at, value});
        } catch (...) { // no memory to remember it: it is lost, not reused too early
        }
    }

    int device_;
    std::mutex mutex_;
    std::vector<std::uint32_t*> blocks_;
    std::vector<std::uint32_t*> free_;
    std::deque<unreached> waiting_;
    bool lost_ = false; // words of which nobody knows when their last write comes
};

} // namespace objectcache::cuda::detail
