// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/clock.hpp>
#include <objectcache/plan/layer_pacer.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace objectcache::detail {

/** The waiting of a layer_pacer, and its counting: a group has arrived when all its requests have. */
class pacing {
public:
    pacing(const asio::any_io_executor& executor, layer_pacer::knowledge known)
        : pacer_(known)
        , timer_(executor)
    {}

    [[nodiscard]] const layer_pacer::knowledge& known() const noexcept { return pacer_.known(); }

    /** Until the link is about to have brought what was asked for; until `latest`, `stop()`, or a cancellation. */
    asio::awaitable<void> turn(time_point latest)
    {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        while (!stopped_ && cancellation.cancelled() == asio::cancellation_type::none) {
            const time_point at = std::min(pacer_.next(), latest);
            if (at <= timer_.now())
                co_return;
            timer_.expires_at(at);
            (void)co_await timer_.wait(); // or until something arrives
        }
    }
    /** Until one more request of a group may be sent: at once when none is under way; `latest` and the rest as above. */
    asio::awaitable<void> request_turn(std::uint64_t bytes, time_point latest)
    {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        while (!stopped_ && cancellation.cancelled() == asio::cancellation_type::none) {
            const time_point at = std::min(next_request_, latest);
            if (in_flight_ == 0 || at <= timer_.now() + shortest_wait)
                break;
            timer_.expires_at(at);
            (void)co_await timer_.wait();
        }
        next_request_ = std::max(next_request_, timer_.now()) + pacer_.spacing(bytes);
        ++in_flight_;
    }
    void stop()
    {
        stopped_ = true;
        timer_.cancel();
    }

    /** The number of a group that is asked for now. */
    [[nodiscard]] std::size_t sent(std::size_t requests, std::uint64_t bytes)
    {
        under_way_.push_back(requests);
        pacer_.sent(under_way_.size() - 1, bytes, timer_.now());
        return under_way_.size() - 1;
    }
    /** A request of group `number` has ended. */
    void arrived(std::size_t number, bool complete)
    {
        incomplete_ = incomplete_ || !complete;
        if (in_flight_ != 0 && --in_flight_ == 0)
            timer_.cancel();
        if (--under_way_[number] != 0)
            return;
        pacer_.arrived(number, !incomplete_, timer_.now());
        timer_.cancel();
    }

private:
    // A sleeping thread does not wake up more exactly; what a request is early is waited for before the next.
    static constexpr duration shortest_wait = std::chrono::microseconds(100);

    layer_pacer pacer_;
    timer timer_;
    std::vector<std::size_t> under_way_; // requests of each group that have not ended
    bool incomplete_ = false;            // one of them failed: what follows says nothing about the link
    std::size_t in_flight_ = 0;          // requests, of those that took their turn
    time_point next_request_{};
    bool stopped_ = false;
};

} // namespace objectcache::detail
