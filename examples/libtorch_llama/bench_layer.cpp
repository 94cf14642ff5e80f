// SPDX-License-Identifier: BSL-1.0
//
// The engine alone: how long one layer takes for the tokens behind a cached prefix, for each way of attention, and what a link
// must bring to hide the load of the next layer's KV behind it.
#include "settings.hpp"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>

namespace torch_llama {
namespace {

/** Milliseconds that `work` takes on the device: between two events of its stream, or by the clock on a CPU. */
template <class Work>
double milliseconds(at::Device device, Work work)
{
    if (!device.is_cuda()) {
        const auto from = std::chrono::steady_clock::now();
        work();
        return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - from).count();
    }
    const auto stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
    c10::Event before(device.type(), c10::EventFlag::BACKEND_DEFAULT),
        after(device.type(), c10::EventFlag::BACKEND_DEFAULT);
    before.record(stream);
    work();
    after.record(stream);
    after.synchronize();
    return before.elapsedTime(after);
}

/** The median over `iterations`, after two that only warm up. */
double layer_time(const model& m, kv_memory& kv, const std::vector<std::uint32_t>& tokens, std::size_t first,
                  const pass_options& options, std::size_t iterations)
{
    std::vector<double> times;
    for (std::size_t i = 0; i < iterations + 2; ++i) {
        pass p(m, kv, tokens, first, options);
        const double t = milliseconds(m.where().device, [&] { p.layer(0); });
        if (i >= 2)
            times.push_back(t);
    }
    std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
    return times[times.size() / 2];
}

} // namespace

void bench_layers(const settings& s)
{
    config c = s.directory.empty() ? named_config(s.random) : llama::read_config(s.directory / "config.json");
    const std::uint32_t layers = c.layers;
    c.layers = 1; // all layers are alike
    const model m = model::random(c, s.seed, s.where());
    std::printf("one layer of %s (hidden %u, %u heads, %u KV heads of %u, MLP %u), %s on %s, slices of %lld "
                "tokens, median of "
                "%zu\n\n  %8s %6s %8s %-12s %10s %12s %14s %16s\n",
                s.directory.empty() ? s.random.c_str() : s.directory.c_str(), c.hidden, c.heads, c.kv_heads,
                c.head_dim, c.intermediate, at::toString(m.where().dtype), m.where().device.str().c_str(),
                static_cast<long long>(s.slice_tokens), s.iterations, "context", "hit", "suffix", "attention",
                "ms/layer", "ms/model", "KV MiB/layer", "GB/s to hide it");
    const auto with = [&](kv_memory& kv, std::size_t context, std::size_t first, attention how) {
        pass_options options = s.options();
        options.how = how;
        const std::vector<std::uint32_t> tokens(context - first, 1);
        const double ms = layer_time(m, kv, tokens, first, options, s.iterations);
        const double bytes = 2.0 * static_cast<double>(kv.geometry(1).row_bytes() * first);
        std::printf("  %8zu %5.1f%% %8zu %-12s %10.3f %12.1f %14.1f %16.1f\n", context,
                    100.0 * static_cast<double>(first) / static_cast<double>(context), context - first,
                    std::string(name(how)).c_str(), ms, ms * layers, bytes / (1 << 20), bytes / ms / 1e6);
        std::fflush(stdout);
    };
    for (const std::size_t context : s.contexts) {
        kv_memory kv(c, s.where(), context);
        kv.fill(1);
        for (const double hit : s.hits)
            for (const attention how : all_attentions)
                with(kv, context,
                     std::min(static_cast<std::size_t>(hit * static_cast<double>(context)), context - 1),
                     how);
        for (const attention how : all_attentions) // recompute all
            with(kv, context, 0, how);
        with(kv, context, context - 1, attention::single); // decode
    }
}

} // namespace torch_llama
