// SPDX-License-Identifier: BSL-1.0
//
// One prompt by a real engine, on a GPU or on the CPU: computed without a cache, stored in S3, brought back layer by layer by
// a process part that knows nothing of it, and answered again; the tokens must be the same.
#include "settings.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <cstdio>
#include <exception>

int main(int argc, char** argv)
{
    torch_llama::settings s;
    CLI::App app("A Llama engine in libtorch with a KV cache in S3: the same tokens with and without it");
    auto* const directory = app.add_option("--model", s.directory, "a Hugging Face Llama checkpoint");
    app.add_option("--random", s.random, "or random weights: tiny, llama-3.2-1b, llama-3.2-3b, llama-3.1-8b")
        ->capture_default_str()
        ->excludes(directory);
    app.add_option("--seed", s.seed, "of random weights and tokens")->capture_default_str();
    auto* const prompt =
        app.add_option("--prompt", s.prompt, "text for a byte-level model, decimal token ids otherwise")
            ->check(CLI::ExistingFile);
    app.add_option("--tokens", s.tokens, "or so many random tokens")
        ->check(CLI::Range(2, 1 << 20))
        ->capture_default_str()
        ->excludes(prompt);
    app.add_option("--shared", s.shared, "share of the prompt that is stored")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    app.add_option("--generate,-n", s.generate, "tokens to generate")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    app.add_flag("--scattered", s.scattered,
                 "KV blocks in random order, as in a server that has run for long");

    app.add_option("--device", s.device, "cpu, cuda or cuda:N")
        ->check(CLI::IsMember({"cpu"}) | CLI::Validator(
                                             [](std::string& d) {
                                                 return d.starts_with("cuda") ? std::string()
                                                                              : "neither cpu nor cuda";
                                             },
                                             "CUDA"))
        ->capture_default_str();
    app.add_option("--dtype", s.dtype, "f32, bf16 or f16 (default: bf16 on a GPU)")
        ->check(CLI::IsMember({"f32", "bf16", "f16"}));
    app.add_option("--attention", s.how, "split_cudnn, split_flash, split_mixed or single")
        ->check(CLI::IsMember({"split_cudnn", "split_flash", "split_mixed", "single"}))
        ->capture_default_str();
    app.add_option("--slice", s.slice_tokens,
                   "tokens that go through a layer at once; another number rounds otherwise, and of 16-bit "
                   "numbers that may be another token. 0: one that divides the stored prefix, so that "
                   "with and without it every bit is the same")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();

    app.add_option("--endpoint", s.endpoint, "URL of an S3 store (default: a server in this process)");
    app.add_option("--bucket", s.bucket, "made if it does not exist")->capture_default_str();
    app.add_option("--layout", s.layout, "auto, segment_objects, chunk_objects or layer_objects")
        ->capture_default_str();
    app.add_option("--chunk-tokens,-G", s.tokens_per_chunk, "tokens per chunk")
        ->check(CLI::Range(1, 65536))
        ->capture_default_str();
    app.add_option("--coalesce-kib", s.coalesce_kib, "neighbouring layers in one request up to this size")
        ->capture_default_str();
    app.add_option("--mbit", s.mbit, "link of the server in this process, 0: unlimited")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--latency-ms", s.latency_ms, "and its time to first byte")->check(CLI::NonNegativeNumber);

    app.add_flag("--bench-layer", s.bench_layer, "no cache: time one layer for each attention");
    app.add_option("--context", s.contexts, "of --bench-layer, tokens")
        ->check(CLI::Range(2, 1 << 20))
        ->capture_default_str();
    app.add_option("--hit", s.hits, "of --bench-layer, share that is cached")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    app.add_option("--iterations", s.iterations, "of --bench-layer")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        if (s.bench_layer) {
            torch_llama::bench_layers(s);
            return 0;
        }
        return s.device == "cpu" ? torch_llama::run_on_host(s) : torch_llama::run_on_cuda(s);
    } catch (const std::exception& e) {
        std::fflush(stdout);
        std::fprintf(stderr, "error: %s\n", e.what());
        return 1;
    }
}
