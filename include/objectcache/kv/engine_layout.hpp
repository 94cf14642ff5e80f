// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/geometry.hpp>
#include <objectcache/kv/pages.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace objectcache {

/** The strides of the page pools of known engines, in bytes: from the shape of a layer's tensor to kv_pages.

    Shapes below are dense and in the order of memory. A tensor with padding, or one that holds all layers (vLLM's
    cross-layer pools), has strides of its own: read them at registration and assign the members, or give them to
    kv_pages::paged. `dim` is the head size, `block` the tokens of a block.

    @code
    auto layout = engine_layout::nhd(geometry, 16).parts_outside(blocks);   // FlashAttention of vLLM
    std::vector<kv_layer_memory> memory;
    for (std::byte* tensor : tensors)
        memory.push_back(layout.memory(tensor));
    auto pages = layout.pages(geometry, std::move(memory), block_table);
    @endcode

    @pre of everything: `geometry` is valid. Other nonsense is refused by the validate() of the pages.
    @par Threads A value: concurrent const calls are safe. */
struct engine_layout {
    std::uint32_t block_tokens = 0;
    std::size_t block_stride = 0;
    std::size_t token_stride = 0;
    std::size_t head_stride = 0;
    std::size_t v_offset =
        0; ///< from K to V of the same head; 0 if V has a tensor of its own, or there is none

    /** [blocks, block, heads, dim], K and V in tensors of their own. Also [blocks, block, latent] (MLA): a latent
        geometry has one head. */
    [[nodiscard]] static engine_layout nhd(const kv_geometry& geometry, std::uint32_t block_tokens) noexcept
    {
        const std::size_t row = static_cast<std::size_t>(geometry.row_bytes());
        return {block_tokens, block_tokens * row, row, head(geometry), 0};
    }

    /** [blocks, heads, block, dim], K and V in tensors of their own. */
    [[nodiscard]] static engine_layout hnd(const kv_geometry& geometry, std::uint32_t block_tokens) noexcept
    {
        const std::size_t row = static_cast<std::size_t>(geometry.row_bytes());
        return {block_tokens, block_tokens * row, head(geometry), block_tokens * head(geometry), 0};
    }

    /** [blocks, heads, block, 2 * dim]: a token's K and V side by side in each head (vLLM from 0.26 on). */
    [[nodiscard]] static engine_layout packed(const kv_geometry& geometry,
                                              std::uint32_t block_tokens) noexcept
    {
        const std::size_t pair = 2 * head(geometry);
        return {block_tokens, geometry.kv_heads * block_tokens * pair, pair, block_tokens * pair,
                head(geometry)};
    }

    /** One tensor [2, blocks, ...]: all K, then all V (FlashAttention of vLLM up to 0.25). */
    [[nodiscard]] engine_layout parts_outside(std::size_t blocks) const noexcept
    {
        engine_layout out = *this;
        out.v_offset = blocks * block_stride;
        return out;
    }

    /** One tensor [blocks, 2, ...]: the K of a block, then its V (FlashInfer and Triton in vLLM). */
    [[nodiscard]] engine_layout parts_inside() const noexcept
    {
        engine_layout out = *this;
        out.v_offset = block_stride;
        out.block_stride = 2 * block_stride;
        return out;
    }

    /** A layer's memory, given the only tensor of it. */
    [[nodiscard]] kv_layer_memory memory(std::byte* tensor) const noexcept
    {
        return {tensor, v_offset == 0 ? nullptr : tensor + v_offset};
    }

    [[nodiscard]] kv_pages pages(const kv_geometry& geometry, std::vector<kv_layer_memory> memory,
                                 std::vector<std::uint32_t> block_table) const
    {
        return kv_pages::paged(geometry, std::move(memory), block_tokens, std::move(block_table),
                               block_stride, token_stride, head_stride);
    }
    friend bool operator==(const engine_layout&, const engine_layout&) = default;

private:
    [[nodiscard]] static constexpr std::size_t head(const kv_geometry& geometry) noexcept
    {
        return std::size_t{geometry.head_size} * bytes_of(geometry.dtype);
    }
};

} // namespace objectcache
