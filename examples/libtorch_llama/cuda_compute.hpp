// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "store.hpp"

#include <objectcache/cuda/device.hpp>

#include <c10/cuda/CUDAStream.h>

#include <memory>
#include <optional>

namespace torch_llama {

/** A GPU: layers are enqueued on a stream of ours, behind the gates that the device opens there. PyTorch's own pool of streams
    would share the few hardware queues with the copies, which would then wait behind the gates that they should open. */
class cuda_compute {
public:
    using device = oc::cuda::device;

    explicit cuda_compute(int ordinal)
        : device_(checked(device::create({.ordinal = ordinal}), "CUDA"))
        , stream_(checked(oc::cuda::stream::create(ordinal), "CUDA"))
        , torch_stream_(
              c10::cuda::getStreamFromExternal(stream_.native(), static_cast<c10::DeviceIndex>(ordinal)))
    {}

    [[nodiscard]] device& kv_device() noexcept { return *device_; }
    [[nodiscard]] device::stream_ref stream() const noexcept { return stream_; }
    [[nodiscard]] device::event record() { return device_->record(stream_); }
    [[nodiscard]] std::optional<c10::Stream> torch_stream() const { return torch_stream_; }

    /** A layer enqueues itself on pass_options::stream, and throws here if it cannot. */
    template <class F>
    void enqueue(F work)
    {
        work();
    }
    void rethrow() const noexcept {}

private:
    std::unique_ptr<device> device_;
    oc::cuda::stream stream_;
    c10::Stream torch_stream_;
};

} // namespace torch_llama
