// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/device.hpp>
#include <objectcache/io/awaitable_operation.hpp>
#include <objectcache/pipeline/detail/load_state.hpp>

#include <memory>
#include <utility>

namespace objectcache {

/** *Compute layer*, as an awaitable: the engine's work on one layer, up to an event it recorded behind it. Made by
    `kv_load::compute_layer`.

    The scheduler awaits the device event: it sleeps until shortly before the foretold end, then looks often. With layer
    slots (`kv_pages::layer_slots`) its completion is also what frees the layer's memory for the layer behind.

    @par Completion Signature `void(error_code)`. Success when the device has passed the event.
    @par Resumes On the token's associated executor; in an `asio::awaitable`, the coroutine's. Never inside the
         initiating call.
    @par Cancellation Terminal, partial and total; ends the waiting, not the device's work: the layer's memory is then
         still taken.
    @par Lifetime Keeps the load's state alive.
    @par Errors `condition::device`, `condition::cancelled` (also from `cache::close`, which ends the wait), `exhausted`,
         `invalid` (no such layer). Any but the last is a failure of the load too: what the layer was to compute may not be
         there, and `load_report::failed` says so to whoever asks `finish` before storing.
    @par Threads Any thread may start it.
    @par Cost A few coroutine frames; event queries as `wait_predictor` says. */
template <device Device, tier Tier>
class [[nodiscard]] compute_layer : public awaitable_operation<compute_layer<Device, Tier>, error_code> {
public:
    using event = typename Device::event;

    compute_layer(std::shared_ptr<detail::load_state<Device, Tier>> load, layer_id layer, event done,
                  std::uint32_t pass)
        : load_(std::move(load))
        , layer_(layer)
        , done_(std::move(done))
        , pass_(pass)
    {}

    template <asio::completion_token_for<void(error_code)> Token>
    auto operator()(Token&& token)
    {
        return start_operation<error_code>(
            load_->executor(),
            [load = load_, layer = layer_, done = done_, pass = pass_] {
                return load->compute(layer, done, pass);
            },
            std::forward<Token>(token));
    }

private:
    std::shared_ptr<detail::load_state<Device, Tier>> load_;
    layer_id layer_;
    event done_;
    std::uint32_t pass_;
};

} // namespace objectcache
