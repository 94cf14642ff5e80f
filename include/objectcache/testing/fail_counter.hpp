// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>

#include <cstddef>

namespace objectcache::testing {

/** Fails the Nth fallible step. A test runs with N = 0, 1, 2 ... until a run is not hit, and checks its invariants after
    each: nothing leaked, nothing pinned, nothing published too early.

    @code
    for (testing::fail_counter fuse;; fuse.next()) {
        testing::recording_tier tier(memory, &fuse);
        run(tier);
        check_invariants();
        if (!fuse.fired())
            break;
    }
    @endcode */
class fail_counter {
public:
    fail_counter() = default;
    explicit fail_counter(std::size_t fail_at, errc with = errc::connection_lost)
        : fail_at_(fail_at)
        , with_(with)
    {}

    /** To be called at each fallible step: the failure when this is the chosen one. */
    [[nodiscard]] error_code step() noexcept
    {
        if (steps_++ != fail_at_)
            return {};
        fired_ = true;
        return make_error_code(with_);
    }

    /** Arm for the step after the one that failed last. */
    void next() noexcept
    {
        ++fail_at_;
        steps_ = 0;
        fired_ = false;
    }

    [[nodiscard]] bool fired() const noexcept { return fired_; }
    [[nodiscard]] std::size_t fail_at() const noexcept { return fail_at_; }
    [[nodiscard]] std::size_t steps() const noexcept { return steps_; }

private:
    std::size_t fail_at_ = 0;
    std::size_t steps_ = 0;
    errc with_ = errc::connection_lost;
    bool fired_ = false;
};

} // namespace objectcache::testing
