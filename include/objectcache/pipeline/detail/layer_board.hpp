// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/ids.hpp>
#include <objectcache/device/device.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/pipeline/detail/layer_state.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace objectcache::detail {

/** The layers of one load, pass after pass: where each stands, its gate, and who waits for it.

    A part is one (chunk, layer). A layer is ready when all its parts have ended, or when the load gave up; its gate opens no
    later than that. Where there was no memory for them, there are no layers, and every question is answered with that.

    @par Threads The pipeline's; `wait_blocking` and `gate` any. */
template <device Device>
class layer_board {
public:
    /** @param parts of each layer
        @param row gates to open instead of new ones; as many as there are layers in all passes */
    layer_board(const asio::any_io_executor& executor, Device& owner, layer_id layers, std::uint32_t passes,
                std::size_t parts, std::optional<typename Device::gates> row)
        : owner_(owner)
        , time_(clock::of(executor))
        , per_pass_(layers)
        , passes_(passes)
        , gates_(std::move(row))
    {
        const std::size_t total = std::size_t{layers} * passes;
        try {
            for (std::size_t v = 0; v < total; ++v)
                layers_.emplace_back(executor, parts);
            if (!gates_)
                gates_.emplace(owner_.make_gates(total));
        } catch (...) { // no memory
            force_all();
            layers_.clear();
            complete_ = false;
        }
    }
    layer_board(const layer_board&) = delete;
    layer_board& operator=(const layer_board&) = delete;
    /** Only where the context was destroyed under a load is a gate left closed: no stream may be left waiting. */
    ~layer_board() { force_all(); }

    [[nodiscard]] bool complete() const noexcept { return complete_; }
    [[nodiscard]] std::size_t size() const noexcept { return layers_.size(); }
    [[nodiscard]] layer_state& operator[](std::size_t v) { return layers_[v]; }

    [[nodiscard]] std::size_t index_of(layer_id layer, std::uint32_t pass) const noexcept
    {
        return std::size_t{pass} * per_pass_ + layer;
    }
    [[nodiscard]] layer_state& at(layer_id layer, std::uint32_t pass)
    {
        return layers_[index_of(layer, pass)];
    }
    /** Why there is no such layer; success if there is. */
    [[nodiscard]] error_code missing(layer_id layer, std::uint32_t pass) const noexcept
    {
        if (layer >= per_pass_ || pass >= passes_)
            return make_error_code(errc::invalid_argument);
        return complete_ ? error_code() : make_error_code(errc::exhausted);
    }

    /** For engines with threads of their own: until the layer is ready or lost, as it is soon after `until`.

        @param tell called if there is something to wait for */
    template <class Tell>
    [[nodiscard]] error_code wait_blocking(layer_id layer, std::uint32_t pass, deadline until, Tell tell)
    {
        if (const error_code none = missing(layer, pass))
            return none;
        layer_state& mine = at(layer, pass);
        const duration left = later(until.at(), slack) - time_.now();
        std::unique_lock lock(mutex_);
        if (!mine.announced) {
            lock.unlock();
            tell();
            lock.lock();
        }
        // Who calls this may be what keeps the executor from running: then nobody announces anything.
        if (!changed_.wait_until(lock, later(std::chrono::steady_clock::now(), left),
                                 [&] { return mine.announced; }))
            return make_error_code(errc::deadline_exceeded);
        return mine.failed;
    }
    [[nodiscard]] error_code gate(layer_id layer, std::uint32_t pass, typename Device::stream_ref stream)
    {
        if (const error_code none = missing(layer, pass))
            return none;
        return owner_.wait_gate(*gates_, index_of(layer, pass), stream);
    }

    void parts_enqueued(std::size_t v, std::size_t parts)
    {
        if ((layers_[v].to_enqueue -= parts) == 0)
            open_gate(v);
    }
    /** True when they were the last ones. */
    [[nodiscard]] bool parts_ended(std::size_t v, std::size_t parts, error_code failed)
    {
        layer_state& layer = layers_[v];
        if (failed && !layer.failed && !layer.ready.is_set())
            layer.failed = failed;
        return (layer.to_end -= parts) == 0;
    }

    /** The layer is ready or lost: tell everyone who waits. */
    void announce(std::size_t v, error_code failed)
    {
        layer_state& layer = layers_[v];
        layer.timing.ready = time_.now();
        if (!layer.gate_open) { // given up (whatever the copies do, the stream must not hang), or refused
            layer.gate_open = true;
            owner_.force_gate(*gates_, v);
        }
        {
            const std::lock_guard lock(mutex_);
            layer.failed = failed;
            layer.announced = true;
        }
        changed_.notify_all();
        layer.ready.set();
    }

    /** Of the layers in front of `first` nothing is read: they are ready. */
    void announce_below(layer_id first)
    {
        for (std::size_t v = 0; v < layers_.size(); ++v)
            if (v % per_pass_ < first) {
                layers_[v].to_end = 0;
                announce(v, {});
            }
    }

private:
    // Between the end of a load's time and the moment that the executor has told of it.
    static constexpr duration slack = std::chrono::milliseconds(100);

    /** Behind the copies of its layer: the device opens it, the host is not on the way. If the device refuses, `announce`
        opens it once the copies are seen done, not earlier: an engine that looks at nothing else would compute on rows
        that are not there. */
    void open_gate(std::size_t v)
    {
        if (layer_state& layer = layers_[v]; !layer.gate_open)
            layer.gate_open = !owner_.open_gate(*gates_, v);
    }
    void force_all() noexcept
    {
        for (std::size_t v = 0; gates_ && v < gates_->size(); ++v)
            if (v >= layers_.size() || !layers_[v].gate_open)
                owner_.force_gate(*gates_, v);
    }

    Device& owner_;
    clock& time_;
    layer_id per_pass_;
    std::uint32_t passes_;
    std::deque<layer_state> layers_; // latches do not move
    std::optional<typename Device::gates> gates_;
    bool complete_ = true;
    std::mutex mutex_;
    std::condition_variable changed_;
};

} // namespace objectcache::detail
