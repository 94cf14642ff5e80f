// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/s3/checksum.hpp>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// The documents of multipart uploads, copies and bulk deletes.
//
// All parsers are safe on any input and read an <Error> document, which S3 may send after a 200, as the error it is.
// Their errors: `errc::malformed_response` for another document or one cut short; `outcome_of`'s for an <Error>.
namespace objectcache::s3 {

/** InitiateMultipartUploadResult: the upload's id, never empty. */
[[nodiscard]] result<std::string> parse_initiated_upload(std::string_view xml);

/** What a store says of an object that it has just put together or copied. */
struct stored_result {
    std::string
        etag; ///< with its quotes; empty from stores that do not say, as Ceph RGW 16 after an upload in parts
    std::string last_modified; ///< ISO 8601; of copies only
    std::string checksum;      ///< base64; empty if there is none of the kind asked for
};

/** CompleteMultipartUploadResult, CopyObjectResult or CopyPartResult.

    @param kind Which checksum is wanted from it. */
[[nodiscard]] result<stored_result> parse_stored_result(std::string_view xml, checksum kind = checksum::none);

/** A key that a bulk delete did not delete. */
struct delete_failure {
    std::string key;
    std::string code; ///< "AccessDenied"
    std::string message;

    /** The same as a status: `errc::access_denied` or `errc::server_error`. */
    [[nodiscard]] status error() const;
};

/** DeleteResult: the failures; those that were deleted need no mention. */
[[nodiscard]] result<std::vector<delete_failure>> parse_delete_result(std::string_view xml);

/** A multipart upload that was begun and neither completed nor aborted. */
struct pending_upload {
    std::string key;
    std::string upload_id;
    /** To the second. The end of time if the store does not say: then it is never older than anything. */
    std::chrono::system_clock::time_point initiated = std::chrono::system_clock::time_point::max();
};

/** One page of pending uploads, in the order of their keys. */
struct upload_page {
    std::vector<pending_upload> uploads;
    std::string key_marker; ///< with `upload_id_marker` asks for the next page; both empty on the last one
    std::string upload_id_marker;
};

/** ListMultipartUploadsResult, also one with encoding-type=url. */
[[nodiscard]] result<upload_page> parse_upload_page(std::string_view xml);

/** A part that the store has. */
struct uploaded_part {
    std::uint32_t number = 0; ///< 1 ... 10000
    std::string etag;         ///< with its quotes, as the answer to the upload had it
    std::string checksum;     ///< base64; empty: none
};

/** The body that completes an upload. `parts` must be in the order of their numbers.

    @param kind Of the parts' checksums. */
[[nodiscard]] std::string complete_upload_document(std::span<const uploaded_part> parts,
                                                   checksum kind = checksum::none);

/** S3's limit for one bulk delete. */
inline constexpr std::size_t most_keys_per_delete = 1000;

/** The body of a bulk delete, which wants to hear of failures only. S3 also demands a checksum or a Content-MD5 of it.

    @par Errors  `condition::invalid` for a key with a character that XML cannot carry (below 0x20, except tab and line ends),
                 to be deleted by itself, and for none or more than `most_keys_per_delete`. */
[[nodiscard]] result<std::string> delete_document(std::span<const std::string> keys);

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/xml_multipart.ipp>
#endif
