// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/kv/geometry.hpp>
#include <objectcache/plan/layout_policy.hpp>

#include <cstddef>

/** @file
    Whether a matched prefix is worth loading: over a slow link an engine may compute it sooner, or compute its beginning
    while the rest comes. Arithmetic only; the engine acts on it (load_options::first_chunk). All times are seconds. */

namespace objectcache {

/** What a prefill takes an engine: so much per token, for the products with the weights, and so much per pair of a token and
    one before it, for attention.

    Of a few thousand tokens on, where the device is busy all the time, that is what prefills do. fit_prefill() finds
    both numbers. */
struct prefill_model {
    double seconds_per_token = 0; ///< all layers, here and below
    double seconds_per_pair = 0;

    /** To compute tokens [first, end) of a prompt when the KV of those in front of them is there. @pre first <= end. */
    [[nodiscard]] double seconds(double first, double end) const noexcept
    {
        return (end - first) * (seconds_per_token + seconds_per_pair * (first + end) / 2);
    }
};

/** A prefill that was measured. */
struct measured_prefill {
    std::size_t cached = 0; ///< tokens whose KV was there already
    std::size_t tokens = 0; ///< that were computed behind them; > 0
    double seconds = 0;     ///< > 0
};

/** The model that goes through two prefills, as long as the engine serves: say one of a quarter of its context and one of
    all of it, both warm, with nothing beside them. Where two such numbers would not both be positive (short prompts, which
    cost mostly what any prompt costs), one of them is 0 and the other fits the sum.

    @par Errors condition::invalid: prefills without tokens or time, or whose midpoints are equal: they
         tell of one number, not of two. */
[[nodiscard]] result<prefill_model> fit_prefill(const measured_prefill& one, const measured_prefill& other);

/** What decides beside the request. */
struct admission_costs {
    /** `request_seconds` and `link_bytes_per_second` count: see measure_costs(). Over a layout that does not reach the link
        (layout_cost::link_fraction) has a slower one. 0 bytes per second: no link. */
    storage_costs store;
    prefill_model prefill;
    /** `both` must beat the better of the other two by this part of it: the head is a pass of its own, which costs its
        launches, and no prediction is better than what was measured. 0 ... 1, without 1. */
    double margin = 0.05;
};

/** A prompt of which a prefix was matched. */
struct admission_request {
    kv_geometry geometry;
    std::size_t prefix_chunks = 0; ///< that were matched
    std::size_t suffix_tokens =
        0; ///< behind them, computed in any case; > 0, or there would be no next token
};

enum class admission_way {
    recompute, ///< compute all of the prompt
    load,      ///< load the prefix, and compute the suffix layer by layer as it comes
    both       ///< compute the prefix's head while its tail comes, then the suffix as with `load`
};

/** What to do with a matched prefix, and how long each way takes until the first token. */
struct admission {
    admission_way way = admission_way::recompute;
    /** For load_options::first_chunk: chunks below it are to be computed. All of the prefix to recompute, none to load, so
        that an engine can treat all ways as one. */
    std::size_t first_chunk = 0;
    double recompute_seconds = 0;
    double load_seconds = 0; ///< infinite without a link
    double both_seconds =
        0; ///< at the best split; all and nothing are splits too, so never more than the others

    /** Of the way that was chosen. */
    [[nodiscard]] double seconds() const noexcept
    {
        return way == admission_way::both   ? both_seconds
               : way == admission_way::load ? load_seconds
                                            : recompute_seconds;
    }
};

/** Choose the way whose first token comes first. Never one that takes longer than to recompute, as far as is predicted.

    The load starts at once, and its layers come one behind the other whatever the engine does meanwhile: layer l of the
    chunks [s, n) is there at
    @code
    X(l) = request_seconds + (l + 1) * (n - s) * record_bytes / link_bytes_per_second
    @endcode
    The engine computes the tokens of chunks [0, s), then layer l of the suffix when it is done with layer l - 1 and X(l) has
    passed (predict_layerwise()). The more is computed, the later the head is done and the earlier the tail is there:
    the best split is where the two meet, or the one before it. With no chunk left to load there is no request to wait for.

    A prefix of no chunks is to be recomputed. What takes the same time is computed, which asks nothing of the store.

    @par Errors condition::invalid, with the member's name: no suffix, an impossible geometry, costs that are no numbers or
         negative, a model that says that computing takes no time.
    @par Cost About log2(prefix_chunks) predictions, each of some operations per layer. */
[[nodiscard]] result<admission> admit(const admission_costs& costs, const admission_request& request);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/plan/impl/admission.ipp>
#endif
