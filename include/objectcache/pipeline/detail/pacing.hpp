// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/clock.hpp>
#include <objectcache/plan/load_pacer.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace objectcache::detail {

/** The waiting of a load_pacer. One coroutine sends requests and waits for its turn; they arrive wherever. */
class pacing {
public:
    pacing(const asio::any_io_executor& executor, load_pacer::knowledge known)
        : pacer_(known)
        , timer_(executor)
    {}

    [[nodiscard]] const load_pacer::knowledge& known() const noexcept { return pacer_.known(); }
    /** Something has arrived whole: what is known is more than what was known before. */
    [[nodiscard]] bool learnt() const noexcept { return learnt_; }
    /** Answers were seen to begin: the latency is theirs. */
    [[nodiscard]] bool answered() const noexcept { return answered_; }

    /** Until a request of so many bytes may be sent; until `latest`, `stop()`, or a cancellation.

        @param together With the requests before it, as long as nothing is known of the link: a layer's.
        @param flow what is received of all of them, as it comes */
    asio::awaitable<void> turn(std::uint64_t bytes, bool together, const std::atomic<std::uint64_t>& flow,
                               time_point latest)
    {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        waiting_ = true;
        while (!stopped_ && cancellation.cancelled() == asio::cancellation_type::none) {
            if (together && known().bytes_per_second <= 0)
                break;
            const time_point at = std::min(pacer_.next(bytes, flow, timer_.now()), latest);
            if (at <= timer_.now() + shortest_wait)
                break;
            timer_.expires_at(at);
            (void)co_await timer_.wait(); // or until something arrives
        }
        waiting_ = false;
    }
    void stop()
    {
        stopped_ = true;
        timer_.cancel();
    }

    /** The number of a request that is sent now.

        @param awaited a part of the first layer */
    [[nodiscard]] std::size_t sent(std::uint64_t bytes, bool awaited, std::uint64_t received)
    {
        return pacer_.sent(bytes, awaited, received, timer_.now());
    }
    /** How a request went: how many bytes of it came first, and when, if any did. */
    struct beginning {
        std::uint64_t bytes = 0;
        time_point at;
    };
    void arrived(std::size_t number, bool complete, const std::optional<beginning>& began,
                 std::uint64_t received)
    {
        if (began) {
            pacer_.answered(number, began->bytes, began->at);
            answered_ = true;
        }
        pacer_.arrived(number, complete, waiting_, received, timer_.now());
        learnt_ = learnt_ || complete;
        timer_.cancel();
    }

private:
    // A sleeping thread does not wake up more exactly; what a request is early is waited for before the next.
    static constexpr duration shortest_wait = std::chrono::microseconds(100);

    load_pacer pacer_;
    timer timer_;
    bool waiting_ = false; // there is one more to be sent
    bool stopped_ = false;
    bool learnt_ = false;
    bool answered_ = false;
};

} // namespace objectcache::detail
