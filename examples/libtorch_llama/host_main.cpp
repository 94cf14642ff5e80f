// SPDX-License-Identifier: BSL-1.0
#include "answer.hpp"
#include "host_compute.hpp"
#include "text.hpp"

#include <numeric>
#include <random>

namespace torch_llama {
std::vector<std::uint32_t> prompt_of(const settings& s, const config& c)
{
    std::vector<std::uint32_t> out;
    if (!s.prompt.empty()) {
        out = llama::read_prompt(c, s.prompt);
    } else {
        std::mt19937_64 random(s.seed);
        for (std::size_t i = 0; i < s.tokens; ++i)
            out.push_back(static_cast<std::uint32_t>(random() % c.vocab));
    }
    return out;
}

kv_memory memory_for(const settings& s, const config& c, std::size_t tokens)
{
    constexpr std::uint32_t block = kv_memory::default_block_tokens;
    std::vector<std::uint32_t> table;
    if (s.scattered) {
        table.resize((tokens + block - 1) / block);
        std::iota(table.begin(), table.end(), 0U);
        std::shuffle(table.begin(), table.end(), std::mt19937_64(s.seed));
    }
    return {c, s.where(), tokens, block, std::move(table)};
}

int run_on_host(const settings& s)
{
    host_compute cpu;
    return run_on(cpu, s);
}

} // namespace torch_llama
