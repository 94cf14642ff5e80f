// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>

#include <cstddef>
#include <string>

namespace objectcache::s3::detail {

/** Whether a listing gets on, page by page: a store that gives the same page again, or empty ones without an end, would
    otherwise be asked for ever. */
class listing_progress {
public:
    /** A page has come.

        @param asked the continuation it was asked for with
        @param next the one it gave; empty for the last page
        @param names how many it has
        @par Errors `errc::malformed_response`. */
    [[nodiscard]] status turn(const std::string& asked, const std::string& next, std::size_t names)
    {
        empty_ = names == 0 ? empty_ + 1 : 0;
        if (!next.empty() && (next == asked || empty_ > most_empty))
            return status(errc::malformed_response, "a listing that does not get on");
        return {};
    }

    static constexpr unsigned most_empty = 1000;

private:
    unsigned empty_ = 0; // pages, one after the other
};

} // namespace objectcache::s3::detail
