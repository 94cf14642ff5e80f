// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/engine_layout.hpp>
#include <objectcache/kv/pages.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

/** Slices to engine memory and back, head by head by the formula of kv_pages: what everything faster is compared with. */
namespace kv_reference {

using namespace objectcache;

/** `f(memory, offset_in_slice, size)` for every head of every token. */
template <class F>
void for_each_head(const kv_pages& pages, layer_id layer, std::size_t first, std::size_t tokens, F&& f)
{
    const kv_geometry& g = pages.geometry();
    const std::size_t head = std::size_t{g.head_size} * bytes_of(g.dtype);
    for (std::size_t part = 0; part < g.parts(); ++part)
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t h = 0; h < g.kv_heads; ++h) {
                std::byte* at = part == 0 ? pages.memory(layer).k : pages.memory(layer).v;
                const std::size_t token = first + t, block = pages.block_tokens();
                if (block == 0)
                    at += token * pages.token_stride();
                else
                    at += pages.block_table()[token / block] * pages.block_stride() +
                          token % block * pages.token_stride();
                f(at + h * pages.head_stride(), ((part * g.tokens_per_chunk + t) * g.kv_heads + h) * head,
                  head);
            }
}

inline void scatter(const kv_pages& pages, layer_id layer, std::size_t first, std::size_t tokens,
                    const std::byte* slice)
{
    for_each_head(pages, layer, first, tokens, [&](std::byte* memory, std::size_t offset, std::size_t size) {
        std::memcpy(memory, slice + offset, size);
    });
}

inline void gather(const kv_pages& pages, layer_id layer, std::size_t first, std::size_t tokens,
                   std::byte* slice)
{
    for_each_head(pages, layer, first, tokens, [&](std::byte* memory, std::size_t offset, std::size_t size) {
        std::memcpy(slice + offset, memory, size);
    });
}

/** A way to lay KV out in a pool of bytes, wherever that pool is. */
struct pool_case {
    kv_geometry geometry;
    engine_layout layout;
    std::vector<std::uint32_t> table; ///< empty: contiguous
    std::size_t capacity = 0;         ///< tokens
    std::size_t k_offset = 0, v_offset = 0;
    std::size_t layer_stride = 0;
    std::size_t pool_bytes = 0;

    [[nodiscard]] kv_pages pages(std::byte* pool) const
    {
        std::vector<kv_layer_memory> memory;
        for (std::size_t l = 0; l < geometry.layers; ++l) {
            std::byte* const k = pool + k_offset + l * layer_stride;
            memory.push_back({k, geometry.parts() == 2 ? k + v_offset : nullptr});
        }
        return table.empty()
                   ? kv_pages::contiguous(geometry, memory, capacity, layout.token_stride, layout.head_stride)
                   : layout.pages(geometry, memory, table);
    }
};

/** Any nesting, padding, alignment and block table, with the real shapes among them. */
inline pool_case random_pool(std::mt19937& random)
{
    const auto below = [&](std::size_t n) { return static_cast<std::uint32_t>(random() % n); };
    const kv_dtype dtypes[] = {kv_dtype::int8, kv_dtype::bf16, kv_dtype::f32};
    const std::uint32_t sizes[] = {1, 3, 8, 20, 33, 64, 128, 1 + below(80)};
    pool_case c;
    c.geometry = {
        2, 1 + below(6), sizes[below(std::size(sizes))], dtypes[below(3)], kv_form::separate, 1 + below(40)};
    kv_geometry& g = c.geometry;
    if (below(4) == 0)
        g.form = kv_form::latent, g.kv_heads = 1;

    const std::size_t align = std::size_t{1} << below(6); // of paddings and addresses: 1..32
    const auto pad = [&] { return below(3) == 0 ? (1 + below(3)) * align : 0; };
    const std::size_t head = std::size_t{g.head_size} * bytes_of(g.dtype);
    const bool paged = below(4) != 0, packed = g.parts() == 2 && below(3) == 0, hnd = below(2);
    engine_layout& l = c.layout;
    l.block_tokens = 1 + below(below(2) ? 5 : 40);
    const std::size_t blocks = 1 + below(12);
    c.capacity = paged ? 0 : 1 + below(200);
    const std::size_t inside = paged ? l.block_tokens : c.capacity;
    const std::size_t unit = (packed ? 2 : 1) * head + pad();
    if (hnd) {
        l.token_stride = unit;
        l.head_stride = inside * unit + pad();
        l.block_stride = g.kv_heads * l.head_stride + pad();
    } else {
        l.head_stride = unit;
        l.token_stride = g.kv_heads * unit + pad();
        l.block_stride = inside * l.token_stride + pad();
    }
    if (packed) {
        c.v_offset = head;
    } else if (g.parts() == 2 && paged && below(2)) {
        c.v_offset = l.block_stride;
        l.block_stride = 2 * l.block_stride + pad();
    } else if (g.parts() == 2) {
        c.v_offset = (paged ? blocks : 1) * l.block_stride + pad();
    }
    c.layer_stride = c.v_offset + (paged ? blocks : 1) * l.block_stride + pad();
    c.k_offset = 64 + below(4) * align;
    c.pool_bytes = c.k_offset + g.layers * c.layer_stride + 64;
    if (paged) {
        c.table.resize(blocks);
        std::iota(c.table.begin(), c.table.end(), 0);
        std::shuffle(c.table.begin(), c.table.end(), random);
        if (below(2))
            c.table.resize(1 + below(blocks));
        c.capacity = c.table.size() * l.block_tokens;
    }
    return c;
}

/** Tokens [first, first + count) of a random chunk that fits. */
struct token_range {
    std::size_t first, count;
};

inline token_range random_tokens(const pool_case& c, std::mt19937& random)
{
    const std::size_t most = std::min<std::size_t>(c.geometry.tokens_per_chunk, c.capacity);
    const std::size_t count = random() % 2 ? most : 1 + random() % most;
    return {random() % (c.capacity - count + 1), count};
}

inline std::vector<std::byte> random_bytes(std::size_t size, std::mt19937& random)
{
    std::vector<std::byte> out(size);
    for (std::byte& b : out)
        b = static_cast<std::byte>(random());
    return out;
}

} // namespace kv_reference
