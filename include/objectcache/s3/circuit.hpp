// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/error.hpp>

#include <chrono>
#include <cstdint>

namespace objectcache::s3 {

/** What a finished request says about its endpoint. */
enum class verdict {
    alive,  ///< it answered, be it 404, 403, 412 or SlowDown
    failed, ///< no connection, a broken one, no answer in time, an error of the store
    unknown ///< nothing: cancelled, or failed for reasons of our own
};

/** A deadline that passed counts as failed: an endpoint that swallows requests shows itself in no other way. A caller
    that knows better (an answer was arriving, or the time was short) reports something else. */
[[nodiscard]] verdict verdict_on_endpoint(const status& outcome) noexcept;

struct circuit_options {
    unsigned consecutive_failures = 5; ///< open after so many without a sign of life between them
    double failure_share = 0.5;        ///< or when this share of a window failed,
    unsigned min_requests = 20;        ///< in which at least so many requests ended
    duration window = std::chrono::seconds(10);
    duration cooldown = std::chrono::seconds(1); ///< until the first probe; doubles with each one that fails
    duration max_cooldown = std::chrono::seconds(30);
};

/** Keeps requests from an endpoint that does not answer, so that a cache whose store is gone says "recompute" at once
    and not after a timeout; and finds out by itself when the endpoint is back.

    Closed, all requests pass. After too many failures it opens and refuses them for the cool-down. The first request
    after that is the probe; while it is under way, for at most another cool-down, all others are refused. A probe
    that shows life closes the circuit, one that failed opens it for twice as long. A circuit that opens again soon
    after it was closed goes on where it was. A cool-down is drawn from the upper half of its length, so that the
    clients of a store do not probe it in step.

    @code
    const auto pass = c.admit(now);
    if (!pass.admitted()) fail, or try again after pass.until();
    ...; c.report(pass, verdict_on_endpoint(outcome), later);
    @endcode

    @par Threads  Not safe: one at a time.
    @par Cost     O(1) memory and time; no allocation. */
class circuit {
public:
    enum class state { closed, open, half_open };

    /** The answer to one request that wants to be sent. */
    class admission {
    public:
        [[nodiscard]] bool admitted() const noexcept { return admitted_; }
        /** This one finds out for all: it should be small, and not one that will be cancelled. */
        [[nodiscard]] bool probe() const noexcept { return probe_; }
        /** Of a refusal: to ask again before is futile. At most a cool-down away. */
        [[nodiscard]] time_point until() const noexcept { return until_; }

    private:
        friend circuit;
        bool admitted_ = true;
        bool probe_ = false;
        time_point until_;
        std::uint64_t epoch_ = 0;
    };

    /** @param seed  Of the jitter; better another one in each process. */
    explicit circuit(circuit_options options = {}, std::uint64_t seed = 0) noexcept;

    [[nodiscard]] admission admit(time_point now) noexcept;
    /** How an admitted request ended. What is never reported only delays the next probe. */
    void report(const admission& of, verdict how, time_point now) noexcept;

    /** As of the last call. An open circuit whose cool-down has passed is open until somebody asks to be admitted. */
    [[nodiscard]] state current() const noexcept { return state_; }
    /** How often it opened, for statistics. */
    [[nodiscard]] std::uint64_t openings() const noexcept { return openings_; }

private:
    struct tally {
        std::uint64_t failed = 0, all = 0;
    };

    [[nodiscard]] bool too_many() const noexcept;
    void open(time_point now) noexcept;
    void close(time_point now) noexcept;
    void enter(state next) noexcept;
    void roll(time_point now) noexcept;

    circuit_options options_;
    state state_ = state::closed;
    std::uint64_t epoch_ = 0; // changes with the state: what began before says nothing about the state since
    std::uint64_t openings_ = 0;
    std::uint64_t random_;

    unsigned consecutive_ = 0;
    tally last_half_, this_half_; // of the window
    time_point half_began_;

    duration cooldown_{}; // the one under way, or the last
    time_point until_;    // open: of the cool-down; half open: until the probe counts as lost
    time_point closed_at_;
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/circuit.ipp>
#endif
