// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/cuda/error.hpp>

namespace objectcache::cuda::detail {

/** What only the driver's own interface has. Asked for at run time, so that a program that is linked with the runtime alone
    also starts where there is no driver. */
struct driver {
    using write_value = CUresult(CUDAAPI*)(CUstream, CUdeviceptr, cuuint32_t, unsigned);
    using wait_value = write_value;

    write_value stream_write_value32 = nullptr;
    wait_value stream_wait_value32 = nullptr;

    /** @par Errors `condition::device`: no driver, or one older than CUDA 12. */
    [[nodiscard]] static result<driver> load()
    {
        driver out;
        if (status s = entry("cuStreamWriteValue32", out.stream_write_value32); !s.ok())
            return s;
        if (status s = entry("cuStreamWaitValue32", out.stream_wait_value32); !s.ok())
            return s;
        return out;
    }

    template <class F>
    [[nodiscard]] static status entry(const char* name, F& f)
    {
        void* found = nullptr;
        cudaDriverEntryPointQueryResult how{};
#if CUDART_VERSION >= 12050
        const cudaError_t e = cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &how);
#else
        const cudaError_t e = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &how);
#endif
        if (status s = check(e, name); !s.ok())
            return s;
        if (how != cudaDriverEntryPointSuccess || !found)
            return status(errc::device_failed, std::string("the CUDA driver has no ") + name);
        f = reinterpret_cast<F>(found);
        return {};
    }
};

} // namespace objectcache::cuda::detail
