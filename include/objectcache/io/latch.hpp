// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace objectcache {

namespace asio = boost::asio;

/** A door that opens once, for any number of waiters.

    @par Threads Not safe: one thread, or one strand, at a time. */
class latch {
public:
    explicit latch(const asio::any_io_executor& executor)
        : closed_(executor, asio::steady_timer::time_point::max())
    {}

    [[nodiscard]] bool is_set() const noexcept { return set_; }

    /** Open the door. Waiters resume later, never inside this call. */
    void set()
    {
        set_ = true;
        closed_.cancel();
    }

    /** Wait until the latch is set. Signature: `void(error_code)`.

        @par Completion Success once set; never inside the initiating call.
        @par Resumes On the token's associated executor; without one on the latch's.
        @par Cancellation Terminal, partial and total; ends only this wait.
        @par Lifetime The latch must outlive the wait.
        @par Errors `condition::cancelled`. */
    template <asio::completion_token_for<void(error_code)> Token>
    auto async_wait(Token&& token)
    {
        return asio::async_compose<Token, void(error_code)>(
            [this, started = false](auto& self, boost::system::error_code = {}) mutable {
                if (!started) {
                    started = true;
                    self.reset_cancellation_state(asio::enable_total_cancellation());
                    if (set_)
                        asio::post(closed_.get_executor(), std::move(self));
                    else
                        closed_.async_wait(std::move(self));
                    return;
                }
                // Both setting and cancelling abort the timer.
                self.complete(set_ ? error_code() : make_error_code(errc::cancelled));
            },
            token, closed_);
    }

    /** The same for a coroutine that may have been cancelled before it came here: Asio would not tell an operation that
        begins later, and the wait would go on. Does not suspend when the latch is set. */
    [[nodiscard]] asio::awaitable<error_code> wait()
    {
        if (set_)
            co_return error_code();
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none)
            co_return make_error_code(errc::cancelled);
        co_return co_await async_wait(asio::use_awaitable);
    }

private:
    asio::steady_timer closed_;
    bool set_ = false;
};

} // namespace objectcache
