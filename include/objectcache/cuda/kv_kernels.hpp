// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/detail/driver.hpp>
#include <objectcache/cuda/detail/kv_compile.hpp>
#include <objectcache/cuda/kv_batch.hpp>

#include <string>
#include <utility>

#include <cuda.h>
#include <cuda_runtime_api.h>

namespace objectcache::cuda {

/** The kernels for hosts without nvcc: compiled by NVRTC when make() is called, for the device that is then current.

    Make one per process and kind of device, and keep it: it serves all devices of that kind. Give it to
    move_with_kernels(). The driver is asked for its functions at run time, so nothing links libcuda.

    @par Lifetime Outlives the kernels that it launched.
    @par Threads launch() from any thread, at the same time too. */
class runtime_kv_kernels {
public:
    /** @par Errors errc::device_failed, naming the call: no driver, no device, or NVRTC's log.
        @par Cost some tenths of a second: this compiles. */
    [[nodiscard]] static result<runtime_kv_kernels> make()
    {
        const auto failed = [](const char* call, const char* why) {
            return status(errc::device_failed, std::string("KV kernels: ") + call + ": " + why);
        };
        int device = 0, major = 0, minor = 0;
        cudaError_t error = cudaGetDevice(&device);
        if (error == cudaSuccess)
            error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
        if (error == cudaSuccess)
            error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
        if (error != cudaSuccess)
            return failed("the current device", cudaGetErrorString(error));

        runtime_kv_kernels out;
        decltype(&::cuLibraryLoadData) load = nullptr;
        decltype(&::cuLibraryGetKernel) get = nullptr;
        for (const status& found : {detail::driver::entry("cuLibraryLoadData", load),
                                    detail::driver::entry("cuLibraryGetKernel", get),
                                    detail::driver::entry("cuLibraryUnload", out.unload_),
                                    detail::driver::entry("cuLaunchKernel", out.launch_)})
            if (!found.ok())
                return found;
        auto image = detail::compile_kv_kernels(major * 10 + minor);
        if (!image)
            return image.error();
        if (load(&out.library_, image->code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0) != CUDA_SUCCESS)
            return failed("cuLibraryLoadData", "the driver refuses the compiled kernels");
        if (get(&out.kernels_[0], out.library_, image->scatter.c_str()) != CUDA_SUCCESS ||
            get(&out.kernels_[1], out.library_, image->gather.c_str()) != CUDA_SUCCESS)
            return failed("cuLibraryGetKernel", "a kernel is missing");
        return out;
    }

    runtime_kv_kernels(runtime_kv_kernels&& other) noexcept { swap(other); }
    runtime_kv_kernels& operator=(runtime_kv_kernels&& other) noexcept
    {
        runtime_kv_kernels(std::move(other)).swap(*this);
        return *this;
    }
    ~runtime_kv_kernels()
    {
        if (library_ != nullptr)
            unload_(library_);
    }

    /** Enqueue one batch.

        @pre the stream's device is current in the calling thread
        @par Errors what the launch returns. */
    [[nodiscard]] cudaError_t launch(kv_direction direction, const detail::kv_launch_batch& batch,
                                     unsigned blocks, cudaStream_t stream) const noexcept
    {
        // A CUkernel may stand where the driver wants a CUfunction. Its errors have the numbers of the runtime's.
        const auto function =
            reinterpret_cast<CUfunction>(kernels_[direction == kv_direction::scatter ? 0 : 1]);
        void* parameters[] = {const_cast<detail::kv_launch_batch*>(&batch)};
        return static_cast<cudaError_t>(
            launch_(function, blocks, 1, 1, detail::kv_threads, 1, 1, 0, stream, parameters, nullptr));
    }

private:
    runtime_kv_kernels() = default;

    void swap(runtime_kv_kernels& other) noexcept
    {
        std::swap(library_, other.library_);
        std::swap(kernels_, other.kernels_);
        std::swap(unload_, other.unload_);
        std::swap(launch_, other.launch_);
    }

    CUlibrary library_ = nullptr;
    CUkernel kernels_[2] = {};
    decltype(&::cuLibraryUnload) unload_ = nullptr;
    decltype(&::cuLaunchKernel) launch_ = nullptr;
};

} // namespace objectcache::cuda
