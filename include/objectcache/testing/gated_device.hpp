// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/device.hpp>
#include <objectcache/testing/fail_counter.hpp>

#include <array>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace objectcache::testing {

/** A device without threads whose queues move only when the test says so: "the copy has not happened yet" is a fact and
    not a matter of timing.

    Until `hold` is called, work runs as it is enqueued. Every fallible call is a step of the fuse.

    @par Threads Not safe: one thread. */
class gated_device {
public:
    class event {
    public:
        event() = default;

    private:
        friend gated_device;
        std::shared_ptr<event_state> state_;
    };

    /** The engine's stream: notes which gates it was told to wait for. */
    class stream {
    public:
        [[nodiscard]] const std::vector<std::size_t>& waits() const noexcept { return waits_; }

    private:
        friend gated_device;
        std::vector<std::size_t> waits_;
    };
    using stream_ref = stream*;

    class gates {
    public:
        [[nodiscard]] bool open(std::size_t i) const { return words_->at(i) != 0; }
        [[nodiscard]] std::size_t size() const noexcept { return words_ ? words_->size() : 0; }

    private:
        friend gated_device;
        std::shared_ptr<std::vector<std::uint32_t>> words_;
    };

    explicit gated_device(fail_counter* fuse = nullptr) : fuse_(fuse) {}
    gated_device(const gated_device&) = delete;
    gated_device& operator=(const gated_device&) = delete;

    void set_fuse(fail_counter* fuse) noexcept { fuse_ = fuse; }

    /** From now on work waits in its queue. */
    void hold(copy_queue queue) { queue_of(queue).held = true; }
    /** Run everything that waits in the queue, and later work at once. */
    void release(copy_queue queue)
    {
        queue_of(queue).held = false;
        while (run_one(queue)) {
        }
    }
    /** Run the oldest item of a queue; false when there is none. */
    bool run_one(copy_queue queue)
    {
        auto& work = queue_of(queue).work;
        if (work.empty())
            return false;
        auto item = std::move(work.front());
        work.pop_front();
        item();
        return true;
    }
    [[nodiscard]] std::size_t queued(copy_queue queue) { return queue_of(queue).work.size(); }

    /** An event of the engine's own, not reached until `reach` (or failed by `fail`). */
    [[nodiscard]] event make_event()
    {
        event e;
        e.state_ = std::make_shared<event_state>(event_state::pending);
        return e;
    }
    void reach(const event& e) { *e.state_ = event_state::done; }
    void fail(const event& e) { *e.state_ = event_state::failed; }

    /** Bytes of staging that were allocated and not freed. */
    [[nodiscard]] std::size_t staging_allocated() const noexcept { return staging_; }
    /** Gates that were opened by the host and not by the queue. */
    [[nodiscard]] std::size_t forced_gates() const noexcept { return forced_; }
    /** The gates made last, for looking at. */
    [[nodiscard]] const gates& last_gates() const noexcept { return made_.back(); }
    /** How often gates were made. */
    [[nodiscard]] std::size_t rows_made() const noexcept { return made_.size(); }
    /** Whether a stream could still be waiting, at whatever row of gates. */
    [[nodiscard]] bool any_gate_closed() const
    {
        for (const gates& row : made_)
            for (std::size_t i = 0; i < row.size(); ++i)
                if (!row.open(i))
                    return true;
        return false;
    }
    /** Bytes of KV copied in each direction. */
    [[nodiscard]] std::uint64_t copied(copy_queue queue) { return queue_of(queue).copied; }

    [[nodiscard]] result<byte_span> allocate_staging(std::size_t bytes)
    {
        if (error_code ec = step())
            return result<byte_span>(status(ec, "staging"));
        staging_ += bytes;
        return byte_span(static_cast<std::byte*>(::operator new(bytes)), bytes);
    }
    /** Runs what waits in the queues: a real device waits for it. */
    void free_staging(byte_span block) noexcept
    {
        while (run_one(copy_queue::load) || run_one(copy_queue::store)) {
        }
        staging_ -= block.size();
        ::operator delete(block.data());
    }

    [[nodiscard]] error_code copy(copy_queue queue, std::span<const copy_op> ops) noexcept
    {
        if (error_code ec = step())
            return ec;
        enqueue(queue, [this, queue, list = std::vector<copy_op>(ops.begin(), ops.end())] {
            for (const copy_op& op : list) {
                std::memcpy(op.destination, op.source, op.size);
                queue_of(queue).copied += op.size;
            }
        });
        return {};
    }

    [[nodiscard]] event record(copy_queue queue) noexcept
    {
        event e = make_event();
        const event_state outcome = step() ? event_state::failed : event_state::done;
        enqueue(queue, [state = e.state_, outcome] { *state = outcome; });
        return e;
    }

    [[nodiscard]] event_state query(const event& e) noexcept
    {
        return e.state_ ? *e.state_ : event_state::done;
    }

    [[nodiscard]] gates make_gates(std::size_t count)
    {
        gates out;
        out.words_ = std::make_shared<std::vector<std::uint32_t>>(count);
        made_.push_back(out);
        return out;
    }
    [[nodiscard]] error_code open_gate(gates& row, std::size_t i) noexcept
    {
        if (error_code ec = step())
            return ec;
        enqueue(copy_queue::load, [words = row.words_, i] { words->at(i) = 1; });
        return {};
    }
    void force_gate(gates& row, std::size_t i) noexcept
    {
        ++forced_;
        row.words_->at(i) = 1;
    }
    [[nodiscard]] error_code wait_gate(gates&, std::size_t i, stream_ref s) noexcept
    {
        if (error_code ec = step())
            return ec;
        s->waits_.push_back(i);
        return {};
    }

private:
    struct work_queue {
        std::deque<std::function<void()>> work;
        bool held = false;
        std::uint64_t copied = 0;
    };

    error_code step() noexcept
    {
        if (!fuse_ || !fuse_->step())
            return {};
        return make_error_code(errc::device_failed);
    }
    work_queue& queue_of(copy_queue queue) { return queues_[static_cast<std::size_t>(queue)]; }
    void enqueue(copy_queue queue, std::function<void()> item)
    {
        if (queue_of(queue).held)
            queue_of(queue).work.push_back(std::move(item));
        else
            item();
    }

    fail_counter* fuse_;
    std::array<work_queue, 2> queues_;
    std::size_t staging_ = 0;
    std::size_t forced_ = 0;
    std::vector<gates> made_;
};

static_assert(device<gated_device>);

} // namespace objectcache::testing
