// SPDX-License-Identifier: BSL-1.0
#include "engine.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace torch_llama {
namespace {

/** Rotates heads [n][heads][dim] by the rows' angles: pairs are (i, i + dim / 2), as in Hugging Face checkpoints. The
    products are f32, whatever the heads are. */
at::Tensor rotate(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine)
{
    const std::int64_t half = x.size(2) / 2;
    const auto a = x.narrow(2, 0, half), b = x.narrow(2, half, half);
    auto out = at::empty(x.sizes(), x.options());
    auto out_a = out.narrow(2, 0, half), out_b = out.narrow(2, half, half);
    at::addcmul_out(out_a, a * cosine, b, sine, -1);
    at::addcmul_out(out_b, b * cosine, a, sine, 1);
    return out;
}

at::Tensor normalise(const at::Tensor& x, const at::Tensor& weight, double eps)
{
    return at::rms_norm(x, {x.size(-1)}, weight, eps);
}

/** @throws error if one is not in the vocabulary. */
at::Tensor ids_on(at::Device device, const config& c, std::span<const std::uint32_t> tokens)
{
    for (const std::uint32_t token : tokens)
        if (token >= c.vocab)
            throw error("token " + std::to_string(token) + " is not in the vocabulary of " +
                        std::to_string(c.vocab));
    // Pinned, so that the copy is enqueued like everything else; PyTorch keeps the memory until it is done.
    auto ids = at::empty({static_cast<std::int64_t>(tokens.size())},
                         at::TensorOptions(at::kLong).pinned_memory(device.is_cuda()));
    std::copy(tokens.begin(), tokens.end(), ids.data_ptr<std::int64_t>());
    return ids.to(device, /*non_blocking=*/true);
}

/** Cosines and sines of positions [first, end), f32 [end - first][1][head_dim / 2]. As the engine on the CPU has it: the angle
    is an f32, its sine that of exactly this f32. */
std::pair<at::Tensor, at::Tensor> angles(std::int64_t first, std::int64_t end,
                                         const at::Tensor& inverse_frequencies)
{
    const auto positions =
        at::arange(first, end, at::TensorOptions(inverse_frequencies.device()).dtype(at::kFloat));
    const auto all = at::outer(positions, inverse_frequencies).to(at::kDouble).unsqueeze(1);
    return {all.cos().to(at::kFloat), all.sin().to(at::kFloat)};
}

/** Everything that a public function enqueues: on the right stream, and without the bookkeeping of training. */
class on_stream {
public:
    explicit on_stream(const pass_options& options)
    {
        if (options.stream)
            stream_.emplace(*options.stream);
    }

private:
    c10::InferenceMode inference_;
    std::optional<c10::StreamGuard> stream_;
};

} // namespace

pass::pass(const model& weights, kv_memory& kv, std::span<const std::uint32_t> tokens, std::size_t first,
           pass_options options)
    : model_(weights)
    , kv_(kv)
    , options_(options)
    , first_(static_cast<std::int64_t>(first))
    , count_(static_cast<std::int64_t>(tokens.size()))
{
    const config& c = model_.cfg();
    if (tokens.empty())
        throw error("a pass needs a token");
    if (options_.slice_tokens < 1)
        throw error("a slice needs a token");
    if (first > c.max_positions || tokens.size() > c.max_positions - first)
        throw error("the sequence of " + std::to_string(first + tokens.size()) +
                    " tokens exceeds the model's " + std::to_string(c.max_positions) + " positions");
    if (first + tokens.size() > kv_.capacity())
        throw error("the sequence of " + std::to_string(first + tokens.size()) +
                    " tokens exceeds the KV memory's " + std::to_string(kv_.capacity()));
    const on_stream guard(options_);
    hidden_ = at::index_select(model_.embedding_, 0, ids_on(model_.where().device, c, tokens));
    std::tie(cos_, sin_) = angles(first_, first_ + count_, model_.inverse_frequencies_);
}

void pass::layer(std::uint32_t index)
{
    if (index != next_layer_ || index >= model_.cfg().layers)
        throw error("layer " + std::to_string(index) + " is not the next one");
    ++next_layer_;
    const on_stream guard(options_);
    const model::layer_weights& w = model_.layers_[index];
    const std::int64_t slice = options_.slice_tokens;
    for (std::int64_t from = 0; from < count_;) {
        const std::int64_t end = std::min(count_, ((first_ + from) / slice + 1) * slice - first_);
        auto x = hidden_.narrow(0, from, end - from);
        x.addmm_(attend(w, index, from, end - from), w.o.t()); // adds in the product's f32
        feed_forward(w, model_.cfg().rms_eps, x);
        from = end;
    }
}

at::Tensor pass::attend(const model::layer_weights& w, std::uint32_t index, std::int64_t from,
                        std::int64_t count)
{
    const config& c = model_.cfg();
    const std::int64_t heads = c.heads, kv_heads = c.kv_heads, dim = c.head_dim;
    const auto normed = normalise(hidden_.narrow(0, from, count), w.input_norm, c.rms_eps);
    const auto qkv = at::mm(normed, w.qkv.t()).view({count, heads + 2 * kv_heads, dim});
    const auto turned =
        rotate(qkv.narrow(1, 0, heads + kv_heads), cos_.narrow(0, from, count), sin_.narrow(0, from, count));
    const auto own = static_cast<std::size_t>(first_ + from);
    kv_.write(index, own, {turned.narrow(1, heads, kv_heads), qkv.narrow(1, heads + kv_heads, kv_heads)});
    const kv_memory::rows all = kv_.read(index, own + static_cast<std::size_t>(count));
    return torch_llama::attend(options_.how, turned.narrow(1, 0, heads), all.k, all.v)
        .reshape({count, heads * dim});
}

void pass::feed_forward(const model::layer_weights& w, double eps, const at::Tensor& x)
{
    const auto gate_up = at::mm(normalise(x, w.post_norm, eps), w.gate_up.t());
    const std::int64_t inner = gate_up.size(1) / 2;
    auto gate = gate_up.narrow(1, 0, inner);
    at::silu_(gate);
    gate.mul_(gate_up.narrow(1, inner, inner));
    x.addmm_(gate, w.down.t());
}

at::Tensor pass::logits()
{
    if (next_layer_ != model_.cfg().layers)
        throw error("logits before the last layer");
    if (!logits_.defined()) {
        const on_stream guard(options_);
        const auto last = normalise(hidden_.narrow(0, count_ - 1, 1), model_.norm_, model_.cfg().rms_eps);
        logits_ = at::mm(last, model_.head_.t()).squeeze(0).to(at::kFloat);
    }
    return logits_;
}

std::uint32_t pass::next_token()
{
    const auto scores = logits();
    const on_stream guard(options_);
    return static_cast<std::uint32_t>(scores.argmax().item<std::int64_t>());
}

void pass::run()
{
    for (std::uint32_t l = 0; l < model_.cfg().layers; ++l)
        layer(l);
}

own_kv::own_kv(const config& shape, placement where, std::size_t sequences, std::size_t room)
{
    const c10::InferenceMode guard;
    for (std::uint32_t l = 0; l < shape.layers; ++l)
        for (auto* part : {&k, &v})
            part->push_back(at::empty({static_cast<std::int64_t>(sequences), static_cast<std::int64_t>(room),
                                       shape.kv_heads, shape.head_dim},
                                      at::TensorOptions(where.device).dtype(where.dtype)));
}

shared_decode::shared_decode(const model& weights, own_kv& own, const at::Tensor& tokens, std::size_t prefix,
                             std::size_t before, pass_options options)
    : model_(weights)
    , own_(own)
    , options_(options)
    , before_(static_cast<std::int64_t>(before))
{
    if (own_.k.size() != model_.cfg().layers || own_.k[0].size(0) != tokens.numel())
        throw error("the sequences' own KV is for others");
    if (own_.k[0].size(1) <= before_)
        throw error("the sequences' own KV has no room for a token more");
    const on_stream guard(options_);
    hidden_ = at::index_select(model_.embedding_, 0, tokens);
    const auto position = static_cast<std::int64_t>(prefix + before);
    std::tie(cos_, sin_) = angles(position, position + 1, model_.inverse_frequencies_);
}

void shared_decode::layer(std::uint32_t index, const kv_memory::rows& prefix)
{
    const config& c = model_.cfg();
    if (index != next_layer_ || index >= c.layers)
        throw error("layer " + std::to_string(index) + " is not the next one");
    ++next_layer_;
    const on_stream guard(options_);
    const model::layer_weights& w = model_.layers_[index];
    const std::int64_t count = hidden_.size(0), heads = c.heads, kv_heads = c.kv_heads, dim = c.head_dim;
    const auto normed = normalise(hidden_, w.input_norm, c.rms_eps);
    const auto qkv = at::mm(normed, w.qkv.t()).view({count, heads + 2 * kv_heads, dim});
    const auto turned = rotate(qkv.narrow(1, 0, heads + kv_heads), cos_, sin_);
    const at::Tensor &k = own_.k[index], &v = own_.v[index];
    k.select(1, before_).copy_(turned.narrow(1, heads, kv_heads));
    v.select(1, before_).copy_(qkv.narrow(1, heads + kv_heads, kv_heads));
    const auto seen = attend_shared(turned.narrow(1, 0, heads), prefix.k, prefix.v,
                                    k.narrow(1, 0, before_ + 1), v.narrow(1, 0, before_ + 1));
    hidden_.addmm_(seen.reshape({count, heads * dim}), w.o.t());
    pass::feed_forward(w, c.rms_eps, hidden_);
}

at::Tensor shared_decode::logits()
{
    if (next_layer_ != model_.cfg().layers)
        throw error("logits before the last layer");
    if (!logits_.defined()) {
        const on_stream guard(options_);
        const auto last = normalise(hidden_, model_.norm_, model_.cfg().rms_eps);
        logits_ = at::mm(last, model_.head_.t()).to(at::kFloat);
    }
    return logits_;
}

at::Tensor shared_decode::next_tokens()
{
    const auto scores = logits();
    const on_stream guard(options_);
    return scores.argmax(1);
}

} // namespace torch_llama
