// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "engine.hpp"

#include <ATen/ATen.h>
#undef CHECK // Torch's; doctest's is meant from here on

#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

namespace torch_llama_test {

using namespace llama_test; // paths of the fixtures, copies to spoil
using namespace torch_llama;

/** Where the tests run: on the CPU, and on a GPU if there is one. */
inline std::vector<at::Device> devices()
{
    std::vector<at::Device> out{at::kCPU};
    if (at::hasCUDA())
        out.emplace_back(at::kCUDA, 0);
    return out;
}

/** The largest difference, as a fraction of the largest magnitude. */
inline double difference(const at::Tensor& actual, const at::Tensor& expected)
{
    REQUIRE((actual.sizes() == expected.sizes()));
    const auto a = actual.to(at::kCPU, at::kFloat), e = expected.to(at::kCPU, at::kFloat);
    REQUIRE(at::isfinite(a).all().item<bool>());
    return ((a - e).abs().max() / e.abs().max()).item<double>();
}

/** Blocks 0 ... n - 1 in an order that no run of neighbours survives. */
inline std::vector<std::uint32_t> scattered(std::uint32_t blocks)
{
    std::vector<std::uint32_t> out;
    for (std::uint32_t i = 0; i < blocks; i += 2)
        out.push_back(blocks - 1 - i);
    for (std::uint32_t i = 1; i < blocks; i += 2)
        out.push_back(blocks - 1 - i);
    return out;
}

/** Logits behind the last token; the KV of tokens [0, first) is in `kv`. */
inline at::Tensor logits_of(const model& m, kv_memory& kv, std::span<const std::uint32_t> tokens,
                            std::size_t first = 0, pass_options options = {})
{
    pass p(m, kv, tokens.subspan(first), first, options);
    p.run();
    return p.logits();
}

} // namespace torch_llama_test
