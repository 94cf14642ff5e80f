// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/cuda/detail/copies.hpp>
#include <objectcache/cuda/detail/driver.hpp>
#include <objectcache/cuda/detail/host_wait.hpp>
#include <objectcache/cuda/error.hpp>
#include <objectcache/cuda/event.hpp>
#include <objectcache/cuda/gates.hpp>
#include <objectcache/cuda/pinned.hpp>
#include <objectcache/cuda/stream.hpp>
#include <objectcache/device/device.hpp>

#include <atomic>
#include <cassert>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

namespace objectcache::cuda {

struct device_options {
    int ordinal = 0; ///< as cudaSetDevice counts
    /** Gates and events by words that streams write and wait for, where the device can. No, or where it cannot: events are
        CUDA events, and gates host functions, which the pipeline opens when it has seen the copies done. */
    bool memory_operations = true;
};

/** A CUDA device as the pipeline sees it (the `device` concept): two copy streams beside the engine's, pinned staging, events
    that are read rather than asked for, and layer gates that the device itself opens.

    The engine's streams and events stay the engine's. Nothing here is static, and nothing touches the legacy default
    stream. Any number of devices: one object each.

    An engine with many streams sets CUDA_DEVICE_MAX_CONNECTIONS to their number and three more (32 at most): streams that
    share a hardware queue would wait behind one another's gates.

    @par Lifetime The destructor waits for the copies enqueued so far. Events and gates may outlive the device.
    @par Threads As the `device` concept says; `record(stream)` and `query` from any thread. */
class device {
public:
    using event = cuda::event;
    using stream_ref = cuda::stream_ref;
    using gates = cuda::gates;

    /** @par Errors `condition::device`: no driver, no such device; `condition::exhausted`. */
    [[nodiscard]] static result<std::unique_ptr<device>> create(device_options options = {})
    {
        int count = 0;
        if (status s = check(cudaGetDeviceCount(&count), "counting devices"); !s.ok())
            return s;
        if (options.ordinal < 0 || options.ordinal >= count)
            return status(errc::device_failed, "no CUDA device " + std::to_string(options.ordinal) +
                                                   ": there are " + std::to_string(count));
        const device_guard guard(options.ordinal);
        if (status s = check(cudaFree(nullptr), "making the device's context"); !s.ok())
            return s;
        std::unique_ptr<device> out(new device(options));
        auto load = stream::create(options.ordinal, stream::priority::first);
        if (!load)
            return load.error();
        auto store = stream::create(options.ordinal);
        if (!store)
            return store.error();
        out->load_ = std::move(*load);
        out->store_ = std::move(*store);
        if (options.memory_operations) {
            auto functions = detail::driver::load();
            if (!functions)
                return functions.error();
            out->driver_ = *functions;
            out->by_words_ = out->try_words();
        }
        return out;
    }

    device(const device&) = delete;
    device& operator=(const device&) = delete;
    ~device()
    {
        (void)load_.synchronize();
        (void)store_.synchronize();
    }

    [[nodiscard]] int ordinal() const noexcept { return options_.ordinal; }
    /** Whether gates and events are words; see `device_options::memory_operations`. */
    [[nodiscard]] bool memory_operations() const noexcept { return by_words_; }
    [[nodiscard]] stream_ref queue_stream(copy_queue queue) const noexcept { return stream_of(queue); }

    /** Pinned and near the device, see `pinned_slab`. */
    [[nodiscard]] result<byte_span> allocate_staging(std::size_t bytes)
    {
        auto slab = pinned_slab::create(options_.ordinal, bytes);
        if (!slab)
            return slab.error();
        const std::lock_guard lock(mutex_);
        slabs_.push_back(std::move(*slab));
        return slabs_.back().bytes().first(bytes);
    }
    void free_staging(byte_span block) noexcept
    {
        (void)load_.synchronize();
        (void)store_.synchronize();
        const std::lock_guard lock(mutex_);
        slabs_.remove_if([&](const pinned_slab& s) { return s.bytes().data() == block.data(); });
    }

    [[nodiscard]] error_code copy(copy_queue queue, std::span<const copy_op> ops) noexcept
    {
        const device_guard guard(options_.ordinal);
        return copies_.enqueue(ops, queue == copy_queue::load ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost,
                               stream_of(queue));
    }

    /** An event behind everything enqueued so far; one that is `failed` if the device takes nothing more. */
    [[nodiscard]] event record(copy_queue queue) noexcept { return record(stream_of(queue)); }
    /** The same in a stream of the engine: cheaper to ask for than a CUDA event. */
    [[nodiscard]] event record(stream_ref stream) noexcept
    {
        try {
            const device_guard guard(options_.ordinal);
            if (by_words_) {
                auto word = words_->take();
                if (word && write(stream.native(), **word))
                    return event(std::move(*word));
                if (word)
                    (*word)->retire();
            } else if (auto native = native_->take();
                       native && !check(cudaEventRecord(native->get(), stream.native()))) {
                return event(std::move(*native));
            }
        } catch (...) { // no memory
        }
        return event::of_failure();
    }

    [[nodiscard]] event_state query(const event& e) noexcept
    {
        if (e.failed_)
            return event_state::failed;
        if (e.word_) {
            if (e.word_->reached())
                return event_state::done;
            return broken() ? event_state::failed : event_state::pending;
        }
        if (!e.native_)
            return event_state::done;
        const device_guard guard(options_.ordinal);
        const cudaError_t now = cudaEventQuery(e.native_.get());
        if (now == cudaSuccess)
            return event_state::done;
        (void)cudaGetLastError();
        return now == cudaErrorNotReady ? event_state::pending : event_state::failed;
    }

    /** @throws std::bad_alloc, also for want of pinned memory */
    [[nodiscard]] gates make_gates(std::size_t count)
    {
        gates out;
        out.row_ = std::make_shared<gates::row>();
        out.row_->enqueued.resize(count);
        for (std::size_t i = 0; i < count; ++i) {
            auto word = words_->take();
            if (!word)
                throw std::bad_alloc();
            out.row_->words.push_back(std::move(*word));
        }
        return out;
    }
    [[nodiscard]] error_code open_gate(gates& row, std::size_t i) noexcept
    {
        if (!by_words_)
            return make_error_code(errc::device_failed); // the pipeline does it when it has seen the copies done
        const device_guard guard(options_.ordinal);
        if (!write(load_.native(), *row.row_->words[i]))
            return make_error_code(errc::device_failed);
        row.row_->enqueued[i] = true;
        return {};
    }
    void force_gate(gates& row, std::size_t i) noexcept
    {
        auto& word = *row.row_->words[i];
        if (row.row_->enqueued[i])
            word.retire(); // the device will write it once more
        word.set(word.value());
        detail::wake_host_waits(word);
    }
    [[nodiscard]] error_code wait_gate(gates& row, std::size_t i, stream_ref stream) noexcept
    {
        const device_guard guard(options_.ordinal);
        const auto& word = row.row_->words[i];
        if (!by_words_)
            return detail::enqueue_host_wait(stream.native(), word);
        return check(driver_.stream_wait_value32(stream.native(), word->address(), word->value(),
                                                 CU_STREAM_WAIT_VALUE_GEQ));
    }
    /** Close a row anew, for a graph that waits for it at each replay.

        @pre The load that opened it has finished, and the replay before is done. */
    void close_gates(gates& row) noexcept
    {
        for (std::size_t i = 0; i < row.size(); ++i) {
            row.row_->words[i]->set(row.row_->words[i]->value() - 1);
            row.row_->enqueued[i] = false;
        }
    }

private:
    explicit device(device_options options)
        : options_(options)
        , words_(std::make_shared<detail::word_pool>(options.ordinal))
        , native_(std::make_shared<detail::native_events>(options.ordinal))
    {}

    [[nodiscard]] stream_ref stream_of(copy_queue queue) const noexcept
    {
        return queue == copy_queue::load ? load_ : store_;
    }

    [[nodiscard]] bool write(cudaStream_t stream, const detail::word_pool::word& word) noexcept
    {
        return driver_.stream_write_value32(stream, word.address(), word.value(),
                                            CU_STREAM_WRITE_VALUE_DEFAULT) == CUDA_SUCCESS;
    }

    /** Attributes have changed their meaning over the years; a try tells. */
    [[nodiscard]] bool try_words()
    {
        auto word = words_->take();
        if (!word)
            return false;
        const bool can = write(load_.native(), **word) && !load_.synchronize() && (*word)->reached();
        (void)cudaGetLastError();
        if (!can)
            (*word)->retire();
        return can;
    }

    /** A device that failed writes no words: now and then somebody has to ask. */
    [[nodiscard]] bool broken() noexcept
    {
        if (broken_.load(std::memory_order_relaxed))
            return true;
        const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
        auto next = next_look_.load(std::memory_order_relaxed);
        constexpr auto pause = std::chrono::steady_clock::duration(std::chrono::milliseconds(1)).count();
        if (now < next || !next_look_.compare_exchange_strong(next, now + pause, std::memory_order_relaxed))
            return false;
        const device_guard guard(options_.ordinal);
        const cudaError_t e = cudaStreamQuery(load_.native());
        (void)cudaGetLastError();
        if (e != cudaSuccess && e != cudaErrorNotReady)
            broken_.store(true, std::memory_order_relaxed);
        return broken_.load(std::memory_order_relaxed);
    }

    const device_options options_;
    detail::driver driver_;
    detail::copies copies_;
    std::shared_ptr<detail::word_pool> words_;
    std::shared_ptr<detail::native_events> native_;
    bool by_words_ = false;
    stream load_, store_;
    std::mutex mutex_;
    std::list<pinned_slab> slabs_;
    std::atomic<bool> broken_ = false;
    std::atomic<std::chrono::steady_clock::rep> next_look_ = 0;
};

static_assert(objectcache::device<device>);

} // namespace objectcache::cuda
