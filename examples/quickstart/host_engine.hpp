// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "llama.hpp"

#include <objectcache/device/host_stream.hpp>
#include <objectcache/kv/pages.hpp>
#include <objectcache/kv/scope.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace quickstart {

namespace oc = objectcache;
using steady = std::chrono::steady_clock;

/** The shape of this model's KV as the cache knows it: f32 rows, as the engine keeps them. */
inline oc::kv_geometry geometry_of(const llama::config& c, std::uint32_t tokens_per_chunk)
{
    oc::kv_geometry g;
    g.layers = c.layers;
    g.kv_heads = c.kv_heads;
    g.head_size = c.head_dim;
    g.dtype = oc::kv_dtype::f32;
    g.tokens_per_chunk = tokens_per_chunk;
    return g;
}

/** What beside tokens must match: the very bytes of the weights, and how this engine rounds. */
inline oc::scope scope_of(const llama::model& m, std::uint32_t tokens_per_chunk)
{
    oc::scope s;
    s.model = "llama";
    s.weights_revision = m.fingerprint();
    s.geometry = geometry_of(m.cfg(), tokens_per_chunk);
    s.config = "examples/llama f32, tiles of 64";
    return s;
}

struct interval {
    steady::time_point from, to;
    [[nodiscard]] double seconds() const { return std::chrono::duration<double>(to - from).count(); }
};

/** One sequence on the "device": its KV memory, and the compute stream that works on it.

    KV lies in two parts. The *prefix* is what the cache may fill; it keeps all layers, or only a few slots that the layers
    take in turn. The *own* part is what this process computes itself, and always keeps all layers. */
class sequence {
public:
    /** @param prefix_tokens room for a loaded prefix; 0 when everything is computed here
        @param prefix_slots layers of the prefix that have memory at a time; 0 means all */
    sequence(const llama::model& m, std::vector<std::uint32_t> tokens, std::size_t prefix_tokens,
             std::size_t room_to_generate, std::size_t prefix_slots = 0)
        : model_(m)
        , tokens_(std::move(tokens))
        , prefix_rows_(prefix_tokens)
        , room_(room_to_generate)
        , slots_(prefix_slots == 0 ? m.cfg().layers : prefix_slots)
        , prefix_(slots_, {prefix_tokens, m.cfg().kv_width()})
    {}
    ~sequence() { stream_.synchronize(); }

    /** Where the cache puts a loaded prefix. */
    [[nodiscard]] oc::kv_pages prefix_pages(std::uint32_t tokens_per_chunk)
    {
        auto pages = pages_over(prefix_, prefix_rows_, tokens_per_chunk);
        if (slots_ != model_.cfg().layers)
            pages.layer_slots(slots_);
        return pages;
    }
    /** What the cache stores: rows computed here, from token 0. */
    [[nodiscard]] oc::kv_pages own_pages(std::uint32_t tokens_per_chunk)
    {
        return pages_over(own_, tokens_.size() - own_first_, tokens_per_chunk);
    }

    /** Prepare the prompt's pass over the tokens behind the first `loaded` ones. */
    void begin_prefill(std::size_t loaded)
    {
        own_first_ = computed_ = loaded;
        own_.assign(model_.cfg().layers, rows(tokens_.size() + room_ - loaded, model_.cfg().kv_width()));
        begin(llama::phase::prefill);
    }
    /** Prepare the pass of one generated token. */
    void begin_decode(std::uint32_t token)
    {
        tokens_.push_back(token);
        begin(llama::phase::decode);
    }

    /** Enqueue one layer on the compute stream; the event is behind it. */
    [[nodiscard]] oc::host_event launch(std::uint32_t layer)
    {
        stream_.enqueue([this, layer] {
            const auto from = steady::now();
            const std::size_t width = model_.cfg().kv_width();
            const rows& loaded = prefix_[layer % slots_];
            rows& mine = own_[layer];
            const std::size_t before = computed_ - own_first_;
            const llama::kv_span past[] = {{loaded.k.data(), loaded.v.data(), own_first_},
                                           {mine.k.data(), mine.v.data(), before}};
            const std::size_t skip = own_first_ == 0 ? 1 : 0, count = before == 0 ? 1 : 2;
            const auto spans = count <= skip ? std::span<const llama::kv_span>()
                                             : std::span<const llama::kv_span>(past + skip, count - skip);
            pass_->layer(layer, spans, mine.k.data() + before * width, mine.v.data() + before * width);
            timing_[layer] = {from, steady::now()};
        });
        return stream_.record();
    }

    /** After the last layer's event: scores of the next token. */
    [[nodiscard]] std::span<const float> finish()
    {
        computed_ = tokens_.size();
        return pass_->logits();
    }

    /** A pass without a cache in it; `progress(layers done)`. Blocks. */
    [[nodiscard]] std::span<const float> run(const std::function<void(std::size_t)>& progress = {})
    {
        for (std::uint32_t layer = 0; layer < model_.cfg().layers; ++layer) {
            launch(layer).wait();
            if (progress)
                progress(layer + 1);
        }
        return finish();
    }

    [[nodiscard]] oc::host_stream& stream() noexcept { return stream_; }
    [[nodiscard]] const std::vector<interval>& timing() const noexcept { return timing_; }
    [[nodiscard]] const std::vector<std::uint32_t>& tokens() const noexcept { return tokens_; }

private:
    struct rows {
        rows(std::size_t tokens, std::size_t width) : k(tokens * width), v(tokens * width) {}
        std::vector<float> k, v;
    };

    void begin(llama::phase how)
    {
        timing_.assign(model_.cfg().layers, {});
        const std::span<const std::uint32_t> all(tokens_);
        pass_.emplace(model_, all.subspan(computed_), computed_, how);
    }

    [[nodiscard]] oc::kv_pages pages_over(std::vector<rows>& where, std::size_t capacity,
                                          std::uint32_t tokens_per_chunk)
    {
        std::vector<oc::kv_layer_memory> memory;
        for (rows& r : where) {
            oc::kv_layer_memory m;
            m.k = reinterpret_cast<std::byte*>(r.k.data());
            m.v = reinterpret_cast<std::byte*>(r.v.data());
            memory.push_back(m);
        }
        return oc::kv_pages::contiguous(geometry_of(model_.cfg(), tokens_per_chunk), std::move(memory),
                                        capacity);
    }

    const llama::model& model_;
    std::vector<std::uint32_t> tokens_;
    std::size_t prefix_rows_, room_, slots_;
    std::vector<rows> prefix_, own_; // by slot; by layer
    std::size_t own_first_ = 0;      // position of the first own row
    std::size_t computed_ = 0;       // tokens whose KV is in place
    std::optional<llama::forward_pass> pass_;
    std::vector<interval> timing_;
    oc::host_stream stream_;
};

} // namespace quickstart
