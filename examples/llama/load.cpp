// SPDX-License-Identifier: BSL-1.0
#include "llama.hpp"
#include "safetensors.hpp"

#include <cblas.h>

namespace llama {

model model::load(const std::filesystem::path& directory)
{
    openblas_set_num_threads(1);
    model m;
    config& c = m.config_;
    c = read_config(directory / "config.json");
    const detail::tensor_files files(directory);
    m.fingerprint_ = files.fingerprint(detail::mapped_file(directory / "config.json"));
    m.inverse_frequencies_ = inverse_frequencies(c);

    const std::size_t hidden = c.hidden, inner = c.intermediate;
    const std::size_t q = std::size_t{c.heads} * c.head_dim, kv = c.kv_width();
    files.append("model.embed_tokens.weight", {c.vocab, hidden}, m.embedding_);
    files.append("model.norm.weight", {hidden}, m.norm_);
    if (!c.tied)
        files.append("lm_head.weight", {c.vocab, hidden}, m.head_);
    for (std::uint32_t l = 0; l < c.layers; ++l) {
        layer_weights& w = m.layers_.emplace_back();
        const std::string at = "model.layers." + std::to_string(l) + ".";
        files.append(at + "input_layernorm.weight", {hidden}, w.input_norm);
        files.append(at + "self_attn.q_proj.weight", {q, hidden}, w.qkv);
        files.append(at + "self_attn.k_proj.weight", {kv, hidden}, w.qkv);
        files.append(at + "self_attn.v_proj.weight", {kv, hidden}, w.qkv);
        files.append(at + "self_attn.o_proj.weight", {hidden, q}, w.o);
        files.append(at + "post_attention_layernorm.weight", {hidden}, w.post_norm);
        files.append(at + "mlp.gate_proj.weight", {inner, hidden}, w.gate_up);
        files.append(at + "mlp.up_proj.weight", {inner, hidden}, w.gate_up);
        files.append(at + "mlp.down_proj.weight", {hidden, inner}, w.down);
    }
    return m;
}

} // namespace llama
