// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/detail/block_allocator.hpp>
#include <objectcache/device/device.hpp>
#include <objectcache/io/fair_queue.hpp>

#include <memory>
#include <utility>

namespace objectcache {

/** Pinned memory between the network and the device: one slab, allocated once, lent out in contiguous leases.

    A lease goes back only when its holder says so, after the event that guards it (law 2). The slab lives until the last
    lease is back, so the pool may go first; the device must outlive both.

    @par Threads Not safe: one thread, or one strand, at a time. */
template <device Device>
class staging_pool {
    struct slab {
        Device& owner;
        byte_span memory;
        detail::block_allocator blocks;
        std::shared_ptr<fair_queue> line;

        slab(Device& d, byte_span m, asio::any_io_executor executor)
            : owner(d)
            , memory(m)
            , blocks(m.size())
            , line(std::make_shared<fair_queue>(std::move(executor)))
        {}
        ~slab() { owner.free_staging(memory); }
    };

public:
    /** Contiguous staging bytes; given back when destroyed. Move only. */
    class lease {
    public:
        lease() = default;
        lease(lease&& other) noexcept : from_(std::move(other.from_)), bytes_(other.bytes_) {}
        lease& operator=(lease other) noexcept
        {
            from_.swap(other.from_);
            std::swap(bytes_, other.bytes_);
            return *this;
        }
        ~lease() { release(); }

        [[nodiscard]] byte_span bytes() const noexcept { return bytes_; }
        void release() noexcept
        {
            if (auto from = std::exchange(from_, nullptr)) {
                from->blocks.give(static_cast<std::size_t>(bytes_.data() - from->memory.data()),
                                  bytes_.size());
                from->line->serve();
            }
        }

    private:
        friend staging_pool;
        lease(std::shared_ptr<slab> from, byte_span bytes) : from_(std::move(from)), bytes_(bytes) {}
        std::shared_ptr<slab> from_;
        byte_span bytes_;
    };

    /** Allocate `capacity` bytes, rounded up to whole pages, from the device.

        @par Errors `condition::exhausted`.
        @par Cost Pinning takes about 0.4 s per GiB: once per process, not per request. */
    [[nodiscard]] static result<staging_pool> create(asio::any_io_executor executor, Device& owner,
                                                     std::size_t capacity)
    {
        auto memory = owner.allocate_staging(detail::block_allocator::rounded(capacity));
        if (!memory)
            return memory.error();
        return staging_pool(std::make_shared<slab>(owner, *memory, std::move(executor)));
    }

    [[nodiscard]] std::size_t capacity() const noexcept { return slab_->blocks.capacity(); }
    /** Bytes lent out; 0 when nothing leaks. */
    [[nodiscard]] std::size_t in_use() const noexcept { return slab_->blocks.used(); }
    [[nodiscard]] std::size_t waiters() const noexcept { return slab_->line->waiters(); }

    /** Wait for `size` contiguous bytes, in line as `fair_queue::wait` says.

        @par Completion With a lease.
        @par Resumes On the awaiting coroutine's executor.
        @par Cancellation Terminal, partial and total; the place in the line is given up.
        @par Errors `condition::timeout`, `condition::cancelled`, and `condition::exhausted` at once for more than the
             capacity. */
    [[nodiscard]] asio::awaitable<result<lease>> acquire(std::size_t size, priority who, deadline until)
    {
        auto shared = slab_;
        if (size == 0 || size > shared->blocks.capacity())
            co_return result<lease>(errc::exhausted, std::to_string(size) +
                                                         " bytes of staging, the pool has " +
                                                         std::to_string(shared->blocks.capacity()));
        std::optional<std::size_t> offset;
        auto take = [&]() -> bool { return (offset = shared->blocks.take(size)).has_value(); };
        if (error_code ec = co_await shared->line->wait(who, until, take))
            co_return result<lease>(status(ec, "waiting for staging"));
        co_return lease(shared, shared->memory.subspan(*offset, size));
    }

private:
    explicit staging_pool(std::shared_ptr<slab> s) : slab_(std::move(s)) {}
    std::shared_ptr<slab> slab_;
};

} // namespace objectcache
