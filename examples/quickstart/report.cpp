// SPDX-License-Identifier: BSL-1.0
#include "report.hpp"

#include <objectcache/plan/ttft_model.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace quickstart {

namespace {

double between(oc::time_point from, oc::time_point to)
{
    return std::chrono::duration<double>(to - from).count();
}

double median(std::vector<double> values)
{
    if (values.empty())
        return 0;
    std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
    return values[values.size() / 2];
}

} // namespace

double outcome::fetch_seconds() const
{
    if (load.layers.empty() || load.bytes == 0 || !step_seconds.empty())
        return 0; // of many passes, the report has the last
    return between(load.layers.front().requested, load.layers.back().ready);
}

double outcome::visible_seconds() const
{
    if (fetch_seconds() == 0)
        return 0;
    // The whole way computes only when the last layer is there: all of its fetch is visible.
    if (load.layers.front().waited_from == oc::time_point())
        return fetch_seconds();
    // A layer stalls the device from the end of the compute before it, not from when the host asked.
    double visible = between(load.layers[0].requested, load.layers[0].ready);
    for (std::size_t l = 1; l < load.layers.size(); ++l)
        visible += std::max(0.0, between(compute[l - 1].to, load.layers[l].ready));
    return std::min(visible, fetch_seconds());
}

progress_bar::progress_bar(std::string label, std::size_t total)
    : label_(std::move(label))
    , total_(std::max<std::size_t>(total, 1))
    , terminal_(isatty(STDERR_FILENO) == 1)
{
    if (terminal_)
        draw();
}

progress_bar::~progress_bar()
{
    if (!terminal_)
        draw();
    std::fputc('\n', stderr);
}

void progress_bar::at(std::size_t done)
{
    done_ = done;
    if (terminal_)
        draw();
}

void progress_bar::draw()
{
    constexpr std::size_t width = 32;
    const std::size_t filled = std::min(width, done_ * width / total_);
    std::string bar;
    for (std::size_t i = 0; i < width; ++i)
        bar += i < filled ? "█" : "░";
    std::fprintf(stderr, "%s  %-26s %s %zu/%zu", terminal_ ? "\r" : "", label_.c_str(), bar.c_str(), done_,
                 total_);
    std::fflush(stderr);
}

double model_ttft(const outcome& seen, const link_rate& link)
{
    const std::size_t layers = seen.compute.size();
    const double per_layer =
        static_cast<double>(seen.load.bytes) / static_cast<double>(layers) / link.bytes_per_second;
    std::vector<double> fetch(layers, per_layer), compute;
    fetch.front() += link.latency; // later requests are on their way before the link is free
    for (const interval& c : seen.compute)
        compute.push_back(c.seconds());
    return seen.match + oc::predict_layerwise(fetch, compute).ttft;
}

void print_table(const std::vector<outcome>& ways, double model, const link_rate& link)
{
    std::printf("\n  %-12s %9s %9s %9s %9s %9s %9s %10s %10s\n", "way", "TTFT ms", "match ms", "loaded",
                "computed", "requests", "MB", "fetch ms", "visible ms");
    for (const outcome& w : ways)
        std::printf("  %-12s %9.1f %9.1f %9zu %9zu %9llu %9.2f %10.1f %10.1f\n", w.way.c_str(), w.ttft * 1e3,
                    w.match * 1e3, w.loaded_tokens, w.computed_tokens,
                    static_cast<unsigned long long>(w.requests), static_cast<double>(w.load.bytes) / 1e6,
                    w.fetch_seconds() * 1e3, w.visible_seconds() * 1e3);
    if (model > 0)
        std::printf(
            "  %-12s %9.1f   layerwise after equation 3 of the paper, at %.0f Mbit/s and %.1f ms (%s)\n",
            "model", model * 1e3, link.bytes_per_second * 8 / 1e6, link.latency * 1e3,
            link.measured ? "as measured by the whole way" : "as the link was set");
    for (const outcome& w : ways)
        if (w.fetch_seconds() > 0)
            std::printf("  %s: %.0f %% of the fetch time is hidden under compute\n", w.way.c_str(),
                        100 * (1 - w.visible_seconds() / w.fetch_seconds()));
}

void print_layers(const outcome& way)
{
    if (way.load.layers.size() != way.compute.size() || way.load.bytes == 0)
        return;
    constexpr double columns = 72;
    const oc::time_point begin = way.began;
    const double total = between(begin, way.compute.back().to);
    const auto column = [&](oc::time_point at) {
        return static_cast<std::size_t>(std::clamp(between(begin, at) / total * columns, 0.0, columns));
    };
    std::printf("\n  %s: fetch ▒ and compute █ of each layer, %.1f ms from left to right\n", way.way.c_str(),
                total * 1e3);
    for (std::size_t l = 0; l < way.compute.size(); ++l) {
        const auto& fetched = way.load.layers[l];
        const std::size_t f0 = column(fetched.requested), f1 = std::max(f0 + 1, column(fetched.ready));
        const std::size_t c0 = column(way.compute[l].from), c1 = std::max(c0 + 1, column(way.compute[l].to));
        std::string bar;
        for (std::size_t i = 0; i < static_cast<std::size_t>(columns) + 1; ++i)
            bar += i >= c0 && i < c1 ? "█" : i >= f0 && i < f1 ? "▒" : " ";
        std::printf(
            "  layer %3zu │%s│ fetch %6.1f  compute %6.1f  stall %6.1f ms\n", l, bar.c_str(),
            between(fetched.requested, fetched.ready) * 1e3, way.compute[l].seconds() * 1e3,
            std::max(0.0, between(l == 0 ? fetched.requested : way.compute[l - 1].to, fetched.ready)) * 1e3);
    }
}

void print_stream(const outcome& way, std::uint64_t bytes_per_step, const link_rate& link, std::size_t slots,
                  std::size_t layers)
{
    const double bound = static_cast<double>(bytes_per_step) / link.bytes_per_second;
    const double step = median(way.step_seconds);
    const auto [least, most] = std::ranges::minmax(way.step_seconds);
    std::printf("\n  streaming decode: the device keeps %zu of %zu layers of the prefix; every step fetches "
                "all %zu again\n"
                "  %.2f MB per step: %.1f ms per token (median of %zu; %.1f ... %.1f), the link's bound is "
                "%.1f ms: %.0f %% of "
                "the link\n",
                slots, layers, layers, static_cast<double>(bytes_per_step) / 1e6, step * 1e3,
                way.step_seconds.size(), least * 1e3, most * 1e3, bound * 1e3, 100 * bound / step);
}

void print_text(std::string_view title, std::string_view text)
{
    std::printf("\n  %.*s\n  ", static_cast<int>(title.size()), title.data());
    for (const char c : text) {
        if (c == '\n')
            std::printf("\n  ");
        else
            std::putchar(static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c);
    }
    std::printf("\n");
}

} // namespace quickstart
