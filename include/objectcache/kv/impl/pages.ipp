// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/config.hpp>
#include <objectcache/kv/pages.hpp>

#include <algorithm>
#include <iterator>
#include <string>

namespace objectcache {

OBJECTCACHE_DECL kv_pages kv_pages::contiguous(const kv_geometry& geometry,
                                               std::vector<kv_layer_memory> memory,
                                               std::size_t capacity_tokens, std::size_t token_stride_bytes,
                                               std::size_t head_stride_bytes)
{
    kv_pages out;
    out.geometry_ = geometry;
    out.memory_ = std::move(memory);
    out.capacity_ = capacity_tokens;
    out.token_stride_ =
        token_stride_bytes == 0 ? static_cast<std::size_t>(geometry.row_bytes()) : token_stride_bytes;
    out.head_stride_ = head_stride_bytes == 0 ? out.head_bytes() : head_stride_bytes;
    out.slots_ = geometry.layers;
    return out;
}

OBJECTCACHE_DECL kv_pages kv_pages::paged(const kv_geometry& geometry, std::vector<kv_layer_memory> memory,
                                          std::uint32_t block_tokens, std::vector<std::uint32_t> block_table,
                                          std::size_t block_stride_bytes, std::size_t token_stride_bytes,
                                          std::size_t head_stride_bytes)
{
    kv_pages out = contiguous(geometry, std::move(memory), 0, token_stride_bytes, head_stride_bytes);
    out.paged_ = true;
    out.block_tokens_ = block_tokens;
    out.block_table_ = std::move(block_table);
    // Wraps only for strides that validate() refuses.
    out.block_stride_ = block_stride_bytes != 0 ? block_stride_bytes
                                                : std::max(block_tokens * out.token_stride_,
                                                           geometry.kv_heads * out.head_stride_);
    return out;
}

OBJECTCACHE_DECL std::size_t kv_pages::capacity_tokens() const noexcept
{
    return paged_ ? block_table_.size() * block_tokens_ : capacity_;
}

OBJECTCACHE_DECL status kv_pages::validate() const
{
    constexpr std::uint64_t max_bytes = std::uint64_t{1} << 62;
    const auto refuse = [](const std::string& what) {
        return status(errc::invalid_argument, "KV pages: " + what);
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
    if (paged_ && block_tokens_ == 0)
        return refuse("a block holds no token");
    const auto capacity = paged_ ? checked_mul(block_table_.size(), block_tokens_) : capacity_;
    if (!capacity || *capacity > max_bytes)
        return refuse("the capacity in tokens overflows");
    const std::uint32_t last =
        block_table_.empty() ? 0 : *std::max_element(block_table_.begin(), block_table_.end());

    // Tokens of a block, heads and blocks may be nested in any order: each steps over all that lies inside it, so that
    // no two elements share an address. A block's stride is checked though there may be a single block.
    struct dimension {
        const char* name;
        std::uint64_t count, stride;
    };
    dimension nesting[] = {
        {"head", geometry_.kv_heads, head_stride_},
        {"token", paged_ ? block_tokens_ : capacity_, token_stride_},
        {"block", paged_ ? std::max<std::uint64_t>(std::uint64_t{last} + 1, 2) : 1, block_stride_}};
    std::stable_sort(std::begin(nesting), std::end(nesting),
                     [](const dimension& a, const dimension& b) { return a.stride < b.stride; });
    std::uint64_t extent = head_bytes();
    for (const dimension& d : nesting) {
        if (d.count <= 1)
            continue;
        if (d.stride < extent)
            return refuse(std::string("the ") + d.name + " stride is less than what lies inside it");
        const auto steps = checked_mul(d.count - 1, d.stride);
        if (!steps || *steps > max_bytes - extent) // every address within half the address space
            return refuse(std::string("the extent of all ") + d.name + "s overflows");
        extent += *steps;
    }
    return {};
}

} // namespace objectcache
