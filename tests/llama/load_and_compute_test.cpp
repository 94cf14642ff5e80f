// SPDX-License-Identifier: BSL-1.0
#include "llama.hpp"
#include "text.hpp"

#include "support.hpp"

#include <objectcache/cache.hpp>
#include <objectcache/device/host_device.hpp>
#include <objectcache/io/reactor.hpp>
#include <objectcache/store/memory_tier.hpp>

#include <boost/asio/use_future.hpp>
#include <doctest/doctest.h>

#include <limits>
#include <utility>
#include <vector>

namespace {

using namespace llama_test;
namespace oc = objectcache;
namespace asio = boost::asio;

/** What an engine has on its device: all rows of a sequence, which say nothing until they are written. */
struct kv_memory {
    kv_memory(const llama::config& c, std::uint32_t tokens_per_chunk, std::size_t tokens)
        : width(c.kv_width())
        , rows(tokens)
        , k(c.layers, std::vector<float>(tokens * width, std::numeric_limits<float>::quiet_NaN()))
        , v(k)
    {
        shape.layers = c.layers;
        shape.kv_heads = c.kv_heads;
        shape.head_size = c.head_dim;
        shape.dtype = oc::kv_dtype::f32;
        shape.tokens_per_chunk = tokens_per_chunk;
    }
    [[nodiscard]] oc::kv_pages pages()
    {
        std::vector<oc::kv_layer_memory> places;
        for (std::size_t l = 0; l < k.size(); ++l)
            places.push_back(
                {reinterpret_cast<std::byte*>(k[l].data()), reinterpret_cast<std::byte*>(v[l].data())});
        return oc::kv_pages::contiguous(shape, std::move(places), rows);
    }

    /** One layer of the tokens behind the first `cached`, whose rows are here. */
    void layer(llama::forward_pass& pass, std::uint32_t l, std::size_t cached)
    {
        const llama::kv_span past{k[l].data(), v[l].data(), cached};
        pass.layer(l, std::span(&past, cached == 0 ? 0 : 1), k[l].data() + cached * width,
                   v[l].data() + cached * width);
    }

    std::size_t width, rows;
    std::vector<std::vector<float>> k, v;
    oc::kv_geometry shape;
};

/** Chunks of a prompt are stored; then, for each split, an engine computes those in front of it while the others are loaded,
    and the rest layer by layer behind them: bit for bit what one prefill of everything computes. */
void check_splits(const llama::model& m, std::span<const std::uint32_t> tokens,
                  std::uint32_t tokens_per_chunk, oc::layout where, const std::vector<std::size_t>& splits)
{
    const llama::config& c = m.cfg();
    const computed whole = prefill(m, tokens);
    llama::sampler greedy;
    const std::uint32_t next = greedy(whole.logits);

    oc::host_device device;
    oc::reactor_thread io;
    oc::memory_tier tier(io.get_executor());
    oc::cache_options options;
    options.stored_as = where;
    options.read_layouts = oc::layout_set::only(where);
    auto kv = *oc::cache<oc::host_device, oc::memory_tier>::create(tier, device, options);
    kv_memory source(c, tokens_per_chunk, tokens.size());
    source.k = whole.k;
    source.v = whole.v;
    oc::scope scope;
    scope.model = "llama";
    scope.weights_revision = m.fingerprint();
    scope.geometry = source.shape;
    CHECK(kv.store(scope, tokens, source.pages(), {}, asio::use_future).get().failed.ok());
    oc::prefix_match match = kv.match(scope, tokens, asio::use_future).get();
    match.shorten(tokens.size() - 1);
    const std::size_t chunks = match.chunks.size(), prefix = match.tokens();
    REQUIRE(chunks == (tokens.size() - 1) / tokens_per_chunk);

    for (const std::size_t split : splits) {
        CAPTURE(split);
        REQUIRE(split <= chunks);
        kv_memory mine(c, tokens_per_chunk, tokens.size());
        oc::load_options how;
        how.first_chunk = split;
        auto load = kv.load(match, mine.pages(), how);
        const std::size_t head = split * tokens_per_chunk;
        if (head != 0) {
            llama::forward_pass pass(m, tokens.first(head), 0);
            for (std::uint32_t l = 0; l < c.layers; ++l)
                mine.layer(pass, l, 0);
        }
        llama::forward_pass suffix(m, tokens.subspan(prefix), prefix);
        for (std::uint32_t l = 0; l < c.layers; ++l) {
            REQUIRE_FALSE(load.wait_layer(l));
            mine.layer(suffix, l, prefix);
        }
        const oc::load_report report = load.finish(asio::use_future).get();
        CHECK(report.failed.ok());
        CHECK(report.usable_tokens == prefix);
        CHECK(report.bytes == (chunks - split) * c.layers * oc::record_bytes(mine.shape));
        const auto logits = suffix.logits();
        check_same(whole, {mine.k, mine.v, {logits.begin(), logits.end()}}, 0, c.kv_width());
        CHECK(greedy(logits) == next);
    }
    CHECK_FALSE(kv.close(asio::use_future).get());
}

TEST_CASE("llama: a head that is computed and a tail that is loaded are the prefix, to the same bits")
{
    const llama::model m = llama::model::load(data / "f32_tied");
    const auto tokens = some_tokens(300, m.cfg().vocab);
    for (const oc::layout where :
         {oc::layout::chunk_objects, oc::layout::layer_objects, oc::layout::segment_objects}) {
        CAPTURE(oc::name(where));
        check_splits(m, tokens, 16, where, {0, 1, 4, 7, 17, 18});
    }
}

TEST_CASE("llama: the trained checkpoint goes on alike, whatever part of its prompt was loaded")
{
    const llama::model m = llama::model::load(example / "checkpoint");
    const auto prompt = llama::read_prompt(m.cfg(), example / "prompt.txt");
    check_splits(m, prompt, 64, oc::layout::segment_objects, {0, 20, 55});
}

} // namespace
