// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace objectcache::s3::detail {

/** Whether a listing gets on, page by page: a store that gives a page again, the same or one of before, or empty ones without
    an end, would otherwise be asked for ever. One continuation is remembered, a later one at turns 1, 2, 4, 8 ... (Brent's
    way to find a cycle), so that a cycle is found within three times its length. */
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
        if (!next.empty() && (next == asked || next == before_ || empty_ > most_empty))
            return status(errc::malformed_response, "a listing that does not get on");
        if (++turns_ == remember_at_) {
            before_ = next;
            remember_at_ *= 2;
        }
        return {};
    }

    static constexpr unsigned most_empty = 1000;

private:
    unsigned empty_ = 0; // pages, one after the other
    std::string before_;
    std::uint64_t turns_ = 0, remember_at_ = 1;
};

} // namespace objectcache::s3::detail
