// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/detail/listing_progress.hpp>

#include <boost/asio/awaitable.hpp>

#include <string>

/** @file
    All objects below a prefix, however many pages they fill.

    What is said of all operations in client.hpp holds for these too; a client is a handle, passed by value. */
namespace objectcache::s3 {

/** The objects whose keys begin with a prefix, page by page, in the order of their bytes:

        listing pages(store, "bucket", "prefix/");
        while (const list_page* page = co_await pages.next())
            ...
        co_return pages.outcome();

    What is written or deleted meanwhile may be seen or not; all else is seen once. Who has seen enough stops asking.

    @par Lifetime  Not to be destroyed while a page is on its way. */
class listing {
public:
    /** @param options Of every page; `until` is the deadline of the whole, and by default `client_options::request_timeout`
                       that of each page. */
    listing(client store, std::string bucket, std::string prefix, list_options options = {});

    /** Ask for the next page.

        @par Completion With the page, which is the caller's until the next call; with none after the last page, and when one
                        could not be had. It is then not asked for again.
        @par Cost       One request; memory for one page. */
    [[nodiscard]] asio::awaitable<list_page*> next();

    /** Success so far, or why there are no more pages: without a look at it a listing that broke off would pass for a
        complete one.

        @par Errors  Beside the common ones `errc::malformed_response` from a store that gives the same page again, empty
                     ones without an end, or a key that does not begin with the prefix. */
    [[nodiscard]] const status& outcome() const noexcept { return outcome_; }

private:
    status judge(const list_page& page);

    client store_;
    std::string bucket_, prefix_;
    list_options options_;
    detail::listing_progress progress_;
    list_page page_;
    status outcome_;
    bool ended_ = false;
};

struct remove_all_options {
    unsigned parallel = 4; ///< requests under way at once, beside the listing
    deadline until;        ///< of the whole; default: `client_options::request_timeout` for each request
};

/** Delete every object whose key begins with `prefix`, whatever follows: "photos" is also the beginning of "photos.zip", and
    an empty prefix that of every key. Deletes while it lists. What is written meanwhile may stay.

    @par Completion  Once nothing is left of what was listed. The first object or page that makes trouble ends it, with part
                     of the objects deleted.
    @par Errors      Beside the common ones those of `delete_failure::error` and `listing::outcome`.
    @par Cost        Two requests per thousand objects, and one more for each key that XML cannot carry. */
[[nodiscard]] asio::awaitable<status> remove_all(client store, std::string bucket, std::string prefix,
                                                 remove_all_options options = {});

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/listing.ipp>
#endif
