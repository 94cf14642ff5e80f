// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string_view>

namespace objectcache::s3 {

/** What a failed request says about trying it again. */
enum class retry_class {
    never,      ///< it would fail again, or the caller no longer wants it
    once,       ///< the answer was damaged, perhaps only under way
    transient,  ///< a broken or refused connection, an error of the store
    timeout,    ///< transient, and found out late: most likely the store is not there
    throttling, ///< the store refused it without doing anything, and asks for time
};

/** Can another attempt help?

    @param repeatable  May the request have its effect twice? If not, it is tried again only when it had none: refused, or
                       never sent. True for all GET, HEAD, LIST and DELETE, and for a PUT of known bytes; of a
                       conditional PUT the caller must know that it may then meet its own first try. */
[[nodiscard]] retry_class classify(const status& why, bool repeatable) noexcept;

/** The value of a `Retry-After` header as time from `now`: seconds, or a date of HTTP. A date that has passed gives
    0. Nothing if it is neither. At most one day. */
[[nodiscard]] std::optional<duration> parse_retry_after(std::string_view value, std::chrono::sys_seconds now);

struct retry_options {
    unsigned max_attempts = 4; ///< of one operation, the first one included; 1: nothing is tried again
    duration base_delay = std::chrono::milliseconds(50);       ///< bound of the first delay; doubles
    duration throttled_delay = std::chrono::milliseconds(500); ///< the same where the store asks for time
    duration max_delay = std::chrono::seconds(5); ///< bound of any delay, before `Retry-After` is added
    duration max_retry_after = std::chrono::seconds(60); ///< a store that asks for more is not tried again
    std::uint32_t budget = 500; ///< tokens, see `retry_budget`; 0: nothing is tried again
};

/** What all operations of a client may spend on second tries: a bucket that retries empty and successes fill. A store
    that fails now and then never empties it; one that is dying meets, once it is empty, few more requests than are
    asked for.

    Numbers of the AWS SDKs' "standard" mode: 500 tokens, 5 for a retry, 10 after a timeout. A success puts back what
    its last retry took, and one that needed none puts in a single token.

    @par Threads  Not safe: one at a time. */
class retry_budget {
public:
    static constexpr std::uint32_t retry_cost = 5;
    static constexpr std::uint32_t timeout_cost = 10;
    static constexpr std::uint32_t success_gain = 1;

    explicit constexpr retry_budget(std::uint32_t capacity = 500) noexcept
        : capacity_(capacity)
        , tokens_(capacity)
    {}

    /** False, and nothing is taken, if there are fewer. */
    [[nodiscard]] constexpr bool take(std::uint32_t tokens) noexcept
    {
        if (tokens > tokens_)
            return false;
        tokens_ -= tokens;
        return true;
    }
    constexpr void give(std::uint32_t tokens) noexcept
    {
        tokens_ = tokens < capacity_ - tokens_ ? tokens_ + tokens : capacity_;
    }
    [[nodiscard]] constexpr std::uint32_t tokens() const noexcept { return tokens_; }

private:
    std::uint32_t capacity_;
    std::uint32_t tokens_;
};

/** How far one operation is: kept by it, and changed by `retry_policy`. */
struct retry_progress {
    unsigned attempts = 1;  ///< begun so far
    std::uint32_t paid = 0; ///< tokens that its last retry took
};

/** One attempt that failed. */
struct failed_attempt {
    const status& why;                        ///< borrowed
    bool repeatable = true;                   ///< see `classify`
    std::optional<duration> retry_after = {}; ///< what the store asked for
    deadline until = {};                      ///< of the operation
};

/** Decides whether, and after how long, a failed operation is tried again; one for all operations of a client. Beside
    it, and not in its place, stand `throttle` and `circuit`.

    Delays have full jitter: uniform in [0, min(max_delay, base * 2^(n-1))) before the nth retry, because requests
    that failed together would otherwise return together ("Exponential Backoff And Jitter", AWS Architecture Blog).
    What `Retry-After` says comes on top, as it too is said to many at once.

    @par Threads  Not safe: one at a time.
    @par Cost     No allocation. */
class retry_policy {
public:
    explicit retry_policy(retry_options options = {}) noexcept : options_(options), budget_(options.budget) {}

    /** How long to wait before the next attempt, which then counts in `so_far` as begun; or nothing if there is to be
        none, for the class of the error, the number of attempts, the budget, or because it could not begin before the
        deadline: then the operation is given up at once. */
    template <std::uniform_random_bit_generator Random>
    [[nodiscard]] std::optional<duration> next(const failed_attempt& what, retry_progress& so_far,
                                               time_point now, Random& random)
    {
        const retry_class kind = classify(what.why, what.repeatable);
        const duration floor = std::max(what.retry_after.value_or(duration::zero()), duration::zero());
        if (!allows(kind, so_far, floor))
            return std::nullopt;
        const double share = std::generate_canonical<double, 53>(random);
        const auto bound = static_cast<double>(longest(kind, so_far.attempts).count());
        const duration wait = floor + duration(static_cast<duration::rep>(share * bound));
        if (wait >= what.until.at() - now || !pay(kind, so_far))
            return std::nullopt;
        return wait;
    }

    /** The operation succeeded. */
    void succeeded(const retry_progress& at) noexcept
    {
        budget_.give(at.attempts > 1 ? at.paid : retry_budget::success_gain);
    }

    [[nodiscard]] const retry_budget& budget() const noexcept { return budget_; }

private:
    /** The longest delay before the next attempt, `Retry-After` aside. */
    [[nodiscard]] duration longest(retry_class kind, unsigned attempts) const noexcept;
    [[nodiscard]] bool allows(retry_class kind, const retry_progress& so_far, duration floor) const noexcept;
    [[nodiscard]] bool pay(retry_class kind, retry_progress& so_far) noexcept;

    retry_options options_;
    retry_budget budget_;
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/retry.ipp>
#endif
