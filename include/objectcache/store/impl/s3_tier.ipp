// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/large_object.hpp>
#include <objectcache/store/s3_tier.hpp>

namespace objectcache {

OBJECTCACHE_DECL asio::awaitable<status> s3_tier::read(std::string key, byte_range range, byte_span into,
                                                       deadline until)
{
    std::string name = key_prefix_ + key;
    if (into.size() > split_bytes) {
        const s3::parallel_options how{split_bytes / 2, 4, until};
        auto parts = co_await s3::get_parallel(client_, bucket_, std::move(name), range, into, how);
        co_return parts.error();
    }
    const s3::op_options how{until};
    auto got = co_await client_.get(bucket_, std::move(name), range, into, how);
    co_return got.error();
}

OBJECTCACHE_DECL asio::awaitable<status>
s3_tier::write(std::string key, std::span<const const_byte_span> parts, if_exists mode, deadline until)
{
    const s3::put_options how{until, mode == if_exists::keep};
    status s = co_await client_.put(bucket_, key_prefix_ + key, parts, how);
    if (s == errc::already_exists)
        co_return status();
    co_return s;
}

OBJECTCACHE_DECL asio::awaitable<result<object_stat>> s3_tier::stat(std::string key, deadline until)
{
    const s3::op_options how{until};
    auto found = co_await client_.head(bucket_, key_prefix_ + key, how);
    if (!found)
        co_return found.error();
    object_stat out;
    out.size = found->size;
    co_return out;
}

OBJECTCACHE_DECL asio::awaitable<status> s3_tier::remove(std::string key, deadline until)
{
    const s3::op_options how{until};
    status s = co_await client_.remove(bucket_, key_prefix_ + key, how);
    co_return s;
}

OBJECTCACHE_DECL asio::awaitable<result<key_page>> s3_tier::list(std::string prefix, std::string continuation,
                                                                 std::size_t most, deadline until)
{
    s3::list_options how;
    how.until = until;
    how.continuation = std::move(continuation);
    how.max_keys = static_cast<std::uint32_t>(most < 1000 ? most : 1000);
    auto page = co_await client_.list(bucket_, key_prefix_ + prefix, how);
    if (!page)
        co_return page.error();
    key_page out;
    out.next = page->continuation;
    for (auto& object : page->objects) {
        if (!object.key.starts_with(key_prefix_))
            co_return result<key_page>(errc::malformed_response, "a key that was not asked for");
        out.keys.push_back(object.key.substr(key_prefix_.size()));
    }
    co_return out;
}

} // namespace objectcache
