// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "../support/store_side.hpp"

#include "engine.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

// Where the KV of a layer comes from that is not on the device: pinned DRAM, or an object store.
namespace decode_stream {

using namespace bench;

/** Which layers stay on the device, and how the others take turns in a few slots. Streamed layers are counted through all steps.

    A context may be larger than the machine. Then the store and DRAM keep fewer layers than the model has, and give the same ones
    several times in a step: as many bytes travel, and every layer still differs from its neighbours. */
struct stream_plan {
    std::size_t layers = 0;   ///< of the model
    std::size_t resident = 0; ///< the first ones
    std::size_t stored = 0;   ///< as many as `layers`, or a divisor of those that are streamed
    std::size_t slots = 0;

    [[nodiscard]] std::size_t streamed() const { return layers - resident; } // of a step
    [[nodiscard]] std::size_t first() const
    {
        return stored == layers ? resident : 0;
    } // stored one that travels
    [[nodiscard]] std::size_t cycle() const { return stored - first(); }
    [[nodiscard]] std::size_t stored_at(std::size_t i) const { return first() + i % cycle(); }
    [[nodiscard]] std::size_t slot_at(std::size_t i) const { return stored_at(i) % slots; }
    /** Which stored layer's KV a layer of the model has. */
    [[nodiscard]] std::size_t kv_of(std::size_t layer) const
    {
        return layer < resident ? layer % stored : stored_at(layer - resident);
    }
    /** Every slot has other layers in turn, and never the one just before: a mistake would show, and nothing waits for it. */
    [[nodiscard]] bool good() const
    {
        return slots != 0 && cycle() > slots && cycle() % slots == 0 && streamed() % cycle() == 0;
    }
};

/** The KV of one layer, K then V: [2][tokens][kv_heads][head_dim]. */
using layer_kv = at::Tensor;
inline torch_llama::kv_memory::rows rows_of(const layer_kv& layer)
{
    return {layer[0], layer[1]};
}

class feed {
public:
    feed() = default;
    feed(const feed&) = delete;
    feed& operator=(const feed&) = delete;
    virtual ~feed() = default;

    /** Makes what is enqueued from now on wait until streamed layer i is in its slot, which is returned. */
    virtual const layer_kv& enter(std::size_t i) = 0;
    /** Gives the slot back behind what is enqueued. */
    virtual void leave(std::size_t i) = 0;
    /** @throws std::runtime_error if something did not come. To be called when all layers were left. */
    virtual void finish() = 0;
    [[nodiscard]] virtual std::uint64_t requests() const { return 0; }
};

/** From pinned memory, one copy for each layer: all that a machine without a store could do. */
template <class Lane>
class dram_feed final : public feed {
public:
    /** Begins with the first `slots` of `count` layers. */
    template <class Machine>
    dram_feed(Machine& on, const stream_plan& plan, std::span<const std::byte> dram,
              const std::vector<layer_kv>& slots, std::size_t count)
        : plan_(plan)
        , dram_(dram)
        , slots_(slots)
        , lane_(on, slots.size())
        , count_(count)
    {
        for (std::size_t i = 0; i < std::min(count_, plan_.slots); ++i)
            copy(i);
    }
    ~dram_feed() override
    {
        try {
            lane_.synchronize();
        } catch (const std::runtime_error&) { // a device that failed has said so already
        }
    }

    const layer_kv& enter(std::size_t i) override
    {
        lane_.await_copy(plan_.slot_at(i));
        return slots_[plan_.slot_at(i)];
    }
    void leave(std::size_t i) override
    {
        lane_.used(plan_.slot_at(i));
        if (i + plan_.slots < count_) // which takes this very slot
            copy(i + plan_.slots);
    }
    void finish() override { lane_.synchronize(); }

private:
    void copy(std::size_t i)
    {
        const layer_kv& slot = slots_[plan_.slot_at(i)];
        lane_.copy(plan_.slot_at(i), slot.data_ptr(), dram_.data() + plan_.stored_at(i) * slot.nbytes(),
                   slot.nbytes());
    }

    stream_plan plan_;
    std::span<const std::byte> dram_;
    const std::vector<layer_kv>& slots_;
    Lane lane_;
    std::size_t count_;
};

/** How an engine describes such memory to the cache. */
inline oc::kv_pages pages_over(const std::vector<layer_kv>& memory, const oc::kv_geometry& shape,
                               std::size_t tokens)
{
    std::vector<oc::kv_layer_memory> layers;
    for (const layer_kv& one : memory)
        layers.push_back(
            {static_cast<std::byte*>(one[0].data_ptr()), static_cast<std::byte*>(one[1].data_ptr())});
    auto pages = oc::kv_pages::contiguous(shape, std::move(layers), tokens);
    if (memory.size() != shape.layers)
        pages.layer_slots(memory.size());
    return pages;
}

/** From the store, through the whole cache: one load brings all layers of all steps, a pass for each cycle. The engine enqueues a gate
    before each layer; an event behind it gives the slot back. */
template <class Machine>
class store_feed final : public feed {
public:
    using cache = typename cache_side_of<typename Machine::device>::cache;

    store_feed(Machine& on, cache& from, const oc::prefix_match& match, const stream_plan& plan,
               const std::vector<layer_kv>& slots, std::size_t count, oc::duration timeout)
        : on_(on)
        , plan_(plan)
        , slots_(slots)
        , device_failed_(std::make_shared<std::atomic<bool>>(false))
        , tokens_(match.tokens())
    {
        oc::load_options how;
        how.first_layer = static_cast<oc::layer_id>(plan.first());
        how.passes = static_cast<std::uint32_t>(count / plan.cycle());
        how.timeout = timeout;
        load_ = from.load(match, pages_over(slots, match.geometry, tokens_), how);
    }
    ~store_feed() override
    {
        if (!load_.valid())
            return;
        load_.cancel(); // opens the gates; and copies may be under way until it has finished
        (void)load_.finish(asio::use_future).get();
    }

    const layer_kv& enter(std::size_t i) override
    {
        if (const oc::error_code ec = load_.gate(layer(i), on_.stream(), pass(i)))
            throw std::runtime_error("gate: " + ec.message());
        return slots_[plan_.slot_at(i)];
    }
    void leave(std::size_t i) override
    {
        load_.compute_layer(layer(i), on_.record(),
                            pass(i))([failed = device_failed_](const oc::error_code& ec) {
            if (ec)
                *failed = true;
        });
    }
    void finish() override
    {
        const oc::load_report report = load_.finish(asio::use_future).get();
        load_ = {};
        requests_ = report.requests;
        if (!report.failed.ok() || report.usable_tokens != tokens_ || *device_failed_)
            throw std::runtime_error("the load: " + report.failed.message());
    }
    [[nodiscard]] std::uint64_t requests() const override { return requests_; }

private:
    [[nodiscard]] oc::layer_id layer(std::size_t i) const
    {
        return static_cast<oc::layer_id>(plan_.stored_at(i));
    }
    [[nodiscard]] std::uint32_t pass(std::size_t i) const
    {
        return static_cast<std::uint32_t>(i / plan_.cycle());
    }

    Machine& on_;
    stream_plan plan_;
    const std::vector<layer_kv>& slots_;
    std::shared_ptr<std::atomic<bool>> device_failed_;
    std::size_t tokens_;
    typename cache::load_type load_;
    std::uint64_t requests_ = 0;
};

} // namespace decode_stream
