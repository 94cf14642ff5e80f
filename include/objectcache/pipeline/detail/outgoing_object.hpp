// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/latch.hpp>
#include <objectcache/pipeline/detail/outgoing.hpp>
#include <objectcache/store/tier.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace objectcache::detail {

/** An object that is on its way to the store. */
struct outgoing_object {
    outgoing_object(const asio::any_io_executor& ex, outgoing b, if_exists m)
        : body(std::move(b))
        , mode(m)
        , to_send(body.parts())
        , sent(ex)
        , over(ex)
    {}

    /** A part is acknowledged or given up: each of them once. */
    void part_ended(const status& how) noexcept
    {
        if (!how.ok() && failed.ok()) {
            try {
                failed = how;
            } catch (...) { // no memory for the detail
                failed = status(how.code());
            }
        }
        if (--to_send == 0)
            sent.set();
    }

    outgoing body;
    if_exists mode;
    std::shared_ptr<outgoing_object> before; ///< whose end this one's publication waits for
    std::string upload;                      ///< id; empty unless it has several parts
    std::vector<std::string> tags;
    std::uint32_t to_send; ///< parts that have not ended
    latch sent;            ///< all of them have
    latch over;            ///< published, or given up
    status failed;
};

} // namespace objectcache::detail
