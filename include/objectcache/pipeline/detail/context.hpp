// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/staging_pool.hpp>
#include <objectcache/io/byte_budget.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/pipeline/event_scheduler.hpp>
#include <objectcache/pipeline/options.hpp>
#include <objectcache/pipeline/stats.hpp>
#include <objectcache/plan/load_pacer.hpp>
#include <objectcache/store/prefix_index.hpp>
#include <objectcache/store/tier.hpp>

#include <algorithm>
#include <memory>
#include <thread>
#include <unordered_map>
#include <utility>

namespace objectcache::detail {

/** What all operations of one cache share. Held by `shared_ptr`: an operation that is winding down after its handle was
    destroyed still has its buffers, its device queue and its counters. */
template <device Device, tier Tier>
struct pipeline_context {
    pipeline_context(asio::any_io_executor ex, Tier& t, Device& d, cache_options o, staging_pool<Device> pool)
        : executor(ex)
        , store(t)
        , owner(d)
        , options(std::move(o))
        , time(clock::of(ex))
        , staging(std::move(pool))
        , events(ex, d)
        , requests(ex, options.max_requests)
        , index(options.index_chunks, options.index_ttl)
        , running(ex)
    {}

    /** Which layouts a scope is stored in, as far as that is known. */
    struct layout_census {
        layout_set has;
        time_point until{};
    };

    asio::any_io_executor executor;
    Tier& store;
    Device& owner;
    const cache_options options;
    clock& time;
    staging_pool<Device> staging;
    event_scheduler<Device> events;
    byte_budget requests;
    prefix_index index;
    load_pacer::knowledge link; // as the matches and loads so far saw it
    bool latency_of_loads = false;
    std::unordered_map<digest, std::shared_ptr<layout_census>> censuses; // of the scopes that were asked for
    cache_counters counters;
    task_group running; // all that is under way: what close() joins
    bool closing = false;

    /** Of that scope; one whose time is up is forgotten, but for those who are finding it out. */
    [[nodiscard]] std::shared_ptr<layout_census> census_of(const digest& scope)
    {
        if (const auto known = censuses.find(scope); known != censuses.end())
            return known->second;
        const time_point now = time.now();
        std::erase_if(censuses, [&](const auto& each) {
            return each.second.use_count() == 1 &&
                   (each.second->until <= now || censuses.size() >= most_censuses);
        });
        return censuses.emplace(scope, std::make_shared<layout_census>()).first->second;
    }
    static constexpr std::size_t most_censuses = 4096;

    /** A load did not get a chunk that had been matched. `key` is the object that publishes it, `read` says whether that was
        read itself. True if the chunk is not there for the next reader either. */
    [[nodiscard]] bool lost(const std::string& key, const status& why, bool read)
    {
        const bool unknown = why == errc::unknown_version, absent = why == condition::absent,
                   corrupt = tells_of_damage(why);
        if (corrupt)
            cache_counters::add(counters.chunks_corrupt);
        if (absent)
            cache_counters::add(counters.chunks_absent);
        if (unknown)
            cache_counters::add(counters.chunks_unknown);
        // A layer that is gone under its manifest is damage to the chunk: nobody would store it again otherwise.
        if (corrupt || (absent && !read))
            index.mark_damaged(key, time.now());
        else if (unknown)
            index.mark_unknown(key, time.now());
        return corrupt || absent || unknown;
    }
    /** What a load found of the link.

        @param answered its latency is that of answers which were seen to begin: not all tiers let that be seen */
    void learn(const load_pacer::knowledge& seen, bool answered) noexcept
    {
        const duration latency = answered ? seen.latency : link.latency;
        link = seen;
        link.latency = latency;
        latency_of_loads = latency_of_loads || answered;
    }
    /** A request that brought nothing took so long: the best there is to know where loads say nothing of it. */
    void saw_latency(duration took) noexcept
    {
        if (!latency_of_loads)
            link.latency =
                link.latency == duration::zero() ? took : std::min(took, link.latency + link.latency / 8);
    }
    /** Stand still until the device is past `behind`. For when there is no memory for a wait that lets others work: the
        device may touch what the event guards, and nothing else is known to be safe. */
    [[nodiscard]] error_code wait_out(const typename Device::event& behind) noexcept
    {
        event_state seen = owner.query(behind);
        for (; seen == event_state::pending; seen = owner.query(behind))
            std::this_thread::yield();
        return seen == event_state::done ? error_code() : make_error_code(errc::device_failed);
    }
    [[nodiscard]] deadline in(duration timeout) const noexcept
    {
        return deadline(later(time.now(), timeout));
    }
};

} // namespace objectcache::detail
