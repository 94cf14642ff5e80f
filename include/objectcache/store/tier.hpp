// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/deadline.hpp>
#include <objectcache/core/result.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace objectcache {

namespace asio = boost::asio;

/** What a tier knows of an object without reading it. */
struct object_stat {
    std::uint64_t size = 0; ///< bytes
};

/** What to do when the object to be written is there already. */
enum class if_exists {
    keep,   ///< success: names are content, so what is there is what would be written
    replace ///< write anyway: what is there was found damaged
};

/** One page of a listing, in byte order of the keys. */
struct key_page {
    std::vector<std::string> keys;
    std::string next; ///< pass as `continuation` for the next page; empty when this was the last
};

/** Where objects are kept: DRAM, NVMe, S3, or a stack of them. Objects are immutable and appear whole or not at all.

    - `read(key, range, into, until)` fills `into`, whose size is that of the range, or fails; it never writes past it,
      and has stopped writing when it completes. A missing object is `condition::absent`; one that is too short,
      `condition::corrupt`.
    - `write(key, parts, mode, until)` publishes the concatenated parts atomically; safe to repeat and to race.
    - `stat(key, until)`: `condition::absent` when there is none.
    - `remove(key, until)`: success when there is none.
    - `list(prefix, continuation, most, until)`: up to `most` keys beginning with `prefix`; `continuation` is empty for the
      first page, then `key_page::next`, whose form is the tier's own.

    All complete on the awaiting coroutine's executor, end with `condition::timeout` when `until` passes first and with
    `condition::cancelled` for cancellation of every kind (also one that came before), and complete only when they no
    longer touch what was lent to them.

    @par Threads One thread, or one strand, at a time. */
template <class T>
concept tier = requires(T& t, std::string key, byte_range range, byte_span into,
                        std::span<const const_byte_span> parts, if_exists mode, std::size_t most,
                        deadline until)
{
    {
        t.get_executor()
        } -> std::convertible_to<asio::any_io_executor>;
    {
        t.read(key, range, into, until)
        } -> std::same_as<asio::awaitable<status>>;
    {
        t.write(key, parts, mode, until)
        } -> std::same_as<asio::awaitable<status>>;
    {
        t.stat(key, until)
        } -> std::same_as<asio::awaitable<result<object_stat>>>;
    {
        t.remove(key, until)
        } -> std::same_as<asio::awaitable<status>>;
    {
        t.list(key, key, most, until)
        } -> std::same_as<asio::awaitable<result<key_page>>>;
};

} // namespace objectcache
