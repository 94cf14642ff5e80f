// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace torch_llama {

/** How the own tokens attend over the past and themselves.

    The past needs no mask, and unmasked attention runs much faster on a GPU than causal attention of the same size: so it
    pays to compute past and own tokens apart and to merge them by their log-sum-exp. */
enum class attention {
    split_cudnn, ///< both parts by cuDNN, merged: fastest on an H200
    split_flash, ///< both parts by FlashAttention, merged
    split_mixed, ///< the past by cuDNN, the own tokens by FlashAttention
    single       ///< one call of FlashAttention with a causal mask aligned to the lower right
};

inline constexpr attention all_attentions[] = {attention::split_cudnn, attention::split_flash,
                                               attention::split_mixed, attention::single};

[[nodiscard]] std::string_view name(attention how) noexcept;
[[nodiscard]] std::optional<attention> parse_attention(std::string_view text) noexcept;

/** The attention of the last n of t tokens over all t: q [n][heads][dim], k and v [t][kv_heads][dim], of one sequence; heads
    share KV heads as in GQA, without a copy. Returns [n][heads][dim].

    On a CPU, and for f32 on a GPU, a plain implementation stands for both libraries: it has the same parts and the same
    merge, and needs n * t floats per head. */
[[nodiscard]] at::Tensor attend(attention how, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

/** The attention of one query of each of b sequences over a prefix that they share, k and v [t][kv_heads][dim], and over what each
    has behind it, own_k and own_v [b][s][kv_heads][dim], of which it sees everything: q [b][heads][dim]. Returns [b][heads][dim].

    The queries of all sequences, and of the heads that share a KV head, are rows of one unmasked attention over the prefix: its KV is
    read once, whatever b is. By FlashAttention; on a CPU, and for f32, by the plain implementation. */
[[nodiscard]] at::Tensor attend_shared(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                       const at::Tensor& own_k, const at::Tensor& own_v);

} // namespace torch_llama
