// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/format.hpp>
#include <objectcache/kv/pages.hpp>
#include <objectcache/kv/scope.hpp>
#include <objectcache/kv/segment.hpp>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace kv_fixture {

namespace oc = objectcache;

/** A small model's shape: 4 layers, 2 heads of 8, bf16, chunks of 16 tokens: slices of 1 KiB. */
inline oc::kv_geometry geometry(std::uint32_t layers = 4)
{
    oc::kv_geometry g;
    g.layers = layers;
    g.kv_heads = 2;
    g.head_size = 8;
    g.dtype = oc::kv_dtype::bf16;
    g.form = oc::kv_form::separate;
    g.tokens_per_chunk = 16;
    return g;
}

inline oc::scope scope(const oc::kv_geometry& g = geometry())
{
    oc::scope s;
    s.model = "tiny";
    s.weights_revision = "1";
    s.geometry = g;
    return s;
}

inline std::vector<oc::token_id> tokens(std::size_t n, oc::token_id first = 100)
{
    std::vector<oc::token_id> out(n);
    std::iota(out.begin(), out.end(), first);
    return out;
}

/** The bytes `first`, `first` + 1, ...: an id that shows in hex where it came from. */
inline oc::digest counting(unsigned first)
{
    oc::digest out;
    for (std::size_t i = 0; i < out.bytes.size(); ++i)
        out.bytes[i] = static_cast<std::byte>(first + i);
    return out;
}

/** Of the object whose first chunk is chain[first], as a writer makes it. */
inline oc::object_header header(oc::layout where, const oc::kv_geometry& g, const oc::digest& scope,
                                std::span<const oc::chunk_id> chain, std::size_t first)
{
    oc::object_header out;
    out.where = where;
    out.geometry = g;
    out.first_token = first * g.tokens_per_chunk;
    out.scope = scope;
    out.chunk = chain[first];
    out.previous = first == 0 ? scope : chain[first - 1];
    return out;
}

/** KV memory of one sequence, K and V apart, every layer contiguous. */
struct memory {
    memory(const oc::kv_geometry& g, std::size_t capacity, std::size_t slots = 0)
        : shape(g)
        , rows(capacity)
        , layer_slots(slots == 0 ? g.layers : slots)
        , bytes(layer_slots * 2 * capacity * g.row_bytes())
    {}

    [[nodiscard]] std::size_t layer_bytes() const { return rows * shape.row_bytes(); }
    [[nodiscard]] std::byte* k(std::size_t slot) { return bytes.data() + slot * 2 * layer_bytes(); }
    [[nodiscard]] std::byte* v(std::size_t slot) { return k(slot) + layer_bytes(); }

    [[nodiscard]] oc::kv_pages pages()
    {
        std::vector<oc::kv_layer_memory> layers;
        for (std::size_t slot = 0; slot < layer_slots; ++slot) {
            oc::kv_layer_memory m;
            m.k = k(slot);
            m.v = v(slot);
            layers.push_back(m);
        }
        auto out = oc::kv_pages::contiguous(shape, std::move(layers), rows);
        if (layer_slots != shape.layers)
            out.layer_slots(layer_slots);
        return out;
    }

    void fill()
    {
        std::uint32_t x = 12345;
        for (std::byte& b : bytes) {
            x = x * 1664525 + 1013904223;
            b = static_cast<std::byte>(x >> 24);
        }
    }
    void clear() { std::fill(bytes.begin(), bytes.end(), std::byte{0xee}); }

    /** The first `n` rows of one layer, K then V. */
    [[nodiscard]] std::vector<std::byte> rows_of(std::size_t slot, std::size_t n)
    {
        std::vector<std::byte> out(k(slot), k(slot) + n * shape.row_bytes());
        out.insert(out.end(), v(slot), v(slot) + n * shape.row_bytes());
        return out;
    }

    oc::kv_geometry shape;
    std::size_t rows;
    std::size_t layer_slots;
    std::vector<std::byte> bytes;
};

/** Where a record lies in the store, if the whole sequence was stored in one go. */
struct record_place {
    std::string key;
    std::size_t offset = 0;
};
inline record_place place_of(oc::layout where, const oc::scope& s, const std::vector<oc::chunk_id>& chain,
                             std::size_t chunk, oc::layer_id layer)
{
    const oc::key_space keys{"", *oc::scope_id(s)};
    if (where != oc::layout::segment_objects)
        return {oc::record_key(keys, where, chain[chunk], layer),
                where == oc::layout::layer_objects ? 0 : oc::chunk_layer_range(s.geometry, layer, 1).offset};
    const std::size_t per_region = oc::segment_chunks(s.geometry), first = chunk / per_region * per_region;
    const auto size = static_cast<std::uint32_t>(std::min(per_region, chain.size() - first));
    const auto region = std::span(chain).subspan(first, size);
    return {oc::segment_key(keys, oc::name_segment(s.geometry, region, 0, size)),
            oc::segment_layer_range(s.geometry, size, layer, static_cast<std::uint32_t>(chunk - first), 1)
                .offset};
}
/** The object whose presence publishes the chunk. */
inline std::string commit_of(oc::layout where, const oc::scope& s, const std::vector<oc::chunk_id>& chain,
                             std::size_t chunk)
{
    return where == oc::layout::segment_objects ? place_of(where, s, chain, chunk, 0).key
                                                : oc::commit_key({"", *oc::scope_id(s)}, where, chain[chunk]);
}

} // namespace kv_fixture
