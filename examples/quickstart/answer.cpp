// SPDX-License-Identifier: BSL-1.0
#include "answer.hpp"

#include "text.hpp"

namespace quickstart {

namespace {

/** The pass of a prompt or of a token, launched layer by layer as `oc::run_layers` asks for it. */
struct launcher {
    sequence& seq;
    progress_bar* bar = nullptr;

    oc::host_event operator()(oc::layer_id layer)
    {
        if (bar)
            bar->at(layer + 1);
        return seq.launch(layer);
    }
};

double since(steady::time_point from)
{
    return std::chrono::duration<double>(steady::now() - from).count();
}

/** The first token is there: stop the clock, then decode the others. */
void finish_answer(outcome& out, sequence& seq, std::span<const float> logits, const question& q)
{
    llama::sampler choose;
    out.generated = {choose(logits)};
    out.ttft = since(out.began);
    out.compute = seq.timing();
    while (out.generated.size() < q.generate) {
        seq.begin_decode(out.generated.back());
        out.generated.push_back(choose(seq.run()));
    }
}

/** Some of the prefix did not come: compute it, and everything behind it, from the first token that is missing. */
void recompute_from(std::size_t usable, sequence& seq, outcome& out, const question& q)
{
    out.loaded_tokens = usable;
    out.computed_tokens = q.prompt.size() - usable;
    seq.begin_prefill(usable);
    finish_answer(out, seq, seq.run(), q);
}

} // namespace

outcome recompute(const question& q)
{
    outcome out;
    out.way = "recompute";
    sequence seq(q.model, q.prompt, 0, q.generate);
    progress_bar bar("recompute: layers", q.model.cfg().layers);
    out.began = steady::now();
    out.computed_tokens = q.prompt.size();
    seq.begin_prefill(0);
    const auto logits = seq.run([&](std::size_t done) { bar.at(done); });
    finish_answer(out, seq, logits, q);
    return out;
}

oc::asio::awaitable<outcome> whole(const question& q, kv_cache& cache)
{
    outcome out;
    out.way = "whole";
    const oc::scope where = scope_of(q.model, q.tokens_per_chunk);
    sequence seq(q.model, q.prompt, q.prompt.size(), q.generate);
    progress_bar bar("whole: layers", q.model.cfg().layers);
    out.began = steady::now();
    const auto match = co_await cache.match(where, q.prompt);
    out.match = since(out.began);
    oc::load_options everything;
    everything.layer_by_layer = false;
    auto load = cache.load(match, seq.prefix_pages(q.tokens_per_chunk), everything);
    out.load = co_await load.finish();
    out.trouble = match.ended_by.ok() ? out.load.failed : match.ended_by;
    out.loaded_tokens = out.load.usable_tokens;
    out.computed_tokens = q.prompt.size() - out.loaded_tokens;
    seq.begin_prefill(out.loaded_tokens);
    const auto logits = seq.run([&](std::size_t done) { bar.at(done); });
    finish_answer(out, seq, logits, q);
    out.requests = cache.stats().match_requests + cache.stats().load_requests;
    out.corrupt_chunks = cache.stats().chunks_corrupt;
    co_return out;
}

oc::asio::awaitable<outcome> layerwise(const question& q, kv_cache& cache)
{
    outcome out;
    out.way = "layerwise";
    const oc::scope where = scope_of(q.model, q.tokens_per_chunk);
    sequence seq(q.model, q.prompt, q.prompt.size(), q.generate);
    progress_bar bar("layerwise: layers", q.model.cfg().layers);
    out.began = steady::now();
    const auto match = co_await cache.match(where, q.prompt);
    out.match = since(out.began);
    auto load = cache.load(match, seq.prefix_pages(q.tokens_per_chunk));
    seq.begin_prefill(match.tokens());
    launcher launch{seq, &bar};
    const oc::error_code failed = co_await oc::run_layers(load, q.model.cfg().layers, launch);
    if (!failed) {
        out.loaded_tokens = match.tokens();
        out.computed_tokens = q.prompt.size() - match.tokens();
        const auto logits = seq.finish();
        finish_answer(out, seq, logits, q);
        out.load = co_await load.finish();
    } else {
        out.load = co_await load.finish();
        recompute_from(out.load.usable_tokens, seq, out, q);
    }
    out.trouble = match.ended_by.ok() ? out.load.failed : match.ended_by;
    out.requests = cache.stats().match_requests + cache.stats().load_requests;
    out.corrupt_chunks = cache.stats().chunks_corrupt;
    co_return out;
}

oc::asio::awaitable<outcome> stream_decode(const question& q, kv_cache& cache)
{
    outcome out;
    out.way = "stream";
    const oc::scope where = scope_of(q.model, q.tokens_per_chunk);
    const std::uint32_t layers = q.model.cfg().layers;
    sequence seq(q.model, q.prompt, q.prompt.size(), q.generate, q.layer_slots);
    progress_bar bar("stream: tokens", q.generate);
    out.began = steady::now();
    const auto match = co_await cache.match(where, q.prompt);
    out.match = since(out.began);

    oc::load_options every_step;
    every_step.passes =
        static_cast<std::uint32_t>(q.generate); // the prompt's pass, then one per token but the last
    every_step.timeout = cache.options().load_timeout * every_step.passes;
    auto load = cache.load(match, seq.prefix_pages(q.tokens_per_chunk), every_step);
    seq.begin_prefill(match.tokens());
    launcher launch{seq};
    llama::sampler choose;
    oc::error_code failed;
    for (std::uint32_t pass = 0; pass < every_step.passes && !failed; ++pass) {
        const auto step = steady::now();
        failed = co_await oc::run_layers(load, layers, launch, pass);
        if (failed)
            break;
        if (pass == 0)
            out.compute = seq.timing();
        out.generated.push_back(choose(seq.finish()));
        if (pass == 0)
            out.ttft = since(out.began);
        else
            out.step_seconds.push_back(since(step));
        bar.at(out.generated.size());
        if (pass + 1 < every_step.passes)
            seq.begin_decode(out.generated.back());
    }
    if (failed)
        load.cancel(); // the layers to come would wait for slots that nothing frees any more
    out.load = co_await load.finish();
    out.loaded_tokens = match.tokens();
    out.computed_tokens = q.prompt.size() - match.tokens();
    if (failed) {
        // The layers that were here have been overwritten: only the whole prompt can be computed again.
        outcome again = recompute(q);
        out.generated = again.generated;
        out.loaded_tokens = 0;
        out.computed_tokens = q.prompt.size();
        out.ttft = since(out.began);
        out.compute = again.compute;
        out.step_seconds.clear();
    }
    out.trouble = match.ended_by.ok() ? out.load.failed : match.ended_by;
    out.requests = cache.stats().match_requests + cache.stats().load_requests;
    out.corrupt_chunks = cache.stats().chunks_corrupt;
    co_return out;
}

} // namespace quickstart
