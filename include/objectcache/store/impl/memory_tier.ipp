// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/store/memory_tier.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cstddef>

namespace objectcache {

namespace detail {

/** One turn of the executor; says whether the caller was cancelled meanwhile. */
OBJECTCACHE_DECL asio::awaitable<bool> yield_and_check(asio::any_io_executor executor)
{
    co_await asio::post(executor, asio::use_awaitable);
    const auto state = co_await asio::this_coro::cancellation_state;
    co_return state.cancelled() != asio::cancellation_type::none;
}

} // namespace detail

OBJECTCACHE_DECL asio::awaitable<status> memory_tier::read(std::string key, byte_range range, byte_span into,
                                                           deadline)
{
    if (co_await detail::yield_and_check(executor_))
        co_return status(errc::cancelled);
    const auto found = index_.find(key);
    if (found == index_.end())
        co_return status(errc::not_found, key);
    const auto& bytes = *found->second->bytes;
    if (range.size != into.size() || range.offset > bytes.size() || range.size > bytes.size() - range.offset)
        co_return status(errc::length_mismatch, key);
    order_.splice(order_.begin(), order_, found->second);
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(range.offset), into.size(), into.begin());
    co_return status();
}

OBJECTCACHE_DECL asio::awaitable<status>
memory_tier::write(std::string key, std::span<const const_byte_span> parts, if_exists mode, deadline)
{
    if (co_await detail::yield_and_check(executor_))
        co_return status(errc::cancelled);
    const auto found = index_.find(key);
    if (found != index_.end() && mode == if_exists::keep)
        co_return status();
    std::uint64_t size = 0;
    for (const const_byte_span part : parts)
        size += part.size();
    if (size > capacity_)
        co_return status(errc::exhausted, key + ": larger than the tier");
    if (found != index_.end())
        forget(found->second);
    auto bytes = std::make_shared<std::vector<std::byte>>();
    bytes->reserve(size);
    for (const const_byte_span part : parts)
        bytes->insert(bytes->end(), part.begin(), part.end());
    while (size > capacity_ - used_)
        forget(std::prev(order_.end()));
    order_.push_front({key, std::move(bytes)});
    index_.emplace(std::move(key), order_.begin());
    used_ += size;
    co_return status();
}

OBJECTCACHE_DECL asio::awaitable<result<object_stat>> memory_tier::stat(std::string key, deadline)
{
    if (co_await detail::yield_and_check(executor_))
        co_return result<object_stat>(errc::cancelled);
    const auto found = index_.find(key);
    if (found == index_.end())
        co_return result<object_stat>(errc::not_found, key);
    object_stat out;
    out.size = found->second->bytes->size();
    co_return out;
}

OBJECTCACHE_DECL asio::awaitable<status> memory_tier::remove(std::string key, deadline)
{
    if (co_await detail::yield_and_check(executor_))
        co_return status(errc::cancelled);
    if (const auto found = index_.find(key); found != index_.end())
        forget(found->second);
    co_return status();
}

OBJECTCACHE_DECL asio::awaitable<result<key_page>>
memory_tier::list(std::string prefix, std::string continuation, std::size_t most, deadline)
{
    if (co_await detail::yield_and_check(executor_))
        co_return result<key_page>(errc::cancelled);
    key_page page;
    auto it = continuation.empty() ? index_.lower_bound(prefix) : index_.upper_bound(continuation);
    for (; it != index_.end() && it->first.starts_with(prefix); ++it) {
        if (page.keys.size() == most) {
            page.next = page.keys.empty() ? continuation : page.keys.back();
            break;
        }
        page.keys.push_back(it->first);
    }
    co_return page;
}

OBJECTCACHE_DECL std::vector<std::byte>* memory_tier::find(const std::string& key)
{
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : found->second->bytes.get();
}

OBJECTCACHE_DECL void memory_tier::forget(recency::iterator it)
{
    used_ -= it->bytes->size();
    index_.erase(it->key);
    order_.erase(it);
}

} // namespace objectcache
