// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "report.hpp"
#include "store.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <ATen/ATen.h>

#include <exception>

// How an engine whose layers are enqueued ahead embeds the cache, for any `Compute`:
//     using device = ...;                      models objectcache::device
//     device& kv_device();
//     device::stream_ref stream();             for gates
//     void enqueue(F work);                    `work` is pass::layer: behind what the stream has
//     device::event record();
//     void rethrow();                          what enqueued work has thrown
//     std::optional<c10::Stream> torch_stream();
namespace torch_llama {

/** What to answer, and by what. */
struct question {
    const model& weights;
    std::vector<std::uint32_t> prompt;
    std::size_t shared; ///< tokens that were seen before
    std::size_t generate;
    std::uint32_t tokens_per_chunk;
    pass_options options;

    /** KV may be reused by the same weights, and by what rounds the same. */
    [[nodiscard]] oc::scope scope(const kv_memory& kv) const
    {
        oc::scope s;
        s.model = "llama";
        s.weights_revision = weights.fingerprint();
        s.geometry = kv.geometry(tokens_per_chunk);
        s.config = "libtorch " + std::string(name(options.how));
        return s;
    }
};

/** The pass of the prompt has been enqueued: take the first token, then decode the others. */
inline void finish_answer(outcome& out, const question& q, kv_memory& kv, pass& prompt)
{
    out.generated = {prompt.next_token()};
    out.ttft = seconds_since(out.began);
    out.logits = prompt.logits().to(at::kCPU);
    const auto decoding = steady::now();
    while (out.generated.size() < q.generate) {
        pass step(q.weights, kv, {&out.generated.back(), 1}, q.prompt.size() + out.generated.size() - 1,
                  q.options);
        step.run();
        out.generated.push_back(step.next_token());
    }
    if (q.generate > 1)
        out.decode = seconds_since(decoding) / static_cast<double>(q.generate - 1);
}

/** Without a cache. */
inline outcome recompute(const question& q, kv_memory& kv)
{
    outcome out;
    out.way = "recompute";
    out.began = steady::now();
    pass prompt(q.weights, kv, q.prompt, 0, q.options);
    prompt.run();
    out.computed_tokens = q.prompt.size();
    finish_answer(out, q, kv, prompt);
    return out;
}

/** All layers at once, each behind its gate: neither host nor coroutine is on the way of any of them. Runs on a thread of its
    own, because the queue of a device may be full until a gate opens. */
template <class Compute, class Load>
asio::awaitable<typename Compute::device::event> enqueue_behind_gates(Compute& on, Load& load, pass& prompt,
                                                                      std::uint32_t layers)
{
    for (std::uint32_t l = 0; l < layers; ++l) {
        if (const oc::error_code ec = load.gate(l, on.stream()))
            throw complaint("gate of layer " + std::to_string(l) + ": " + ec.message());
        on.enqueue([&prompt, l] { prompt.layer(l); });
    }
    co_return on.record();
}

/** Compute layer i while the layers behind it travel. */
template <class Compute, class Cache>
asio::awaitable<outcome> layerwise(const question& q, Compute& on, asio::thread_pool& launcher, Cache& cache,
                                   kv_memory& kv)
{
    outcome out;
    out.way = "layerwise";
    out.began = steady::now();
    const oc::scope where = q.scope(kv);
    const auto match = co_await cache.match(where, q.prompt);
    out.match = seconds_since(out.began);

    auto load = cache.load(match, kv.pages(q.tokens_per_chunk));
    std::optional<pass> prompt;
    prompt.emplace(q.weights, kv, std::span(q.prompt).subspan(match.tokens()), match.tokens(), q.options);
    const std::uint32_t layers = q.weights.cfg().layers;
    auto enqueueing = enqueue_behind_gates(on, load, *prompt, layers);
    const auto behind = co_await asio::co_spawn(launcher, std::move(enqueueing), asio::use_awaitable);
    const oc::error_code failed = co_await load.compute_layer(layers - 1, behind);
    on.rethrow();
    out.load = co_await load.finish();
    out.loaded_tokens = match.tokens();
    if (failed ||
        !out.load.failed.ok()) { // gates open for layers that failed, too: what they computed is void
        out.loaded_tokens = out.load.usable_tokens;
        prompt.emplace(q.weights, kv, std::span(q.prompt).subspan(out.loaded_tokens), out.loaded_tokens,
                       q.options);
        prompt->run();
    }
    out.computed_tokens = q.prompt.size() - out.loaded_tokens;
    finish_answer(out, q, kv, *prompt);
    out.trouble = match.ended_by.ok() ? out.load.failed : match.ended_by;
    out.requests = cache.stats().match_requests + cache.stats().load_requests;
    co_return out;
}

template <class Cache>
asio::awaitable<oc::store_report> store(const question& q, Cache& cache, oc::s3_tier& tier,
                                        const kv_memory& kv)
{
    // A bucket that exists is what we want; any other trouble with it shows in the store's report.
    const oc::status made = co_await tier.client().create_bucket(tier.bucket());
    (void)made;
    const oc::scope where = q.scope(kv);
    const auto pages = kv.pages(q.tokens_per_chunk);
    oc::store_report report = co_await cache.store(where, std::span(q.prompt).first(q.shared), pages);
    co_return report;
}

/** Run one coroutine over a cache of its own, which knows nothing of the store, to the end. */
template <class Compute, class Body>
auto with_cache(const s3_store& where, Compute& on, std::uint64_t layer_bytes, Body body)
{
    using cache_type = oc::cache<typename Compute::device, oc::s3_tier>;
    asio::io_context io;
    oc::s3_tier tier = where.tier(io);
    auto cache = checked(cache_type::create(tier, on.kv_device(), where.cache_options(layer_bytes)), "cache");
    using value = typename decltype(body(cache, tier))::value_type;
    std::optional<value> out;
    std::exception_ptr failure;
    auto all = [&]() -> asio::awaitable<void> {
        auto work = body(cache, tier);
        out.emplace(co_await std::move(work));
        (void)co_await cache.close();
    };
    asio::co_spawn(io, all(), [&](std::exception_ptr e) { failure = e; });
    io.run();
    if (failure)
        std::rethrow_exception(failure);
    return std::move(*out);
}

/** @throws error for a prompt that cannot be read. */
[[nodiscard]] std::vector<std::uint32_t> prompt_of(const settings& s, const config& c);
[[nodiscard]] kv_memory memory_for(const settings& s, const config& c, std::size_t tokens);

inline void warm_up(const question& q, kv_memory& kv, std::size_t first)
{
    pass prompt(q.weights, kv, std::span(q.prompt).subspan(first), first, q.options);
    prompt.run();
    (void)prompt.next_token();
}

/** The longest slice of which a prefix is a whole number: behind it every bit is the same then, whether it is computed or
    loaded (`pass_options::slice_tokens`). Of a prefix that has only short ones, `most`. */
[[nodiscard]] inline std::int64_t whole_slice(std::size_t prefix, std::int64_t most)
{
    const auto n = static_cast<std::int64_t>(prefix);
    std::int64_t slices = (n + most - 1) / most;
    while (n % slices != 0)
        ++slices;
    constexpr std::int64_t least = 512; // shorter ones leave a device idle
    return n / slices >= std::min(n, least) ? n / slices : most;
}

/** One prompt without a cache and from the cache, compared. Returns the exit status. */
template <class Compute>
int run_on(Compute& on, const settings& s)
{
    const placement where = s.where();
    const model weights = s.directory.empty() ? model::random(named_config(s.random), s.seed, where)
                                              : model::load(s.directory, where);
    question q{weights, prompt_of(s, weights.cfg()), 0, s.generate, s.tokens_per_chunk, s.options()};
    q.shared = static_cast<std::size_t>(static_cast<double>(q.prompt.size()) * s.shared);
    q.options.stream = on.torch_stream();
    const std::size_t room = q.prompt.size() + q.generate;
    kv_memory computed = memory_for(s, weights.cfg(), room), loaded = memory_for(s, weights.cfg(), room);
    const auto geometry = computed.geometry(s.tokens_per_chunk);
    const std::uint64_t layer_bytes = 2 * geometry.row_bytes() * q.prompt.size();
    const std::size_t whole_chunks = geometry.whole_chunks(q.shared) * s.tokens_per_chunk;
    if (s.slice_tokens == 0 && whole_chunks != 0)
        q.options.slice_tokens = whole_slice(whole_chunks, q.options.slice_tokens);
    asio::thread_pool launcher(1);
    if (where.device.is_cuda()) { // see `pass`: by the threads, and of the shapes, that follow
        warm_up(q, loaded, 0);
        asio::post(launcher, asio::use_future([&] { warm_up(q, loaded, whole_chunks); })).get();
    }
    loaded.fill(0);

    s3_store store_at(s);
    std::vector<outcome> ways{recompute(q, computed)};
    const auto stored = with_cache(store_at, on, layer_bytes, [&](auto& cache, oc::s3_tier& tier) {
        return store(q, cache, tier, computed);
    });
    check(stored.failed, "cannot store");
    store_at.shape_link();
    ways.push_back(with_cache(store_at, on, layer_bytes, [&](auto& cache, oc::s3_tier&) {
        return layerwise(q, on, launcher, cache, loaded);
    }));

    print_table(ways, stored);
    const bool same_kv = computed.same_bytes(loaded, ways[1].loaded_tokens);
    print_comparison(ways[0], ways[1], same_kv);
    check(ways[1].trouble, "not everything came from the cache");
    if (ways[1].loaded_tokens != whole_chunks)
        throw complaint(std::to_string(ways[1].loaded_tokens) + " tokens came from the cache, " +
                        std::to_string(whole_chunks) + " were stored");
    if (!same_kv)
        throw complaint("the KV that was loaded is not the KV that was stored");
    if (ways[0].generated != ways[1].generated)
        throw complaint("the tokens with a cache differ from the tokens without");
    return 0;
}

} // namespace torch_llama
