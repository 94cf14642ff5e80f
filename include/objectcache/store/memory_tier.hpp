// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/clock.hpp>
#include <objectcache/store/tier.hpp>

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace objectcache {

/** Objects in DRAM, the least recently used forgotten first. Parts of uploads count like objects, but are never forgotten:
    what they leave is what objects have.

    The smallest complete tier: read it to write your own. Operations complete through the executor, never at once, so
    that a pipeline behaves here as it does over a network; they take one turn of it, so deadlines never pass. To complete
    an upload takes a copy: for that moment its bytes are there twice.

    @par Threads Not safe: one thread, or one strand, at a time. */
class memory_tier {
public:
    /** @param capacity bytes of object data to keep; an object larger than this is not kept. */
    explicit memory_tier(asio::any_io_executor executor, std::uint64_t capacity = std::uint64_t{1} << 30)
        : executor_(std::move(executor))
        , capacity_(capacity)
    {}

    [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return executor_; }
    /** Of objects, and of the parts of uploads that have not ended. */
    [[nodiscard]] std::uint64_t bytes() const noexcept { return used_; }
    [[nodiscard]] std::size_t objects() const noexcept { return index_.size(); }
    /** That were begun, and neither completed nor aborted. */
    [[nodiscard]] std::size_t uploads() const noexcept { return uploads_.size(); }

    [[nodiscard]] asio::awaitable<status> read(std::string key, byte_range range, byte_span into,
                                               deadline until, read_observer* observer = nullptr);
    [[nodiscard]] asio::awaitable<status> write(std::string key, std::span<const const_byte_span> parts,
                                                if_exists mode, deadline until);
    [[nodiscard]] asio::awaitable<result<object_stat>> stat(std::string key, deadline until);
    [[nodiscard]] asio::awaitable<status> remove(std::string key, deadline until);
    [[nodiscard]] asio::awaitable<result<key_page>> list(std::string prefix, std::string continuation,
                                                         std::size_t most, deadline until);

    [[nodiscard]] std::size_t least_part() const noexcept { return 1; }
    [[nodiscard]] asio::awaitable<result<std::string>> begin_upload(std::string key, deadline until);
    [[nodiscard]] asio::awaitable<result<std::string>> upload_part(std::string key, std::string id,
                                                                   std::uint32_t number,
                                                                   std::span<const const_byte_span> parts,
                                                                   deadline until);
    [[nodiscard]] asio::awaitable<status> complete_upload(std::string key, std::string id,
                                                          std::span<const std::string> tags, if_exists mode,
                                                          deadline until);
    [[nodiscard]] asio::awaitable<status> abort_upload(std::string key, std::string id, deadline until);

    /** The stored bytes, for tests that damage them. Null when there is no such object. */
    [[nodiscard]] std::vector<std::byte>* find(const std::string& key);

private:
    struct object {
        std::string key;
        std::shared_ptr<std::vector<std::byte>> bytes;
        std::chrono::system_clock::time_point written;
    };
    using recency = std::list<object>; // most recent first

    struct sent_part {
        std::string tag;
        std::vector<std::byte> bytes;
    };
    struct upload {
        std::string key;
        std::map<std::uint32_t, sent_part> parts;
        std::uint64_t size = 0; // of all parts
    };
    using upload_map = std::map<std::string, upload, std::less<>>;

    [[nodiscard]] bool fits(std::uint64_t size) const noexcept { return size <= capacity_ - in_uploads_; }
    void make_room(std::uint64_t size);
    void publish(std::string key, std::vector<std::byte> bytes);
    void forget(recency::iterator it);
    [[nodiscard]] upload_map::iterator find_upload(const std::string& key, const std::string& id);
    void drop(upload_map::iterator it);

    asio::any_io_executor executor_;
    std::uint64_t capacity_;
    std::uint64_t used_ = 0;       // by objects and uploads,
    std::uint64_t in_uploads_ = 0; // and by these alone
    std::uint64_t named_ = 0;      // uploads and parts: each has a name of its own
    recency order_;
    std::map<std::string, recency::iterator, std::less<>> index_; // ordered: a listing is a walk
    upload_map uploads_;
};

static_assert(tier<memory_tier>);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/store/impl/memory_tier.ipp>
#endif
