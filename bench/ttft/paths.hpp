// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "../support/store_side.hpp"

#include "engine.hpp"

#include <objectcache/cuda/device.hpp>
#include <objectcache/cuda/kv_kernels.hpp>
#include <objectcache/cuda/pinned.hpp>
#include <objectcache/cuda/stream.hpp>

#include <ATen/ATen.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

// The ways from a prompt to its first token, each as an engine would do it.
namespace ttft {

using namespace bench;

using steady = std::chrono::steady_clock;
using cache_side = cache_side_of<oc::cuda::device>;

inline double ms_since(steady::time_point from)
{
    return std::chrono::duration<double, std::milli>(steady::now() - from).count();
}

inline void cuda_ok(cudaError_t e, const char* doing)
{
    if (e != cudaSuccess)
        throw std::runtime_error(std::string(doing) + ": " + cudaGetErrorString(e));
}

/** What one run says. */
struct sample {
    double ttft_ms = 0;
    double match_ms = 0;
    double load_ms = 0;            ///< from load() to the last layer on the device
    std::vector<double> stalls_ms; ///< by layer: what the compute stream stood still at its gate
    double cpu_ms = 0;             ///< of the cache's threads; of the pipeline's alone:
    double pipeline_cpu_ms = 0;
    std::uint64_t bytes = 0, requests = 0;
    std::uint32_t token = 0;
    double alone_ms = 0; ///< while_storing: the TTFT just before, of an engine that stores nothing
};

/** Pairs of events around the gates of a stream. */
class stall_clock {
public:
    explicit stall_clock(std::size_t layers) : pairs_(layers)
    {
        for (auto& [before, after] : pairs_) {
            cuda_ok(cudaEventCreate(&before), "event");
            cuda_ok(cudaEventCreate(&after), "event");
        }
    }
    stall_clock(const stall_clock&) = delete;
    stall_clock& operator=(const stall_clock&) = delete;
    ~stall_clock()
    {
        for (auto& [before, after] : pairs_) {
            cudaEventDestroy(before);
            cudaEventDestroy(after);
        }
    }
    template <class Wait>
    void around(std::size_t layer, cudaStream_t stream, Wait wait)
    {
        cuda_ok(cudaEventRecord(pairs_[layer].first, stream), "event");
        wait();
        cuda_ok(cudaEventRecord(pairs_[layer].second, stream), "event");
    }
    /** @pre The stream is past all of them. */
    [[nodiscard]] std::vector<double> read() const
    {
        std::vector<double> out;
        for (const auto& [before, after] : pairs_) {
            float ms = 0;
            cuda_ok(cudaEventElapsedTime(&ms, before, after), "elapsed time");
            out.push_back(ms);
        }
        return out;
    }

private:
    std::vector<std::pair<cudaEvent_t, cudaEvent_t>> pairs_;
};

/** The engine, its KV, and the GPU. */
struct host {
    oc::cuda::device& device;
    oc::cuda::stream& stream;
    const torch_llama::model& weights;
    torch_llama::kv_memory& kv;
    torch_llama::pass_options options;

    [[nodiscard]] std::size_t layers() const { return weights.cfg().layers; }
    [[nodiscard]] torch_llama::pass pass(std::span<const std::uint32_t> prompt, std::size_t first) const
    {
        return {weights, kv, prompt.subspan(first), first, options};
    }
    void settle() const { cuda_ok(cudaDeviceSynchronize(), "the device"); }
};

/** Tokens [first, end) with the KV of those before on the device already: with first = 0, recompute; else the bound that
    nothing can beat, and what a layer's compute takes. */
inline sample compute(const host& h, std::span<const std::uint32_t> prompt, std::size_t first)
{
    h.settle();
    sample out;
    const auto began = steady::now();
    auto p = h.pass(prompt, first);
    p.run();
    out.token = p.next_token();
    out.ttft_ms = ms_since(began);
    return out;
}

/** Recompute, while the KV of another prompt as long, computed before, goes to the store; and the same without that. A GPU
    is faster when it stood still before, and slower with each prompt: both are the fourth prompt after a pause.

    @param where  of which nothing is stored yet
    @param pause_ms  that the last one stood still until its KV was stored */
inline sample while_storing(const host& h, cache_side& side, const oc::scope& where,
                            std::span<const std::uint32_t> prompt, const oc::kv_pages& others,
                            double pause_ms)
{
    sample out;
    for (int i = 0; i < 4; ++i)
        out.alone_ms = compute(h, prompt, 0).ttft_ms;
    std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(pause_ms));
    for (int i = 0; i < 3; ++i)
        (void)compute(h, prompt, 0);
    h.settle();
    const auto before = side.used();
    const auto began = steady::now();
    auto stored = side.get().store(where, prompt, others, {}, asio::use_future);
    auto p = h.pass(prompt, 0);
    p.run();
    out.token = p.next_token();
    out.ttft_ms = ms_since(began);
    const auto report = stored.get();
    out.load_ms = ms_since(began); // TTFT, where storing was done sooner
    if (!report.failed.ok())
        throw std::runtime_error("store: " + report.failed.message());
    out.bytes = report.bytes;
    out.requests = report.requests;
    const auto after = side.used();
    out.cpu_ms = 1e3 * (after.all - before.all);
    out.pipeline_cpu_ms = 1e3 * (after.pipeline - before.pipeline);
    return out;
}

/** KV layer-major in pinned DRAM, and nothing but copies: opt-local-LW, or, not by layers, all copies first. */
class local_store {
public:
    local_store(const host& h, std::size_t tokens) : tokens_(tokens)
    {
        const auto g = h.kv.geometry(1);
        part_ = tokens * g.row_bytes();
        slab_ = checked(oc::cuda::pinned_slab::create(h.device.ordinal(), 2 * h.layers() * part_), "pinned");
        for (std::size_t l = 0; l < h.layers(); ++l) {
            const auto rows = h.kv.read(l, tokens);
            copy_out(at(l, 0), rows.k.data_ptr(), part_);
            copy_out(at(l, 1), rows.v.data_ptr(), part_);
        }
    }
    local_store(const local_store&) = delete;
    local_store& operator=(const local_store&) = delete;

    /** The first layers of the first tokens, each to its gate. */
    void bring(const host& h, std::size_t tokens, oc::cuda::gates& gates, std::size_t layers)
    {
        const std::size_t bytes = tokens * h.kv.geometry(1).row_bytes();
        for (std::size_t l = 0; l < layers; ++l) {
            const auto rows = h.kv.read(l, tokens);
            const std::array ops = {oc::copy_op{static_cast<std::byte*>(rows.k.data_ptr()), at(l, 0), bytes},
                                    oc::copy_op{static_cast<std::byte*>(rows.v.data_ptr()), at(l, 1), bytes}};
            if (h.device.copy(oc::copy_queue::load, ops) || h.device.open_gate(gates, l))
                std::abort();
        }
    }

    [[nodiscard]] sample run(const host& h, std::span<const std::uint32_t> prompt, std::size_t first,
                             bool layerwise, stall_clock& stalls)
    {
        h.settle();
        const std::size_t bytes = first * h.kv.geometry(1).row_bytes();
        auto gates = h.device.make_gates(h.layers());
        sample out;
        const auto began = steady::now();
        auto p = h.pass(prompt, first); // brings its token ids to the device, ahead of the KV
        // From a thread of its own: the queue of copies has an end, and the layers should not wait for it.
        std::jthread copier([&] { bring(h, first, gates, h.layers()); });
        for (std::size_t l = 0; l < h.layers(); ++l) {
            stalls.around(l, h.stream.native(), [&] {
                if (h.device.wait_gate(gates, layerwise ? l : h.layers() - 1, h.stream))
                    throw std::runtime_error("gate");
            });
            p.layer(static_cast<std::uint32_t>(l));
        }
        out.token = p.next_token();
        out.ttft_ms = ms_since(began);
        out.stalls_ms = stalls.read();
        out.bytes = 2 * bytes * h.layers();
        return out;
    }

private:
    [[nodiscard]] std::byte* at(std::size_t layer, std::size_t v) const
    {
        return slab_.bytes().data() + (2 * layer + v) * part_;
    }
    static void copy_out(void* to, const void* from, std::size_t n)
    {
        cuda_ok(cudaMemcpy(to, from, n, cudaMemcpyDeviceToHost), "copy");
    }

    std::size_t tokens_, part_ = 0;
    oc::cuda::pinned_slab slab_;
};

struct store_read {
    std::uint32_t tokens_per_chunk;
    std::size_t tokens;
    bool layerwise;               ///< all layers are enqueued at once, each behind its gate
    local_store* local = nullptr; ///< has the first `near` layers
    std::uint32_t near = 0;
    std::size_t first_chunk = 0; ///< the chunks below it are computed meanwhile
};

/** From the store. */
inline sample from_store(const host& h, cache_side& side, const oc::scope& where,
                         std::span<const std::uint32_t> prompt, const store_read& what, stall_clock& stalls)
{
    h.settle();
    const std::size_t first = what.tokens;
    auto front = h.device.make_gates(what.near);
    sample out;
    const auto before = side.used();
    const auto began = steady::now();
    oc::load_options how;
    how.layer_by_layer = what.layerwise;
    how.first_layer = what.near;
    how.first_chunk = what.first_chunk;
    steady::time_point load_began;
    // On the cache's own thread, and one after the other: no thread has to be woken in between. The load begins before the
    // passes, whose token ids are on the device before the first bytes of KV, which come a latency later.
    const auto begin = [&]() -> asio::awaitable<cache_side::cache::load_type> {
        // The prefix is what is shared; one token more, because a match leaves at least one to compute.
        auto match = co_await side.get().match(where, prompt.first(first + 1), asio::use_awaitable);
        out.match_ms = ms_since(began);
        if (match.tokens() != first)
            throw std::runtime_error(std::to_string(match.tokens()) + " of " + std::to_string(first) +
                                     " tokens were found: " + match.ended_by.message());
        load_began = steady::now();
        co_return side.get().load(match, h.kv.pages(what.tokens_per_chunk), how);
    };
    auto load = asio::co_spawn(side.executor(), begin, asio::use_future).get();
    if (what.first_chunk != 0)
        h.pass(prompt.first(what.first_chunk * what.tokens_per_chunk), 0).run();
    auto p = h.pass(prompt, first);
    if (what.near != 0)
        what.local->bring(h, first, front, what.near);
    if (!what.layerwise && load.wait_layer(static_cast<oc::layer_id>(h.layers() - 1)))
        throw std::runtime_error("the load failed");
    for (std::size_t l = 0; l < h.layers(); ++l) {
        stalls.around(l, h.stream.native(), [&] {
            if (l < what.near) {
                if (h.device.wait_gate(front, l, h.stream))
                    throw std::runtime_error("gate");
            } else if (what.layerwise)
                if (const auto ec = load.gate(static_cast<oc::layer_id>(l), h.stream))
                    throw std::runtime_error("gate: " + ec.message());
        });
        p.layer(static_cast<std::uint32_t>(l));
    }
    out.token = p.next_token();
    out.ttft_ms = ms_since(began);
    const auto report = load.finish(asio::use_future).get();
    if (!report.failed.ok() || report.usable_tokens != first)
        throw std::runtime_error("load: " + report.failed.message());
    out.load_ms = std::chrono::duration<double, std::milli>(report.layers.back().ready - load_began).count();
    out.stalls_ms = stalls.read();
    out.bytes = report.bytes;
    out.requests = report.requests;
    const auto after = side.used();
    out.cpu_ms = 1e3 * (after.all - before.all);
    out.pipeline_cpu_ms = 1e3 * (after.pipeline - before.pipeline);
    return out;
}

} // namespace ttft
