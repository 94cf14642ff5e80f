// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/device.hpp>
#include <objectcache/io/awaitable_operation.hpp>
#include <objectcache/pipeline/detail/load_state.hpp>

#include <memory>
#include <utility>

namespace objectcache {

/** *Fetch layer*, as an awaitable: one layer of a load is on the device. Made by `kv_load::fetch_layer`.

    Completes when every matched chunk's slice of the layer was read, verified and copied, and the device has passed the
    copies; the layer's rows may then be read by any stream. Layers arrive in order, and the ones behind keep travelling
    while this one computes. May be awaited out of order, again, and by several waiters.

    @par Completion Signature `void(error_code)`: a failure is a value, never an exception. On failure the layer is
         incomplete; `kv_load::usable_tokens()` says from where to recompute. The layers after it still complete.
    @par Resumes On the token's associated executor; in an `asio::awaitable`, the coroutine's. Never inside the
         initiating call.
    @par Cancellation Terminal, partial and total; ends this wait only. The load goes on.
    @par Lifetime Keeps the load's state alive; the `kv_load` itself may be destroyed, which ends the wait as cancelled.
    @par Errors `condition::absent`, `corrupt`, `timeout`, `unavailable`, `denied`, `exhausted`, `device`, `cancelled`.
    @par Threads Any thread may start it.
    @par Cost One coroutine frame; no request of its own. */
template <device Device, tier Tier>
class [[nodiscard]] fetch_layer : public awaitable_operation<fetch_layer<Device, Tier>, error_code> {
public:
    fetch_layer(std::shared_ptr<detail::load_state<Device, Tier>> load, layer_id layer, std::uint32_t pass)
        : load_(std::move(load))
        , layer_(layer)
        , pass_(pass)
    {}

    template <asio::completion_token_for<void(error_code)> Token>
    auto operator()(Token&& token)
    {
        return start_operation<error_code>(
            load_->executor(),
            [load = load_, layer = layer_, pass = pass_] { return load->wait(layer, pass); },
            std::forward<Token>(token));
    }

private:
    std::shared_ptr<detail::load_state<Device, Tier>> load_;
    layer_id layer_;
    std::uint32_t pass_;
};

} // namespace objectcache
