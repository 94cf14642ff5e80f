// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/detail/copy_batch.hpp>
#include <objectcache/cuda/detail/host_wait.hpp>
#include <objectcache/cuda/device.hpp>

#include <chrono>
#include <new>
#include <string>
#include <utility>

namespace objectcache::cuda {

inline result<std::unique_ptr<device>> device::create(device_options options)
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

inline result<byte_span> device::allocate_staging(std::size_t bytes)
{
    auto slab = pinned_slab::create(options_.ordinal, bytes);
    if (!slab)
        return slab.error();
    const std::lock_guard lock(mutex_);
    slabs_.push_back(std::move(*slab));
    return slabs_.back().bytes().first(bytes);
}

inline void device::free_staging(byte_span block) noexcept
{
    (void)load_.synchronize();
    (void)store_.synchronize();
    const std::lock_guard lock(mutex_);
    slabs_.remove_if([&](const pinned_slab& s) { return s.bytes().data() == block.data(); });
}

inline status device::use_launcher(kv_kernel_launcher launcher)
{
    const device_guard guard(options_.ordinal);
    const detail::kv_launch_batch nothing{};
    for (const copy_queue queue : {copy_queue::load, copy_queue::store}) {
        const auto direction = queue == copy_queue::load ? kv_direction::scatter : kv_direction::gather;
        if (status s = check(launcher(direction, nothing, 1, stream_of(queue).native()), "the KV kernels");
            !s.ok())
            return s;
        // Taken all at once, so that they are different ones.
        std::array<std::shared_ptr<std::uint32_t>, 4> at_once;
        for (auto& table : at_once) {
            auto memory = tables_[static_cast<std::size_t>(queue)]->take(1);
            if (!memory)
                return memory.error();
            table = std::move(*memory);
        }
        if (status s = check(cudaStreamSynchronize(stream_of(queue).native()), "the KV kernels"); !s.ok())
            return s;
    }
    launcher_ = std::move(launcher);
    return {};
}

inline result<device::page_map> device::map_pages(copy_queue queue, const kv_pages& pages)
{
    page_map out(queue, pages);
    if (!launcher_ || prefers_copy_engine(pages))
        return out;
    const device_guard guard(options_.ordinal);
    if (const auto table = pages.block_table(); !table.empty()) {
        auto memory = tables_[static_cast<std::size_t>(queue)]->take(table.size());
        if (!memory)
            return memory.error();
        out.table_ = std::move(*memory);
        // From pageable memory: the driver has it before this returns.
        if (status s = check(cudaMemcpyAsync(out.table_.get(), table.data(), table.size_bytes(),
                                             cudaMemcpyHostToDevice, stream_of(queue).native()),
                             "the block table");
            !s.ok())
            return s;
    }
    auto batches = kv_batches::make(pages, out.table_.get());
    if (!batches)
        return batches.error();
    out.batches_.emplace(std::move(*batches));
    return out;
}

inline error_code device::move_slices(page_map& map, std::span<const kv_slice> slices) noexcept
{
    const device_guard guard(options_.ordinal);
    const auto direction = map.queue_ == copy_queue::load ? kv_direction::scatter : kv_direction::gather;
    const cudaStream_t stream = stream_of(map.queue_).native();
    if (!map.batches_)
        return check(move_with_copies(direction, map.pages_, slices, stream));
    return check(map.batches_->for_each_launch(
        slices, options_.kernel_blocks, [&](const detail::kv_launch_batch& batch, unsigned blocks) noexcept {
            return launcher_(direction, batch, blocks, stream);
        }));
}

inline device::event device::record(stream_ref stream) noexcept
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

inline event_state device::query(const event& e) noexcept
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

inline device::gates device::make_gates(std::size_t count)
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

inline error_code device::open_gate(gates& row, std::size_t i) noexcept
{
    if (!by_words_)
        return make_error_code(errc::device_failed); // the pipeline does it when it has seen the copies done
    const device_guard guard(options_.ordinal);
    if (!write(load_.native(), *row.row_->words[i]))
        return make_error_code(errc::device_failed);
    row.row_->enqueued[i] = true;
    return {};
}

inline void device::force_gate(gates& row, std::size_t i) noexcept
{
    auto& word = *row.row_->words[i];
    if (row.row_->enqueued[i])
        word.retire(); // the device will write it once more
    word.set(word.value());
    detail::wake_host_waits(word);
}

inline error_code device::wait_gate(gates& row, std::size_t i, stream_ref stream) noexcept
{
    const device_guard guard(options_.ordinal);
    const auto& word = row.row_->words[i];
    if (!by_words_) {
        // A host function waits once: a graph would replay it with what it has given back.
        cudaStreamCaptureStatus capturing{};
        if (const error_code ec = check(cudaStreamIsCapturing(stream.native(), &capturing)))
            return ec;
        if (capturing != cudaStreamCaptureStatusNone)
            return make_error_code(errc::invalid_argument);
        return detail::enqueue_host_wait(stream.native(), word);
    }
    return check(driver_.stream_wait_value32(stream.native(), word->address(), word->value(),
                                             CU_STREAM_WAIT_VALUE_GEQ));
}

inline void device::close_gates(gates& row) noexcept
{
    for (std::size_t i = 0; i < row.size(); ++i) {
        row.row_->words[i]->set(row.row_->words[i]->value() - 1);
        row.row_->enqueued[i] = false;
    }
}

inline bool device::try_words()
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

inline bool device::broken() noexcept
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

} // namespace objectcache::cuda
