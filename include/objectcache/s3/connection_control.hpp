// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace objectcache::s3 {

struct connection_control_options {
    std::size_t min = 2; ///< one is not enough to hedge
    std::size_t max = 64;
    std::size_t initial = 8;
    duration interval = std::chrono::milliseconds(250); ///< of one measurement of goodput, at least
    duration idle = std::chrono::seconds(10); ///< without demand for so long: half way back to `initial`

    /** Begin with as many as there may be. */
    [[nodiscard]] static constexpr connection_control_options from_the_top() noexcept
    {
        connection_control_options out;
        out.initial = std::numeric_limits<std::size_t>::max();
        return out;
    }
};

/** How many connections are worth having: found by measuring goodput (bytes of answers per second), not set.

    What bounds a connection may be its latency, or the server, and then more of them carry more; or the link, and
    then more of them only queue. So the number is varied and goodput compared: at first it is doubled, later it is a
    quarter more or less. More is kept if it brings at least half of what it would on an unlimited link, less if it
    costs next to nothing. A comparison takes as many intervals as the scatter of the measurements demands, 3 to 16.
    Where neither is better the number stays for a while, 8 to 32 intervals. A store that asks for less (SlowDown)
    cuts it by 30 %.

    An interval counts only if during all of it at least as many were wanted as allowed: without demand, goodput says
    nothing about the link. After a change of the number, the first interval does not count.

    Simulated (connection_control_test.cpp) with 20 % of noise, goodput stays above 92 % of what the link and at most
    64 connections can carry, probes included.

    @par Threads  Not safe: one at a time.
    @par Cost     O(1) memory and time, no allocation and no timer. */
class connection_control {
public:
    explicit connection_control(connection_control_options options = {}) noexcept;

    /** Bytes of a body arrived: as they come, or all at the end of a request. */
    void received(std::uint64_t bytes) noexcept;
    /** The store refused a request in order to be asked less. */
    void throttled(time_point now) noexcept;

    /** How many connections may be open now. To be called whenever one is wanted or given back; who is over the
        number closes connections as they are given back.

        @param wanted  Connections in use, and callers in line for one. */
    [[nodiscard]] std::size_t limit(time_point now, std::size_t wanted) noexcept;
    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

private:
    /** Mean and scatter of goodput (Welford's algorithm). */
    class goodput {
    public:
        void add(double bytes_per_second) noexcept;
        [[nodiscard]] unsigned count() const noexcept { return count_; }
        [[nodiscard]] double mean() const noexcept { return mean_; }
        /** Square of the standard error of the mean. */
        [[nodiscard]] double variance() const noexcept;

    private:
        unsigned count_ = 0;
        double mean_ = 0;
        double squares_ = 0; // of the distances from the mean, summed
    };
    enum class phase { base, probe, hold };

    void begin_interval(time_point now) noexcept;
    void end_interval(double bytes_per_second) noexcept;
    void compare() noexcept;
    void measure_base() noexcept;
    void probe() noexcept;
    void hold() noexcept;
    void set_limit(std::size_t count) noexcept;

    connection_control_options options_;
    std::size_t limit_; // allowed now
    std::size_t base_;  // what it is compared with

    phase phase_ = phase::base;
    bool doubling_ = true; // until more is too much
    bool rising_ = false;  // the last comparison was for more
    bool up_failed_ = false, down_failed_ = false;
    unsigned hold_left_ = 0, hold_length_; // intervals
    goodput at_base_, here_;

    bool running_ = false; // an interval, since there is demand
    bool skip_ = false;    // the number has just changed
    time_point began_, demand_at_, throttled_until_;
    std::uint64_t bytes_ = 0, arrivals_ = 0;
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/connection_control.ipp>
#endif
