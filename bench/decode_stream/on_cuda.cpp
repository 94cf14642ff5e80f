// SPDX-License-Identifier: BSL-1.0
#include "../support/gpu.hpp"

#include "program.hpp"

#include "cuda_compute.hpp"

#include <objectcache/cuda/pinned.hpp>

namespace decode_stream {
namespace {

class cuda_machine : public torch_llama::cuda_compute {
public:
    static constexpr at::ScalarType dtype = at::kBFloat16;
    static constexpr bool simulated = false;

    cuda_machine() : cuda_compute(0) {}

    [[nodiscard]] static at::Device torch_device() { return {at::kCUDA, 0}; }
    [[nodiscard]] static std::string name() { return device_name(); }
    void settle() const {} // what follows is enqueued behind

    class pinned {
    public:
        explicit pinned(std::size_t bytes)
            : slab_(gpu_made(oc::cuda::pinned_slab::create(0, bytes), "pinned memory"))
        {}
        [[nodiscard]] std::span<std::byte> bytes() const { return slab_.bytes(); }

    private:
        oc::cuda::pinned_slab slab_;
    };

    /** Copies on a stream of their own. Two events for each slot: a copy waits until the slot was used, the layer until it was copied.
        The host enqueues a copy before the wait for it, so that nothing waits for what is not enqueued yet. */
    class lane {
    public:
        lane(cuda_machine& on, std::size_t slots)
            : compute_(on.stream().native())
            , copies_(gpu_made(oc::cuda::stream::create(0, oc::cuda::stream::priority::first), "a stream"))
        {
            for (auto* events : {&copied_, &used_})
                for (std::size_t i = 0; i < slots; ++i)
                    gpu_ok(cudaEventCreateWithFlags(&events->emplace_back(), cudaEventDisableTiming),
                           "an event");
        }
        lane(const lane&) = delete;
        lane& operator=(const lane&) = delete;
        ~lane()
        {
            for (auto* events : {&copied_, &used_})
                for (cudaEvent_t one : *events)
                    (void)cudaEventDestroy(one);
        }

        void copy(std::size_t slot, void* to, const std::byte* from, std::size_t size)
        {
            // An event that was never recorded is done.
            gpu_ok(cudaStreamWaitEvent(copies_.native(), used_[slot], 0), "waiting for a slot");
            gpu_ok(cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, copies_.native()), "a copy");
            gpu_ok(cudaEventRecord(copied_[slot], copies_.native()), "an event");
        }
        void await_copy(std::size_t slot)
        {
            gpu_ok(cudaStreamWaitEvent(compute_, copied_[slot], 0), "waiting for a copy");
        }
        void used(std::size_t slot) { gpu_ok(cudaEventRecord(used_[slot], compute_), "an event"); }
        void synchronize() { gpu_ok(copies_.synchronize(), "copies"); }

    private:
        cudaStream_t compute_;
        oc::cuda::stream copies_;
        std::vector<cudaEvent_t> copied_, used_;
    };
};

} // namespace

int run_on_cuda(const settings& s)
{
    return on_a_gpu("decode_stream", [&] {
        cuda_machine gpu;
        return program<cuda_machine>(s, gpu).run() ? 0 : 1;
    });
}

} // namespace decode_stream
