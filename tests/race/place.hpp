// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <race/world.hpp>

#include <objectcache/cache.hpp>
#include <objectcache/device/host_device.hpp>
#include <objectcache/store/s3_tier.hpp>
#include <objectcache/testing/observed_tier.hpp>

#include <support/s3_place.hpp>

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace race {

namespace asio = boost::asio;

using oc::testing::run_to_end;
using support::check;
using support::failure;

inline constexpr const char* bucket = "race";

/** Where the objects go. */
struct place {
    support::s3_place server;
    std::string prefix;

    [[nodiscard]] oc::s3_tier tier(asio::io_context& io) const
    {
        return {io.get_executor(), server.client(io), bucket};
    }
    [[nodiscard]] oc::cache_options options(oc::layout where) const
    {
        oc::cache_options o;
        o.key_prefix = prefix;
        o.stored_as = where;
        o.staging_bytes = 24 << 20;
        o.part_bytes = 5 << 20;
        // Of a server that shares a small machine with all of its clients.
        o.match_timeout = o.load_timeout = o.store_timeout = std::chrono::seconds(60);
        return o;
    }
};

/** What all processes of a race have to agree on. */
struct schedule {
    using clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds epoch{5};

    std::uint64_t seed = 0;
    std::size_t sequences = 0; ///< of the largest world
    clock::time_point from{}, until{};

    [[nodiscard]] std::size_t epoch_at(clock::time_point now) const
    {
        return static_cast<std::size_t>(std::max(now - from, clock::duration::zero()) / epoch);
    }
    /** All that may have been stored. */
    [[nodiscard]] std::vector<world> worlds() const
    {
        std::vector<world> out;
        for (std::size_t e = 0; e <= epoch_at(until); ++e)
            for (world& w : make_worlds(seed, sequences, e))
                out.push_back(std::move(w));
        return out;
    }
};

/** What the processes did, as far as they lived to tell. */
struct totals {
    enum item {
        matches,
        loads,
        stores,
        asked, ///< chunks
        matched,
        stored,
        merged,
        present,
        gets,
        puts,
        heads,
        lists,
        read, ///< bytes
        written,
        items
    };
    std::uint64_t of[items] = {};

    totals& operator+=(const totals& other)
    {
        for (unsigned i = 0; i < items; ++i)
            of[i] += other.of[i];
        return *this;
    }
    [[nodiscard]] std::uint64_t requests() const { return of[gets] + of[puts] + of[heads] + of[lists]; }
};

/** Counts the requests of a process. */
struct request_counter {
    totals* to;
    [[nodiscard]] oc::testing::tier_call before(oc::testing::tier_call what, std::uint64_t bytes) const
    {
        using call = oc::testing::tier_call;
        ++to->of[what == call::read   ? totals::gets
                 : what == call::stat ? totals::heads
                 : what == call::list ? totals::lists
                                      : totals::puts];
        to->of[what == call::read ? totals::read : totals::written] += bytes;
        return what;
    }
    void after(oc::testing::tier_call) const {}
};
using tier = oc::testing::observed_tier<oc::s3_tier, request_counter>;
using cache = oc::cache<oc::host_device, tier>;

} // namespace race
