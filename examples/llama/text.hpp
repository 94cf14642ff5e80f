// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "llama.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <random>

namespace llama {

/** The tokens of a prompt file: its bytes for a byte-level model (256 tokens), else decimal token ids and white space.
    @throws error if the file cannot be read or holds anything else. */
inline std::vector<std::uint32_t> read_prompt(const config& c, const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    std::vector<std::uint32_t> tokens;
    if (c.vocab == 256) {
        for (std::istreambuf_iterator<char> it(file), end; it != end; ++it)
            tokens.push_back(static_cast<unsigned char>(*it));
    } else {
        for (std::uint32_t token; file >> token;)
            tokens.push_back(token);
        if (file.is_open() && !file.eof())
            throw error(path.string() +
                        ": not a list of token ids, which a model without byte-level tokens needs");
    }
    if (!file.is_open() || tokens.empty())
        throw error(path.string() + ": cannot be read, or is empty");
    return tokens;
}

/** What to print for a token: its byte, or its id. */
inline std::string token_text(const config& c, std::uint32_t token)
{
    return c.vocab == 256 ? std::string(1, static_cast<char>(token)) : std::to_string(token) + ' ';
}

/** Chooses tokens: the likeliest one at temperature 0, else by chance with probabilities softmax(logits / temperature).

    The chance is the seed's: equal logits give equal texts, in every process. */
class sampler {
public:
    explicit sampler(float temperature = 0, std::uint64_t seed = 1) : temperature_(temperature), random_(seed)
    {}

    [[nodiscard]] std::uint32_t operator()(std::span<const float> logits)
    {
        const auto best = std::max_element(logits.begin(), logits.end());
        if (temperature_ <= 0)
            return static_cast<std::uint32_t>(best - logits.begin());
        weights_.assign(logits.begin(), logits.end());
        double sum = 0;
        for (double& w : weights_)
            sum += w = std::exp((w - static_cast<double>(*best)) / static_cast<double>(temperature_));
        double left = std::ldexp(static_cast<double>(random_() >> 11), -53) * sum;
        std::uint32_t token = 0;
        while (token + 1 < weights_.size() && left >= weights_[token])
            left -= weights_[token++];
        return token;
    }

private:
    float temperature_;
    std::mt19937_64 random_; // specified to the bit, unlike the standard distributions
    std::vector<double> weights_;
};

} // namespace llama
