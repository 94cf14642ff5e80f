// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/device.hpp>
#include <objectcache/device/host_stream.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

namespace objectcache {

/** The device of an engine that computes on the CPU: copies run on threads of their own, in order, beside the engine's
    `host_stream`. The same pipeline that drives a GPU drives it, which is how the pipeline is tested where there is none.

    Owns two threads (load copies, store copies). The destructor waits for the copies enqueued so far.

    @par Threads As the `device` concept says. */
class host_device {
public:
    using event = host_event;

    /** The engine's stream. Non-owning. */
    class stream_ref {
    public:
        stream_ref(host_stream& stream) noexcept : stream_(&stream) {}
        [[nodiscard]] host_stream& get() const noexcept { return *stream_; }

    private:
        host_stream* stream_;
    };

    class gates {
    public:
        gates() = default;
        [[nodiscard]] std::size_t size() const noexcept { return words_ ? words_->size() : 0; }

    private:
        friend host_device;
        using words = std::vector<std::atomic<std::uint32_t>>;
        std::shared_ptr<words> words_; // shared with the waits that are enqueued
    };

    [[nodiscard]] result<byte_span> allocate_staging(std::size_t bytes)
    {
        void* block = ::operator new(bytes, page, std::nothrow);
        if (!block)
            return result<byte_span>(errc::exhausted, "staging of " + std::to_string(bytes) + " bytes");
        return byte_span(static_cast<std::byte*>(block), bytes);
    }
    /** Waits for the copies enqueued so far: they may still touch the block. */
    void free_staging(byte_span block) noexcept
    {
        load_.synchronize();
        store_.synchronize();
        ::operator delete(block.data(), page);
    }

    [[nodiscard]] error_code copy(copy_queue queue, std::span<const copy_op> ops) noexcept
    {
        return guarded([&] {
            queue_of(queue).enqueue([list = std::vector<copy_op>(ops.begin(), ops.end())] {
                for (const copy_op& op : list)
                    std::memcpy(op.destination, op.source, op.size);
            });
        });
    }

    [[nodiscard]] event record(copy_queue queue) noexcept { return queue_of(queue).record(); }
    [[nodiscard]] event_state query(const event& e) noexcept
    {
        return e.done() ? event_state::done : event_state::pending;
    }

    [[nodiscard]] gates make_gates(std::size_t count)
    {
        gates out;
        out.words_ = std::make_shared<gates::words>(count);
        return out;
    }
    [[nodiscard]] error_code open_gate(gates& row, std::size_t i) noexcept
    {
        return guarded([&] { load_.enqueue([words = row.words_, i] { open(*words, i); }); });
    }
    void force_gate(gates& row, std::size_t i) noexcept { open(*row.words_, i); }
    [[nodiscard]] error_code wait_gate(gates& row, std::size_t i, stream_ref stream) noexcept
    {
        return guarded([&] {
            stream.get().enqueue([words = row.words_, i] { (*words)[i].wait(0, std::memory_order_acquire); });
        });
    }

private:
    static constexpr std::align_val_t page{4096};

    static void open(gates::words& words, std::size_t i) noexcept
    {
        words[i].store(1, std::memory_order_release);
        words[i].notify_all();
    }

    template <class F>
    static error_code guarded(F&& f) noexcept
    {
        try {
            f();
            return {};
        } catch (...) { // only allocation can fail here
            return make_error_code(errc::exhausted);
        }
    }

    host_stream& queue_of(copy_queue queue) noexcept { return queue == copy_queue::load ? load_ : store_; }

    host_stream load_, store_;
};

static_assert(device<host_device>);

} // namespace objectcache
