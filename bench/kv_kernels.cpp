// SPDX-License-Identifier: BSL-1.0
//
// How fast slices get to and from an engine's page pool: by kernels on few or all SMs, by the copy engine, and what a plain
// copy of as many bytes takes. Needs a GPU. A JSON line per cell into a file, a table on the output.
#include <objectcache/cuda/kv_move.hpp>
#include <objectcache/kv/engine_layout.hpp>
#include <objectcache/kv/format.hpp>

#include "cuda/nvcc_kernels.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace oc = objectcache;
using oc::cuda::kv_direction;

namespace {

using steady = std::chrono::steady_clock;
constexpr std::uint32_t block_tokens = 16;

void check(cudaError_t error, const char* what)
{
    if (error != cudaSuccess)
        throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

struct memory {
    memory(std::size_t size, bool on_device) : device(on_device)
    {
        check(device ? cudaMalloc(&data, size) : cudaHostAlloc(&data, size, cudaHostAllocMapped), "memory");
        check(cudaMemset(data, 0x5a, size),
              "cudaMemset"); // pages that were never touched are another measurement
    }
    memory(const memory&) = delete;
    memory& operator=(const memory&) = delete;
    ~memory() { device ? cudaFree(data) : cudaFreeHost(data); }
    [[nodiscard]] std::byte* bytes() const { return static_cast<std::byte*>(data); }
    void fill(std::size_t size, int value) const
    {
        if (device)
            check(cudaMemset(data, value, size), "cudaMemset"), check(cudaDeviceSynchronize(), "cudaMemset");
        else
            std::memset(data, value, size);
    }

    void* data = nullptr;
    bool device;
};

/** A copy that is over when it returns: cudaMemcpy from ordinary memory need not be, for other streams. */
void put(void* to, const void* from, std::size_t size)
{
    check(cudaMemcpy(to, from, size, cudaMemcpyDefault), "cudaMemcpy");
    check(cudaDeviceSynchronize(), "cudaMemcpy");
}

struct numbers {
    std::vector<double> gbps, enqueue_us;
    [[nodiscard]] static double at(std::vector<double> of, double quantile)
    {
        std::sort(of.begin(), of.end());
        return of[static_cast<std::size_t>(quantile * double(of.size() - 1) + 0.5)];
    }
};

class timer {
public:
    timer(unsigned runs, double seconds) : runs_(runs), seconds_(seconds)
    {
        check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
        check(cudaEventCreate(&from_), "cudaEventCreate");
        check(cudaEventCreate(&to_), "cudaEventCreate");
    }
    timer(const timer&) = delete;
    timer& operator=(const timer&) = delete;
    ~timer()
    {
        cudaEventDestroy(from_);
        cudaEventDestroy(to_);
        cudaStreamDestroy(stream);
    }

    /** `enqueue` moves `bytes`. Two runs are not counted; fewer than asked for if they take too long, but never below 3. */
    numbers operator()(std::size_t bytes, const std::function<cudaError_t()>& enqueue)
    {
        numbers out;
        const auto began = steady::now();
        for (unsigned run = 0; run < runs_ + 2; ++run) {
            const auto before = steady::now();
            check(cudaEventRecord(from_, stream), "cudaEventRecord");
            const auto call = steady::now();
            check(enqueue(), "enqueue");
            const double us = std::chrono::duration<double, std::micro>(steady::now() - call).count();
            check(cudaEventRecord(to_, stream), "cudaEventRecord");
            check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
            float ms = 0;
            check(cudaEventElapsedTime(&ms, from_, to_), "cudaEventElapsedTime");
            if (run < 2)
                continue;
            out.gbps.push_back(double(bytes) / 1e6 / double(ms));
            out.enqueue_us.push_back(us);
            if (out.gbps.size() >= 3 && std::chrono::duration<double>(before - began).count() > seconds_)
                break;
        }
        return out;
    }

    cudaStream_t stream = nullptr;

private:
    unsigned runs_;
    double seconds_;
    cudaEvent_t from_ = nullptr, to_ = nullptr;
};

struct named_layout {
    oc::kv_geometry geometry;
    std::function<oc::engine_layout(const oc::kv_geometry&, std::size_t blocks)> make; // none: contiguous

    [[nodiscard]] oc::kv_pages pages(const oc::kv_geometry& g, std::size_t blocks, std::byte* pool,
                                     const std::vector<std::uint32_t>& table) const
    {
        const std::size_t tokens = blocks * block_tokens;
        if (!make)
            return oc::kv_pages::contiguous(g, {{pool, pool + tokens * g.row_bytes()}}, tokens);
        const oc::engine_layout layout = make(g, blocks);
        return layout.pages(g, {layout.memory(pool)}, table);
    }
};

std::map<std::string, named_layout> layouts()
{
    const oc::kv_geometry llama{1, 8, 128, oc::kv_dtype::bf16, oc::kv_form::separate, 16}; // Llama 3.1 8B
    const oc::kv_geometry mla{1, 1, 576, oc::kv_dtype::bf16, oc::kv_form::latent, 16};     // DeepSeek V3
    using oc::engine_layout;
    return {{"contiguous", {llama, nullptr}}, // what an engine without pages has
            {"nhd",
             {llama, [](const auto& g,
                        std::size_t n) { return engine_layout::nhd(g, block_tokens).parts_outside(n); }}},
            {"hnd",
             {llama, [](const auto& g,
                        std::size_t n) { return engine_layout::hnd(g, block_tokens).parts_outside(n); }}},
            {"packed",
             {llama, [](const auto& g, std::size_t) { return engine_layout::packed(g, block_tokens); }}},
            {"mla", {mla, [](const auto& g, std::size_t) { return engine_layout::nhd(g, block_tokens); }}}};
}

struct program {
    std::vector<std::string> which{"nhd", "hnd", "packed", "mla", "contiguous"};
    std::vector<std::uint32_t> chunks{16, 64, 256};
    std::vector<std::size_t> sizes{8, 32, 128, 256};
    std::vector<unsigned> blocks{4, 8, 16, 32};
    unsigned runs = 20;
    double seconds = 0.6;
    std::string json = "kv_kernels.jsonl";
    std::FILE* lines = nullptr;
    int sms = 0;

    void cell(const std::string& layout, std::uint32_t chunk, std::size_t bytes, const char* payload,
              const char* direction, const char* way, unsigned blocks_used, const numbers& n) const
    {
        const double median = numbers::at(n.gbps, 0.5), least = numbers::at(n.gbps, 0),
                     most = numbers::at(n.gbps, 1);
        const double us = numbers::at(n.enqueue_us, 0.5);
        std::fprintf(
            lines,
            "{\"layout\":\"%s\",\"chunk\":%u,\"bytes\":%zu,\"payload\":\"%s\",\"direction\":\"%s\",\"way\":"
            "\"%s\",\"blocks\":%u,\"gbps\":%.2f,\"gbps_min\":%.2f,\"gbps_max\":%.2f,\"gbps_p25\":%.2f,"
            "\"gbps_p75\":%.2f,\"enqueue_us\":%.1f,\"enqueue_us_max\":%.1f,\"runs\":%zu}\n",
            layout.c_str(), chunk, bytes, payload, direction, way, blocks_used, median, least, most,
            numbers::at(n.gbps, 0.25), numbers::at(n.gbps, 0.75), us, numbers::at(n.enqueue_us, 1),
            n.gbps.size());
        std::fflush(lines);
        std::printf("%-10s %5u %7.1f  %-7s %-8s %-18s %6u  %8.1f  %8.1f..%-8.1f %10.1f  %4zu\n",
                    layout.c_str(), chunk, double(bytes) / (1 << 20), payload, direction, way, blocks_used,
                    median, least, most, us, n.gbps.size());
        std::fflush(stdout);
    }

    void run_layout(const std::string& name, std::uint32_t chunk, std::size_t wanted)
    {
        const named_layout named = layouts().at(name);
        oc::kv_geometry g = named.geometry;
        g.tokens_per_chunk = chunk;
        const std::size_t count = std::max<std::size_t>(wanted / g.slice_bytes(), 1), tokens = count * chunk;
        const std::size_t bytes = count * g.slice_bytes(), stride = oc::record_bytes(g);
        const std::size_t pool_blocks = (tokens + block_tokens - 1) / block_tokens;

        const memory pool(pool_blocks * block_tokens * g.row_bytes() * g.parts(), true);
        std::vector<std::uint32_t> table(pool_blocks);
        std::iota(table.begin(), table.end(), 0);
        std::mt19937 random(1);
        std::shuffle(table.begin(), table.end(), random);
        const memory ids(pool_blocks * sizeof(std::uint32_t), true);
        put(ids.data, table.data(), pool_blocks * sizeof(std::uint32_t));
        const oc::kv_pages pages = named.pages(g, pool_blocks, pool.bytes(), table);
        auto batches = oc::cuda::kv_batches::make(pages, static_cast<const std::uint32_t*>(ids.data));
        if (!batches)
            throw std::runtime_error(batches.error().message());

        timer measure(runs, seconds);
        const memory flat(bytes, true), described(count * sizeof(oc::cuda::detail::kv_launch_slice), true);
        for (const bool on_device : {true, false}) {
            const char* const payload = on_device ? "device" : "pinned";
            const memory payloads(count * stride, on_device), check_against(count * stride, false);
            std::vector<oc::kv_slice> slices;
            for (std::size_t i = 0; i < count; ++i)
                slices.push_back({payloads.bytes() + i * stride, 0, i * chunk, chunk});
            round_trip(*batches, pages, slices, payloads, check_against, count * stride, measure.stream);

            std::vector<oc::cuda::detail::kv_launch_slice> list(count);
            batches->describe(slices, list.data());
            put(described.data, list.data(), count * sizeof list[0]);
            const auto one =
                batches->batch(slices, static_cast<const oc::cuda::detail::kv_launch_slice*>(described.data));

            for (const kv_direction direction : {kv_direction::scatter, kv_direction::gather}) {
                const bool in = direction == kv_direction::scatter;
                const char* const to = in ? "scatter" : "gather";
                cell(name, chunk, bytes, payload, to, "plain copy", 0, measure(bytes, [&] {
                         return in ? cudaMemcpyAsync(flat.data, payloads.data, bytes, cudaMemcpyDefault,
                                                     measure.stream)
                                   : cudaMemcpyAsync(payloads.data, flat.data, bytes, cudaMemcpyDefault,
                                                     measure.stream);
                     }));
                std::vector<unsigned> all = blocks;
                all.push_back(static_cast<unsigned>(2 * sms));
                for (const unsigned n : all) {
                    cell(name, chunk, bytes, payload, to, "kernel", n, measure(bytes, [&] {
                             return oc::cuda::move_with_kernels(nvcc_kernels(), direction, *batches, slices,
                                                                n, measure.stream);
                         }));
                    if (count > oc::cuda::kv_batches::by_value)
                        cell(name, chunk, bytes, payload, to, "kernel, 1 launch", n, measure(bytes, [&] {
                                 return nvcc_kernels().launch(direction, one,
                                                              oc::cuda::kv_batches::blocks_for(one, n),
                                                              measure.stream);
                             }));
                }
                cell(name, chunk, bytes, payload, to, "copy engine", 0, measure(bytes, [&] {
                         return oc::cuda::move_with_copies(direction, pages, slices, measure.stream);
                     }));
                if (!named.make) // what the copies in rows are worth
                    cell(name, chunk, bytes, payload, to, "copy engine, batch", 0, measure(bytes, [&] {
                             return oc::cuda::detail::enqueue_batch(pieces(pages, slices, in),
                                                                    measure.stream);
                         }));
            }
        }
    }

    [[nodiscard]] static std::vector<oc::copy_op> pieces(const oc::kv_pages& pages,
                                                         const std::vector<oc::kv_slice>& slices, bool in)
    {
        std::vector<oc::copy_op> out;
        for (const oc::kv_slice& s : slices)
            pages.for_each_piece(s.layer, s.first_token, s.tokens,
                                 [&](std::byte* memory, std::size_t offset, std::size_t size) {
                                     std::byte* const payload = s.payload + offset;
                                     out.push_back(in ? oc::copy_op{memory, payload, size}
                                                      : oc::copy_op{payload, memory, size});
                                 });
        return out;
    }

    /** That what is measured is the right thing: random bytes go into the pool, and come back as they were. */
    static void round_trip(const oc::cuda::kv_batches& batches, const oc::kv_pages& pages,
                           const std::vector<oc::kv_slice>& slices, const memory& payloads,
                           const memory& host, std::size_t size, cudaStream_t stream)
    {
        std::mt19937_64 random(2);
        for (std::size_t i = 0; i + 8 <= size; i += 8) {
            const std::uint64_t word = random();
            std::memcpy(host.bytes() + i, &word, sizeof word);
        }
        const std::vector<std::byte> sent(host.bytes(), host.bytes() + size);
        const std::size_t slice = pages.geometry().slice_bytes();
        for (const bool by_kernels : {true, false}) {
            put(payloads.data, sent.data(), size);
            check(by_kernels ? oc::cuda::move_with_kernels(nvcc_kernels(), kv_direction::scatter, batches,
                                                           slices, 32, stream)
                             : oc::cuda::move_with_copies(kv_direction::scatter, pages, slices, stream),
                  "scatter");
            check(cudaStreamSynchronize(stream), "scatter");
            payloads.fill(size, 0);
            // Back by the other way, so that both must agree on where everything is.
            check(by_kernels ? oc::cuda::move_with_copies(kv_direction::gather, pages, slices, stream)
                             : oc::cuda::move_with_kernels(nvcc_kernels(), kv_direction::gather, batches,
                                                           slices, 32, stream),
                  "gather");
            check(cudaStreamSynchronize(stream), "gather");
            put(host.data, payloads.data, size);
            for (const oc::kv_slice& s : slices) {
                const std::size_t at = static_cast<std::size_t>(s.payload - payloads.bytes());
                if (std::memcmp(host.bytes() + at, sent.data() + at, slice) != 0)
                    throw std::runtime_error("a slice did not come back as it was");
            }
        }
    }

    int run()
    {
        cudaDeviceProp device{};
        check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
        sms = device.multiProcessorCount;
        lines = std::fopen(json.c_str(), "a");
        if (lines == nullptr)
            throw std::runtime_error("cannot write " + json);
        std::printf(
            "%s, %d SMs; blocks of %u threads, two fit on an SM; pages of %u tokens, in random order\n"
            "GB/s: payload bytes (not bytes read and written), median and extremes; us: the host's time to "
            "enqueue\n\n"
            "%-10s %5s %7s  %-7s %-8s %-18s %6s  %8s  %18s %10s  %4s\n",
            device.name, sms, oc::cuda::detail::kv_threads, block_tokens, "layout", "chunk", "MiB", "payload",
            "", "way", "blocks", "GB/s", "", "us", "runs");
        for (const std::string& layout : which)
            for (const std::uint32_t chunk : chunks)
                for (const std::size_t size : sizes)
                    run_layout(layout, chunk, size << 20);
        std::fclose(lines);
        return 0;
    }
};

} // namespace

int main(int argc, char** argv)
{
    program p;
    CLI::App app("Slices to and from the page pool of an engine on a GPU");
    app.add_option("--layouts", p.which)
        ->delimiter(',')
        ->check(CLI::IsMember({"nhd", "hnd", "packed", "mla", "contiguous"}));
    app.add_option("--chunks", p.chunks, "tokens")->delimiter(',')->check(CLI::Range(1, 4096));
    app.add_option("--sizes", p.sizes, "MiB")->delimiter(',')->check(CLI::Range(1, 1024));
    app.add_option("--blocks", p.blocks, "thread blocks; two per SM are added")->delimiter(',');
    app.add_option("--runs", p.runs)->check(CLI::PositiveNumber);
    app.add_option("--seconds", p.seconds, "of a cell, at most; at least 3 runs");
    app.add_option("--json", p.json);
    CLI11_PARSE(app, argc, argv);
    int devices = 0;
    if (const cudaError_t error = cudaGetDeviceCount(&devices); error != cudaSuccess || devices == 0) {
        std::printf("skipped: no CUDA device (%s)\n",
                    error == cudaSuccess ? "none found" : cudaGetErrorString(error));
        return 77;
    }
    try {
        return p.run();
    } catch (const std::exception& e) {
        std::fprintf(stderr, "kv_kernels: %s\n", e.what());
        return 1;
    }
}
