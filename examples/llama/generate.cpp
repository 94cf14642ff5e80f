// SPDX-License-Identifier: BSL-1.0
// Continues a prompt with a Llama checkpoint on the CPU, without any cache: the engine alone, as its host drives it.
#include "llama.hpp"
#include "text.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <iostream>

namespace {

/** K and V of a whole sequence: one buffer of `capacity` rows per layer. */
struct kv_buffers {
    kv_buffers(const llama::config& c, std::size_t capacity)
        : width(c.kv_width())
        , k(c.layers, std::vector<float>(capacity * width))
        , v(k)
    {}

    /** Runs tokens [first, first + n) through all layers; their past is what lies in front of them. */
    std::span<const float> run(llama::forward_pass& pass, std::size_t first)
    {
        for (std::uint32_t l = 0; l < k.size(); ++l) {
            const llama::kv_span past{k[l].data(), v[l].data(), first};
            pass.layer(l, {&past, 1}, k[l].data() + first * width, v[l].data() + first * width);
        }
        return pass.logits();
    }

    std::size_t width;
    std::vector<std::vector<float>> k, v;
};

double seconds_since(std::chrono::steady_clock::time_point start)
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void generate(const std::string& directory, const std::string& prompt_file, std::size_t count,
              llama::sampler choose)
{
    const llama::model model = llama::model::load(directory);
    const llama::config& c = model.cfg();
    const std::vector<std::uint32_t> prompt = llama::read_prompt(c, prompt_file);
    kv_buffers kv(c, prompt.size() + count);

    auto start = std::chrono::steady_clock::now();
    llama::forward_pass prefill(model, prompt, 0);
    std::uint32_t token = choose(kv.run(prefill, 0));
    const double first_token = seconds_since(start);

    start = std::chrono::steady_clock::now();
    std::size_t made = 0;
    for (; made < count && std::find(c.eos.begin(), c.eos.end(), token) == c.eos.end(); ++made) {
        std::cout << llama::token_text(c, token) << std::flush;
        const std::size_t position = prompt.size() + made;
        if (made + 1 == count || position == c.max_positions)
            break;
        llama::forward_pass step(model, {&token, 1}, position, llama::phase::decode);
        token = choose(kv.run(step, position));
    }
    std::cout << '\n';
    std::fprintf(stderr, "%zu prompt tokens in %.0f ms, %.2f ms per further token\n", prompt.size(),
                 1e3 * first_token,
                 1e3 * seconds_since(start) / static_cast<double>(std::max<std::size_t>(made, 1)));
}

} // namespace

int main(int argc, char** argv)
{
    CLI::App app("Continues a prompt with a Llama checkpoint on the CPU");
    std::string directory, prompt;
    std::size_t count = 400;
    float temperature = 0;
    std::uint64_t seed = 1;
    app.add_option("--model", directory, "directory of config.json and *.safetensors")->required();
    app.add_option("--prompt", prompt, "file of text (byte-level model) or of token ids")->required();
    app.add_option("-n", count, "tokens to generate")->capture_default_str();
    app.add_option("--temperature", temperature, "0: always the likeliest token")->capture_default_str();
    app.add_option("--seed", seed, "of the choice at a temperature above 0")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        generate(directory, prompt, count, llama::sampler(temperature, seed));
    } catch (const std::exception& e) {
        std::cerr << "llama_generate: " << e.what() << '\n';
        return 1;
    }
}
