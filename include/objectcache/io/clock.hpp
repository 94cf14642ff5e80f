// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace objectcache {

namespace asio = boost::asio;

/** The time of one execution context: an Asio service, so that everything running on a reactor agrees on it without a
    global and without being handed a clock. `testing::manual_clock` takes its place in tests.

    @par Threads `now()` and `date()` from any thread; the rest from the thread that runs the context. */
class clock : public asio::execution_context::service {
public:
    inline static asio::execution_context::id id; // how Asio finds a service; no state of ours

    explicit clock(asio::execution_context& context) : service(context) {}

    /** The clock of the context behind `executor`; the real one unless another was installed first. */
    [[nodiscard]] static clock& of(const asio::any_io_executor& executor)
    {
        return asio::use_service<clock>(asio::query(executor, asio::execution::context));
    }

    [[nodiscard]] virtual time_point now() const noexcept { return std::chrono::steady_clock::now(); }
    /** The date, for what is agreed with others: signatures, expiry. May jump. */
    [[nodiscard]] virtual std::chrono::system_clock::time_point date() const noexcept
    {
        return std::chrono::system_clock::now();
    }

    /** Let the waits on `native` end once `now() >= at`. */
    virtual void arm(asio::steady_timer& native, time_point at) { native.expires_at(at); }
    /** `native` is about to be rearmed or destroyed. */
    virtual void disarm(asio::steady_timer&) noexcept {}

private:
    void shutdown() noexcept override {}
};

/** A timer on the clock of its context.

    @par Threads Not safe: one thread, or one strand, at a time. */
class timer {
public:
    explicit timer(const asio::any_io_executor& executor)
        : clock_(&clock::of(executor))
        , native_(executor, time_point::max())
    {}
    timer(const timer&) = delete;
    timer& operator=(const timer&) = delete;
    ~timer() { clock_->disarm(native_); }

    [[nodiscard]] time_point now() const noexcept { return clock_->now(); }

    /** Set the time; a wait that is under way ends as if cancelled. */
    void expires_at(time_point at)
    {
        at_ = at;
        clock_->disarm(native_);
        clock_->arm(native_, at);
    }
    void cancel() { native_.cancel(); }

    /** Wait until the time set.

        @par Completion `true` when the time came; `false` when `cancel()`, `expires_at()` or a cancellation ended the
             wait first.
        @par Resumes On the awaiting coroutine's executor.
        @par Cancellation Terminal, partial and total; at once when the coroutine was cancelled before. */
    [[nodiscard]] asio::awaitable<bool> wait();

    /** The underlying timer, for waits that take other completion tokens; compare `now()` with the time afterwards. */
    [[nodiscard]] asio::steady_timer& native() noexcept { return native_; }

private:
    clock* clock_;
    asio::steady_timer native_;
    time_point at_ = time_point::max();
};

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/io/impl/clock.ipp>
#endif
