// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/large_object.hpp>
#include <objectcache/store/s3_tier.hpp>

#include <boost/asio/this_coro.hpp>

#include <vector>

namespace objectcache {

namespace detail {

static_assert(most_parts_per_object == s3::most_parts_per_upload);

/** What S3 wants to hear of a part in the end, as one text. A checksum is base64 and has no space. */
[[nodiscard]] OBJECTCACHE_DECL std::string tag_of(const s3::uploaded_part& part)
{
    return part.checksum + ' ' + part.etag;
}

/** Of the parts 1, 2 ...; empty if one of the tags is none of ours, or they are too many. */
[[nodiscard]] OBJECTCACHE_DECL std::vector<s3::uploaded_part> tagged_parts(std::span<const std::string> tags)
{
    std::vector<s3::uploaded_part> out;
    if (tags.size() > most_parts_per_object)
        return out;
    out.reserve(tags.size());
    for (const std::string& tag : tags) {
        const auto space = tag.find(' ');
        if (space == tag.npos)
            return {};
        const auto number = static_cast<std::uint32_t>(out.size() + 1);
        out.push_back({number, tag.substr(space + 1), tag.substr(0, space)});
    }
    return out;
}

} // namespace detail

OBJECTCACHE_DECL asio::awaitable<status> s3_tier::read(std::string key, byte_range range, byte_span into,
                                                       deadline until, read_observer* observer)
{
    std::string name = key_prefix_ + key;
    if (into.size() > split_bytes) {
        const s3::parallel_options how{split_bytes / 2, 4, until};
        auto parts = co_await s3::get_parallel(client_, bucket_, std::move(name), range, into, how);
        co_return parts.error();
    }
    const s3::get_options how{.until = until, .observer = observer};
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
    out.objects.reserve(page->objects.size());
    for (auto& object : page->objects) {
        if (!object.key.starts_with(key_prefix_))
            co_return result<key_page>(errc::malformed_response, "a key that was not asked for");
        out.objects.push_back({object.key.substr(key_prefix_.size()), object.size, object.modified});
    }
    co_return out;
}

OBJECTCACHE_DECL asio::awaitable<result<std::string>> s3_tier::begin_upload(std::string key, deadline until)
{
    std::string name = key_prefix_ + key;
    result<std::string> id = co_await s3::begin_upload(client_, bucket_, std::move(name), until);
    co_return id;
}

OBJECTCACHE_DECL asio::awaitable<result<std::string>>
s3_tier::upload_part(std::string key, std::string id, std::uint32_t number,
                     std::span<const const_byte_span> parts, deadline until)
{
    std::string name = key_prefix_ + key;
    result<s3::uploaded_part> sent =
        co_await s3::upload_part(client_, bucket_, std::move(name), std::move(id), number, parts, until);
    if (!sent)
        co_return sent.error();
    co_return detail::tag_of(*sent);
}

OBJECTCACHE_DECL asio::awaitable<status> s3_tier::complete_upload(std::string key, std::string id,
                                                                  std::span<const std::string> tags,
                                                                  if_exists mode, deadline until)
{
    const std::vector<s3::uploaded_part> parts = detail::tagged_parts(tags);
    if (parts.empty())
        co_return status(errc::invalid_argument, key + ": not the tags of its parts");
    const std::string name = key_prefix_ + key;
    const s3::put_options how{until, mode == if_exists::keep};
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false); // between two requests
    auto done = co_await s3::complete_upload(client_, bucket_, name, id, parts, how);
    status s = done.error();
    if (s == errc::already_exists) {
        // Success. What cannot be thrown away is for whoever collects, unless the caller goes and has to see to it.
        s = co_await s3::abort_upload(client_, bucket_, name, std::move(id), until);
        if (s != condition::cancelled)
            s = status();
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return s;
}

OBJECTCACHE_DECL asio::awaitable<status> s3_tier::abort_upload(std::string key, std::string id,
                                                               deadline until)
{
    std::string name = key_prefix_ + key;
    status s = co_await s3::abort_upload(client_, bucket_, std::move(name), std::move(id), until);
    co_return s;
}

} // namespace objectcache
