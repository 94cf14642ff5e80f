// SPDX-License-Identifier: BSL-1.0
#include "engine.hpp"
#include "safetensors.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>

namespace torch_llama {
namespace {

at::ScalarType type_of(std::string_view stored)
{
    return stored == "F32" ? at::kFloat : stored == "F16" ? at::kHalf : at::kBFloat16;
}

std::vector<std::int64_t> sizes(std::initializer_list<std::size_t> shape)
{
    return {shape.begin(), shape.end()};
}

config shape_of(std::uint32_t hidden, std::uint32_t layers, std::uint32_t heads, std::uint32_t kv_heads,
                std::uint32_t head_dim, std::uint32_t intermediate)
{
    config c;
    c.vocab = 128256;
    c.hidden = hidden;
    c.layers = layers;
    c.heads = heads;
    c.kv_heads = kv_heads;
    c.head_dim = head_dim;
    c.intermediate = intermediate;
    c.max_positions = 131072;
    c.tied = hidden < 4096;
    c.rope = {llama::rope_type::llama3, 500000, c.tied ? 32.0 : 8.0, 1, 4, 8192};
    return c;
}

} // namespace

void synchronize(at::Device device)
{
    if (!device.is_cpu())
        c10::impl::VirtualGuardImpl(device.type()).getStream(device).synchronize();
}

config named_config(std::string_view size)
{
    if (size == "llama-3.1-8b")
        return shape_of(4096, 32, 32, 8, 128, 14336);
    if (size == "llama-3.2-3b")
        return shape_of(3072, 28, 24, 8, 128, 8192);
    if (size == "llama-3.2-1b")
        return shape_of(2048, 16, 32, 8, 64, 8192);
    if (size == "tiny") {
        config c = shape_of(64, 3, 4, 2, 16, 96);
        c.vocab = 256;
        return c;
    }
    throw error("no size '" + std::string(size) +
                "' is known: tiny, llama-3.2-1b, llama-3.2-3b, llama-3.1-8b");
}

model::model(config c, placement where) : config_(std::move(c)), where_(where)
{
    if (where.dtype != at::kFloat && where.dtype != at::kHalf && where.dtype != at::kBFloat16)
        throw error("weights are f32, f16 or bf16");
    const auto frequencies = llama::inverse_frequencies(config_);
    inverse_frequencies_ = at::empty({static_cast<std::int64_t>(frequencies.size())}, at::kFloat);
    std::ranges::copy(frequencies, inverse_frequencies_.data_ptr<float>());
    inverse_frequencies_ = inverse_frequencies_.to(where.device);
}

void model::take(const source& tensor)
{
    const c10::InferenceMode guard;
    const std::size_t hidden = config_.hidden, inner = config_.intermediate;
    const std::size_t q = std::size_t{config_.heads} * config_.head_dim, kv = config_.kv_width();
    embedding_ = tensor("model.embed_tokens.weight", {config_.vocab, hidden});
    norm_ = tensor("model.norm.weight", {hidden});
    head_ = config_.tied ? embedding_ : tensor("lm_head.weight", {config_.vocab, hidden});
    for (std::uint32_t l = 0; l < config_.layers; ++l) {
        layer_weights& w = layers_.emplace_back();
        const std::string at = "model.layers." + std::to_string(l) + ".";
        w.input_norm = tensor(at + "input_layernorm.weight", {hidden});
        w.qkv = at::cat({tensor(at + "self_attn.q_proj.weight", {q, hidden}),
                         tensor(at + "self_attn.k_proj.weight", {kv, hidden}),
                         tensor(at + "self_attn.v_proj.weight", {kv, hidden})});
        w.o = tensor(at + "self_attn.o_proj.weight", {hidden, q});
        w.post_norm = tensor(at + "post_attention_layernorm.weight", {hidden});
        w.gate_up = at::cat({tensor(at + "mlp.gate_proj.weight", {inner, hidden}),
                             tensor(at + "mlp.up_proj.weight", {inner, hidden})});
        w.down = tensor(at + "mlp.down_proj.weight", {hidden, inner});
    }
    synchronize(where_.device); // passes run on other streams
}

model model::load(const std::filesystem::path& directory, placement where)
{
    model m(llama::read_config(directory / "config.json"), where);
    const llama::detail::tensor_files files(directory);
    m.fingerprint_ = files.fingerprint(llama::detail::mapped_file(directory / "config.json"));
    m.take([&](const std::string& name, std::initializer_list<std::size_t> shape) {
        const auto stored = files.find(name, shape);
        auto host = at::empty(sizes(shape), type_of(stored.type));
        std::memcpy(host.data_ptr(), stored.bytes.data(), stored.bytes.size());
        return host.to(at::TensorOptions(where.device).dtype(where.dtype));
    });
    return m;
}

model model::random(const config& shape, std::uint64_t seed, placement where)
{
    model m(shape, where);
    m.fingerprint_ = "random " + std::to_string(seed) + " on " + where.device.str();
    at::manual_seed(seed);
    m.take([&](const std::string&, std::initializer_list<std::size_t> extents) {
        auto out = at::empty(sizes(extents), at::TensorOptions(where.device).dtype(where.dtype));
        // As Llama is initialised before training: nothing vanishes, nothing overflows.
        return extents.size() == 1 ? out.fill_(1) : out.normal_(0, 0.02);
    });
    return m;
}

} // namespace torch_llama
