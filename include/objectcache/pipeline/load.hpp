// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/pipeline/compute_layer.hpp>
#include <objectcache/pipeline/detail/load_state.hpp>
#include <objectcache/pipeline/fetch_layer.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cassert>
#include <cstddef>
#include <memory>
#include <utility>

namespace objectcache {

/** A load under way: tier to device, layer by layer. Made by `cache::load`; bytes are moving already.

    The engine goes through the layers in order, either awaiting each (`fetch_layer`, `compute_layer`) or enqueueing all
    of its work at once behind gates (`gate`), and asks at the end how it went (`finish`).

    @par Lifetime Move only. Destroying it cancels what is still missing. The engine's KV memory must stay allocated until
         `finish` has completed: a copy may be under way even after a cancellation. The cache must outlive it.
    @par Threads Any thread may call any function, one at a time per load; completions arrive where each says. */
template <device Device, tier Tier>
class [[nodiscard]] kv_load {
    using state = detail::load_state<Device, Tier>;

public:
    using event = typename Device::event;

    kv_load() = default;
    explicit kv_load(std::shared_ptr<state> s) : state_(std::move(s)) {}
    kv_load(kv_load&&) noexcept = default;
    kv_load& operator=(kv_load&& other) noexcept
    {
        cancel();
        state_ = std::move(other.state_);
        return *this;
    }
    ~kv_load() { cancel(); }

    [[nodiscard]] bool valid() const noexcept { return state_ != nullptr; }

    /** Tokens whose KV is in place when nothing fails: those that this load brings, and those in front of them
        (load_options::first_chunk). @pre valid(), as for all that follows. */
    [[nodiscard]] std::size_t tokens() const noexcept { return state_->match().tokens(); }

    /** Await one layer on the device: see `objectcache::fetch_layer`. */
    [[nodiscard]] objectcache::fetch_layer<Device, Tier> fetch_layer(layer_id layer, std::uint32_t pass = 0)
    {
        return {state_, layer, pass};
    }

    /** Await the engine's compute of a layer: see `objectcache::compute_layer`. */
    [[nodiscard]] objectcache::compute_layer<Device, Tier> compute_layer(layer_id layer, event done,
                                                                         std::uint32_t pass = 0)
    {
        return {state_, layer, std::move(done), pass};
    }

    /** Make the work enqueued on `stream` after this call start only when `layer` is in place.

        Enqueues a wait for the layer's gate, which the device opens behind the last copy. All layers may be enqueued at
        once; the host is not on the way of any of them. A layer that failed opens its gate too, no later than the load's
        time is up: the engine asks `finish` before it uses the result.

        @par Errors `condition::device`, `condition::invalid` (no such layer).
        @par Cost One enqueue; never blocks. */
    [[nodiscard]] error_code gate(layer_id layer, typename Device::stream_ref stream, std::uint32_t pass = 0)
    {
        return state_->gate(layer, pass, stream);
    }

    /** Block the calling thread until the layer is on the device, failed, or the load's time is up. For engines without
        coroutines. Must not be called on the cache's executor, which would wait for itself. */
    [[nodiscard]] error_code wait_layer(layer_id layer, std::uint32_t pass = 0)
    {
        return state_->wait_blocking(layer, pass);
    }

    /** Tokens whose KV is, or will be, on the device in every layer, those in front of load_options::first_chunk among
        them; less than `tokens()` once something failed. Final when `finish` has completed. */
    [[nodiscard]] std::size_t usable_tokens() const noexcept { return state_->usable_tokens(); }

    /** Wait until nothing of this load moves any more, and say how it went. Signature: `void(load_report)`.

        @par Completion Always with a report. `report.failed` tells of the first failure, `report.usable_tokens` from
             which token to recompute; `report.failed == condition::cancelled` and 0 tokens if this wait was cancelled.
             Layers that wait for a slot which the engine will not free any more (`kv_pages::layer_slots`) move until the
             load's time is up: `cancel()` first.
        @par Resumes On the token's associated executor; without one on the cache's.
        @par Cancellation Terminal, partial and total; ends this wait only.
        @par Lifetime After it the load touches neither KV memory nor staging. */
    template <asio::completion_token_for<void(load_report)> Token = default_token>
    auto finish(Token&& token = {})
    {
        return start_operation<load_report>(
            state_->executor(), [load = state_] { return load->report(); }, std::forward<Token>(token));
    }

    /** Fail the layers that are missing with `condition::cancelled`, now; gates open. Idempotent. */
    void cancel()
    {
        if (state_)
            asio::dispatch(state_->executor(), [load = state_] { load->give_up(errc::cancelled); });
    }

private:
    std::shared_ptr<state> state_;
};

/** The whole loop over the layers, one layer launched ahead of the one that computes.

    `launch(layer)` enqueues the engine's work on that layer and returns an event recorded behind it. It is called on the
    awaiting coroutine's executor, in layer order, each time the layer's KV is in place.

    @par Completion Success when every layer was fetched and computed; at the first failure nothing more is launched, what
         was launched is awaited, and the failure is returned: ask `finish` from which token to recompute.
    @par Resumes On the awaiting coroutine's executor.
    @par Cancellation Terminal, partial and total; a failure like any other (`condition::cancelled`), which the device's work
         outlasts.
    @par Lifetime `load` and `launch` must outlive the operation.
    @par Errors As `fetch_layer` and `compute_layer`. */
template <device Device, tier Tier, class Launch>
[[nodiscard]] asio::awaitable<error_code> run_layers(kv_load<Device, Tier>& load, layer_id layers,
                                                     Launch& launch, std::uint32_t pass = 0)
{
    // What was launched is awaited, cancelled or not: no cancellation may throw past it or end that wait.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    auto always = asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable);
    typename Device::event running; // behind the layer that was launched last
    bool pending = false;           // nobody has awaited it yet
    layer_id layer = 0;
    error_code failed;
    for (; layer < layers && !failed; ++layer) {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (cancellation.cancelled() != asio::cancellation_type::none)
            failed = make_error_code(errc::cancelled);
        else
            failed = co_await load.fetch_layer(layer, pass);
        typename Device::event mine;
        const bool launched = !failed;
        if (launched)
            mine = launch(layer);
        // The device goes on with this layer while the host waits for the one before: no gap between two layers.
        if (pending) {
            const error_code computed = co_await load.compute_layer(layer - 1, running, pass)(always);
            if (!failed)
                failed = computed;
        }
        running = mine;
        pending = launched;
    }
    if (pending) {
        const error_code computed = co_await load.compute_layer(layer - 1, running, pass)(always);
        if (!failed)
            failed = computed;
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return failed;
}

} // namespace objectcache
