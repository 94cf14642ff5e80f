// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/store/tier.hpp>

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace objectcache {

/** Objects in DRAM, the least recently used forgotten first.

    The smallest complete tier: read it to write your own. Operations complete through the executor, never at once, so
    that a pipeline behaves here as it does over a network; they take one turn of it, so deadlines never pass.

    @par Threads Not safe: one thread, or one strand, at a time. */
class memory_tier {
public:
    /** @param capacity bytes of object data to keep; an object larger than this is not kept. */
    explicit memory_tier(asio::any_io_executor executor, std::uint64_t capacity = std::uint64_t{1} << 30)
        : executor_(std::move(executor))
        , capacity_(capacity)
    {}

    [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return executor_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return used_; }
    [[nodiscard]] std::size_t objects() const noexcept { return index_.size(); }

    [[nodiscard]] asio::awaitable<status> read(std::string key, byte_range range, byte_span into,
                                               deadline until);
    [[nodiscard]] asio::awaitable<status> write(std::string key, std::span<const const_byte_span> parts,
                                                if_exists mode, deadline until);
    [[nodiscard]] asio::awaitable<result<object_stat>> stat(std::string key, deadline until);
    [[nodiscard]] asio::awaitable<status> remove(std::string key, deadline until);
    [[nodiscard]] asio::awaitable<result<key_page>> list(std::string prefix, std::string continuation,
                                                         std::size_t most, deadline until);

    /** The stored bytes, for tests that damage them. Null when there is no such object. */
    [[nodiscard]] std::vector<std::byte>* find(const std::string& key);

private:
    struct object {
        std::string key;
        std::shared_ptr<std::vector<std::byte>> bytes;
    };
    using recency = std::list<object>; // most recent first

    void forget(recency::iterator it);

    asio::any_io_executor executor_;
    std::uint64_t capacity_;
    std::uint64_t used_ = 0;
    recency order_;
    std::map<std::string, recency::iterator, std::less<>> index_; // ordered: a listing is a walk
};

static_assert(tier<memory_tier>);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/store/impl/memory_tier.ipp>
#endif
