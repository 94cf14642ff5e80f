// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/s3/credentials.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>

#include <utility>

namespace objectcache::s3::detail {

namespace asio = boost::asio;

/** Whatever the caller's coroutine thinks of cancellation: in `work` it is a result, never an exception. */
[[nodiscard]] inline asio::awaitable<result<credentials>> quietly(asio::awaitable<result<credentials>> work)
{
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    result<credentials> out = co_await std::move(work);
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return out;
}

} // namespace objectcache::s3::detail
