// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/deadline.hpp>
#include <objectcache/core/read_observer.hpp>
#include <objectcache/core/result.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
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

/** One object of a listing. */
struct object_entry {
    std::string key;
    std::uint64_t size = 0; ///< bytes
    /** When it was written, by the tier's clock and perhaps only to the second. The end of time if the tier does not know. */
    std::chrono::system_clock::time_point modified = std::chrono::system_clock::time_point::max();

    friend bool operator==(const object_entry&, const object_entry&) = default;
};

/** One page of a listing, in byte order of the keys. */
struct key_page {
    std::vector<object_entry> objects;
    std::string next; ///< pass as `continuation` for the next page; empty when this was the last
};

/** How many parts an object may be uploaded in, in every tier. */
inline constexpr std::uint32_t most_parts_per_object = 10'000;

/** Where objects are kept: DRAM, NVMe, S3, or a stack of them. Objects are immutable and appear whole or not at all.

    - `read(key, range, into, until, observer)` fills `into`, whose size is that of the range, or fails; it never writes past
      it, and has stopped writing when it completes. A missing object is `condition::absent`; one that is too short,
      `condition::corrupt`. The observer, which may be null, is told of what is there already; a tier that reads in one
      piece, or out of order, need not tell it anything.
    - `write(key, parts, mode, until)` publishes the concatenated parts atomically; safe to repeat and to race.
    - `stat(key, until)`: `condition::absent` when there is none.
    - `remove(key, until)`: success when there is none.
    - `list(prefix, continuation, most, until)`: up to `most` objects whose keys begin with `prefix`; `continuation` is empty for the
      first page, then `key_page::next`, whose form is the tier's own.

    Objects too large to be had in one piece are uploaded in parts, which nobody sees before the upload is completed:

    - `begin_upload(key, until)`: the new upload's id. Uploads know nothing of each other, also those of one key. One that is
      neither completed nor aborted takes up space, without an end in tiers that outlive the process. A beginning that
      fails, is cancelled or has to be tried twice may leave one without parts that nobody knows of.
    - `upload_part(key, id, number, parts, until)` sends part `number`, 1 ... `most_parts_per_object`: the concatenation of
      `parts`, at least `least_part()` bytes but for the last. In any order and side by side; sent again, the last one sent
      counts. Gives the part's tag, which names these very bytes.
    - `complete_upload(key, id, tags, mode, until)` publishes the concatenation of the parts 1, 2 ... whose tags are `tags`,
      atomically, and ends the upload. With `keep`, an object that is there already is success, also that of an earlier try
      whose answer was lost, and the upload is thrown away. A tier may be unable to tell in time that it is there: of
      writers that race the last one counts then, who writes the same. After a failure the upload may still be there, to
      be completed by another try or to be aborted.
    - `abort_upload(key, id, until)` throws away what was uploaded: success when there is no such upload. To come after the
      calls about its parts have completed.

    An upload that is not there, or is one of another key, is `condition::absent` for the others.

    All complete on the awaiting coroutine's executor, end with `condition::timeout` when `until` passes first and with
    `condition::cancelled` for cancellation of every kind (also one that came before), and complete only when they no
    longer touch what was lent to them.

    @par Threads One thread, or one strand, at a time. */
template <class T>
concept tier = requires(T& t, std::string key, byte_range range, byte_span into,
                        std::span<const const_byte_span> parts, if_exists mode, std::size_t most,
                        std::uint32_t number, std::span<const std::string> tags, deadline until,
                        read_observer* observer)
{
    {
        t.get_executor()
        } -> std::convertible_to<asio::any_io_executor>;
    {
        t.read(key, range, into, until, observer)
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
    {
        t.least_part()
        } -> std::same_as<std::size_t>;
    {
        t.begin_upload(key, until)
        } -> std::same_as<asio::awaitable<result<std::string>>>;
    {
        t.upload_part(key, key, number, parts, until)
        } -> std::same_as<asio::awaitable<result<std::string>>>;
    {
        t.complete_upload(key, key, tags, mode, until)
        } -> std::same_as<asio::awaitable<status>>;
    {
        t.abort_upload(key, key, until)
        } -> std::same_as<asio::awaitable<status>>;
};

} // namespace objectcache
