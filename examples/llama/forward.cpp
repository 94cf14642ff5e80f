// SPDX-License-Identifier: BSL-1.0
#include "llama.hpp"

#include <cblas.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

// Loops that the compiler turns into vector code, once for each kind of vector unit; the loader picks. (OpenBLAS does the
// same for the products.) With SSE2 alone, softmax would take longer than all products together. ThreadSanitizer cannot
// have it: the picking runs before its own start-up.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LLAMA_VECTOR_CODE
#endif
#endif
#if !defined(LLAMA_VECTOR_CODE) && defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_THREAD__)
#define LLAMA_VECTOR_CODE __attribute__((target_clones("avx512f", "avx2", "default")))
#elif !defined(LLAMA_VECTOR_CODE)
#define LLAMA_VECTOR_CODE
#endif

namespace llama {
namespace {

/** Rows of a prefill tile and keys of an attention tile: one number, so that only one key tile is cut by causality. */
constexpr std::size_t tile_size = 64;

/** Sums and maxima run over 16 lanes, in an order that no optimiser has to change to use vector registers. */
constexpr std::size_t lanes = 16;

constexpr float infinity = std::numeric_limits<float>::infinity();

/** A linear layer: out = beta * out + x * w^T, for out[m][n], x[m][k], w[n][k]. */
void multiply(std::size_t m, std::size_t n, std::size_t k, const float* x, const float* w, float beta,
              float* out)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<blasint>(m), static_cast<blasint>(n),
                static_cast<blasint>(k), 1, x, static_cast<blasint>(k), w, static_cast<blasint>(k), beta, out,
                static_cast<blasint>(n));
}

/** e^x for x <= 0 to one unit in the last place, exactly 0 below -87. Branch-free: loops over it vectorise. */
inline float exp_of_negative(float x)
{
    const float bounded = x < -87.0F ? -87.0F : x;
    const float magic = 12582912.0F; // 1.5 * 2^23: adding it rounds to the nearest whole number
    const float n = (bounded * 1.44269504F + magic) - magic;
    const float r = (bounded - n * 0.693359375F) + n * 2.12194440e-4F; // ln 2 in two parts
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    const auto power = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23;
    return x < -87.0F ? 0.0F : ((p * r) * r + r + 1.0F) * std::bit_cast<float>(power);
}

template <class Combine>
float reduce(const std::array<float, lanes>& lane, Combine combine)
{
    float out = lane[0];
    for (std::size_t i = 1; i < lanes; ++i)
        out = combine(out, lane[i]);
    return out;
}

LLAMA_VECTOR_CODE void normalise(std::size_t rows, const std::vector<float>& weight, float eps,
                                 const float* x, float* out)
{
    const std::size_t width = weight.size();
    for (std::size_t row = 0; row < rows; ++row, x += width, out += width) {
        std::array<float, lanes> squares{};
        std::size_t i = 0;
        for (; i + lanes <= width; i += lanes)
            for (std::size_t lane = 0; lane < lanes; ++lane)
                squares[lane] += x[i + lane] * x[i + lane];
        float sum = reduce(squares, std::plus<>());
        for (; i < width; ++i)
            sum += x[i] * x[i];
        const float scale = 1.0F / std::sqrt(sum / static_cast<float>(width) + eps);
        for (i = 0; i < width; ++i)
            out[i] = x[i] * scale * weight[i];
    }
}

/** Turns (x[i], x[i + half]) by the row's angles: the rotate_half convention of Hugging Face checkpoints. */
void rotate(std::size_t half, const float* cosine, const float* sine, float* x)
{
    for (std::size_t i = 0; i < half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a * cosine[i] - b * sine[i];
        x[i + half] = b * cosine[i] + a * sine[i];
    }
}

/** One row of online softmax: scores become weights relative to the new maximum, and what was summed under the old
    one is scaled down to it. */
LLAMA_VECTOR_CODE void add_to_softmax(float* scores, float& row_max, float& row_sum, float* output,
                                      std::size_t width)
{
    std::array<float, lanes> lane;
    lane.fill(row_max);
    for (std::size_t i = 0; i < tile_size; i += lanes)
        for (std::size_t j = 0; j < lanes; ++j)
            lane[j] = scores[i + j] > lane[j] ? scores[i + j] : lane[j];
    const float new_max = reduce(lane, [](float a, float b) { return std::max(a, b); });
    lane.fill(0);
    for (std::size_t i = 0; i < tile_size; i += lanes)
        for (std::size_t j = 0; j < lanes; ++j) {
            scores[i + j] = exp_of_negative(scores[i + j] - new_max);
            lane[j] += scores[i + j];
        }
    const float shrink = exp_of_negative(row_max - new_max);
    row_sum = row_sum * shrink + reduce(lane, std::plus<>());
    row_max = new_max;
    for (std::size_t i = 0; i < width; ++i)
        output[i] *= shrink;
}

/** out = silu(gate) * up, where up lies behind gate and silu(x) = x / (1 + e^-x). */
LLAMA_VECTOR_CODE void gate(std::size_t width, const float* in, float* out)
{
    for (std::size_t i = 0; i < width; ++i) {
        const float x = in[i], e = exp_of_negative(x < 0 ? x : -x);
        out[i] = x * ((x < 0 ? e : 1.0F) / (1.0F + e)) * in[width + i];
    }
}

} // namespace

forward_pass::forward_pass(const model& weights, std::span<const std::uint32_t> tokens, std::size_t first,
                           phase how)
    : model_(weights)
    , c_(weights.config_)
    , first_(first)
    , count_(tokens.size())
    , decode_(how == phase::decode)
    , rows_(decode_ ? 1 : tile_size)
    , base_(decode_ ? first : first / tile_size * tile_size)
{
    if (tokens.empty() || (decode_ && tokens.size() != 1))
        throw error(decode_ ? "a decode step takes exactly one token" : "a prefill needs a token");
    if (first > c_.max_positions || tokens.size() > c_.max_positions - first)
        throw error("the sequence of " + std::to_string(first + tokens.size()) +
                    " tokens exceeds the model's " + std::to_string(c_.max_positions) + " positions");
    tiles_ = (first_ + count_ - base_ + rows_ - 1) / rows_;
    embed(tokens);

    const std::size_t half = c_.head_dim / 2, group_rows = c_.heads / c_.kv_heads * rows_;
    cos_.resize(tiles_ * rows_ * half);
    sin_.resize(cos_.size());
    for (std::size_t i = 0; i < cos_.size(); ++i) {
        const float angle = static_cast<float>(base_ + i / half) * weights.inverse_frequencies_[i % half];
        cos_[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
        sin_[i] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
    const std::size_t q_width = std::size_t{c_.heads} * c_.head_dim;
    normed_.resize(rows_ * c_.hidden);
    qkv_.resize(rows_ * (q_width + 2 * c_.kv_width()));
    attended_.resize(rows_ * q_width);
    gate_up_.resize(rows_ * 2 * c_.intermediate);
    activation_.resize(rows_ * c_.intermediate);
    queries_.resize(group_rows * c_.head_dim);
    scores_.resize(group_rows * tile_size);
    outputs_.resize(group_rows * c_.head_dim);
    row_max_.resize(group_rows);
    row_sum_.resize(group_rows);
}

void forward_pass::embed(std::span<const std::uint32_t> tokens)
{
    hidden_.resize(tiles_ * rows_ *
                   c_.hidden); // padding rows stay finite whatever they become; nobody reads them
    float* row = hidden_.data() + (first_ - base_) * c_.hidden;
    for (std::uint32_t token : tokens) {
        if (token >= c_.vocab)
            throw error("token " + std::to_string(token) + " is not in the vocabulary of " +
                        std::to_string(c_.vocab));
        row = std::copy_n(model_.embedding_.data() + std::size_t{token} * c_.hidden, c_.hidden, row);
    }
}

void forward_pass::layer(std::uint32_t index, std::span<const kv_span> past, float* k_out, float* v_out)
{
    if (index != next_layer_ || index >= c_.layers)
        throw error("layer " + std::to_string(index) + " is not the next one");
    std::size_t past_tokens = 0;
    for (const kv_span& span : past)
        past_tokens += span.tokens;
    if (past_tokens != first_)
        throw error("the past has " + std::to_string(past_tokens) + " tokens, " + std::to_string(first_) +
                    " stand before this pass");
    ++next_layer_;

    const model::layer_weights& w = model_.layers_[index];
    std::vector<kv_span> sequence(past.begin(), past.end());
    sequence.push_back({k_out, v_out, count_});
    keys_.clear();
    gathered_.clear();
    for (std::size_t tile = 0; tile < tiles_; ++tile) {
        float* const x = hidden_.data() + tile * rows_ * c_.hidden;
        normalise(rows_, w.input_norm, c_.rms_eps, x, normed_.data());
        project_qkv(w, tile, k_out, v_out);
        add_key_tiles(sequence, std::min(first_ + count_, base_ + (tile + 1) * rows_));
        attend(tile);
        multiply(rows_, c_.hidden, std::size_t{c_.heads} * c_.head_dim, attended_.data(), w.o.data(), 1, x);
        feed_forward(w, x);
    }
}

void forward_pass::project_qkv(const model::layer_weights& w, std::size_t tile, float* k_out, float* v_out)
{
    const std::size_t q_width = std::size_t{c_.heads} * c_.head_dim, kv_width = c_.kv_width();
    const std::size_t width = q_width + 2 * kv_width, half = c_.head_dim / 2;
    multiply(rows_, width, c_.hidden, normed_.data(), w.qkv.data(), 0, qkv_.data());
    for (std::size_t row = 0; row < rows_; ++row) {
        float* const x = qkv_.data() + row * width;
        const std::size_t angles = (tile * rows_ + row) * half;
        for (std::size_t head = 0; head < c_.heads + c_.kv_heads; ++head) // k lies right behind q
            rotate(half, cos_.data() + angles, sin_.data() + angles, x + head * c_.head_dim);
        const std::size_t position = base_ + tile * rows_ + row;
        if (position >= first_ && position < first_ + count_) {
            std::copy_n(x + q_width, kv_width, k_out + (position - first_) * kv_width);
            std::copy_n(x + q_width + kv_width, kv_width, v_out + (position - first_) * kv_width);
        }
    }
}

/** Extends `keys_` to the tiles that begin before position `end`. A tile within one span is used where it lies. Others
    are copied together, in the same row layout; rows of a prefill tile that do not exist (yet) are zeros: causality
    masks their scores, and a weight of 0 needs a finite V. */
void forward_pass::add_key_tiles(std::span<const kv_span> sequence, std::size_t end)
{
    const std::size_t width = c_.kv_width();
    while (keys_.size() * tile_size < end) {
        const std::size_t begin = keys_.size() * tile_size;
        const std::size_t wanted = decode_ ? std::min(tile_size, end - begin) : tile_size;
        const std::size_t known = std::min(tile_size, end - begin);
        float* gathered = nullptr;
        std::size_t start = 0;
        for (const kv_span& span : sequence) {
            const std::size_t from = std::max(start, begin),
                              to = std::min(start + span.tokens, begin + known);
            if (from < to) {
                const std::size_t offset = (from - start) * width;
                if (to - from == wanted) {
                    keys_.push_back({span.k + offset, span.v + offset});
                    break;
                }
                if (gathered == nullptr) {
                    gathered = gathered_.emplace_back(2 * wanted * width).data();
                    keys_.push_back({gathered, gathered + wanted * width});
                }
                float* const row = gathered + (from - begin) * width;
                std::copy_n(span.k + offset, (to - from) * width, row);
                std::copy_n(span.v + offset, (to - from) * width, row + wanted * width);
            }
            start += span.tokens;
        }
    }
}

/** Causal attention of a tile's rows over all keys up to them. Heads that share a KV head are rows of one product. */
void forward_pass::attend(std::size_t tile)
{
    const std::size_t dim = c_.head_dim, group = c_.heads / c_.kv_heads, kv_width = c_.kv_width();
    const std::size_t width = qkv_.size() / rows_, q_rows = group * rows_, q_width = attended_.size() / rows_;
    const auto m = static_cast<blasint>(q_rows), k = static_cast<blasint>(dim),
               ld = static_cast<blasint>(kv_width);
    const float scale = 1.0F / std::sqrt(static_cast<float>(dim));
    const std::size_t end = base_ + (tile + 1) * rows_; // keys behind it are masked for every row
    const std::size_t key_tiles = (end + tile_size - 1) / tile_size;
    for (std::size_t head = 0; head < c_.kv_heads; ++head) {
        for (std::size_t i = 0; i < q_rows; ++i)
            std::copy_n(qkv_.data() + i % rows_ * width + (head * group + i / rows_) * dim, dim,
                        queries_.data() + i * dim);
        std::fill(row_max_.begin(), row_max_.end(), -infinity);
        std::fill(row_sum_.begin(), row_sum_.end(), 0.0F);
        std::fill(outputs_.begin(), outputs_.end(), 0.0F);
        for (std::size_t j = 0; j < key_tiles; ++j) {
            const std::size_t keys = std::min(tile_size, end - j * tile_size);
            const auto n = static_cast<blasint>(keys);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, scale, queries_.data(), k,
                        keys_[j].k + head * dim, ld, 0, scores_.data(), tile_size);
            for (std::size_t i = 0; i < q_rows; ++i) {
                float* const row = scores_.data() + i * tile_size;
                const std::size_t visible = j + 1 < key_tiles ? tile_size : decode_ ? keys : i % rows_ + 1;
                std::fill(row + visible, row + tile_size, -infinity);
                add_to_softmax(row, row_max_[i], row_sum_[i], outputs_.data() + i * dim, dim);
            }
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, k, n, 1, scores_.data(), tile_size,
                        keys_[j].v + head * dim, ld, 1, outputs_.data(), k);
        }
        for (std::size_t i = 0; i < q_rows; ++i)
            for (std::size_t d = 0; d < dim; ++d)
                attended_[i % rows_ * q_width + (head * group + i / rows_) * dim + d] =
                    outputs_[i * dim + d] / row_sum_[i];
    }
}

void forward_pass::feed_forward(const model::layer_weights& w, float* x)
{
    const std::size_t inner = c_.intermediate;
    normalise(rows_, w.post_norm, c_.rms_eps, x, normed_.data());
    multiply(rows_, 2 * inner, c_.hidden, normed_.data(), w.gate_up.data(), 0, gate_up_.data());
    for (std::size_t row = 0; row < rows_; ++row)
        gate(inner, gate_up_.data() + row * 2 * inner, activation_.data() + row * inner);
    multiply(rows_, c_.hidden, inner, activation_.data(), w.down.data(), 1, x);
}

std::span<const float> forward_pass::logits()
{
    if (next_layer_ != c_.layers)
        throw error("logits before the last layer");
    const std::vector<float>& head = c_.tied ? model_.embedding_ : model_.head_;
    normalise(1, model_.norm_, c_.rms_eps, hidden_.data() + (first_ + count_ - 1 - base_) * c_.hidden,
              normed_.data());
    logits_.resize(c_.vocab);
    multiply(1, c_.vocab, c_.hidden, normed_.data(), head.data(), 0, logits_.data());
    return logits_;
}

} // namespace llama
