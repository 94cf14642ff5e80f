// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/detail/word_pool.hpp>
#include <objectcache/cuda/error.hpp>

#include <atomic>
#include <memory>
#include <new>

namespace objectcache::cuda::detail {

/** @file
    Gates where streams cannot wait for words: a host function that blocks its stream. One thread of the driver may run all
    of a process's host functions, so that one closed gate may hold up others; they are bounded by the load's time. */

/** Let `stream` go on when the host has set `word`. Not for graphs that are replayed: it waits once. */
[[nodiscard]] inline error_code enqueue_host_wait(cudaStream_t stream,
                                                  const std::shared_ptr<word_pool::word>& word) noexcept
{
    using kept = std::shared_ptr<word_pool::word>;
    auto* const mine = new (std::nothrow) kept(word);
    if (!mine)
        return make_error_code(errc::exhausted);
    const auto wait = [](void* p) {
        word_pool::in_host_function() = true;
        std::unique_ptr<kept> held(static_cast<kept*>(p));
        const std::atomic_ref<std::uint32_t> at(*reinterpret_cast<std::uint32_t*>((*held)->address()));
        while (!(*held)->reached())
            at.wait((*held)->value() - 1, std::memory_order_acquire);
        held.reset();
        word_pool::in_host_function() = false;
    };
    if (const error_code ec = check(cudaLaunchHostFunc(stream, wait, mine))) {
        delete mine;
        return ec;
    }
    return {};
}

inline void wake_host_waits(const word_pool::word& word) noexcept
{
    std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(word.address())).notify_all();
}

} // namespace objectcache::cuda::detail
