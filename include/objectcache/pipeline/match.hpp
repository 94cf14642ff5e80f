// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/core/ids.hpp>
#include <objectcache/kv/geometry.hpp>
#include <objectcache/plan/stored_run.hpp>

#include <cstddef>
#include <vector>

namespace objectcache {

/** The longest stored prefix of a token sequence. A value; an empty one is a miss and loads nothing. */
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
};

} // namespace objectcache
