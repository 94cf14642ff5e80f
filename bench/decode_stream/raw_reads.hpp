// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "../support/json_line.hpp"
#include "../support/store_side.hpp"

#include <objectcache/plan/load_plan.hpp>

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace decode_stream {

using namespace bench;

/** What the link brings: the reads of such a load, as many side by side, through the bare tier into memory that nobody looks at. */
template <class Tier>
class raw_reads {
public:
    raw_reads(Tier& from, const oc::prefix_match& match, const oc::cache_options& like,
              std::size_t first_layer)
        : from_(from)
        , runs_(match.runs)
    {
        oc::load_plan_options how;
        how.first_layer = static_cast<oc::layer_id>(first_layer);
        how.max_layers_per_group = 1;
        how.coalesce_bytes = like.coalesce_bytes;
        how.max_request_bytes = like.staging_bytes / 2;
        how.max_group_bytes = like.staging_bytes;
        reads_ = checked(oc::plan_load(match.geometry, match.runs, how), "planning the reads").fetches;
        std::uint64_t largest = 0;
        for (const oc::load_fetch& read : reads_)
            largest = std::max(largest, read.range.size);
        const auto fit = std::max<std::uint64_t>(like.staging_bytes / largest, 1);
        memory_.assign(std::min<std::size_t>(like.max_requests, fit), std::vector<std::byte>(largest));
    }

    /** Bytes per second, once all is under way. Blocks for so long, and for what is under way then. */
    [[nodiscard]] double measure(std::chrono::milliseconds warm_up, std::chrono::milliseconds length)
    {
        stop_ = false;
        std::vector<std::future<void>> lanes;
        for (auto& memory : memory_)
            lanes.push_back(asio::co_spawn(from_.get_executor(), lane(*this, memory), asio::use_future));
        std::this_thread::sleep_for(warm_up);
        const std::uint64_t before = bytes_;
        const auto began = steady::now();
        std::this_thread::sleep_for(length);
        const auto read = static_cast<double>(bytes_ - before);
        const double took = std::chrono::duration<double>(steady::now() - began).count();
        stop_ = true;
        for (auto& one : lanes)
            one.get();
        if (!failed_.ok())
            throw std::runtime_error("reading: " + failed_.message());
        return read / took;
    }

private:
    /** Counts what comes, and not what is complete: reads side by side end side by side. */
    struct counter final : oc::read_observer {
        explicit counter(std::atomic<std::uint64_t>& into) : all(into) {}
        void arrived(std::size_t bytes) noexcept override
        {
            all += bytes - std::min(bytes, mine);
            mine = bytes;
        }
        std::atomic<std::uint64_t>& all;
        std::size_t mine = 0;
    };

    static asio::awaitable<void> lane(raw_reads& self, std::span<std::byte> memory)
    {
        while (!self.stop_ && self.failed_.ok()) {
            const oc::load_fetch& read = self.reads_[self.next_++ % self.reads_.size()];
            std::string key = self.runs_[read.run].place.segment->key; // they are stored as segments
            const oc::deadline late(steady::now() + std::chrono::seconds(60));
            const auto into = memory.first(read.range.size);
            counter count(self.bytes_);
            oc::status s = co_await self.from_.read(std::move(key), read.range, into, late, &count);
            if (!s.ok())
                self.failed_ = std::move(s);
        }
    }

    Tier& from_;
    const std::vector<oc::stored_run>& runs_;
    std::vector<oc::load_fetch> reads_;
    std::vector<std::vector<std::byte>> memory_; // of each that is under way
    std::atomic<bool> stop_ = false;
    std::atomic<std::uint64_t> bytes_ = 0;
    std::size_t next_ = 0; // here and below: on the tier's thread
    oc::status failed_;
};

} // namespace decode_stream
