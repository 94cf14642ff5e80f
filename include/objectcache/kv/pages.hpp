// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/ids.hpp>
#include <objectcache/kv/geometry.hpp>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace objectcache {

/** Where the host engine keeps one layer: the first row of K and of V. `v` is null for a latent form. */
struct kv_layer_memory {
    std::byte* k = nullptr;
    std::byte* v = nullptr;
};

/** Tokens [first_token, first_token + tokens) of one layer: one chunk's, or the beginning of a chunk. */
struct kv_slice {
    std::byte* payload = nullptr; ///< slice_bytes() in canonical order
    layer_id layer = 0;
    std::size_t first_token = 0;
    std::size_t tokens = 0; ///< at most G
};

/** `rows` rows of `width` contiguous bytes in memory and in a slice; the pitches are from row to row. */
struct kv_rectangle {
    std::byte* memory = nullptr;
    std::size_t memory_pitch = 0;
    std::size_t offset = 0; ///< in the slice
    std::size_t slice_pitch = 0;
    std::size_t width = 0;
    std::size_t rows = 0;
};

/** Where the host engine keeps the KV of one sequence: the map between slices and its memory.

    A description, not memory: it owns nothing and never touches the addresses, which may be device addresses. Token t
    of a layer has its row at
    @code
    contiguous:  base + t * token_stride
    paged:       base + block_table[t / block_tokens] * block_stride + (t % block_tokens) * token_stride
    @endcode
    with `base` the layer's `k` or `v`, and head h of it is `h * head_stride` behind that. The elements of a head are
    contiguous. Heads without gaps are the order of slices (NHD); heads outside tokens (HND), K and V packed per head, and
    the strides of tensors that hold all layers are other strides: kv/engine_layout.hpp names those of known engines.

    Build one, call validate() once, then use it as often as wanted.

    @par Lifetime The described memory outlives every load or store that was given this description.
    @par Threads A value: concurrent const calls are safe. */
class kv_pages {
public:
    /** No memory at all; validate() refuses it. */
    kv_pages() = default;

    /** One run of rows per layer.

        @param memory one entry per layer, or per slot (see layer_slots())
        @param capacity_tokens rows that there is room for in each layer
        @param token_stride_bytes from one token to the next; 0 means rows without gaps
        @param head_stride_bytes from one head of a token to the next; 0 means heads without gaps */
    [[nodiscard]] static kv_pages contiguous(const kv_geometry& geometry, std::vector<kv_layer_memory> memory,
                                             std::size_t capacity_tokens, std::size_t token_stride_bytes = 0,
                                             std::size_t head_stride_bytes = 0);

    /** Rows in blocks of the engine's page pool, found through the sequence's block table.

        @param block_table the pool's block for tokens [i * block_tokens, (i+1) * block_tokens) of the sequence
        @param block_stride_bytes from one block to the next; 0 means blocks without gaps
        @param token_stride_bytes from one token to the next inside a block; 0 means rows without gaps
        @param head_stride_bytes from one head of a token to the next; 0 means heads without gaps */
    [[nodiscard]] static kv_pages paged(const kv_geometry& geometry, std::vector<kv_layer_memory> memory,
                                        std::uint32_t block_tokens, std::vector<std::uint32_t> block_table,
                                        std::size_t block_stride_bytes = 0,
                                        std::size_t token_stride_bytes = 0,
                                        std::size_t head_stride_bytes = 0);

    /** Say that the memory holds only `slots` layers at a time: layer l lives in slot l % slots.

        For decoding with a context larger than the device: the memory of a layer is taken by the layer `slots` behind
        it. Must be said, so that a forgotten layer is an error and never a ring by accident. */
    kv_pages& layer_slots(std::size_t slots) noexcept
    {
        slots_ = slots;
        return *this;
    }
    [[nodiscard]] std::size_t layer_slots() const noexcept { return slots_; }

    [[nodiscard]] const kv_geometry& geometry() const noexcept { return geometry_; }
    /** Tokens of one sequence that fit. */
    [[nodiscard]] std::size_t capacity_tokens() const noexcept;

    // What the description is made of, for code that moves the bytes in other ways than piece by piece.
    [[nodiscard]] const kv_layer_memory& memory(layer_id layer) const noexcept
    {
        return memory_[layer % slots_];
    }
    /** 0 for contiguous memory. */
    [[nodiscard]] std::size_t block_tokens() const noexcept { return block_tokens_; }
    [[nodiscard]] std::span<const std::uint32_t> block_table() const noexcept { return block_table_; }
    [[nodiscard]] std::size_t block_stride() const noexcept { return block_stride_; }
    [[nodiscard]] std::size_t token_stride() const noexcept { return token_stride_; }
    [[nodiscard]] std::size_t head_stride() const noexcept { return head_stride_; }
    /** Bytes of one head of one token: what is contiguous in any layout. */
    [[nodiscard]] std::size_t head_bytes() const noexcept
    {
        return std::size_t{geometry_.head_size} * bytes_of(geometry_.dtype);
    }
    /** Whether a token's heads lie behind one another, as in a slice. */
    [[nodiscard]] bool whole_rows() const noexcept
    {
        return geometry_.kv_heads == 1 || head_stride_ == head_bytes();
    }

    /** Whether geometry, strides, addresses and slots agree with one another, and no two elements share an address.

        @par Errors condition::invalid, naming what does not. */
    [[nodiscard]] status validate() const;

    /** Call `f(std::byte* memory, std::size_t offset_in_slice, std::size_t size)` for each maximal contiguous piece of
        one layer of the chunk whose tokens are [first_token, first_token + tokens): K first, then V, by rising offset.

        Neighbours in both memory and slice are one piece: memory in canonical order is a single call.

        @pre validate() is ok, `layer` < layers, 0 < `tokens` <= G, `first_token + tokens` <= capacity_tokens().
        @par Cost O(pieces + blocks), or O(tokens) when rows have gaps; no allocation. */
    template <class F>
    void for_each_piece(layer_id layer, std::size_t first_token, std::size_t tokens, F&& f) const;

    /** The same bytes as rectangles, for copy engines: call `f(const kv_rectangle&)` for each run of tokens inside a
        block, or for each head of such a run if its heads are not behind one another.

        @pre as for_each_piece
        @par Cost O(blocks * heads); no allocation. */
    template <class F>
    void for_each_rectangle(layer_id layer, std::size_t first_token, std::size_t tokens, F&& f) const;

private:
    [[nodiscard]] std::size_t row_at(std::size_t token) const noexcept
    {
        return block_tokens_ == 0 ? token * token_stride_
                                  : block_table_[token / block_tokens_] * block_stride_ +
                                        token % block_tokens_ * token_stride_;
    }
    /** From `token` on: how many rows lie in the same block. */
    [[nodiscard]] std::size_t run_at(std::size_t token, std::size_t most) const noexcept
    {
        const std::size_t in_block = block_tokens_ == 0 ? most : block_tokens_ - token % block_tokens_;
        return in_block < most ? in_block : most;
    }

    kv_geometry geometry_;
    std::vector<kv_layer_memory> memory_;
    std::vector<std::uint32_t> block_table_;
    std::size_t capacity_ = 0;     // contiguous only
    std::size_t block_tokens_ = 0; // 0: contiguous
    std::size_t block_stride_ = 0;
    std::size_t token_stride_ = 0;
    std::size_t head_stride_ = 0;
    std::size_t slots_ = 0;
    bool paged_ = false; // as asked for, so that paging by 0 tokens is refused and not taken for contiguous
};

template <class F>
void kv_pages::for_each_piece(layer_id layer, std::size_t first_token, std::size_t tokens, F&& f) const
{
    struct {
        std::byte* memory = nullptr;
        std::size_t offset = 0, size = 0;
    } piece; // not yet handed out: the next run may continue it
    const auto add = [&](std::byte* memory, std::size_t offset, std::size_t size) {
        if (memory == piece.memory + piece.size && offset == piece.offset + piece.size) {
            piece.size += size;
        } else {
            if (piece.size != 0)
                f(piece.memory, piece.offset, piece.size);
            piece = {memory, offset, size};
        }
    };
    assert(layer < geometry_.layers && tokens > 0 && tokens <= geometry_.tokens_per_chunk);
    assert(first_token <= capacity_tokens() && tokens <= capacity_tokens() - first_token);
    const std::size_t row = static_cast<std::size_t>(geometry_.row_bytes()), head = head_bytes();
    const bool whole = whole_rows(), gapless = whole && token_stride_ == row;

    for (std::uint32_t part = 0; part < geometry_.parts(); ++part) {
        std::byte* const from = part == 0 ? memory(layer).k : memory(layer).v;
        for (std::size_t done = 0; done < tokens;) {
            const std::size_t run = gapless ? run_at(first_token + done, tokens - done) : 1;
            std::byte* const at = from + row_at(first_token + done);
            const std::size_t offset = (std::size_t{part} * geometry_.tokens_per_chunk + done) * row;
            if (whole)
                add(at, offset, run * row);
            else
                for (std::uint32_t h = 0; h < geometry_.kv_heads; ++h)
                    add(at + h * head_stride_, offset + h * head, head);
            done += run;
        }
    }
    f(piece.memory, piece.offset, piece.size);
}

template <class F>
void kv_pages::for_each_rectangle(layer_id layer, std::size_t first_token, std::size_t tokens, F&& f) const
{
    assert(layer < geometry_.layers && tokens > 0 && tokens <= geometry_.tokens_per_chunk);
    assert(first_token <= capacity_tokens() && tokens <= capacity_tokens() - first_token);
    const std::size_t row = static_cast<std::size_t>(geometry_.row_bytes()), head = head_bytes();
    const bool whole = whole_rows();

    for (std::uint32_t part = 0; part < geometry_.parts(); ++part) {
        std::byte* const from = part == 0 ? memory(layer).k : memory(layer).v;
        for (std::size_t done = 0; done < tokens;) {
            const std::size_t run = run_at(first_token + done, tokens - done);
            kv_rectangle r{from + row_at(first_token + done),
                           token_stride_,
                           (std::size_t{part} * geometry_.tokens_per_chunk + done) * row,
                           row,
                           whole ? row : head,
                           run};
            if (whole && token_stride_ == row)
                r.width = run * row, r.rows = 1;
            for (std::uint32_t h = 0; h < (whole ? 1 : geometry_.kv_heads); ++h) {
                f(std::as_const(r));
                r.memory += head_stride_;
                r.offset += head;
            }
            done += run;
        }
    }
}

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/kv/impl/pages.ipp>
#endif
