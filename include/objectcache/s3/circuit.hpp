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
    failed, ///< no connection, a broken one, no answer in time, a 5xx
    unknown ///< cancelled, or failed for reasons of our own
};
[[nodiscard]] verdict verdict_on_endpoint(const status& outcome) noexcept;

struct circuit_options {
    unsigned consecutive_failures = 5; ///< open after so many without a sign of life
    double failure_share = 0.5;        ///< or once this share of a window failed,
    unsigned min_requests = 20;        ///< of at least so many requests
    duration window = std::chrono::seconds(10);
    duration cooldown =
        std::chrono::seconds(1); ///< first time until a probe; doubles with each one that fails
    duration max_cooldown = std::chrono::seconds(30);
};

/** Keeps requests from an endpoint that does not answer, so that a cache whose store is gone says "recompute" at once
    and not after a timeout; and finds out by itself when the endpoint is back.

    Closed, all requests pass. After too many failures it opens and refuses them for the cool-down; the first request
    after that is the probe, and while it is under way (at most one more cool-down) all others are refused. A probe that
    shows life closes the circuit, a failed one opens it for twice as long. A cool-down is drawn from the upper half of its length,
    so that the clients of one store do not probe in step.

    @code
    if (const auto pass = c.admit(now); pass.admitted()) { ...; c.report(pass, verdict_on_endpoint(outcome), later); }
    @endcode

    @par Threads  Not safe: one at a time.
    @par Cost     O(1) memory and time; no allocation. */
class circuit {
public:
    enum class state { closed, open, half_open };

    /** The answer to one request that wants to be sent, and its place in the circuit's history. */
    class admission {
    public:
        [[nodiscard]] bool admitted() const noexcept { return admitted_; }
        /** This one finds out for all. It should not be optional, nor large. */
        [[nodiscard]] bool probe() const noexcept { return probe_; }
        /** Of a refusal: asking again before is futile. Never further away than the cool-down. */
        [[nodiscard]] time_point until() const noexcept { return until_; }

    private:
        friend circuit;
        bool admitted_ = true;
        bool probe_ = false;
        time_point until_ = {};
        std::uint64_t epoch_ =
            0; // changes with the state; what began in another one says nothing about this one
    };

    /** @param seed  For the jitter; better different in each process. */
    explicit circuit(circuit_options options = {}, std::uint64_t seed = 0) noexcept;

    [[nodiscard]] admission admit(time_point now) noexcept;
    /** How an admitted request ended. A probe about which nothing is ever reported only delays the next one. */
    void report(const admission& of, verdict how, time_point now) noexcept;

    [[nodiscard]] state current() const noexcept { return state_; }

private:
    circuit_options options_;
    state state_ = state::closed;
};

} // namespace objectcache::s3
