// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/config.hpp>
#include <objectcache/kv/pages.hpp>

#include <algorithm>
#include <limits>
#include <string>

namespace objectcache {

OBJECTCACHE_DECL kv_pages kv_pages::contiguous(const kv_geometry& geometry,
                                               std::vector<kv_layer_memory> memory,
                                               std::size_t capacity_tokens, std::size_t token_stride_bytes)
{
    kv_pages out;
    out.geometry_ = geometry;
    out.memory_ = std::move(memory);
    out.capacity_ = capacity_tokens;
    out.token_stride_ =
        token_stride_bytes == 0 ? static_cast<std::size_t>(geometry.row_bytes()) : token_stride_bytes;
    out.slots_ = geometry.layers;
    return out;
}

OBJECTCACHE_DECL kv_pages kv_pages::paged(const kv_geometry& geometry, std::vector<kv_layer_memory> memory,
                                          std::uint32_t block_tokens, std::vector<std::uint32_t> block_table,
                                          std::size_t block_stride_bytes, std::size_t token_stride_bytes)
{
    kv_pages out = contiguous(geometry, std::move(memory), 0, token_stride_bytes);
    out.paged_ = true;
    out.block_tokens_ = block_tokens;
    out.block_table_ = std::move(block_table);
    // Wraps only for strides that validate() refuses.
    out.block_stride_ = block_stride_bytes == 0 ? block_tokens * out.token_stride_ : block_stride_bytes;
    return out;
}

OBJECTCACHE_DECL std::size_t kv_pages::capacity_tokens() const noexcept
{
    return paged_ ? block_table_.size() * block_tokens_ : capacity_;
}

OBJECTCACHE_DECL status kv_pages::validate() const
{
    const auto refuse = [](const char* what) {
        return status(errc::invalid_argument, std::string("KV pages: ") + what);
    };
    if (status geometry = geometry_.validate(); !geometry.ok())
        return geometry;
    if (slots_ == 0 || slots_ > geometry_.layers)
        return refuse("layer slots are not 1..layers");
    if (memory_.size() != slots_)
        return refuse("the memory has another number of layers than the geometry (or than layer_slots)");
    for (const kv_layer_memory& layer : memory_)
        if (layer.k == nullptr || (layer.v == nullptr) != (geometry_.form == kv_form::latent))
            return refuse("an address is null, or V is given for a latent form");
    if (token_stride_ < geometry_.row_bytes())
        return refuse("the token stride is less than a row");

    // Every address that row_at() forms, and its row, within half the address space.
    const auto fits = [](std::uint64_t count, std::uint64_t stride) {
        const auto size = checked_mul(count, stride);
        return size && *size <= std::uint64_t{1} << 62;
    };
    if (!paged_)
        return fits(capacity_, token_stride_) ? status() : refuse("the capacity in bytes overflows");
    if (block_tokens_ == 0)
        return refuse("a block holds no token");
    if (!fits(block_tokens_, token_stride_) || !fits(block_table_.size(), block_tokens_))
        return refuse("the size of a block or of the table overflows");
    if (block_stride_ < (block_tokens_ - 1) * token_stride_ + geometry_.row_bytes())
        return refuse("the block stride is less than a block");
    const std::uint32_t last =
        block_table_.empty() ? 0 : *std::max_element(block_table_.begin(), block_table_.end());
    if (!fits(std::uint64_t{last} + 1, block_stride_))
        return refuse("the block table points beyond the address space");
    return {};
}

} // namespace objectcache
