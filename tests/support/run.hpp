// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <utility>

namespace support {

/** Runs an operation to its end, as a host's coroutine would await it. */
template <class T>
T run(boost::asio::io_context& io, boost::asio::awaitable<T> operation)
{
    std::optional<T> out;
    const auto body = [](boost::asio::awaitable<T> inner,
                         std::optional<T>& to) -> boost::asio::awaitable<void> {
        to.emplace(co_await std::move(inner));
    };
    REQUIRE(objectcache::testing::run_coroutine(io, body(std::move(operation), out)));
    return std::move(*out);
}

} // namespace support
