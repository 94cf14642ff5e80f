// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "../support/store_side.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace decode_stream {

/** The command line. */
struct settings {
    std::string device = "cuda", model, json;
    std::vector<std::size_t> contexts, resident{0}, batches{1, 8, 32};
    std::vector<std::string> sources{"dram", "s3"};
    std::size_t layers = 0; ///< 0: as many as the model has
    std::size_t slots = 2, own = 64, steps = 5, kept_mib = 0;
    double longest_s = 30;
    std::uint32_t chunk = 256;
    std::size_t staging_mib = 0;
    bool pace = true;
    double bus_gbps = 0.2; ///< on a CPU
    bench::link_shape link{100, 1};
    bench::store_settings store;

    [[nodiscard]] bool wants(const char* source) const
    {
        return std::find(sources.begin(), sources.end(), source) != sources.end();
    }
};

/** Each returns the exit status. CUDA: on_cuda.cpp, where the toolkit is; else no_cuda.cpp complains. */
int run_on_cpu(const settings& s);
int run_on_cuda(const settings& s);

} // namespace decode_stream
