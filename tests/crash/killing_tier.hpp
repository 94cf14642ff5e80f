// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/store/s3_tier.hpp>
#include <objectcache/testing/observed_tier.hpp>

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <unistd.h>
#include <utility>

namespace crash {

namespace oc = objectcache;
namespace asio = boost::asio;

/** The process dies with the k-th request: behind its answer, or while it is on the way. */
class death {
public:
    enum class when { answered, under_way };

    death(asio::any_io_executor executor, unsigned k, when moment)
        : k_(k)
        , when_(moment)
        , alarm_(std::move(executor))
    {}

    /** Whether the process dies with its answer. */
    bool before(oc::testing::tier_call what, std::uint64_t)
    {
        if (what == oc::testing::tier_call::remove || ++n_ != k_)
            return false;
        if (when_ == when::answered)
            return true;
        // Somewhere between the first byte of the request and the last of the answer, elsewhere for each k.
        alarm_.expires_after(std::chrono::microseconds(50 + k_ * 7919 % 1500));
        alarm_.async_wait([](auto) { die(); });
        return false;
    }
    static void after(bool last)
    {
        if (last)
            die();
    }

private:
    static void die() { ::kill(::getpid(), SIGKILL); }

    unsigned k_, n_ = 0;
    when when_;
    asio::steady_timer alarm_;
};

using killing_tier = oc::testing::observed_tier<oc::s3_tier, death>;
static_assert(oc::tier<killing_tier>);

} // namespace crash
