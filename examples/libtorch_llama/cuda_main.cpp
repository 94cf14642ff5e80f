// SPDX-License-Identifier: BSL-1.0
#include "answer.hpp"

#include <objectcache/cuda/device.hpp>

#include <c10/cuda/CUDAStream.h>

namespace torch_llama {
namespace {

/** A GPU: layers are enqueued on one of PyTorch's streams, behind the gates that the device opens there. */
class cuda_compute {
public:
    using device = oc::cuda::device;

    explicit cuda_compute(at::Device on) : stream_(c10::cuda::getStreamFromPool(true, on.index())) {}

    [[nodiscard]] device& kv_device() noexcept { return device_; }
    [[nodiscard]] device::stream_ref stream() const noexcept { return device::stream_ref(stream_.stream()); }
    [[nodiscard]] device::event record() { return device_.record(stream()); }
    [[nodiscard]] std::optional<c10::Stream> torch_stream() const { return stream_.unwrap(); }

    /** A layer enqueues itself: pass_options::stream. */
    template <class F>
    void enqueue(F work)
    {
        work();
    }
    void rethrow() const noexcept {} // work throws where it is enqueued

private:
    c10::cuda::CUDAStream stream_;
    device device_;
};

} // namespace

int run_on_cuda(const settings& s)
{
    if (!at::hasCUDA())
        throw complaint("libtorch finds no GPU");
    cuda_compute gpu(s.where().device);
    return run_on(gpu, s);
}

} // namespace torch_llama
