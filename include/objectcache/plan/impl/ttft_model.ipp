// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/plan/ttft_model.hpp>

#include <algorithm>
#include <cassert>
#include <numeric>

namespace objectcache {

OBJECTCACHE_DECL ttft_prediction predict_layerwise(std::span<const double> fetch,
                                                   std::span<const double> compute,
                                                   std::size_t prefetch_depth)
{
    assert(fetch.size() == compute.size() && prefetch_depth > 0);
    const std::size_t layers = fetch.size();
    ttft_prediction out;
    out.stalls.resize(layers);
    std::vector<double> started(layers); // compute of each layer
    double fetched = 0, computed = 0;    // when the last fetch, the last compute ended
    for (std::size_t l = 0; l < layers; ++l) {
        const double free = l < prefetch_depth ? 0 : started[l - prefetch_depth];
        fetched = std::max(fetched, free) + fetch[l];
        started[l] = std::max(fetched, computed);
        out.stalls[l] = started[l] - computed;
        computed = started[l] + compute[l];
        out.fetch += fetch[l];
        out.compute += compute[l];
    }
    out.ttft = computed;
    return out;
}

OBJECTCACHE_DECL ttft_prediction predict_whole(std::span<const double> fetch, std::span<const double> compute)
{
    assert(fetch.size() == compute.size());
    ttft_prediction out;
    out.fetch = std::accumulate(fetch.begin(), fetch.end(), 0.0);
    out.compute = std::accumulate(compute.begin(), compute.end(), 0.0);
    out.ttft = out.fetch + out.compute;
    out.stalls.resize(fetch.size());
    if (!out.stalls.empty())
        out.stalls.front() = out.fetch;
    return out;
}

} // namespace objectcache
