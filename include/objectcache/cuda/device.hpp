// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/cuda/detail/copy_batch.hpp>
#include <objectcache/cuda/detail/driver.hpp>
#include <objectcache/cuda/detail/host_wait.hpp>
#include <objectcache/cuda/error.hpp>
#include <objectcache/cuda/event.hpp>
#include <objectcache/cuda/gates.hpp>
#include <objectcache/cuda/page_map.hpp>
#include <objectcache/cuda/pinned.hpp>
#include <objectcache/cuda/stream.hpp>
#include <objectcache/device/device.hpp>

#include <array>
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
    /** Thread blocks of a kernel that moves slices, each half an SM: the more, the faster beside idle SMs, and the more they
        take from the engine. On an H200 8 bring 40 GB/s over the bus, 16 up to 47 of its 54 (bench/kv_kernels). */
    unsigned kernel_blocks = 8;
};

/** A CUDA device as the pipeline sees it (the `device` concept): two copy streams beside the engine's, pinned staging, events
    that are read rather than asked for, and layer gates that the device itself opens.

    The engine's streams and events stay the engine's. Nothing here is static, and nothing touches the legacy default
    stream. Any number of devices: one object each.

    A kernel that is launched for the first time is loaded, and the driver may wait for the device to do so: behind a gate
    that is still closed that is a wait for the gate. Engines launch everything once before, or set CUDA_MODULE_LOADING=EAGER;
    `use_kernels` does it for its own.
    An engine with many streams sets CUDA_DEVICE_MAX_CONNECTIONS to their number and three more (32 at most): streams that
    share a hardware queue would wait behind one another's gates.

    @par Lifetime The destructor waits for the copies enqueued so far. Events and gates may outlive the device.
    @par Threads As the `device` concept says; `record(stream)` and `query` from any thread. */
class device {
public:
    using event = cuda::event;
    using stream_ref = cuda::stream_ref;
    using gates = cuda::gates;
    using page_map = cuda::page_map;

    /** @par Errors `condition::device`: no driver, no such device; `condition::exhausted`. */
    [[nodiscard]] static result<std::unique_ptr<device>> create(device_options options = {});

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
    [[nodiscard]] result<byte_span> allocate_staging(std::size_t bytes);
    void free_staging(byte_span block) noexcept;

    [[nodiscard]] error_code copy(copy_queue queue, std::span<const copy_op> ops) noexcept
    {
        const device_guard guard(options_.ordinal);
        return check(detail::enqueue_copies(ops, stream_of(queue).native()));
    }

    /** Use kernels where pages are made of short runs: `runtime_kv_kernels` (cuda/kv_kernels.hpp, NVRTC) or
        `compiled_kv_kernels` (cuda/kv_kernels.cuh, nvcc), which is kept. Without any, the copy engine does everything: at
        less than half of the bus for blocks of 16 tokens, hardly at all where heads lie apart.

        Launches each once on nothing and takes memory for some block tables, so that no load behind a closed gate has to.

        @pre Nothing has been loaded or stored yet.
        @par Errors `condition::device`: the kernels are for another device; `condition::exhausted`. Then there are none.
        @par Cost   Blocks until the copy streams are idle. */
    template <class Kernels>
    [[nodiscard]] status use_kernels(Kernels kernels)
    {
        return use_launcher([k = std::make_shared<Kernels>(std::move(kernels))](auto&&... arguments) {
            return k->launch(arguments...);
        });
    }

    /** @par Errors `condition::invalid`, `condition::exhausted`. */
    [[nodiscard]] result<page_map> map_pages(copy_queue queue, const kv_pages& pages);
    [[nodiscard]] error_code move_slices(page_map& map, std::span<const kv_slice> slices) noexcept;

    /** An event behind everything enqueued so far; one that is `failed` if the device takes nothing more. */
    [[nodiscard]] event record(copy_queue queue) noexcept { return record(stream_of(queue)); }
    /** The same in a stream of the engine: cheaper to ask for than a CUDA event. */
    [[nodiscard]] event record(stream_ref stream) noexcept;

    [[nodiscard]] event_state query(const event& e) noexcept;

    /** @throws std::bad_alloc, also for want of pinned memory */
    [[nodiscard]] gates make_gates(std::size_t count);
    [[nodiscard]] error_code open_gate(gates& row, std::size_t i) noexcept;
    void force_gate(gates& row, std::size_t i) noexcept;
    [[nodiscard]] error_code wait_gate(gates& row, std::size_t i, stream_ref stream) noexcept;
    /** Close a row anew, for a graph that waits for it at each replay.

        @pre The load that opened it has finished, and the replay before is done. */
    void close_gates(gates& row) noexcept;

private:
    [[nodiscard]] status use_launcher(kv_kernel_launcher launcher);

    explicit device(device_options options)
        : options_(options)
        , words_(std::make_shared<detail::word_pool>(options.ordinal))
        , native_(std::make_shared<detail::native_events>(options.ordinal))
        , tables_{std::make_shared<detail::table_memory>(options.ordinal),
                  std::make_shared<detail::table_memory>(options.ordinal)}
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
    [[nodiscard]] bool try_words();

    /** A device that failed writes no words: now and then somebody has to ask. */
    [[nodiscard]] bool broken() noexcept;

    const device_options options_;
    detail::driver driver_;
    std::shared_ptr<detail::word_pool> words_;
    std::shared_ptr<detail::native_events> native_;
    std::array<std::shared_ptr<detail::table_memory>, 2> tables_; // one for each queue
    kv_kernel_launcher launcher_;
    bool by_words_ = false;
    stream load_, store_;
    std::mutex mutex_;
    std::list<pinned_slab> slabs_;
    std::atomic<bool> broken_ = false;
    std::atomic<std::chrono::steady_clock::rep> next_look_ = 0;
};

static_assert(objectcache::device<device>);

} // namespace objectcache::cuda

#include <objectcache/cuda/impl/device.ipp>
