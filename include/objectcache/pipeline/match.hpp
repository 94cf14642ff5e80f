// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/core/ids.hpp>
#include <objectcache/kv/geometry.hpp>
#include <objectcache/plan/stored_run.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace objectcache {

/** The longest stored prefix of a token sequence. A value; an empty one is a miss and loads nothing. A host that wants less
    of it calls `shorten`: chunks and runs belong together. */
struct prefix_match {
    prefix_match() = default;
    explicit prefix_match(status why) : ended_by(std::move(why)) {}

    digest scope;                 ///< id of the scope it was looked for in
    kv_geometry geometry;         ///< of that scope
    std::vector<chunk_id> chunks; ///< the matched chunks, from the sequence's start
    std::vector<stored_run> runs; ///< where they lie: all of them, in order
    status ended_by; ///< why it is not longer, when that is not plain absence: the store failed, time was up

    /** Tokens whose KV can be loaded. */
    [[nodiscard]] std::size_t tokens() const noexcept { return chunks.size() * geometry.tokens_per_chunk; }
    [[nodiscard]] bool empty() const noexcept { return chunks.empty(); }

    /** Keep the whole chunks within the first `most` tokens, for pages that have room for no more, or an engine that wants
        to compute the rest. What is shorter already stays as it is; `ended_by` too. */
    void shorten(std::size_t most)
    {
        if (geometry.tokens_per_chunk == 0) // of a scope that was refused: it has no chunks
            return;
        chunks.resize(std::min(chunks.size(), most / geometry.tokens_per_chunk));
        while (!runs.empty() && runs.back().first >= chunks.size())
            runs.pop_back();
        if (!runs.empty())
            runs.back().chunks = std::min(runs.back().chunks, chunks.size() - runs.back().first);
    }

    /** Whether the runs are those of the chunks: all of them, in order.

        @par Errors `condition::invalid`. */
    [[nodiscard]] status validate() const
    {
        std::size_t end = 0;
        for (const stored_run& run : runs) {
            if (run.first != end || run.chunks == 0 || run.chunks > chunks.size() - end)
                return status(errc::invalid_argument, "a match whose runs are not those of its chunks");
            end += run.chunks;
        }
        if (end != chunks.size())
            return status(errc::invalid_argument, "a match of " + std::to_string(chunks.size()) +
                                                      " chunks whose runs have " + std::to_string(end));
        return {};
    }
};

} // namespace objectcache
