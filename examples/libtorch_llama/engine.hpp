// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "attention.hpp"
#include "llama.hpp" // ../llama: its configuration, its errors, its reader of checkpoints

#include <objectcache/kv/pages.hpp>

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/** A Llama forward pass in libtorch, on a GPU or, for tests, on the CPU: the model of ../llama at the speed of a real engine.

    It knows nothing of the cache but the shape of `kv_memory::pages`. What makes it embeddable is `pass::layer`: it enqueues
    one layer and does not wait, so that a host enqueues a gate (`kv_load::gate`) and the layer, for all layers at once. */
namespace torch_llama {

using llama::config;
using llama::error;

/** Where weights, KV and activations are, and as what. Sums are always f32. */
struct placement {
    at::Device device = at::kCPU;
    at::ScalarType dtype = at::kFloat; ///< kFloat, kBFloat16 or kHalf
};

/** Blocks until the device has done what the calling thread's current stream has; on a CPU everything is done already. */
void synchronize(at::Device device);

/** The shape of a well-known model, for random weights: "tiny", "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b".
    @throws error for another name. */
[[nodiscard]] config named_config(std::string_view size);

/** Weights on the device. Immutable once made: any number of passes may run over it. */
class model {
public:
    /** Reads config.json and *.safetensors of a Hugging Face directory.
        @throws error naming the file and the cause. */
    [[nodiscard]] static model load(const std::filesystem::path& directory, placement where);

    /** Random weights: as fast as real ones, and with a seed always the same on one kind of device. */
    [[nodiscard]] static model random(const config& shape, std::uint64_t seed, placement where);

    [[nodiscard]] const config& cfg() const noexcept { return config_; }
    [[nodiscard]] const placement& where() const noexcept { return where_; }
    /** Changes with the weights: the revision to store KV under. */
    [[nodiscard]] const std::string& fingerprint() const noexcept { return fingerprint_; }

private:
    friend class pass;
    friend class shared_decode;

    struct layer_weights {
        at::Tensor input_norm, post_norm;
        at::Tensor qkv; // q, k and v below one another: one product instead of three
        at::Tensor o;
        at::Tensor gate_up; // gate, then up
        at::Tensor down;
    };

    /** Gives a tensor of the network on the device, by its name and shape in a checkpoint. */
    using source = std::function<at::Tensor(const std::string&, std::initializer_list<std::size_t>)>;

    model(config c, placement where);
    void take(const source& tensor);

    config config_;
    placement where_;
    std::string fingerprint_;
    at::Tensor inverse_frequencies_;     // f32 [head_dim / 2]
    at::Tensor embedding_, norm_, head_; // head_ is the embedding where they are tied
    std::vector<layer_weights> layers_;
};

/** The KV of one sequence in blocks of tokens: per layer one tensor for K and one for V,
    [blocks][block_tokens][kv_heads][head_dim], and one block table for all layers. */
class kv_memory {
public:
    static constexpr std::uint32_t default_block_tokens = 64;

    /** Allocates room for `tokens`, uninitialised. Blocks.
        @param block_table where block i of the sequence lies; empty: in order, which attention reads without a copy
        @throws error for a table that is too short or names a block twice. */
    kv_memory(const config& shape, placement where, std::size_t tokens,
              std::uint32_t block_tokens = default_block_tokens, std::vector<std::uint32_t> block_table = {});

    /** What the cache needs to know to load into this memory, and to store from it. */
    [[nodiscard]] objectcache::kv_pages pages(std::uint32_t tokens_per_chunk) const;
    [[nodiscard]] objectcache::kv_geometry geometry(std::uint32_t tokens_per_chunk) const;
    [[nodiscard]] std::size_t capacity() const noexcept { return table_.size() * block_tokens_; }
    /** The blocks lie in order: `rows` are views. */
    [[nodiscard]] bool consecutive() const noexcept { return !row_index_.defined(); }

    struct rows {
        at::Tensor k, v; // [tokens][kv_heads][head_dim]
    };
    /** Tokens [0, count) of a layer, on the current stream: a view, or gathered into new memory where the blocks lie out of order. */
    [[nodiscard]] rows read(std::size_t layer, std::size_t count) const;
    /** Puts the rows of tokens [first, first + n) where they belong, on the current stream. */
    void write(std::size_t layer, std::size_t first, const rows& values);

    /** Whether the first `count` tokens have the same bytes in both, in all layers. Blocks. */
    [[nodiscard]] bool same_bytes(const kv_memory& other, std::size_t count) const;
    /** Overwrites everything with noise of size `scale` (a benchmark has KV and no prefill), or with 0. Blocks. */
    void fill(double scale);

private:
    config config_;
    placement where_;
    std::size_t block_tokens_;
    std::vector<std::uint32_t> table_;
    at::Tensor row_index_; // i64 [capacity]: row in the pool of each token; undefined when they are in order
    std::vector<at::Tensor> k_, v_;
};

struct pass_options {
    attention how = attention::split_cudnn;
    /** Tokens that go through a layer at once. Bounds the activations: about 0.8 GB for 8192 of Llama-3.1-8B. Slices end at
        multiples of this position, wherever a pass begins: a prefix of whole slices therefore changes no bit of what is
        computed behind it. */
    std::int64_t slice_tokens = 8192;
    /** The CUDA stream to work on; none: the calling thread's current one. */
    std::optional<c10::Stream> stream;
};

/** Tokens [first, first + n) of a sequence on their way through the network, layer by layer.

    On a GPU nothing here waits for the device except `next_token`. Some things nevertheless hold up the host, or the device,
    the first time: CUDA loads kernels, cuDNN plans the attention of a new shape, PyTorch makes handles for a new thread and
    takes memory for a new stream. So before layers are enqueued behind gates, run a pass of the same shape on the same
    thread and stream. And the queue of a CUDA stream is finite, about a thousand launches: enqueue from a thread that the
    loads do not need.

    Model and memory must stay where they are until the device has done the work. */
class pass {
public:
    /** @throws error if a token is not in the vocabulary, there are none, or they end behind the model's positions or the
        memory. */
    pass(const model& weights, kv_memory& kv, std::span<const std::uint32_t> tokens, std::size_t first,
         pass_options options = {});

    /** Enqueues layer `index`: reads the KV of tokens [0, first), writes that of the own ones, attends over both.
        @throws error if layers are not run in order. */
    void layer(std::uint32_t index);

    /** Enqueues the scores of the next token, f32 [vocab], on the device.
        @throws error unless all layers were enqueued. */
    [[nodiscard]] at::Tensor logits();
    /** The likeliest next token. Blocks until the device has it. */
    [[nodiscard]] std::uint32_t next_token();

    /** All layers, in order, without a cache. */
    void run();

private:
    friend class shared_decode;
    [[nodiscard]] at::Tensor attend(const model::layer_weights& w, std::uint32_t index, std::int64_t from,
                                    std::int64_t count);
    static void feed_forward(const model::layer_weights& w, double eps, const at::Tensor& x);

    const model& model_;
    kv_memory& kv_;
    pass_options options_;
    std::int64_t first_, count_;
    std::uint32_t next_layer_ = 0;
    at::Tensor hidden_;    // [n][hidden]: the residual stream
    at::Tensor cos_, sin_; // f32 [n][1][head_dim / 2]
    at::Tensor logits_;
};

/** The KV that sequences have behind a prefix they share: per layer [sequences][room][kv_heads][head_dim]. */
struct own_kv {
    /** Room for `room` tokens of each sequence, uninitialised. */
    own_kv(const config& shape, placement where, std::size_t sequences, std::size_t room);

    std::vector<at::Tensor> k, v; // by layer
};

/** A decode step of several sequences that share a prefix: one token of each on its way through the network, layer by layer.

    The prefix' KV is given anew to each layer, wherever it is then, so that an engine may keep the prefix of all layers, or
    of only a few at a time (`objectcache::kv_pages::layer_slots`). What `pass` says of waiting holds here too. Positions are
    not bounded: a benchmark may have more tokens than the model was made for. */
class shared_decode {
public:
    /** @param tokens one for each sequence, i64 on the device: those of the step before need not pass the host, whose copies would
               queue behind KV that travels
        @param prefix tokens that are shared
        @param before tokens that each sequence has in `own` already
        @throws error if `own` is for another number of sequences or has no room for the tokens. */
    shared_decode(const model& weights, own_kv& own, const at::Tensor& tokens, std::size_t prefix,
                  std::size_t before, pass_options options = {});

    /** Enqueues layer `index`, which attends over `prefix` and each sequence's own tokens.
        @throws error if layers are not run in order. */
    void layer(std::uint32_t index, const kv_memory::rows& prefix);

    /** Enqueues the scores of the next tokens, f32 [sequences][vocab], on the device.
        @throws error unless all layers were enqueued. */
    [[nodiscard]] at::Tensor logits();
    /** Enqueues the choice of the likeliest next tokens, i64 [sequences], on the device. */
    [[nodiscard]] at::Tensor next_tokens();

private:
    const model& model_;
    own_kv& own_;
    pass_options options_;
    std::int64_t before_;
    std::uint32_t next_layer_ = 0;
    at::Tensor hidden_;    // [sequences][hidden]
    at::Tensor cos_, sin_; // f32 [1][1][head_dim / 2]
    at::Tensor logits_;
};

} // namespace torch_llama
