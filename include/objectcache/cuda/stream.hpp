// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/cuda/error.hpp>

#include <utility>

namespace objectcache::cuda {

/** A stream of somebody else: the engine's. Copyable, does nothing by itself. */
class stream_ref {
public:
    stream_ref() = default; // the default stream
    stream_ref(cudaStream_t native) noexcept : native_(native) {}
    [[nodiscard]] cudaStream_t native() const noexcept { return native_; }

private:
    cudaStream_t native_ = nullptr;
};

/** A stream of our own, which does not synchronise with the default stream. Move only; the destructor does not wait: what is
    enqueued is still done.

    @par Threads Any thread may enqueue. */
class stream {
public:
    /** How the device chooses among streams that have work. */
    enum class priority { normal, first };

    /** @par Errors `condition::device`, `condition::exhausted`. */
    [[nodiscard]] static result<stream> create(int device, priority how = priority::normal)
    {
        const device_guard guard(device);
        int least = 0, greatest = 0;
        if (status s = check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "stream priorities");
            !s.ok())
            return s;
        stream out;
        const int p = how == priority::first ? greatest : least;
        if (status s = check(cudaStreamCreateWithPriority(&out.native_, cudaStreamNonBlocking, p),
                             "creating a stream");
            !s.ok())
            return s;
        return out;
    }

    stream() = default;
    stream(stream&& other) noexcept : native_(std::exchange(other.native_, nullptr)) {}
    stream& operator=(stream other) noexcept
    {
        std::swap(native_, other.native_);
        return *this;
    }
    ~stream()
    {
        if (native_)
            (void)cudaStreamDestroy(native_); // at the end of a process the driver may be gone already
    }

    [[nodiscard]] cudaStream_t native() const noexcept { return native_; }
    operator stream_ref() const noexcept { return native_; }

    /** Block the calling thread until everything enqueued so far is done.

        @par Errors `condition::device`: also for what was enqueued before. */
    [[nodiscard]] error_code synchronize() const noexcept { return check(cudaStreamSynchronize(native_)); }

private:
    cudaStream_t native_ = nullptr;
};

} // namespace objectcache::cuda
