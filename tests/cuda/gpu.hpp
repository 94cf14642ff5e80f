// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/cuda/device.hpp>

#include <doctest/doctest.h>

#include <list>
#include <memory>
#include <vector>

/** What the tests on a GPU share. */
namespace gpu {

namespace oc = objectcache;

inline void ok(cudaError_t e)
{
    INFO(cudaGetErrorString(e));
    REQUIRE(e == cudaSuccess);
}

/** Memory of the device; its contents are read and written from outside. */
class memory {
public:
    explicit memory(std::size_t bytes) : size_(bytes)
    {
        void* at = nullptr;
        ok(cudaMalloc(&at, bytes));
        at_ = static_cast<std::byte*>(at);
    }
    explicit memory(const std::vector<std::byte>& bytes) : memory(bytes.size()) { write(bytes); }
    memory(const memory&) = delete;
    memory& operator=(const memory&) = delete;
    ~memory() { (void)cudaFree(at_); }

    [[nodiscard]] std::byte* data() const { return at_; }
    [[nodiscard]] oc::byte_span span() const { return {at_, size_}; }
    void write(const std::vector<std::byte>& bytes) const
    {
        REQUIRE(bytes.size() <= size_);
        ok(cudaMemcpy(at_, bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
    }
    void fill(int value) const { ok(cudaMemset(at_, value, size_)); }
    [[nodiscard]] std::vector<std::byte> read() const { return read(span()); }
    [[nodiscard]] static std::vector<std::byte> read(oc::byte_span from)
    {
        std::vector<std::byte> out(from.size());
        ok(cudaMemcpy(out.data(), from.data(), out.size(), cudaMemcpyDeviceToHost));
        return out;
    }

private:
    std::size_t size_;
    std::byte* at_ = nullptr;
};

inline std::unique_ptr<oc::cuda::device> device(bool memory_operations = true)
{
    oc::cuda::device_options how;
    how.memory_operations = memory_operations;
    auto made = oc::cuda::device::create(how);
    if (!made)
        FAIL(made.error().message());
    return std::move(*made);
}

/** A stream as an engine has one. */
inline oc::cuda::stream stream()
{
    auto made = oc::cuda::stream::create(0);
    if (!made)
        FAIL(made.error().message());
    return std::move(*made);
}

} // namespace gpu
