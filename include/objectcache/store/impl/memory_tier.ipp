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

[[nodiscard]] OBJECTCACHE_DECL std::vector<std::byte> joined(std::span<const const_byte_span> parts,
                                                             std::uint64_t size)
{
    std::vector<std::byte> out;
    out.reserve(size);
    for (const const_byte_span part : parts)
        out.insert(out.end(), part.begin(), part.end());
    return out;
}

} // namespace detail

OBJECTCACHE_DECL asio::awaitable<status> memory_tier::read(std::string key, byte_range range, byte_span into,
                                                           deadline, read_observer*)
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
    if (!fits(size))
        co_return status(errc::exhausted, key + ": no room in the tier");
    if (found != index_.end())
        forget(found->second);
    make_room(size);
    publish(std::move(key), detail::joined(parts, size));
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
        if (page.objects.size() == most) {
            page.next = page.objects.empty() ? continuation : page.objects.back().key;
            break;
        }
        page.objects.push_back({it->first, it->second->bytes->size(), it->second->written});
    }
    co_return page;
}

OBJECTCACHE_DECL asio::awaitable<result<std::string>> memory_tier::begin_upload(std::string key, deadline)
{
    if (co_await detail::yield_and_check(executor_))
        co_return result<std::string>(errc::cancelled);
    std::string id = std::to_string(++named_);
    uploads_[id].key = std::move(key);
    co_return id;
}

OBJECTCACHE_DECL asio::awaitable<result<std::string>>
memory_tier::upload_part(std::string key, std::string id, std::uint32_t number,
                         std::span<const const_byte_span> parts, deadline)
{
    if (co_await detail::yield_and_check(executor_))
        co_return result<std::string>(errc::cancelled);
    if (number == 0 || number > most_parts_per_object)
        co_return result<std::string>(errc::invalid_argument, key + ": part " + std::to_string(number));
    const auto to = find_upload(key, id);
    if (to == uploads_.end())
        co_return result<std::string>(errc::not_found, key + ": no such upload");
    std::uint64_t size = 0;
    for (const const_byte_span part : parts)
        size += part.size();
    const auto before = to->second.parts.find(number);
    const std::uint64_t freed = before == to->second.parts.end() ? 0 : before->second.bytes.size();
    if (size > freed && !fits(size - freed))
        co_return result<std::string>(errc::exhausted, key + ": no room in the tier");
    sent_part& mine = to->second.parts[number];
    mine.bytes = std::vector<std::byte>(); // first, so that both are never there at once
    to->second.size -= freed;
    in_uploads_ -= freed;
    used_ -= freed;
    make_room(size);
    mine.bytes = detail::joined(parts, size);
    mine.tag = std::to_string(++named_);
    to->second.size += size;
    in_uploads_ += size;
    used_ += size;
    co_return mine.tag;
}

OBJECTCACHE_DECL asio::awaitable<status> memory_tier::complete_upload(std::string key, std::string id,
                                                                      std::span<const std::string> tags,
                                                                      if_exists mode, deadline)
{
    if (co_await detail::yield_and_check(executor_))
        co_return status(errc::cancelled);
    const auto from = find_upload(key, id);
    const auto there = index_.find(key);
    if (there != index_.end() && mode == if_exists::keep) {
        if (from != uploads_.end())
            drop(from);
        co_return status();
    }
    if (from == uploads_.end())
        co_return status(errc::not_found, key + ": no such upload");
    std::vector<const_byte_span> spans;
    std::uint64_t size = 0;
    for (const std::string& tag : tags) {
        const auto named = from->second.parts.find(static_cast<std::uint32_t>(spans.size() + 1));
        if (named == from->second.parts.end() || named->second.tag != tag)
            break;
        spans.emplace_back(named->second.bytes);
        size += named->second.bytes.size();
    }
    if (tags.empty() || spans.size() != tags.size())
        co_return status(errc::invalid_argument, key + ": not the tags of its parts");
    std::vector<std::byte> bytes = detail::joined(spans, size);
    if (there != index_.end())
        forget(there->second);
    drop(from); // leaves as much room as the object takes
    publish(std::move(key), std::move(bytes));
    co_return status();
}

OBJECTCACHE_DECL asio::awaitable<status> memory_tier::abort_upload(std::string key, std::string id, deadline)
{
    if (co_await detail::yield_and_check(executor_))
        co_return status(errc::cancelled);
    if (const auto it = find_upload(key, id); it != uploads_.end())
        drop(it);
    co_return status();
}

OBJECTCACHE_DECL std::vector<std::byte>* memory_tier::find(const std::string& key)
{
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : found->second->bytes.get();
}

/** @pre `fits(size)`. */
OBJECTCACHE_DECL void memory_tier::make_room(std::uint64_t size)
{
    while (size > capacity_ - used_)
        forget(std::prev(order_.end()));
}

/** @pre There is room for it, and no such object. */
OBJECTCACHE_DECL void memory_tier::publish(std::string key, std::vector<std::byte> bytes)
{
    used_ += bytes.size();
    const auto now = clock::of(executor_).date();
    order_.push_front({key, std::make_shared<std::vector<std::byte>>(std::move(bytes)), now});
    index_.emplace(std::move(key), order_.begin());
}

OBJECTCACHE_DECL memory_tier::upload_map::iterator memory_tier::find_upload(const std::string& key,
                                                                            const std::string& id)
{
    const auto found = uploads_.find(id);
    return found == uploads_.end() || found->second.key != key ? uploads_.end() : found;
}

OBJECTCACHE_DECL void memory_tier::drop(upload_map::iterator it)
{
    in_uploads_ -= it->second.size;
    used_ -= it->second.size;
    uploads_.erase(it);
}

OBJECTCACHE_DECL void memory_tier::forget(recency::iterator it)
{
    used_ -= it->bytes->size();
    index_.erase(it->key);
    order_.erase(it);
}

} // namespace objectcache
