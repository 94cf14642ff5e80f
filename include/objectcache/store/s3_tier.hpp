// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/client.hpp>
#include <objectcache/store/tier.hpp>

#include <string>
#include <utility>

namespace objectcache {

/** Objects in one bucket of an S3 store.

    A write that must keep what is there is a conditional PUT: of writers that race, one wins and all succeed.

    @par Threads As `s3::client`: one thread, or one strand, that of its executor. */
class s3_tier {
public:
    s3_tier(asio::any_io_executor executor, s3::client client, std::string bucket)
        : executor_(std::move(executor))
        , client_(std::move(client))
        , bucket_(std::move(bucket))
    {}

    [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return executor_; }
    [[nodiscard]] s3::client& client() noexcept { return client_; }
    [[nodiscard]] const std::string& bucket() const noexcept { return bucket_; }

    [[nodiscard]] asio::awaitable<status> read(std::string key, byte_range range, byte_span into,
                                               deadline until)
    {
        const s3::op_options how{until};
        auto got = co_await client_.get(bucket_, std::move(key), range, into, how);
        co_return got.error();
    }

    [[nodiscard]] asio::awaitable<status> write(std::string key, std::span<const const_byte_span> parts,
                                                if_exists mode, deadline until)
    {
        const s3::put_options how{until, mode == if_exists::keep};
        status s = co_await client_.put(bucket_, std::move(key), parts, how);
        if (s == errc::already_exists)
            co_return status();
        co_return s;
    }

    [[nodiscard]] asio::awaitable<result<object_stat>> stat(std::string key, deadline until)
    {
        const s3::op_options how{until};
        auto found = co_await client_.head(bucket_, std::move(key), how);
        if (!found)
            co_return found.error();
        object_stat out;
        out.size = found->size;
        co_return out;
    }

    [[nodiscard]] asio::awaitable<status> remove(std::string key, deadline until)
    {
        const s3::op_options how{until};
        status s = co_await client_.remove(bucket_, std::move(key), how);
        co_return s;
    }

    [[nodiscard]] asio::awaitable<result<key_page>> list(std::string prefix, std::string continuation,
                                                         std::size_t most, deadline until)
    {
        s3::list_options how;
        how.until = until;
        how.continuation = std::move(continuation);
        how.max_keys = static_cast<std::uint32_t>(most < 1000 ? most : 1000);
        auto page = co_await client_.list(bucket_, std::move(prefix), how);
        if (!page)
            co_return page.error();
        key_page out;
        out.next = page->continuation;
        for (auto& object : page->objects)
            out.keys.push_back(std::move(object.key));
        co_return out;
    }

private:
    asio::any_io_executor executor_;
    s3::client client_;
    std::string bucket_;
};

static_assert(tier<s3_tier>);

} // namespace objectcache
