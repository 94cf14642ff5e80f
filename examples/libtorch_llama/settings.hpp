// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "engine.hpp"

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace torch_llama {

/** The command line. */
struct settings {
    std::filesystem::path directory; ///< of a checkpoint; empty: `random`
    std::string random = "tiny";
    std::uint64_t seed = 1;
    std::filesystem::path prompt; ///< empty: `tokens` random ones
    std::size_t tokens = 1024;
    double shared = 0.875; ///< of the prompt that was seen before
    std::size_t generate = 32;
    bool scattered = false; ///< blocks of the KV memory in random order

    std::string device = "cpu", dtype; ///< empty: bf16 on a GPU, f32 on a CPU
    std::string how = "split_cudnn";
    std::int64_t slice_tokens = 0; ///< 0: so that the stored prefix ends with one

    std::string endpoint, bucket = "libtorch-llama", layout = "auto";
    std::uint32_t tokens_per_chunk = 64;
    std::uint64_t coalesce_kib = 1024;
    double mbit = 0, latency_ms = 0;

    bool bench_layer = false;
    std::vector<std::size_t> contexts{4096, 16384, 65536};
    std::vector<double> hits{0.5, 0.875};
    std::size_t iterations = 7;

    [[nodiscard]] placement where() const
    {
        const at::Device on(device);
        if (dtype.empty())
            return {on, on.is_cuda() ? at::kBFloat16 : at::kFloat};
        return {on, dtype == "bf16" ? at::kBFloat16 : dtype == "f16" ? at::kHalf : at::kFloat};
    }
    [[nodiscard]] pass_options options() const
    {
        pass_options o;
        o.how = parse_attention(how).value();
        if (slice_tokens != 0)
            o.slice_tokens = slice_tokens;
        return o;
    }
};

/** One line, and the exit status says that it went wrong. */
struct complaint : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/** Milliseconds per layer of the engine alone, without any cache, for each attention. */
void bench_layers(const settings& s);

/** The whole way, on the CPU. Returns the exit status. */
int run_on_host(const settings& s);
/** And on a GPU: cuda_main.cpp, where the CUDA Toolkit is; else a complaint (no_cuda.cpp). */
int run_on_cuda(const settings& s);

} // namespace torch_llama
