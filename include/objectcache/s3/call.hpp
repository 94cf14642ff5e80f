// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/deadline.hpp>
#include <objectcache/io/fair_queue.hpp>
#include <objectcache/s3/checksum.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace objectcache::s3 {

/** A request in S3's terms, for `client::send`. Signing, addressing and everything about connections is the client's. */
struct call {
    std::string method = "GET"; ///< upper case
    std::string bucket;
    std::string key;                                          ///< any bytes; empty: the bucket itself
    std::vector<std::pair<std::string, std::string>> query;   ///< decoded
    std::vector<std::pair<std::string, std::string>> headers; ///< beside those of the client
    std::span<const const_byte_span> body = {};               ///< borrowed until completion
    checksum body_checksum = checksum::none;                  ///< sent as a header
    priority who = priority::store;
    bool repeatable = true;               ///< see `classify`
    bool if_none_match = false;           ///< see `put_options`; of what writes the object `key`
    std::size_t text_limit = 1024 * 1024; ///< longest answer, in bytes
    deadline until;                       ///< default: `client_options::request_timeout`
};

/** A successful answer to it. */
struct answer {
    unsigned status = 0;
    std::string etag;     ///< with its quotes
    std::string checksum; ///< of the call's kind, base64; empty if there is none
    std::string text;     ///< the body
};

} // namespace objectcache::s3
