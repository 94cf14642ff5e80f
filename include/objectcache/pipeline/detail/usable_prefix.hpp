// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/format.hpp>
#include <objectcache/kv/object_key.hpp>
#include <objectcache/pipeline/match.hpp>
#include <objectcache/plan/load_plan.hpp>

#include <atomic>
#include <cstddef>
#include <string>
#include <utility>

namespace objectcache::detail {

/** Which chunks of a matched prefix a load can still bring: those before the first hole; and why it is one.

    @par Lifetime The match outlives it.
    @par Threads The pipeline's; `chunks` any. */
template <class Context>
class usable_prefix {
public:
    usable_prefix(Context& shared, const prefix_match& match)
        : shared_(shared)
        , match_(match)
        , keys_{shared.options.key_prefix, match.scope}
        , chunks_(match.chunks.size())
    {}

    [[nodiscard]] std::size_t chunks() const noexcept { return chunks_.load(std::memory_order_acquire); }
    /** Of the load: success as long as nothing went wrong. */
    [[nodiscard]] const status& failure() const noexcept { return failure_; }

    /** Something went wrong; it is told if it was the first. */
    void fail(status why)
    {
        if (failure_.ok())
            failure_ = std::move(why);
    }
    /** What begins with this chunk cannot be had. */
    void end_before(std::size_t chunk, const status& why)
    {
        fail(why);
        if (chunk < chunks())
            chunks_.store(chunk, std::memory_order_release);
    }
    /** Chunk `chunk`, which a fetch should have brought, is a hole; whoever matches next is to know that. */
    void lost(const load_fetch& fetch, std::size_t chunk, const status& why)
    {
        if (chunk >= chunks())
            return; // only the first to find a hole
        const stored_run& run = match_.runs[fetch.run];
        const bool segment = run.place.where == layout::segment_objects;
        const std::string key =
            segment ? run.place.segment->key : commit_key(keys_, run.place.where, match_.chunks[chunk]);
        // Of a segment all that was matched: whoever stores it again replaces the whole of it.
        if (shared_.lost(key, why, run.place.where != layout::layer_objects))
            for (std::size_t i = segment ? run.first : chunk; i < (segment ? run.end() : fetch.end()); ++i)
                shared_.index.forget(match_.chunks[i]);
    }

    /** The object that a fetch reads from. */
    [[nodiscard]] std::string key_of(const load_fetch& f) const
    {
        const chunk_place& at = match_.runs[f.run].place;
        return at.segment ? at.segment->key
                          : record_key(keys_, at.where, match_.chunks[f.chunk], f.first_layer);
    }

private:
    Context& shared_;
    const prefix_match& match_;
    const key_space keys_;
    std::atomic<std::size_t> chunks_;
    status failure_;
};

} // namespace objectcache::detail
