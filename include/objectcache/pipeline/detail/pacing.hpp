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
        if (--under_way_[number] != 0)
            return;
        pacer_.arrived(number, !incomplete_, timer_.now());
        timer_.cancel();
    }

private:
    layer_pacer pacer_;
    timer timer_;
    std::vector<std::size_t> under_way_; // requests of each group that have not ended
    bool incomplete_ = false;            // one of them failed: what follows says nothing about the link
    bool stopped_ = false;
};

} // namespace objectcache::detail
