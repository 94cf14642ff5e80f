// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/detail/word_pool.hpp>
#include <objectcache/cuda/error.hpp>
#include <objectcache/device/device.hpp>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace objectcache::cuda {

namespace detail {

/** CUDA events without timing, kept for reuse. @par Threads Safe. */
class native_events : public std::enable_shared_from_this<native_events> {
public:
    explicit native_events(int device) noexcept : device_(device) {}
    native_events(const native_events&) = delete;
    native_events& operator=(const native_events&) = delete;
    ~native_events()
    {
        for (cudaEvent_t e : free_)
            (void)cudaEventDestroy(e);
    }

    /** Goes back by itself; recording it anew forgets what it stood for. */
    [[nodiscard]] result<std::shared_ptr<CUevent_st>> take()
    {
        cudaEvent_t e = nullptr;
        {
            const std::lock_guard lock(mutex_);
            if (!free_.empty()) {
                e = free_.back();
                free_.pop_back();
            }
        }
        if (!e) {
            const device_guard guard(device_);
            if (status s = check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "creating an event");
                !s.ok())
                return s;
        }
        return std::shared_ptr<CUevent_st>(e, [pool = shared_from_this()](cudaEvent_t back) {
            try {
                const std::lock_guard lock(pool->mutex_);
                pool->free_.push_back(back);
            } catch (...) {
                (void)cudaEventDestroy(back);
            }
        });
    }

private:
    int device_;
    std::mutex mutex_;
    std::vector<cudaEvent_t> free_;
};

} // namespace detail

/** A point in a stream. A word that the stream writes, so that asking is a read of memory; or a CUDA event, the engine's
    own or where streams cannot write. A default constructed one is done; so is an engine's event that was never recorded,
    as CUDA has it.

    @par Threads Copies may be used by any thread; `cuda::device::query` asks. */
class event {
public:
    event() = default;
    /** An event of the engine, recorded by it. Borrowed: it must exist, and not be recorded anew, until it was seen done. */
    event(cudaEvent_t recorded) noexcept : native_(std::shared_ptr<CUevent_st>(), recorded) {}

    [[nodiscard]] bool by_word() const noexcept { return word_ != nullptr; }

private:
    friend class device;
    explicit event(std::shared_ptr<const detail::word_pool::word> w) noexcept : word_(std::move(w)) {}
    explicit event(std::shared_ptr<CUevent_st> e) noexcept : native_(std::move(e)) {}
    /** Nothing will ever be reached. */
    [[nodiscard]] static event of_failure() noexcept
    {
        event out;
        out.failed_ = true;
        return out;
    }

    std::shared_ptr<const detail::word_pool::word> word_;
    std::shared_ptr<CUevent_st> native_;
    bool failed_ = false;
};

} // namespace objectcache::cuda
