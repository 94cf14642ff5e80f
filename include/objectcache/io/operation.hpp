// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

namespace objectcache {

namespace asio = boost::asio;

namespace detail {

/** What an operation yields when a coroutine could not even run. */
template <class T>
[[nodiscard]] T failed_operation(errc why)
{
    if constexpr (std::is_same_v<T, error_code>)
        return make_error_code(why);
    else if constexpr (requires(T t) { t.failed = status(why); }) { // reports say how it went in a member
        T report;
        report.failed = status(why);
        return report;
    } else
        return T(status(why));
}

/** A wish to cancel, on its way to a coroutine that `co_spawn` starts. One that comes before the coroutine has begun waits
    for it: Asio would forget it, or throw it out of the context's `run()`. */
class cancel_relay {
public:
    [[nodiscard]] asio::cancellation_slot slot() noexcept { return to_.slot(); }

    void request()
    {
        requested_ = true;
        if (begun_)
            to_.emit(asio::cancellation_type::terminal);
    }
    /** The coroutine has begun, and says which cancellations it takes. */
    void begin()
    {
        begun_ = true;
        if (requested_)
            request();
    }

private:
    asio::cancellation_signal to_;
    bool begun_ = false, requested_ = false;
};

} // namespace detail

/** Start a coroutine of this library as an asynchronous operation with signature `void(T)`: coroutines, futures and
    callbacks all work, and what the coroutine returns is what the caller gets - no exception in between.

    `make` is called on `executor`; it and what it captured live until the coroutine has ended.

    @par Completion With the coroutine's value; with `errc::exhausted` if it ran out of memory.
    @par Resumes On the token's associated executor; without one on `executor`. Never inside the initiating call.
    @par Cancellation Terminal, partial and total reach the coroutine, which decides what to end; see each operation. May
         be requested before the coroutine begins.
    @par Threads Any thread may start it. */
template <class T, class Make, asio::completion_token_for<void(T)> Token>
auto start_operation(asio::any_io_executor executor, Make make, Token&& token)
{
    return asio::async_initiate<Token, void(T)>(
        [](auto handler, asio::any_io_executor where, Make factory) {
            std::shared_ptr<detail::cancel_relay> relay;
            if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected()) {
                relay = std::make_shared<detail::cancel_relay>();
                slot.assign([relay, where](asio::cancellation_type) {
                    asio::dispatch(where, [relay] { relay->request(); });
                });
            }
            const auto slot = relay ? relay->slot() : asio::cancellation_slot();
            auto work = asio::prefer(asio::get_associated_executor(handler, where),
                                     asio::execution::outstanding_work.tracked);
            // The factory is a parameter of the coroutine, so that its captures live in the frame.
            auto body = [](Make inner, std::shared_ptr<detail::cancel_relay> wish) -> asio::awaitable<T> {
                co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
                co_await asio::this_coro::throw_if_cancelled(false);
                if (wish)
                    wish->begin();
                co_return co_await inner();
            };
            asio::co_spawn(
                where, body(std::move(factory), std::move(relay)),
                asio::bind_cancellation_slot(
                    slot, [handler = std::move(handler), work](std::exception_ptr failure, T value) mutable {
                        if (failure) // the one thing that throws: out of memory
                            value = detail::failed_operation<T>(errc::exhausted);
                        asio::post(work, [handler = std::move(handler), value = std::move(value)]() mutable {
                            std::move(handler)(std::move(value));
                        });
                    }));
        },
        token, std::move(executor), std::move(make));
}

/** The default completion token: an operation that starts when it is awaited. */
using default_token = asio::deferred_t;

/** Begin a coroutine that is spawned directly: failures are values here, so a cancelled await must not throw, and every
    kind of cancellation counts. */
[[nodiscard]] inline asio::awaitable<void> without_exceptions()
{
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
}

} // namespace objectcache
