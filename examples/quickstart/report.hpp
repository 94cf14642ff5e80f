// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "host_engine.hpp"

#include <objectcache/pipeline/load_report.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace quickstart {

/** How one way of answering went. Times are seconds. */
struct outcome {
    std::string way;
    std::vector<std::uint32_t> generated;
    double ttft = 0;
    double match = 0;
    std::size_t loaded_tokens = 0;
    std::size_t computed_tokens = 0;
    oc::load_report load;
    std::uint64_t requests = 0; ///< probes and reads
    std::uint64_t corrupt_chunks = 0;
    oc::status trouble; ///< why less than was stored came from the cache
    steady::time_point began;
    std::vector<interval> compute;    ///< per layer, of the prompt's pass
    std::vector<double> step_seconds; ///< streaming decode: per generated token

    /** Fetch time of all layers, and how much of it the engine stood still for. */
    [[nodiscard]] double fetch_seconds() const;
    [[nodiscard]] double visible_seconds() const;
};

/** A progress bar on stderr: redrawn in place on a terminal, one line when done elsewhere. */
class progress_bar {
public:
    progress_bar(std::string label, std::size_t total);
    ~progress_bar();
    void at(std::size_t done);

private:
    void draw();
    std::string label_;
    std::size_t total_, done_ = 0;
    bool terminal_;
};

/** The line the layers travel over, as it was set or measured. */
struct link_rate {
    double bytes_per_second = 0;
    double latency = 0; ///< seconds to the first byte
    bool measured = false;
};

/** TTFT of the layerwise way after the model of plan/ttft_model.hpp, from the link and the compute seen. */
[[nodiscard]] double model_ttft(const outcome& seen, const link_rate& link);

void print_table(const std::vector<outcome>& ways, double model, const link_rate& link);
/** Fetch and compute of each layer on one time axis. */
void print_layers(const outcome& way);
void print_stream(const outcome& way, std::uint64_t bytes_per_step, const link_rate& link, std::size_t slots,
                  std::size_t layers);
/** `text` with control characters made visible, inside a rule. */
void print_text(std::string_view title, std::string_view text);

} // namespace quickstart
