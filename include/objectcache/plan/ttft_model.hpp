// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace objectcache {

/** What the model says about one request. All times are seconds. */
struct ttft_prediction {
    double ttft = 0;            ///< from the start of the first fetch to the end of the last layer's compute
    double fetch = 0;           ///< sum of all X: the link's part
    double compute = 0;         ///< sum of all C: the device's part
    std::vector<double> stalls; ///< per layer: how long compute waits at its gate; the first is X(0)

    /** Fetch time that shows in TTFT: the sum of stalls. */
    [[nodiscard]] double visible_fetch() const noexcept { return ttft - compute; }
    /** Fetch time that compute hides. */
    [[nodiscard]] double hidden_fetch() const noexcept { return fetch - visible_fetch(); }
};

/** Time to first token when layer l + 1 is fetched while layer l computes (arXiv:2605.22850, equation 3):
    @code
    TTFT = X(0) + sum over l < L-1 of max(X(l+1), C(l)) + C(L-1)
    @endcode
    with X(l) the time to fetch layer l's payload and C(l) the time to compute layer l, both in seconds.

    `prefetch_depth` generalizes it: the fetch of layer l starts when that of layer l-1 has ended and layer l - depth
    has started to compute (its staging is free then). Depth 1 is equation 3; deeper lets a fast stretch pay for a
    slow one.

    @pre X and C are equally long; `prefetch_depth` > 0. */
[[nodiscard]] ttft_prediction predict_layerwise(std::span<const double> fetch,
                                                std::span<const double> compute,
                                                std::size_t prefetch_depth = 1);

/** Time to first token when everything is fetched before the first layer computes: sum of X + sum of C.

    @pre X and C are equally long. */
[[nodiscard]] ttft_prediction predict_whole(std::span<const double> fetch, std::span<const double> compute);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/plan/impl/ttft_model.ipp>
#endif
