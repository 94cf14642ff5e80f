// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/byte_budget.hpp>

namespace objectcache {

OBJECTCACHE_DECL asio::awaitable<result<byte_budget::ticket>>
byte_budget::acquire(std::uint64_t amount, priority who, deadline until)
{
    auto shared = state_;
    if (amount > shared->capacity)
        co_return result<ticket>(errc::exhausted, "larger than the whole budget");
    std::function<bool()> take = [&] { return shared->take(amount); };
    if (error_code ec = co_await shared->line->wait(who, until, std::move(take)))
        co_return result<ticket>(status(ec));
    co_return ticket(shared, amount);
}

} // namespace objectcache
