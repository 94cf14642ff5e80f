// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/clock.hpp>

#include <map>

namespace objectcache::testing {

/** A clock that stands still until it is told to move: deadlines and back-off without waiting.

    Install it before anything on the context asks for the time:
    @code
    asio::io_context io;
    auto& time = asio::make_service<testing::manual_clock>(io);
    @endcode
    @par Threads Use it on the thread that runs the context, or while none does. */
class manual_clock final : public clock {
public:
    using clock::clock;

    [[nodiscard]] time_point now() const noexcept override { return now_; }
    /** 2030-01-01 00:00:00 UTC, until time moves on. */
    [[nodiscard]] std::chrono::system_clock::time_point date() const noexcept override
    {
        return std::chrono::sys_days(std::chrono::year(2030) / 1 / 1) + (now_ - start());
    }

    /** Move time on; the waits whose time has come end when the context runs next. */
    void advance(duration by)
    {
        now_ += by;
        while (!pending_.empty() && pending_.begin()->first <= now_) {
            asio::steady_timer* due = pending_.begin()->second;
            pending_.erase(pending_.begin());
            due->expires_at(time_point::min());
        }
    }

    /** Move time on to the nearest wait, if there is one: what a test does once nothing else can happen. */
    void advance_to_next()
    {
        if (!pending_.empty())
            advance(pending_.begin()->first - now_);
    }

    /** How many timers are waiting for a later time. */
    [[nodiscard]] std::size_t pending() const noexcept { return pending_.size(); }

    void arm(asio::steady_timer& native, time_point at) override
    {
        native.expires_at(at <= now_ ? time_point::min() : time_point::max());
        if (at > now_ && at != time_point::max())
            pending_.emplace(at, &native);
    }
    void disarm(asio::steady_timer& native) noexcept override
    {
        for (auto it = pending_.begin(); it != pending_.end();)
            it = it->second == &native ? pending_.erase(it) : std::next(it);
    }

private:
    // Not the epoch: a default constructed time_point must lie in the past.
    static constexpr time_point start() noexcept { return time_point() + std::chrono::hours(1); }

    time_point now_ = start();
    std::multimap<time_point, asio::steady_timer*> pending_;
};

} // namespace objectcache::testing
