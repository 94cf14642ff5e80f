// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/pipeline/load_report.hpp>
#include <objectcache/pipeline/save.hpp>

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace torch_llama {

using steady = std::chrono::steady_clock;

inline double seconds_since(steady::time_point from)
{
    return std::chrono::duration<double>(steady::now() - from).count();
}

/** How one way of answering went. Times are seconds. */
struct outcome {
    std::string way;
    std::vector<std::uint32_t> generated;
    at::Tensor logits; ///< of the first token, f32 on the CPU
    double ttft = 0, match = 0;
    double decode = 0; ///< per further token
    std::size_t loaded_tokens = 0, computed_tokens = 0;
    std::uint64_t requests = 0; ///< probes and reads
    objectcache::load_report load;
    objectcache::status trouble; ///< why less than was stored came from the cache
    steady::time_point began;
};

void print_table(const std::vector<outcome>& ways, const objectcache::store_report& stored);
void print_comparison(const outcome& without, const outcome& with, bool same_kv);

} // namespace torch_llama
