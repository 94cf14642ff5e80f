// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "json_line.hpp"

#include <objectcache/core/error.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/cuda/detail/driver.hpp>
#include <objectcache/cuda/stream.hpp>

#include <cuda_runtime_api.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

// What the benchmarks on a GPU have in common.
namespace bench {

inline double us_between(steady::time_point from, steady::time_point to)
{
    return std::chrono::duration<double, std::micro>(to - from).count();
}

/** Seconds of CPU, of CLOCK_THREAD_CPUTIME_ID or CLOCK_PROCESS_CPUTIME_ID. */
inline double cpu_of(clockid_t which)
{
    timespec t{};
    clock_gettime(which, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

inline void gpu_ok(cudaError_t e, const char* doing)
{
    if (e != cudaSuccess)
        throw std::runtime_error(std::string(doing) + ": " + cudaGetErrorString(e));
}
inline void gpu_ok(CUresult e, const char* doing)
{
    if (e != CUDA_SUCCESS)
        throw std::runtime_error(std::string(doing) + ": error " + std::to_string(static_cast<int>(e)) +
                                 " of the driver");
}
inline void gpu_ok(objectcache::error_code e, const char* doing)
{
    if (e)
        throw std::runtime_error(std::string(doing) + ": " + e.message());
}
template <class T>
[[nodiscard]] T gpu_made(objectcache::result<T> r, const char* what)
{
    if (!r)
        throw std::runtime_error(std::string(what) + ": " + r.error().message());
    return std::move(*r);
}

inline void relax() noexcept
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/** A word in pinned memory that streams write and wait for: the driver's functions, with nothing of ours around them. */
class raw_word {
public:
    raw_word() : driver_(gpu_made(objectcache::cuda::detail::driver::load(), "the driver"))
    {
        void* at = nullptr;
        gpu_ok(cudaHostAlloc(&at, 64, cudaHostAllocPortable), "pinned memory");
        at_ = static_cast<std::uint32_t*>(at);
        *at_ = 0;
    }
    raw_word(const raw_word&) = delete;
    raw_word& operator=(const raw_word&) = delete;
    ~raw_word() { (void)cudaFreeHost(at_); }

    /** What is awaited from now on. */
    void next() noexcept { ++value_; }
    void written_by(cudaStream_t stream) const
    {
        gpu_ok(driver_.stream_write_value32(stream, reinterpret_cast<CUdeviceptr>(at_), value_,
                                            CU_STREAM_WRITE_VALUE_DEFAULT),
               "writing a word");
    }
    void awaited_by(cudaStream_t stream) const
    {
        gpu_ok(driver_.stream_wait_value32(stream, reinterpret_cast<CUdeviceptr>(at_), value_,
                                           CU_STREAM_WAIT_VALUE_GEQ),
               "waiting for a word");
    }
    void set() noexcept { std::atomic_ref<std::uint32_t>(*at_).store(value_, std::memory_order_release); }
    void spin() const noexcept
    {
        while (std::atomic_ref<std::uint32_t>(*at_).load(std::memory_order_acquire) != value_)
            relax();
    }

private:
    objectcache::cuda::detail::driver driver_;
    std::uint32_t* at_ = nullptr;
    std::uint32_t value_ = 0;
};

[[nodiscard]] inline std::string device_name()
{
    cudaDeviceProp device{};
    gpu_ok(cudaGetDeviceProperties(&device, 0), "the device");
    return device.name;
}

/** `body()` where there is a device; 77, after saying so, where there is none. */
template <class Body>
int on_a_gpu(const char* program, Body&& body)
{
    int devices = 0;
    if (const cudaError_t e = cudaGetDeviceCount(&devices); e != cudaSuccess || devices == 0) {
        std::printf("skipped: no CUDA device (%s)\n",
                    e == cudaSuccess ? "none found" : cudaGetErrorString(e));
        return 77;
    }
    try {
        return body();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s: %s\n", program, e.what());
        return 1;
    }
}

} // namespace bench
