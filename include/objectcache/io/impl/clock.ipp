// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/clock.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace objectcache {

OBJECTCACHE_DECL asio::awaitable<bool> timer::wait()
{
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
        co_return false; // Asio does not tell an operation that begins after the cancellation
    const time_point at = at_;
    co_await native_.async_wait(asio::as_tuple(asio::use_awaitable));
    // A manual clock ends waits by cancelling them: only the clock knows whether the time has come.
    co_return at == at_ && clock_->now() >= at;
}

} // namespace objectcache
