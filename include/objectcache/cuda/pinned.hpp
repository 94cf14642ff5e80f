// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/cuda/error.hpp>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace objectcache::cuda {

/** The NUMA node that a device is attached to, or -1 where that is not known. */
[[nodiscard]] inline int numa_node_of(int device)
{
    std::array<char, 32> bus{};
    if (cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), device) != cudaSuccess) {
        (void)cudaGetLastError();
        return -1;
    }
    std::string name(bus.data());
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::ifstream file("/sys/bus/pci/devices/" + name + "/numa_node");
    int node = -1;
    return file >> node ? node : -1;
}

/** Host memory that every device copies from and to without a detour: whole pages, resident, near the device, registered.

    Made by mapping, touching and registering, which is some ten times faster than cudaMallocHost: touching is done by
    several threads and in huge pages where the kernel gives them.

    @par Lifetime Move only. Nothing may be copying from or to it when it is destroyed.
    @par Cost Some 0.1 s per GiB: allocate once. */
class pinned_slab {
public:
    static constexpr std::size_t huge_page = std::size_t{2} << 20;

    /** @param bytes rounded up to whole pages
        @par Errors `condition::exhausted`: no memory, or more than the process may lock. */
    [[nodiscard]] static result<pinned_slab> create(int device, std::size_t bytes)
    {
        const device_guard guard(device);
        const std::size_t unit = bytes >= huge_page ? huge_page : 4096;
        pinned_slab out;
        out.size_ = (std::max<std::size_t>(bytes, 1) + unit - 1) / unit * unit;
        void* const at =
            ::mmap(nullptr, out.size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            return status(errc::exhausted, "pinned memory: no " + std::to_string(out.size_) + " bytes");
        out.data_ = static_cast<std::byte*>(at);
        (void)::madvise(at, out.size_, MADV_HUGEPAGE); // where it is refused, pages are small
        prefer_node(at, out.size_, numa_node_of(device));
        out.touch();
        if (status s = check(cudaHostRegister(at, out.size_, cudaHostRegisterPortable), "pinning memory");
            !s.ok())
            return status(errc::exhausted, std::string(s.message()));
        out.registered_ = true;
        return out;
    }

    pinned_slab() = default;
    pinned_slab(pinned_slab&& other) noexcept
        : data_(std::exchange(other.data_, nullptr))
        , size_(std::exchange(other.size_, 0))
        , registered_(std::exchange(other.registered_, false))
    {}
    pinned_slab& operator=(pinned_slab other) noexcept
    {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(registered_, other.registered_);
        return *this;
    }
    ~pinned_slab()
    {
        if (registered_)
            (void)cudaHostUnregister(data_);
        if (data_)
            (void)::munmap(data_, size_);
    }

    [[nodiscard]] byte_span bytes() const noexcept { return {data_, size_}; }

private:
    /** A wish: memory of another node is slower, not wrong. The system call, because libnuma is not everywhere. */
    static void prefer_node(void* at, std::size_t size, int node)
    {
        constexpr int bits = 8 * sizeof(unsigned long), mpol_preferred = 1;
        if (node < 0 || node >= bits)
            return;
        const unsigned long mask = 1UL << node;
        (void)::syscall(SYS_mbind, at, size, mpol_preferred, &mask, static_cast<unsigned long>(bits) + 1, 0);
    }

    void touch() const
    {
        constexpr std::size_t page = 4096, share = std::size_t{128} << 20;
        const std::size_t most = std::clamp(std::thread::hardware_concurrency(), 1U, 16U);
        const std::size_t n = std::clamp<std::size_t>(size_ / share, 1, most);
        const auto part = [this, n](std::size_t i) {
            const std::size_t unit = (size_ / n + huge_page - 1) / huge_page * huge_page;
            for (std::size_t at = i * unit; at < std::min(size_, (i + 1) * unit); at += page)
                data_[at] = std::byte{0};
        };
        std::vector<std::jthread> helpers; // for the duration of this call
        for (std::size_t i = 1; i < n; ++i)
            helpers.emplace_back(part, i);
        part(0);
    }

    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    bool registered_ = false;
};

} // namespace objectcache::cuda
