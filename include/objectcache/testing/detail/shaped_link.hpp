// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/token_bucket.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>

namespace objectcache::testing::detail {

/** One direction of the link, shared by all connections of all threads. */
class shaped_link {
public:
    /** One body on its way over the link. */
    class flow {
    public:
        explicit flow(shaped_link& link) noexcept : link_(link)
        {
            link_.flows_.fetch_add(1, std::memory_order_relaxed);
        }
        flow(const flow&) = delete;
        flow& operator=(const flow&) = delete;
        ~flow() { link_.flows_.fetch_sub(1, std::memory_order_relaxed); }

        /** How much to move next: all of `left` where the link is not limited, else a piece short enough for the flows to
            take turns within a few milliseconds. */
        [[nodiscard]] std::size_t piece(std::size_t left) const noexcept
        {
            const std::uint64_t rate = link_.rate_.load(std::memory_order_relaxed);
            return rate == 0 ? left : std::min(left, longest_piece(rate));
        }

        /** When to hand so many bytes to the kernel that have passed at `due`: not only then, or they would be there later by
            what it takes the kernel to copy them, which on a fast link is longer than they were under way. */
        [[nodiscard]] static time_point hand_over(std::size_t bytes, time_point due) noexcept
        {
            return due - std::chrono::nanoseconds(bytes / kernel_bytes_per_ns);
        }

        /** When the next `bytes` will have passed. */
        [[nodiscard]] time_point reserve(std::size_t bytes)
        {
            const time_point now = std::chrono::steady_clock::now();
            if (link_.rate_.load(std::memory_order_relaxed) == 0)
                return now;
            // A link with a backlog is never idle: if it seems so, a timer was late.
            const bool backlog = started_ || link_.flows_.load(std::memory_order_relaxed) > 1;
            started_ = true;
            const std::lock_guard hold(link_.lock_);
            return link_.bucket_.reserve(bytes, now, backlog ? longest_lateness : duration{});
        }

    private:
        shaped_link& link_;
        bool started_ = false;
    };

    /** Bytes that pass a link of this rate in 2 ms, at most 256 KiB; on a fast one what passes in 200 us, for to wait for
        each piece costs a timer and a system call. */
    [[nodiscard]] static constexpr std::size_t longest_piece(std::uint64_t rate) noexcept
    {
        const std::uint64_t short_turn = std::clamp<std::uint64_t>(rate / 500, 1 << 10, 256 << 10);
        const std::uint64_t fast_turn = std::min<std::uint64_t>(rate / 5000, 4 << 20);
        return static_cast<std::size_t>(std::max(short_turn, fast_turn));
    }

    void set_rate(std::uint64_t bytes_per_second, std::uint64_t burst_bytes)
    {
        const std::lock_guard hold(lock_);
        bucket_.set_rate(bytes_per_second, burst_bytes);
        rate_.store(bytes_per_second, std::memory_order_relaxed);
    }

private:
    static constexpr duration longest_lateness = std::chrono::milliseconds(10);
    static constexpr std::size_t kernel_bytes_per_ns =
        4; // hardly more on any machine, so that nothing is there too early

    std::mutex lock_;
    token_bucket bucket_;
    std::atomic<std::uint64_t> rate_{0};
    std::atomic<unsigned> flows_{0};
};

} // namespace objectcache::testing::detail
