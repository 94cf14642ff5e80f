// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/s3/refresh_options.hpp>

#include <algorithm>
#include <chrono>
#include <optional>

namespace objectcache::s3::detail {

/** When to ask for credentials again. Expiry is a date; pauses are measured on the clock that does not jump. */
class refresh_schedule {
public:
    using date = std::chrono::system_clock::time_point;

    enum class action {
        use,     ///< those at hand
        renew,   ///< the same, and ask for new ones
        wait,    ///< for new ones
        give_up, ///< there are none, and it is too early to ask again
    };

    explicit refresh_schedule(refresh_options options) : options_(options) {}

    [[nodiscard]] action next(date today, time_point now) const noexcept
    {
        const bool valid = is_valid(today);
        if (valid && (!expiry_ || today < renew_at_))
            return action::use;
        if (now < retry_at_)
            return valid ? action::use : action::give_up;
        return valid && today < wait_from_ ? action::renew : action::wait;
    }
    [[nodiscard]] bool is_valid(date today) const noexcept
    {
        return known_ && (!expiry_ || today < *expiry_);
    }

    void refreshed(date today, std::optional<date> expiry)
    {
        known_ = true;
        expiry_ = expiry;
        pause_ = {};
        retry_at_ = {};
        if (!expiry)
            return;
        const auto life = *expiry - today;
        renew_at_ = *expiry - std::min<date::duration>(options_.ahead, life / 2);
        wait_from_ = *expiry - std::min<date::duration>(options_.urgent, life / 4);
    }
    void failed(time_point now)
    {
        pause_ = pause_ == duration() ? options_.retry_min : std::min(2 * pause_, options_.retry_max);
        retry_at_ = now + pause_;
    }
    void forget() noexcept { known_ = false; }

private:
    refresh_options options_;
    bool known_ = false;
    std::optional<date> expiry_;
    date renew_at_{}, wait_from_{};
    time_point retry_at_{};
    duration pause_{};
};

} // namespace objectcache::s3::detail
