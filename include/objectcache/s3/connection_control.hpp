// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace objectcache::s3 {

struct connection_control_options {
    std::size_t min = 1;
    std::size_t max = 64;
    std::size_t initial = 8;
    duration interval = std::chrono::milliseconds(250); ///< of one measurement of goodput, at least
    duration idle = std::chrono::seconds(10); ///< without demand for so long: half way back to `initial`
};

/** How many connections are worth having: found by measuring goodput (bytes of answers per second), not set.

    A connection may be bounded by its own latency or by the server, and then more of them carry more; or by the link, and then
    more of them only queue. So the number is varied, and the goodput before and after compared: growth is kept while it
    brings most of what it should, less is kept if it costs nothing. A refusal by the store (SlowDown) cuts the number.
    Only intervals in which all allowed connections were wanted count: without demand, goodput says nothing about the link.

    @par Threads  Not safe: one at a time.
    @par Cost     O(1) memory and time; no timer: time is what the calls say. */
class connection_control {
public:
    explicit connection_control(connection_control_options options = {}) noexcept;

    /** Bytes of a body arrived. As they come, or at the end of each request. */
    void received(std::uint64_t bytes) noexcept;
    /** The store refused a request in order to be asked less. */
    void throttled(time_point now) noexcept;

    /** How many connections may be open now. To be called whenever one is wanted or given back.

        @param wanted  Connections in use, and callers that wait for one. */
    [[nodiscard]] std::size_t limit(time_point now, std::size_t wanted) noexcept;
    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

private:
    connection_control_options options_;
    std::size_t limit_ = 0;
};

} // namespace objectcache::s3
