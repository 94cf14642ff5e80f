// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <string>

namespace objectcache::cuda {

/** What the runtime said, as a status: ok, `condition::exhausted` for want of memory, `condition::invalid` for what this device
    or driver cannot do, else `condition::device`. `what` was being done.

    Takes a failure that a later call would meet again (cudaGetLastError) off the thread; errors of the context itself stay. */
[[nodiscard]] inline status check(cudaError_t code, const char* what)
{
    if (code == cudaSuccess)
        return {};
    (void)cudaGetLastError();
    errc e = errc::device_failed;
    if (code == cudaErrorMemoryAllocation)
        e = errc::exhausted;
    else if (code == cudaErrorNotSupported || code == cudaErrorInvalidValue)
        e = errc::invalid_argument;
    return status(e, std::string("CUDA: ") + what + ": " + cudaGetErrorName(code) + ", " +
                         cudaGetErrorString(code));
}

/** The same where no text can be carried. */
[[nodiscard]] inline error_code check(cudaError_t code) noexcept
{
    if (code == cudaSuccess)
        return {};
    (void)cudaGetLastError();
    return make_error_code(code == cudaErrorMemoryAllocation ? errc::exhausted : errc::device_failed);
}
[[nodiscard]] inline error_code check(CUresult code) noexcept
{
    return code == CUDA_SUCCESS ? error_code() : make_error_code(errc::device_failed);
}

/** Makes a device the calling thread's for as long as it lives, and keeps calls of ours from ending a stream capture that
    the engine has under way. Where the device is that already, the cost is two reads. */
class device_guard {
public:
    explicit device_guard(int device) noexcept
    {
        (void)cudaThreadExchangeStreamCaptureMode(&mode_);
        if (cudaGetDevice(&before_) != cudaSuccess || before_ == device)
            before_ = -1;
        (void)cudaSetDevice(device); // also where it is set: the thread may have no context yet
    }
    device_guard(const device_guard&) = delete;
    device_guard& operator=(const device_guard&) = delete;
    ~device_guard()
    {
        if (before_ >= 0)
            (void)cudaSetDevice(before_);
        (void)cudaThreadExchangeStreamCaptureMode(&mode_);
    }

private:
    cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
    int before_ = -1;
};

} // namespace objectcache::cuda
