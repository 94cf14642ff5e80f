// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/cuda/detail/kv_kernel_source.hpp>

#include <cstddef>
#include <string>
#include <vector>

#include <nvrtc.h>

namespace objectcache::cuda::detail {

/** The kernels as NVRTC compiled them: a cubin, or PTX for devices that it does not know, and what they are called. */
struct kv_image {
    std::string code;
    std::string scatter, gather;
};

/** Compile the kernels for devices of compute capability major * 10 + minor. Needs no device.

    @par Errors errc::device_failed, with the compiler's own words; errc::exhausted. */
inline result<kv_image> compile_kv_kernels(int capability)
{
    const auto failed = [](const char* call, nvrtcResult why, const std::string& log = {}) {
        return status(errc::device_failed, std::string("NVRTC: ") + call + ": " + nvrtcGetErrorString(why) +
                                               (log.empty() ? "" : "\n") + log);
    };
    int count = 0;
    if (const nvrtcResult r = nvrtcGetNumSupportedArchs(&count); r != NVRTC_SUCCESS)
        return failed("nvrtcGetNumSupportedArchs", r);
    std::vector<int> known(static_cast<std::size_t>(count));
    if (const nvrtcResult r = nvrtcGetSupportedArchs(known.data()); r != NVRTC_SUCCESS)
        return failed("nvrtcGetSupportedArchs", r);
    int best = 0;
    for (const int k : known)
        if (k <= capability && k > best)
            best = k;
    if (best == 0)
        return {errc::device_failed,
                "NVRTC: this version compiles no code for devices as old as " + std::to_string(capability)};
    const bool cubin = best == capability;

    struct program {
        nvrtcProgram handle = nullptr;
        ~program() { nvrtcDestroyProgram(&handle); }
    } p;
    const std::string source = std::string(kv_prelude_text) + kv_device_text + "\n" + kv_kernel_text + "\n";
    if (const nvrtcResult r =
            nvrtcCreateProgram(&p.handle, source.c_str(), "objectcache_kv_kernels.cu", 0, nullptr, nullptr);
        r != NVRTC_SUCCESS)
        return failed("nvrtcCreateProgram", r);
    const char* const names[] = {"objectcache::cuda::detail::kv_kernel<true>",
                                 "objectcache::cuda::detail::kv_kernel<false>"};
    for (const char* name : names)
        if (const nvrtcResult r = nvrtcAddNameExpression(p.handle, name); r != NVRTC_SUCCESS)
            return failed("nvrtcAddNameExpression", r);

    const std::string target =
        "--gpu-architecture=" + std::string(cubin ? "sm_" : "compute_") + std::to_string(best);
    const char* const options[] = {target.c_str(), "--std=c++17"};
    if (const nvrtcResult r = nvrtcCompileProgram(p.handle, 2, options); r != NVRTC_SUCCESS) {
        std::size_t size = 0;
        std::string log;
        if (nvrtcGetProgramLogSize(p.handle, &size) == NVRTC_SUCCESS && size > 1) {
            log.resize(size);
            nvrtcGetProgramLog(p.handle, log.data());
            log.resize(size - 1); // its end of string
        }
        return failed("nvrtcCompileProgram", r, log);
    }

    kv_image out;
    std::size_t size = 0;
    nvrtcResult r = cubin ? nvrtcGetCUBINSize(p.handle, &size) : nvrtcGetPTXSize(p.handle, &size);
    if (r == NVRTC_SUCCESS) {
        out.code.resize(size);
        r = cubin ? nvrtcGetCUBIN(p.handle, out.code.data()) : nvrtcGetPTX(p.handle, out.code.data());
    }
    const char* lowered[2] = {};
    for (int i = 0; i < 2 && r == NVRTC_SUCCESS; ++i)
        r = nvrtcGetLoweredName(p.handle, names[i], &lowered[i]);
    if (r != NVRTC_SUCCESS)
        return failed("the compiled program", r);
    out.scatter = lowered[0];
    out.gather = lowered[1];
    return out;
}

} // namespace objectcache::cuda::detail
