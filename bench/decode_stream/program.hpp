// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "../support/json_line.hpp"

#include "feeds.hpp"
#include "raw_reads.hpp"
#include "settings.hpp"

#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>

#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>
#include <random>

namespace decode_stream {

/** Decode steps of `batch` sequences over one prefix, all layers on the device and streamed, compared in time and in what comes out.

    A `Machine` is a `Compute` of examples/libtorch_llama (answer.hpp) and has beside it
        lane(Machine&, slots)    copies into slots, and the compute stream's waits for them
        pinned(bytes)            memory that a lane copies from: `bytes()`
        at::Device torch_device(), at::ScalarType dtype, std::string name(), bool simulated
        void settle()            blocks until layers are done, where they run on a thread of their own */
template <class Machine>
class program {
public:
    program(const settings& s, Machine& on)
        : s_(s)
        , on_(on)
        , place_{on.torch_device(), Machine::dtype}
        , guard_(on.torch_stream())
        , weights_(torch_llama::model::random(shape_of(s), 1, place_))
    {
        options_.stream = on.torch_stream();
    }

    /** Returns whether everything that was streamed was right. */
    bool run()
    {
        const auto& c = cfg();
        std::printf("%s%s: %s, %u layers, %u KV heads of %u, random weights; one prefix, G = %u, %zu slots\n",
                    on_.name().c_str(), Machine::simulated ? ", where the bus is simulated" : "",
                    s_.model.c_str(), c.layers, c.kv_heads, c.head_dim, s_.chunk, s_.slots);
        for (const std::size_t context : s_.contexts)
            with_context(context);
        if (!good_)
            std::printf("WRONG: see above\n");
        return good_;
    }

private:
    using side = cache_side_of<typename Machine::device>;

    static torch_llama::config shape_of(const settings& s)
    {
        auto c = torch_llama::named_config(s.model);
        if (s.layers != 0)
            c.layers = static_cast<std::uint32_t>(s.layers);
        return c;
    }
    [[nodiscard]] const torch_llama::config& cfg() const { return weights_.cfg(); }

    /** The stored layers that fit `kept_mib`, of which all ways to divide the model's layers can be served. */
    [[nodiscard]] std::size_t stored_layers(std::size_t layer_bytes) const
    {
        for (std::size_t n = std::min<std::size_t>((s_.kept_mib << 20) / layer_bytes, cfg().layers); n > 0;
             --n)
            if (std::all_of(s_.resident.begin(), s_.resident.end(), [&](std::size_t resident) {
                    return resident < cfg().layers && stream_plan{cfg().layers, resident, n, s_.slots}.good();
                }))
                return n;
        throw std::runtime_error(
            "--kept-mib, --slots, --resident: the layers to be streamed must be several times the slots, "
            "and either all layers are kept, or a number that divides those");
    }

    void with_context(std::size_t tokens)
    {
        tokens = tokens / s_.chunk * s_.chunk;
        tokens_ = tokens;
        const std::int64_t kv_heads = cfg().kv_heads, dim = cfg().head_dim;
        const auto kind = at::TensorOptions(place_.device).dtype(place_.dtype);
        const std::vector<std::int64_t> sizes{2, static_cast<std::int64_t>(tokens), kv_heads, dim};
        layer_bytes_ = tokens * 2 * cfg().kv_heads * cfg().head_dim * at::elementSize(place_.dtype);
        const std::size_t stored = stored_layers(layer_bytes_);
        // Keys that make scores differ much, so that attention looks at few tokens and not at the mean of all.
        const double sharp = 3 / (0.02 * std::sqrt(static_cast<double>(cfg().hidden)));
        std::vector<layer_kv> kv, slots;
        std::printf(
            "\n%zu tokens: %.3g GiB of KV, %.4g MiB a layer, %zu layers of it kept (the model has %u)\n",
            tokens, gib(layer_bytes_ * cfg().layers), gib(layer_bytes_) * 1024, stored, cfg().layers);
        for (std::size_t i = 0; i < stored; ++i) {
            kv.push_back(at::empty(sizes, kind));
            kv.back()[0].normal_(0, sharp);
            kv.back()[1].normal_();
        }
        for (std::size_t i = 0; i < s_.slots; ++i)
            slots.push_back(at::zeros(sizes, kind));
        torch_llama::synchronize(place_.device); // others copy there on streams of their own
        kv_ = &kv;

        std::optional<typename Machine::pinned> dram;
        if (s_.wants("dram")) {
            dram.emplace(stored * layer_bytes_);
            for (std::size_t i = 0; i < stored; ++i)
                at::from_blob(dram->bytes().data() + i * layer_bytes_, sizes, at::TensorOptions(place_.dtype))
                    .copy_(kv[i]);
        }
        bus_ = bus_rate(slots);
        std::printf("  plain copies to the device: %.2f GB/s\n", bus_ / 1e9);
        std::optional<store_server> server;
        std::optional<on_cores> apart; // from the server
        std::optional<side> cache;
        oc::prefix_match match;
        raw_ = 0;
        if (s_.wants("s3")) {
            server.emplace(s_.store);
            apart.emplace(0, store_server::cores_beside(s_.store));
            server->set({0, 0});
            cache.emplace(*server, on_.kv_device(), s_.store.io_threads, cache_options());
            match = store(*cache, kv);
            server->set(s_.link);
            raw_reads raw(cache->store(), match, cache_options(), 0);
            raw_ = raw.measure(std::chrono::milliseconds(300), std::chrono::milliseconds(1000));
            std::printf("  plain reads of the store: %.2f GB/s\n", raw_ / 1e9);
        }
        heading();
        for (const std::size_t resident : s_.resident)
            for (const std::size_t batch : s_.batches) {
                const stream_plan plan{cfg().layers, resident, stored, s_.slots};
                std::vector<source> from;
                if (dram)
                    from.push_back({"dram", bus_, [&](std::size_t count) -> std::unique_ptr<feed> {
                                        return std::make_unique<dram_feed<typename Machine::lane>>(
                                            on_, plan, dram->bytes(), slots, count);
                                    }});
                if (cache)
                    from.push_back(
                        {"s3", std::min(raw_, bus_), [&](std::size_t count) -> std::unique_ptr<feed> {
                             const double s = static_cast<double>(count * layer_bytes_) / raw_;
                             return std::make_unique<store_feed<Machine>>(
                                 on_, cache->get(), match, plan, slots, count,
                                 std::chrono::seconds(60 + static_cast<long>(4 * s)));
                         }});
                cell(plan, batch, from);
            }
        kv_ = nullptr;
    }

    [[nodiscard]] oc::cache_options cache_options() const
    {
        oc::cache_options o;
        o.stored_as = oc::layout::segment_objects;
        o.staging_bytes = s_.staging_mib << 20;
        o.pace_layers = s_.pace;
        o.match_timeout = std::chrono::seconds(20);
        o.load_timeout = o.store_timeout = std::chrono::seconds(300);
        o.index_ttl = std::chrono::hours(1);
        o.max_writes = 16;
        return o;
    }

    [[nodiscard]] oc::prefix_match store(side& cache, const std::vector<layer_kv>& kv)
    {
        oc::scope where;
        where.model = s_.model;
        where.weights_revision = weights_.fingerprint();
        where.geometry.layers = static_cast<std::uint32_t>(kv.size());
        where.geometry.kv_heads = cfg().kv_heads;
        where.geometry.head_size = cfg().head_dim;
        where.geometry.dtype = Machine::dtype == at::kFloat ? oc::kv_dtype::f32 : oc::kv_dtype::bf16;
        where.geometry.tokens_per_chunk = s_.chunk;
        std::mt19937 random(1);
        std::vector<std::uint32_t> prompt(tokens_ + 1); // of which a match leaves one
        for (auto& t : prompt)
            t = random() % cfg().vocab;
        const auto began = steady::now();
        const auto stored = cache.get()
                                .store(where, std::span(prompt).first(tokens_),
                                       pages_over(kv, where.geometry, tokens_), {}, asio::use_future)
                                .get();
        if (!stored.failed.ok())
            throw std::runtime_error("storing: " + stored.failed.message());
        auto match = cache.get().match(where, prompt, asio::use_future).get();
        if (match.tokens() != tokens_)
            throw std::runtime_error("what was stored is not found: " + match.ended_by.message());
        std::printf("  stored in %.1f s\n", std::chrono::duration<double>(steady::now() - began).count());
        return match;
    }

    /** Bytes per second of copies as long as a layer, one behind the other. */
    [[nodiscard]] double bus_rate(const std::vector<layer_kv>& slots)
    {
        const std::size_t size = std::min<std::size_t>(layer_bytes_, std::size_t{1} << 30);
        const typename Machine::pinned from(size);
        typename Machine::lane lane(on_, slots.size());
        const auto copies = [&](std::size_t count) {
            const auto began = steady::now();
            for (std::size_t i = 0; i < count; ++i)
                lane.copy(i % slots.size(), slots[i % slots.size()].data_ptr(), from.bytes().data(), size);
            lane.synchronize();
            return static_cast<double>(count * size) /
                   std::chrono::duration<double>(steady::now() - began).count();
        };
        const double first = copies(2); // of half a second then
        return copies(
            std::max<std::size_t>(4, static_cast<std::size_t>(first / 2 / static_cast<double>(size))));
    }

    struct source {
        const char* name;
        double bound; // bytes per second
        std::function<std::unique_ptr<feed>(std::size_t layers)> begin;
    };

    struct series {
        std::vector<double> ms;         // by step
        std::vector<at::Tensor> inputs; // tokens of each sequence, on the device
        at::Tensor logits;              // [steps][batch][vocab]
    };

    /** Steps one behind the other; with tokens of its own, or those of a series before.

        @param from null: all layers are on the device
        @param mistaken the layers' KV is that of the stored layer so many behind the right one */
    void decode(series& out, const stream_plan& plan, torch_llama::own_kv& own, std::size_t steps, feed* from,
                const series* like = nullptr, std::size_t mistaken = 0)
    {
        out.ms.clear();
        std::size_t streamed = 0; // layers so far
        auto began = steady::now();
        for (std::size_t n = 0; n < steps; ++n) {
            if (like)
                out.inputs[n] = like->inputs[n];
            torch_llama::shared_decode step(weights_, own, out.inputs[n], tokens_, s_.own + n, options_);
            for (std::size_t l = 0; l < plan.layers; ++l) {
                const bool comes = from && l >= plan.resident;
                const layer_kv& kv =
                    comes ? from->enter(streamed) : (*kv_)[(plan.kv_of(l) + mistaken) % plan.stored];
                on_.enqueue(
                    [&step, l, rows = rows_of(kv)] { step.layer(static_cast<std::uint32_t>(l), rows); });
                if (comes)
                    from->leave(streamed++);
            }
            on_.settle();
            out.logits[static_cast<std::int64_t>(n)].copy_(step.logits());
            const auto next = step.next_tokens();
            (void)next.to(at::kCPU); // the step is over when the host knows its tokens
            if (!like && n + 1 < steps)
                out.inputs[n + 1] = next;
            const auto now = steady::now();
            out.ms.push_back(std::chrono::duration<double, std::milli>(now - began).count());
            began = now;
        }
    }

    [[nodiscard]] series room_for(std::size_t batch, std::size_t steps) const
    {
        series out;
        out.inputs.resize(steps);
        out.inputs[0] =
            at::arange(static_cast<std::int64_t>(batch), at::TensorOptions(place_.device).dtype(at::kLong)) %
            static_cast<std::int64_t>(cfg().vocab);
        out.logits =
            at::zeros({static_cast<std::int64_t>(steps), static_cast<std::int64_t>(batch), cfg().vocab},
                      at::TensorOptions(place_.device).dtype(at::kFloat));
        return out;
    }

    /** The largest difference of any step, as a fraction of the largest magnitude. */
    static double difference(const at::Tensor& a, const at::Tensor& b)
    {
        const auto worst = (a - b).abs().amax({1, 2}) / b.abs().amax({1, 2});
        return worst.max().template item<double>();
    }

    /** One step before those that count and one behind them, so that as much is under way when they end as when they begin. */
    [[nodiscard]] std::size_t steps_for(const stream_plan& plan, const std::vector<source>& from) const
    {
        double longest = 0;
        for (const source& one : from)
            longest = std::max(longest, static_cast<double>(plan.streamed() * layer_bytes_) / one.bound);
        const double fit = longest > 0 ? s_.longest_s / longest - 2 : 1e9;
        return 2 + static_cast<std::size_t>(std::clamp(fit, 2.0, static_cast<double>(s_.steps)));
    }

    void cell(const stream_plan& plan, std::size_t batch, const std::vector<source>& from)
    {
        const std::size_t steps = steps_for(plan, from);
        torch_llama::own_kv own(cfg(), place_, batch, s_.own + steps);
        for (auto* part : {&own.k, &own.v})
            for (at::Tensor& one : *part)
                one.normal_();
        series resident = room_for(batch, steps), streamed = room_for(batch, steps);
        // First with nothing to wait for: a kernel that is launched for the first time is loaded, which would wait for a gate
        // that is closed. So it has to be the same steps, whose sequences grow in the same way. Then once more, warm.
        decode(resident, plan, own, steps, nullptr);
        decode(streamed, plan, own, 1, nullptr, &resident, 1);
        const double mistaken = difference(streamed.logits.narrow(0, 0, 1), resident.logits.narrow(0, 0, 1));
        decode(streamed, plan, own, steps, nullptr, &resident);
        const std::vector<double> near = measured(streamed.ms);
        report(plan, batch, "device", 0, near, near, difference(streamed.logits, resident.logits), mistaken,
               0);
        for (const source& one : from) {
            streamed.logits.zero_();
            const auto f = one.begin(plan.streamed() * steps);
            decode(streamed, plan, own, steps, f.get(), &resident);
            try {
                f->finish();
            } catch (const std::runtime_error& e) { // the next one may do better
                std::printf("%s: %s\n", one.name, e.what());
                good_ = false;
                continue;
            }
            const double error = difference(streamed.logits, resident.logits);
            report(plan, batch, one.name, one.bound, measured(streamed.ms), near, error, mistaken,
                   static_cast<double>(f->requests()) / static_cast<double>(steps));
        }
    }
    static std::vector<double> measured(const std::vector<double>& ms)
    {
        return {ms.begin() + 1, ms.end() - 1};
    }

    static double gib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

    static void heading()
    {
        std::printf("%9s %8s %5s %-6s %9s %9s %9s %8s %6s %9s %11s %9s\n", "tokens", "resident", "batch",
                    "from", "step ms", "least", "most", "GB/step", "bound", "tokens/s", "on device", "error");
    }

    void report(const stream_plan& plan, std::size_t batch, const char* from, double bound,
                const std::vector<double>& ms, const std::vector<double>& near, double error, double mistaken,
                double requests)
    {
        // What must be far from what a mistake would do; equal to the bit it need not be.
        const bool right = mistaken > 0 && error <= mistaken / 20;
        good_ = good_ && right;
        const double bytes = bound > 0 ? static_cast<double>(plan.streamed() * layer_bytes_) : 0;
        const double step = quantile(ms, 0.5), resident = quantile(near, 0.5);
        const double fraction = bound > 0 ? bytes / bound * 1e3 / step : 0;
        const double rate = static_cast<double>(batch) * 1e3 / step;
        std::printf("%9zu %8zu %5zu %-6s %9.2f %9.2f %9.2f %8.3f %5.1f%% %9.1f %8.2f ms %9.2g\n", tokens_,
                    plan.resident, batch, from, step, quantile(ms, 0), quantile(ms, 1), bytes / 1e9,
                    100 * fraction, rate, resident, error);
        if (!right)
            std::printf("WRONG: the scores are off by %.2g, and a mistaken layer makes %.2g\n", error,
                        mistaken);
        std::fflush(stdout);
        const auto& c = cfg();
        const auto t = static_cast<double>(tokens_);
        const double per_token = 2.0 * c.hidden * c.head_dim * (2.0 * c.heads + 2.0 * c.kv_heads) +
                                 6.0 * c.hidden * c.intermediate;
        json_line("decode_stream")
            .word("device", on_.name())
            .number("simulated", Machine::simulated)
            .word("model", s_.model)
            .number("layers", c.layers)
            .number("context", t)
            .number("G", s_.chunk)
            .word("from", from)
            .number("resident", static_cast<double>(plan.resident))
            .number("slots", static_cast<double>(plan.slots))
            .number("kept", static_cast<double>(plan.stored))
            .number("layer_bytes", static_cast<double>(layer_bytes_))
            .number("batch", static_cast<double>(batch))
            .number("own", static_cast<double>(s_.own))
            .number("steps", static_cast<double>(ms.size()))
            .number("step_ms", step)
            .number("step_ms_min", quantile(ms, 0))
            .number("step_ms_max", quantile(ms, 1))
            .number("bytes", bytes)
            .number("requests", requests)
            .number("bound_gbps", bound / 1e9)
            .number("bus_gbps", bus_ / 1e9)
            .number("store_gbps", raw_ / 1e9)
            .number("gbit", s_.link.gbit)
            .number("latency_ms", s_.link.latency_ms)
            .number("io_threads", s_.store.io_threads)
            .number("pace", s_.pace)
            .number("staging_mib", static_cast<double>(s_.staging_mib))
            .number("fraction", fraction)
            .number("tokens_per_s", rate)
            .number("on_device_ms", resident)
            .number("error", error)
            .number("mistaken", mistaken)
            // Of computing the prefix anew: products, and the half of the attention that causality leaves.
            .number("recompute_tflop", c.layers * (per_token * t + 2.0 * t * t * c.heads * c.head_dim) / 1e12)
            .append_to(s_.json);
    }

    const settings& s_;
    Machine& on_;
    torch_llama::placement place_;
    c10::InferenceMode inference_;
    c10::OptionalStreamGuard guard_; // everything here is enqueued where the layers are
    torch_llama::model weights_;
    torch_llama::pass_options options_;
    const std::vector<layer_kv>* kv_ = nullptr; // by stored layer, on the device
    std::size_t tokens_ = 0, layer_bytes_ = 0;
    double bus_ = 0, raw_ = 0; // bytes per second
    bool good_ = true;
};

} // namespace decode_stream
