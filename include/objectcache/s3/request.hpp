// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/s3/credentials.hpp>
#include <objectcache/s3/endpoint.hpp>
#include <objectcache/s3/sigv4.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace objectcache::s3 {

/** What is asked of the store, before it is addressed and signed. All views are borrowed. */
struct request {
    std::string_view method = "GET";
    std::string_view bucket;
    std::string_view key;                 ///< any bytes; empty: the bucket itself
    std::span<const field> query = {};    ///< decoded
    std::span<const field> headers = {};  ///< beside those that follow from the other members
    std::optional<byte_range> range = {}; ///< never empty
    std::optional<std::uint64_t> content_length =
        {};                                   ///< bytes that follow the head; none: no body is announced
    std::string_view payload = empty_payload; ///< `payload_hash()`, `empty_payload` or `unsigned_payload`
};

/** The head of an HTTP/1.1 request, up to and including the blank line: addressed to `where`, signed as `who` at `now`.

    Anonymous credentials sign nothing. `Host`, `Range`, `If-*` and `x-amz-*` are signed; what proxies may change is not.

    @par Errors  `condition::invalid` for a bucket name, a header or credentials that could not be sent without meaning
                 something else, and for an empty range. */
[[nodiscard]] result<std::string> serialize(const request& what, const endpoint& where,
                                            const credentials& who, signer& with, sigv4_time now);

/** "GET http://127.0.0.1:9000/bucket/key": how errors name a request. */
[[nodiscard]] std::string describe(const request& what, const endpoint& where);

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/request.ipp>
#endif
