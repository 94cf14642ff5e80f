// SPDX-License-Identifier: BSL-1.0
#include "attention.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

namespace torch_llama {
namespace {

enum class kernel { flash, cudnn, plain };

struct part {
    at::Tensor out; // [n][heads][dim]
    at::Tensor lse; // f32 [heads][n]: log of the sum of e^score, which is what merging needs
};

/** FlashAttention-2 as PyTorch has it: takes fewer KV heads than heads, aligns a causal mask to the lower right, and for one
    query splits the keys over the whole GPU. */
part flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal)
{
    const auto result = at::_flash_attention_forward(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), {}, {},
                                                     q.size(0), k.size(0), 0.0, causal, false);
    return {std::get<0>(result).squeeze(0), std::get<1>(result).squeeze(0)};
}

/** cuDNN's: takes fewer KV heads too; its causal mask is aligned to the upper left, so it is used for squares only. Tensors
    are [1][heads][tokens][dim] in name and [tokens][heads][dim] in memory. */
part cudnn(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal)
{
    const auto heads_first = [](const at::Tensor& x) { return x.transpose(0, 1).unsqueeze(0); };
    const auto result = at::_scaled_dot_product_cudnn_attention(heads_first(q), heads_first(k),
                                                                heads_first(v), {}, true, 0.0, causal, false);
    return {std::get<0>(result).squeeze(0).transpose(0, 1), std::get<1>(result).view({q.size(1), q.size(0)})};
}

/** The definition, in f32. */
part plain(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal)
{
    const std::int64_t n = q.size(0), heads = q.size(1), dim = q.size(2), t = k.size(0), kv_heads = k.size(1);
    const std::int64_t group = heads / kv_heads;
    const auto rows = q.to(at::kFloat).transpose(0, 1).reshape({kv_heads, group * n, dim});
    const auto keys = k.to(at::kFloat).permute({1, 2, 0}), values = v.to(at::kFloat).transpose(0, 1);
    auto scores = at::bmm(rows, keys).div_(std::sqrt(static_cast<double>(dim))).view({kv_heads, group, n, t});
    if (causal)
        scores.masked_fill_(at::ones({n, t}, q.options().dtype(at::kBool)).triu_(t - n + 1), -INFINITY);
    const auto lse = at::logsumexp(scores, {3}, true);
    const auto weights = scores.sub_(lse).exp_().view({kv_heads, group * n, t});
    const auto out = at::bmm(weights, values).view({heads, n, dim}).transpose(0, 1);
    return {out.to(q.scalar_type()), lse.view({heads, n})};
}

part attend_part(kernel with, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal)
{
    switch (with) {
    case kernel::flash:
        return flash(q, k, v, causal);
    case kernel::cudnn:
        return cudnn(q, k, v, causal);
    case kernel::plain:
        break;
    }
    return plain(q, k, v, causal);
}

/** Softmax over both parts' keys: each part weighs as much as its sum of e^score. */
at::Tensor merge(const part& past, const part& own)
{
    const auto weight = at::sigmoid(past.lse - own.lse).t().unsqueeze(2); // of the past
    auto out = at::empty(own.out.sizes(), own.out.options());
    at::addcmul_out(out, own.out * (1 - weight), past.out, weight); // f32 inside, rounded once
    return out;
}

/** A plan of cuDNN takes longer to build than a small part takes by any means. */
kernel chosen(bool cudnn_wanted, std::int64_t queries, std::int64_t keys)
{
    constexpr std::int64_t least = 64;
    return cudnn_wanted && queries >= least && keys >= least ? kernel::cudnn : kernel::flash;
}

} // namespace

std::string_view name(attention how) noexcept
{
    switch (how) {
    case attention::split_cudnn:
        return "split_cudnn";
    case attention::split_flash:
        return "split_flash";
    case attention::split_mixed:
        return "split_mixed";
    case attention::single:
        break;
    }
    return "single";
}

std::optional<attention> parse_attention(std::string_view text) noexcept
{
    for (const attention how : all_attentions)
        if (text == name(how))
            return how;
    return {};
}

at::Tensor attend(attention how, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v)
{
    const std::int64_t n = q.size(0), past = k.size(0) - n;
    const bool fused = q.is_cuda() && q.scalar_type() != at::kFloat;
    const kernel whole = fused ? kernel::flash : kernel::plain;
    if (n == 1) // a decode step sees everything
        return attend_part(whole, q, k, v, false).out;
    if (how == attention::single)
        return attend_part(whole, q, k, v, true).out;

    const kernel for_own = fused ? chosen(how == attention::split_cudnn, n, n) : kernel::plain;
    const part own = attend_part(for_own, q, k.narrow(0, past, n), v.narrow(0, past, n), true);
    if (past == 0)
        return own.out;
    const kernel for_past = fused ? chosen(how != attention::split_flash, n, past) : kernel::plain;
    return merge(attend_part(for_past, q, k.narrow(0, 0, past), v.narrow(0, 0, past), false), own);
}

at::Tensor attend_shared(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         const at::Tensor& own_k, const at::Tensor& own_v)
{
    const std::int64_t b = q.size(0), heads = q.size(1), dim = q.size(2), kv_heads = k.size(1);
    const std::int64_t group = heads / kv_heads;
    const bool fused = q.is_cuda() && q.scalar_type() != at::kFloat;
    const auto rows = q.view({b, kv_heads, group, dim}).transpose(1, 2); // [b][group][kv_heads][dim]

    part past = attend_part(fused ? kernel::flash : kernel::plain, rows.reshape({b * group, kv_heads, dim}),
                            k, v, false);
    past.out = past.out.view({b, group, kv_heads, dim}).transpose(1, 2).reshape({b, heads, dim});
    past.lse = past.lse.view({kv_heads, b, group}).transpose(1, 2).reshape({heads, b});

    part own;
    if (fused) {
        const auto result =
            at::_flash_attention_forward(rows, own_k, own_v, {}, {}, group, own_k.size(1), 0.0, false, false);
        own = {std::get<0>(result), std::get<1>(result)};
    } else {
        std::vector<at::Tensor> out, lse;
        for (std::int64_t i = 0; i < b; ++i) {
            const part one = plain(rows[i], own_k[i], own_v[i], false);
            out.push_back(one.out);
            lse.push_back(one.lse);
        }
        own = {at::stack(out), at::stack(lse)};
    }
    own.out = own.out.transpose(1, 2).reshape({b, heads, dim});
    own.lse = own.lse.reshape({b, heads}).t(); // from [b][kv_heads][group]
    return merge(past, own);
}

} // namespace torch_llama
