// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace objectcache {

/** H(i) = SHA-256(H(previous), tokens as little-endian u32): the identity of a chunk and of all before it. */
[[nodiscard]] chunk_id next_chunk_id(const chunk_id& previous, std::span<const token_id> tokens) noexcept;

/** The ids of a growing sequence: a prompt first, then tokens as they are generated.

    @par Threads One at a time.
    @par Cost One compression of SHA-256 per 16 tokens, and one or two per chunk. */
class hash_chain_builder {
public:
    /** @pre `tokens_per_chunk` > 0. */
    hash_chain_builder(const digest& scope, std::uint32_t tokens_per_chunk);

    /** Take more tokens of the sequence; however they are cut, the ids are the same. */
    void extend(std::span<const token_id> tokens);

    /** Ids of the full chunks so far, in order. */
    [[nodiscard]] const std::vector<chunk_id>& ids() const noexcept { return ids_; }
    /** Tokens taken, those behind the last full chunk included. */
    [[nodiscard]] std::size_t tokens() const noexcept { return ids_.size() * per_chunk_ + tail_.size(); }

private:
    digest scope_;
    std::size_t per_chunk_;
    std::vector<chunk_id> ids_;
    std::vector<token_id> tail_; // fewer than a chunk
};

/** The ids of the full chunks of a sequence; tokens behind the last full chunk have none.

    @pre `tokens_per_chunk` > 0. */
[[nodiscard]] std::vector<chunk_id> hash_chain(const digest& scope, std::span<const token_id> tokens,
                                               std::uint32_t tokens_per_chunk);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/kv/impl/hash_chain.ipp>
#endif
