// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/deadline.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/xml_multipart.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

/** @file
    Objects that are worth more than one connection: multipart uploads, and reads in parts.

    What is said of all operations in client.hpp holds for these too; a client is a handle, passed by value. Every request
    of an operation is retried, hedged and paced by itself, and all of them end before the operation does. */
namespace objectcache::s3 {

struct parallel_options {
    std::size_t part_bytes =
        16 * 1024 * 1024;  ///< S3 wants 5 MiB at least, but for the last part of an upload
    unsigned parallel = 4; ///< requests under way at once
    deadline until;        ///< of the whole; default: `client_options::request_timeout` for each request
    /** Told of the bytes of each part that is there, on the operation's executor; may be empty, must not throw. */
    std::function<void(std::size_t bytes)> progress = {};
};

/** S3's limit for one upload. */
inline constexpr std::uint32_t most_parts_per_upload = 10'000;

/** Read exactly `range` of an object into `destination`, in parts and side by side.

    @par Errors  Beside the common ones `errc::length_mismatch` for an object that ends before, `errc::checksum_mismatch`
                 for one that was replaced while it was read, and `errc::malformed_response` from a store that gives no
                 ETags to tell: parts of two objects are never success.
    @par Cost    One request per part. */
[[nodiscard]] asio::awaitable<result<object_info>> get_parallel(client store, std::string bucket,
                                                                std::string key, byte_range range,
                                                                byte_span destination,
                                                                parallel_options options);

/** Read a whole object of exactly `destination.size()` bytes, which `client::head` or a listing has told; 0 will do.

    @par Errors  Beside those above `errc::length_mismatch` for an object of another size. */
[[nodiscard]] asio::awaitable<result<object_info>> get_parallel(client store, std::string bucket,
                                                                std::string key, byte_span destination,
                                                                parallel_options options);

/** Write an object: the concatenation of `parts`, as a multipart upload if it is larger than one part. It appears whole or
    not at all. An upload that fails or is cancelled is aborted, which may take five seconds more: its parts would be paid
    for. Only one that was cancelled before the store had said its id stays behind, without any part.

    @par Errors  Beside the common ones `condition::invalid` for more than `most_parts_per_upload` parts. */
[[nodiscard]] asio::awaitable<result<stored_result>> put_parallel(client store, std::string bucket,
                                                                  std::string key,
                                                                  std::span<const const_byte_span> parts,
                                                                  parallel_options options);

/** @name The steps of a multipart upload, for who has the parts one after the other. */
/** @{ */
/** Begin one: its id. A try whose answer was lost leaves an upload that only `list_uploads` knows of. */
[[nodiscard]] asio::awaitable<result<std::string>> begin_upload(client store, std::string bucket,
                                                                std::string key, deadline until);
/** @param number 1 ... `most_parts_per_upload`; a part that is sent twice counts as the last one sent. */
[[nodiscard]] asio::awaitable<result<uploaded_part>>
upload_part(client store, std::string bucket, std::string key, std::string upload_id, std::uint32_t number,
            std::span<const const_byte_span> body, deadline until);
/** Make the object out of its parts. That an earlier try whose answer was lost has done it already is success, where the
    store makes ETags as S3 does.

    @param parts   In the order of their numbers; borrowed until completion.
    @param options With `if_none_match`, `errc::already_exists` if the object exists: that was looked at, and the upload is
                   left as it is. Some stores take no notice of it (Ceph RGW 16), and replace the object. */
[[nodiscard]] asio::awaitable<result<stored_result>> complete_upload(client store, std::string bucket,
                                                                     std::string key, std::string upload_id,
                                                                     std::span<const uploaded_part> parts,
                                                                     put_options options);
/** Throw away what was uploaded. That there is no such upload is no error. */
[[nodiscard]] asio::awaitable<status> abort_upload(client store, std::string bucket, std::string key,
                                                   std::string upload_id, deadline until);
/** One page of the uploads under `prefix` that were begun and never ended: they cost money until they are aborted.

    @param after  The page before, or an empty one. */
[[nodiscard]] asio::awaitable<result<upload_page>>
list_uploads(client store, std::string bucket, std::string prefix, upload_page after, deadline until);
/** @} */

/** Copy an object of at most 5 GiB inside the store. */
[[nodiscard]] asio::awaitable<result<stored_result>> copy_object(client store, std::string from_bucket,
                                                                 std::string from_key, std::string to_bucket,
                                                                 std::string to_key, deadline until);

/** Delete up to `most_keys_per_delete` objects with one request. Those that were not there are no failures.

    @param keys Borrowed until completion.
    @returns Which were not deleted, and why. */
[[nodiscard]] asio::awaitable<result<std::vector<delete_failure>>>
remove_objects(client store, std::string bucket, std::span<const std::string> keys, deadline until);

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/large_object.ipp>
#endif
