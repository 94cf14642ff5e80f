// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/io/detail/remote_call.hpp>
#include <objectcache/io/operation.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace objectcache {

/** Run a coroutine on another executor, which may be another thread's, and wait for it here. `make` is called there.

    @tparam T What the coroutine returns: an `error_code`, a `status` or a `result`.
    @par Completion When the coroutine has ended, and not before, cancelled or not: what was lent to it is free then.
    @par Resumes On the awaiting coroutine's executor.
    @par Cancellation Terminal, partial and total are handed over as terminal; one that came before is all that happens.
    @par Lifetime What `make` refers to must outlive the coroutine. Whoever destroys the context here while the call is
         under way sees to it first that nothing runs there any more, as nobody waits then. A context there that is destroyed
         ends the call; what it lent must outlive that context.
    @par Errors The coroutine's; `errc::cancelled` when it was not begun, `errc::shut_down` when it was destroyed there,
         `errc::exhausted` when it ran out of memory.
    @par Cost One post there and one back, an allocation, and four coroutine frames. */
template <class T, class Make>
[[nodiscard]] asio::awaitable<T> run_on(asio::any_io_executor there, Make make)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none)
        co_return detail::failed_operation<T>(errc::cancelled);
    // There it refers to what lives here: no cancellation may throw past it.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto begin = [](auto handler, asio::any_io_executor& where, Make& work) {
        using call = detail::remote_call<T, std::decay_t<decltype(handler)>>;
        std::make_shared<call>(std::move(where), std::move(handler))->start(std::move(work));
    };
    T out = co_await asio::async_initiate<const asio::use_awaitable_t<>, void(T)>(
        begin, asio::use_awaitable, std::ref(there), std::ref(make));
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return out;
}

} // namespace objectcache
