// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace objectcache::s3 {

/** What the store says went wrong. */
struct error_document {
    std::string code;    ///< "NoSuchKey"
    std::string message; ///< for people
    std::string region;  ///< where the bucket is, if the store says so
};

/** Reads an <Error> document; nothing if `xml` is another document or none. Safe on any input. */
[[nodiscard]] std::optional<error_document> parse_error_document(std::string_view xml);

/** One object of a listing. */
struct list_entry {
    std::string key;
    std::uint64_t size = 0; ///< bytes
    std::string etag;       ///< with its quotes, as sent
    /** To the second. The end of time if the store does not say: then it is never older than anything. */
    std::chrono::system_clock::time_point modified = std::chrono::system_clock::time_point::max();
};

/** One page of a listing, in the store's order: that of the keys' bytes. */
struct list_page {
    std::vector<list_entry> objects;
    std::vector<std::string> common_prefixes; ///< with a delimiter only
    std::string continuation;                 ///< asks for the next page; empty on the last one
    /** The store's own clock when it answered, to the second; from the answer's head, if it says. What is old by it is old
        whatever our clock says. */
    std::optional<std::chrono::system_clock::time_point> date;
};

/** Reads a ListBucketResult of LIST v2, also one with encoding-type=url. Safe on any input.

    @par Errors  `errc::malformed_response` for any other document, for one cut short, and for a truncated listing that
                 does not say how to go on. */
[[nodiscard]] result<list_page> parse_list_page(std::string_view xml);

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/xml.ipp>
#endif
