// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/host_device.hpp>

#include <c10/core/Stream.h>

#include <exception>
#include <optional>

namespace torch_llama {

/** The CPU as a device: a thread for its compute stream, on which layers wait at their gates. See answer.hpp. */
class host_compute {
public:
    using device = objectcache::host_device;

    [[nodiscard]] device& kv_device() noexcept { return device_; }
    [[nodiscard]] device::stream_ref stream() noexcept { return stream_; }
    [[nodiscard]] device::event record() { return stream_.record(); }
    [[nodiscard]] static std::optional<c10::Stream> torch_stream() noexcept { return {}; }

    template <class F>
    void enqueue(F work)
    {
        stream_.enqueue([this, work] {
            try {
                work();
            } catch (...) { // a stream's work must not throw
                failure_ = std::current_exception();
            }
        });
    }
    void rethrow()
    {
        if (failure_)
            std::rethrow_exception(std::exchange(failure_, nullptr));
    }

private:
    device device_;
    std::exception_ptr failure_; // written on the stream, read behind an event
    objectcache::host_stream stream_;
};

} // namespace torch_llama
