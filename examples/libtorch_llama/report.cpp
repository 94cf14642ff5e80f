// SPDX-License-Identifier: BSL-1.0
#include "report.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>

namespace torch_llama {

void print_table(const std::vector<outcome>& ways, const objectcache::store_report& stored)
{
    std::printf("\n  stored: %zu chunks, %.2f MB, %llu requests\n\n", stored.stored + stored.present,
                static_cast<double>(stored.bytes) / 1e6, static_cast<unsigned long long>(stored.requests));
    std::printf("  %-10s %10s %9s %8s %9s %9s %10s %14s\n", "way", "TTFT ms", "match ms", "loaded",
                "computed", "requests", "MB", "decode ms/tok");
    for (const outcome& w : ways)
        std::printf("  %-10s %10.1f %9.1f %8zu %9zu %9llu %10.2f %14.2f\n", w.way.c_str(), w.ttft * 1e3,
                    w.match * 1e3, w.loaded_tokens, w.computed_tokens,
                    static_cast<unsigned long long>(w.requests), static_cast<double>(w.load.bytes) / 1e6,
                    w.decode * 1e3);
}

void print_comparison(const outcome& without, const outcome& with, bool same_kv)
{
    const auto differing = std::ranges::mismatch(without.generated, with.generated).in1;
    const auto same = static_cast<std::size_t>(differing - without.generated.begin());
    const auto top = std::get<0>(at::topk(without.logits, 2));
    std::printf("\n  %zu of %zu generated tokens are the same; first logits differ by %.3g at most (the best "
                "two: %.4g, "
                "%.4g)\n  loaded KV has the bytes of the stored KV: %s\n",
                same, without.generated.size(), (without.logits - with.logits).abs().max().item<double>(),
                top[0].item<double>(), top[1].item<double>(), same_kv ? "yes" : "NO");
}

} // namespace torch_llama
