// SPDX-License-Identifier: BSL-1.0
#include "engine.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <numeric>

namespace torch_llama {
namespace {

objectcache::kv_dtype stored_as(at::ScalarType dtype)
{
    switch (dtype) {
    case at::kFloat:
        return objectcache::kv_dtype::f32;
    case at::kHalf:
        return objectcache::kv_dtype::f16;
    case at::kBFloat16:
        return objectcache::kv_dtype::bf16;
    default:
        throw error("KV of this type cannot be stored");
    }
}

/** @throws error unless `table` has `blocks` blocks, all different. */
void check(const std::vector<std::uint32_t>& table, std::size_t blocks)
{
    if (table.size() != blocks)
        throw error("the block table has " + std::to_string(table.size()) + " blocks, the tokens need " +
                    std::to_string(blocks));
    std::vector<std::uint32_t> sorted = table;
    std::ranges::sort(sorted);
    if (std::ranges::adjacent_find(sorted) != sorted.end())
        throw error("the block table names a block twice");
}

at::Tensor flat(const at::Tensor& pool)
{
    return pool.view({pool.size(0) * pool.size(1), pool.size(2), pool.size(3)});
}

} // namespace

kv_memory::kv_memory(const config& shape, placement where, std::size_t tokens, std::uint32_t block_tokens,
                     std::vector<std::uint32_t> block_table)
    : config_(shape)
    , where_(where)
    , block_tokens_(block_tokens)
    , table_(std::move(block_table))
{
    (void)stored_as(where.dtype);
    if (tokens == 0 || block_tokens == 0)
        throw error("KV memory needs tokens, and tokens in a block");
    const std::size_t blocks = (tokens + block_tokens - 1) / block_tokens;
    const c10::InferenceMode guard;
    std::size_t pool = blocks;
    if (table_.empty()) {
        table_.resize(blocks);
        std::iota(table_.begin(), table_.end(), 0U);
    } else {
        check(table_, blocks);
        pool = std::size_t{*std::ranges::max_element(table_)} + 1;
        auto place = at::empty({static_cast<std::int64_t>(capacity())}, at::kLong);
        for (std::size_t t = 0; t < capacity(); ++t)
            place.data_ptr<std::int64_t>()[t] =
                static_cast<std::int64_t>(table_[t / block_tokens_] * block_tokens_ + t % block_tokens_);
        row_index_ = place.to(where.device);
    }
    for (std::uint32_t l = 0; l < shape.layers; ++l)
        for (auto* part : {&k_, &v_})
            part->push_back(
                at::empty({static_cast<std::int64_t>(pool), static_cast<std::int64_t>(block_tokens_),
                           shape.kv_heads, shape.head_dim},
                          at::TensorOptions(where.device).dtype(where.dtype)));
}

objectcache::kv_geometry kv_memory::geometry(std::uint32_t tokens_per_chunk) const
{
    objectcache::kv_geometry g;
    g.layers = config_.layers;
    g.kv_heads = config_.kv_heads;
    g.head_size = config_.head_dim;
    g.dtype = stored_as(where_.dtype);
    g.tokens_per_chunk = tokens_per_chunk;
    return g;
}

objectcache::kv_pages kv_memory::pages(std::uint32_t tokens_per_chunk) const
{
    std::vector<objectcache::kv_layer_memory> memory;
    for (std::size_t l = 0; l < k_.size(); ++l)
        memory.push_back(
            {static_cast<std::byte*>(k_[l].data_ptr()), static_cast<std::byte*>(v_[l].data_ptr())});
    return objectcache::kv_pages::paged(geometry(tokens_per_chunk), std::move(memory),
                                        static_cast<std::uint32_t>(block_tokens_), table_);
}

kv_memory::rows kv_memory::read(std::size_t layer, std::size_t count) const
{
    const c10::InferenceMode guard;
    const auto n = static_cast<std::int64_t>(count);
    const auto k = flat(k_.at(layer)), v = flat(v_.at(layer));
    if (consecutive())
        return {k.narrow(0, 0, n), v.narrow(0, 0, n)};
    const auto index = row_index_.narrow(0, 0, n);
    return {k.index_select(0, index), v.index_select(0, index)};
}

void kv_memory::write(std::size_t layer, std::size_t first, const rows& values)
{
    const c10::InferenceMode guard;
    const auto at = static_cast<std::int64_t>(first), n = values.k.size(0);
    auto k = flat(k_.at(layer)), v = flat(v_.at(layer));
    if (consecutive()) {
        k.narrow(0, at, n).copy_(values.k);
        v.narrow(0, at, n).copy_(values.v);
        return;
    }
    const auto index = row_index_.narrow(0, at, n);
    k.index_copy_(0, index, values.k);
    v.index_copy_(0, index, values.v);
}

bool kv_memory::same_bytes(const kv_memory& other, std::size_t count) const
{
    const c10::InferenceMode guard;
    // As numbers a NaN would differ from itself, and 0 not from -0.
    const auto bits = [](const at::Tensor& x) { return x.contiguous().view(at::kByte); };
    for (std::size_t l = 0; l < k_.size(); ++l) {
        const rows mine = read(l, count), theirs = other.read(l, count);
        if (!at::equal(bits(mine.k), bits(theirs.k)) || !at::equal(bits(mine.v), bits(theirs.v)))
            return false;
    }
    return true;
}

void kv_memory::fill(double scale)
{
    const c10::InferenceMode guard;
    for (auto* part : {&k_, &v_})
        for (at::Tensor& layer : *part) {
            if (scale == 0)
                layer.zero_();
            else
                layer.normal_(0, scale);
        }
    synchronize(where_.device); // passes and loads run on other streams
}

} // namespace torch_llama
