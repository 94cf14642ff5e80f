// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/read_observer.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/kv/pages.hpp>
#include <objectcache/pipeline/detail/pacing.hpp>
#include <objectcache/pipeline/match.hpp>
#include <objectcache/plan/load_plan.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace objectcache::detail {

/** The records that one request of a load brings into staging: verified in their order where and while they come, on the
    tier's thread, and copied on in runs, from the pipeline's.

    A repeated request brings all of them again: they are verified and copied once more, behind the copies of before, whose
    source may have changed under them. So what the device has in the end was verified.

    @par Threads `arrived`: the tier's. All else: the pipeline's. */
class arrival final : public read_observer, public std::enable_shared_from_this<arrival> {
public:
    /** Records, in the order of the request: layer-major, chunk-minor. */
    struct run {
        std::size_t first = 0;
        std::size_t end = 0;
    };
    /** Another run may be taken. Called on the tier's thread. */
    using notice = std::function<void(std::shared_ptr<arrival>)>;

    /** Of so many bytes, the step with which they are copied on while they come: half of them, so that little is left to do behind
        the last; but so many that copies reach the rate of large ones. */
    [[nodiscard]] static constexpr std::size_t worth_copying(std::size_t bytes) noexcept
    {
        return std::max(std::size_t{1} << 20, bytes / 2);
    }

    /** @param match outlives this.
        @param step bytes that make a run worth a notice
        @param flow counts what is received, of all requests of the load; outlives this, as `time` does */
    arrival(const clock& time, const prefix_match& match, const load_fetch& fetch, byte_span staging,
            std::size_t step, std::atomic<std::uint64_t>& flow, notice more)
        : time_(time)
        , match_(match)
        , fetch_(fetch)
        , bytes_(staging)
        , record_(static_cast<std::size_t>(record_bytes(match.geometry)))
        , step_(std::max<std::size_t>(1, step / record_))
        , flow_(flow)
        , more_(std::move(more))
    {}

    void arrived(std::size_t bytes) noexcept override
    {
        // Of no bytes, where a client tells when the answer's head is there.
        const bool first = begun_.at == time_point();
        if (first)
            begun_ = {bytes, time_.now()};
        again_ = again_ || bytes < told_ || (bytes == 0 && !first);
        if (bytes < told_) {
            const std::lock_guard lock(mutex_);
            ++edition_;
            verified_ = announced_ = 0;
            broken_ = false;
        }
        count(bytes);
        std::size_t v = verified_; // nobody else writes it
        while (!broken_ && v < records() && (v + 1) * record_ <= bytes) {
            broken_ = !intact(v);
            v += broken_ ? 0 : 1;
        }
        if (v == verified_)
            return;
        {
            const std::lock_guard lock(mutex_);
            verified_ = v;
        }
        if (v != records() && v - announced_ >= step_) { // the end of the read comes without a notice
            announced_ = v;
            try {
                more_(shared_from_this());
            } catch (...) { // no memory: it is copied with the next
            }
        }
    }

    /** The read has ended, and with it its part in the flow: all of it, or nothing. */
    void settle(bool complete) noexcept
    {
        over = true;
        count(complete ? bytes_.size() : 0);
    }

    /** How many bytes came first, and when, if any did and the read has ended. Not of one that was begun anew: nobody knows
        when the answer that counts began. */
    [[nodiscard]] std::optional<pacing::beginning> begun() const noexcept
    {
        return again_ || begun_.at == time_point() ? std::nullopt : std::optional(begun_);
    }

    /** What was verified since the last call, or since the beginning if the bytes came again. */
    [[nodiscard]] run take()
    {
        const std::lock_guard lock(mutex_);
        if (std::exchange(taken_edition_, edition_) != edition_)
            taken_ = 0;
        return {std::exchange(taken_, verified_), verified_};
    }

    /** The read is complete: verify what is left of it. `chunks`: how many, from the first on, are what they should be in all
        layers. The reason is that of the chunk behind them. */
    [[nodiscard]] status finish(std::uint32_t& chunks)
    {
        status out;
        chunks = fetch_.chunks;
        for (std::size_t r = verified_; r < records(); ++r) {
            const std::uint32_t chunk = chunk_of(r);
            if (chunk >= chunks)
                continue;
            const status s = verify(r);
            if (s.ok())
                continue;
            chunks = chunk;
            out = status(s.code(), "chunk " + std::to_string(fetch_.chunk + chunk) + ", layer " +
                                       std::to_string(layer_of(r)));
        }
        const std::lock_guard lock(mutex_);
        verified_ = records();
        return out;
    }

    /** Those records of `what` that belong to the first `chunks` chunks. */
    [[nodiscard]] std::vector<kv_slice> slices(run what, std::uint32_t chunks) const
    {
        const std::size_t tokens = match_.geometry.tokens_per_chunk;
        std::vector<kv_slice> out;
        out.reserve(what.end - what.first);
        for (std::size_t r = what.first; r < what.end; ++r)
            if (const std::uint32_t chunk = chunk_of(r); chunk < chunks)
                out.push_back({record(r).data(), layer_of(r), (fetch_.chunk + chunk) * tokens, tokens});
        return out;
    }

    /** @name For the load: whether the device may touch the staging, and what it said. */
    /** @{ */
    bool touched = false;
    bool over = false; ///< the read has ended; a notice that is still on its way comes too late
    error_code refused;
    /** @} */

private:
    void count(std::size_t bytes) noexcept
    {
        flow_.fetch_add(bytes - told_, std::memory_order_relaxed); // less is a wrap, which takes away
        told_ = bytes;
    }
    [[nodiscard]] std::size_t records() const noexcept { return std::size_t{fetch_.layers} * fetch_.chunks; }
    [[nodiscard]] layer_id layer_of(std::size_t r) const noexcept
    {
        return fetch_.first_layer + static_cast<layer_id>(r / fetch_.chunks);
    }
    [[nodiscard]] std::uint32_t chunk_of(std::size_t r) const noexcept
    {
        return static_cast<std::uint32_t>(r % fetch_.chunks);
    }
    [[nodiscard]] byte_span record(std::size_t r) const { return bytes_.subspan(r * record_, record_); }
    [[nodiscard]] status verify(std::size_t r) const
    {
        return verify_slice(record(r), layer_of(r), match_.chunks[fetch_.chunk + chunk_of(r)],
                            match_.runs[fetch_.run].place.where);
    }
    [[nodiscard]] bool intact(std::size_t r) const noexcept
    {
        try {
            return verify(r).ok();
        } catch (...) {
            return false;
        }
    }

    const clock& time_;
    const prefix_match& match_;
    const load_fetch fetch_;
    const byte_span bytes_;
    const std::size_t record_; // bytes
    const std::size_t step_;   // records
    std::atomic<std::uint64_t>& flow_;
    const notice more_;

    pacing::beginning begun_;              // the tier's thread alone, until the read has ended
    bool again_ = false;                   // likewise
    std::size_t told_ = 0, announced_ = 0; // likewise
    bool broken_ = false;                  // likewise: a record that is not what it should be

    std::mutex mutex_;
    std::size_t verified_ = 0; // records, from the first on; written by the tier's thread until the read ends
    std::uint64_t edition_ = 0;
    std::size_t taken_ = 0;
    std::uint64_t taken_edition_ = 0;
};

} // namespace objectcache::detail
