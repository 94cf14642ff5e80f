// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

/** A Llama forward pass on the CPU, in f32 on OpenBLAS, small enough to read in one sitting.

    It stands for "your inference server": it knows nothing of any cache. What makes it embeddable is the shape of
    `forward_pass::layer`: the caller owns the keys and values, and hands them in one layer at a time. */
namespace llama {

/** What is wrong with a checkpoint or with a call, in one line that names the file or the argument. */
struct error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class rope_type { plain, linear, llama3 };

/** How positions become rotation angles: base frequencies theta^(-2i/head_dim), then scaled as `type` says. */
struct rope_config {
    rope_type type = rope_type::plain;
    double theta = 10000;
    double factor = 1;
    double low_freq_factor = 1; ///< llama3 only, as the two below
    double high_freq_factor = 4;
    double original_positions = 0;
};

/** The shape of the network; config.json in our words. */
struct config {
    std::uint32_t vocab = 0;
    std::uint32_t hidden = 0;
    std::uint32_t layers = 0;
    std::uint32_t heads = 0;
    std::uint32_t kv_heads = 0;
    std::uint32_t head_dim = 0;
    std::uint32_t intermediate = 0;
    std::uint32_t max_positions = 0;
    float rms_eps = 1e-5F;
    bool tied = false; ///< the output projection is the embedding table
    rope_config rope;
    std::vector<std::uint32_t> eos;

    /** Floats in the K row of one token and layer; a V row has as many. */
    [[nodiscard]] std::size_t kv_width() const noexcept { return std::size_t{kv_heads} * head_dim; }
};

/** Reads and checks a Hugging Face config.json.

    @throws error for an unreadable file and for every property of the model that this engine would compute wrongly. */
[[nodiscard]] config read_config(const std::filesystem::path& file);

/** Radians per position of each pair of dimensions, [head_dim / 2]: theta^(-2i/head_dim), scaled as `rope.type` says. */
[[nodiscard]] std::vector<float> inverse_frequencies(const config& c);

/** Weights in f32, ready to multiply. Immutable after `load`: any number of threads may run passes over it. */
class model {
public:
    /** Loads config.json and model.safetensors, or the shards that model.safetensors.index.json names (bf16, f16, f32).

        Sets OpenBLAS to one thread for the whole process: more would contend with the I/O around the engine.
        @throws error naming the file and the cause. */
    [[nodiscard]] static model load(const std::filesystem::path& directory);

    [[nodiscard]] const config& cfg() const noexcept { return config_; }

    /** 32 hex digits that change with any byte of the weights or of config.json: the revision to store KV under. */
    [[nodiscard]] const std::string& fingerprint() const noexcept { return fingerprint_; }

private:
    friend class forward_pass;

    using matrix = std::vector<float>; // row-major [outputs][inputs], as checkpoints have it

    struct layer_weights {
        matrix input_norm, post_norm;
        matrix qkv; // q, k and v below one another: one product instead of three
        matrix o;
        matrix gate_up; // gate, then up
        matrix down;
    };

    config config_;
    std::string fingerprint_;
    std::vector<float> inverse_frequencies_; // [head_dim / 2], after scaling
    matrix embedding_, norm_, head_;         // head_ is empty when tied
    std::vector<layer_weights> layers_;
};

/** Keys and values of consecutive tokens, one layer: contiguous rows [token][kv_heads * head_dim]. */
struct kv_span {
    const float* k = nullptr;
    const float* v = nullptr;
    std::size_t tokens = 0;
};

enum class phase {
    prefill, ///< any number of tokens
    decode   ///< exactly one: some ten times cheaper than as a prefill, rounded differently in the last bits
};

/** One pass of tokens [first, first + n) of a sequence through the network, layer by layer, so that the caller can
    fetch the past of layer i + 1 while layer i computes.

    A prefill gives bit for bit the same K, V and logits wherever the sequence is split into past and own tokens, and
    however the past is cut into spans. Loaded KV can therefore be compared with computed KV by memcmp. It costs this:
    rows enter matrix products in tiles of 64 at absolute positions, incomplete tiles padded, because BLAS may round
    differently for another number of rows; attention takes the keys in tiles of 64, in order. A decode step depends
    only on its past and its token. All this holds on one kind of CPU: OpenBLAS has other kernels for others.

    The model must stay where it is for as long as the pass lives. */
class forward_pass {
public:
    /** @throws error if a token is not in the vocabulary, the tokens are none or end behind `max_positions`, or a
        decode has not exactly one. */
    forward_pass(const model& weights, std::span<const std::uint32_t> tokens, std::size_t first,
                 phase how = phase::prefill);

    /** Computes layer `index`: writes the K and V rows of the own tokens to `k_out` and `v_out` (n * kv_width floats
        each), which must not overlap `past`, and attends over past and own tokens.

        @param past covers positions [0, first), in order. Read during the call only.
        @throws error if layers are not run in order, or the past covers another number of tokens than `first`. */
    void layer(std::uint32_t index, std::span<const kv_span> past, float* k_out, float* v_out);

    /** Scores of the next token, [vocab]. Valid as long as this object.
        @throws error unless all layers have run. */
    [[nodiscard]] std::span<const float> logits();

private:
    struct key_tile {
        const float* k;
        const float* v;
    };

    void embed(std::span<const std::uint32_t> tokens);
    void project_qkv(const model::layer_weights& w, std::size_t tile, float* k_out, float* v_out);
    void attend(std::size_t tile);
    void feed_forward(const model::layer_weights& w, float* x);
    void add_key_tiles(std::span<const kv_span> sequence, std::size_t end);

    const model& model_;
    const config& c_;
    std::size_t first_, count_;
    bool decode_;
    std::size_t rows_;  // per tile: 64, or 1 to decode
    std::size_t base_;  // position of row 0
    std::size_t tiles_; // rows_ * tiles_ cover base_ ... first_ + count_
    std::uint32_t next_layer_ = 0;

    std::vector<float> hidden_;               // [tiles * rows][hidden]: the residual stream
    std::vector<float> cos_, sin_;            // [tiles * rows][head_dim / 2]
    std::vector<key_tile> keys_;              // of the running layer, by position / 64
    std::deque<std::vector<float>> gathered_; // tiles that no single span holds

    std::vector<float> normed_, qkv_, attended_, gate_up_, activation_;          // one tile
    std::vector<float> queries_, scores_, outputs_, row_max_, row_sum_, logits_; // one tile and KV head
};

} // namespace llama
