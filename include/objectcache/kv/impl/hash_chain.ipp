// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/core/sha256.hpp>
#include <objectcache/kv/hash_chain.hpp>

#include <algorithm>
#include <array>
#include <cassert>

namespace objectcache {

OBJECTCACHE_DECL chunk_id next_chunk_id(const chunk_id& previous, std::span<const token_id> tokens) noexcept
{
    sha256 hash;
    hash.update(previous.bytes);
    std::array<std::byte, 64 * sizeof(token_id)> bytes;
    while (!tokens.empty()) {
        const std::size_t count = std::min<std::size_t>(tokens.size(), bytes.size() / sizeof(token_id));
        for (std::size_t i = 0; i < count; ++i)
            store_le(bytes.data() + i * sizeof(token_id), tokens[i]);
        hash.update(const_byte_span(bytes).first(count * sizeof(token_id)));
        tokens = tokens.subspan(count);
    }
    return hash.finish();
}

OBJECTCACHE_DECL hash_chain_builder::hash_chain_builder(const digest& scope, std::uint32_t tokens_per_chunk)
    : scope_(scope)
    , per_chunk_(tokens_per_chunk)
{
    assert(tokens_per_chunk > 0);
}

OBJECTCACHE_DECL void hash_chain_builder::extend(std::span<const token_id> tokens)
{
    const auto add = [this](std::span<const token_id> chunk) {
        ids_.push_back(next_chunk_id(ids_.empty() ? scope_ : ids_.back(), chunk));
    };
    if (!tail_.empty()) {
        const std::size_t taken = std::min(per_chunk_ - tail_.size(), tokens.size());
        tail_.insert(tail_.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(taken));
        tokens = tokens.subspan(taken);
        if (tail_.size() < per_chunk_)
            return;
        add(tail_);
        tail_.clear();
    }
    for (; tokens.size() >= per_chunk_; tokens = tokens.subspan(per_chunk_))
        add(tokens.first(per_chunk_));
    tail_.assign(tokens.begin(), tokens.end());
}

OBJECTCACHE_DECL std::vector<chunk_id> hash_chain(const digest& scope, std::span<const token_id> tokens,
                                                  std::uint32_t tokens_per_chunk)
{
    assert(tokens_per_chunk > 0);
    std::vector<chunk_id> out;
    out.reserve(tokens.size() / tokens_per_chunk);
    for (; tokens.size() >= tokens_per_chunk; tokens = tokens.subspan(tokens_per_chunk))
        out.push_back(next_chunk_id(out.empty() ? scope : out.back(), tokens.first(tokens_per_chunk)));
    return out;
}

} // namespace objectcache
