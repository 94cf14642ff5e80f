// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/plan/admission.hpp>
#include <objectcache/plan/ttft_model.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace objectcache {

namespace detail {

/** A number of a cost: not negative, and finite. */
[[nodiscard]] inline bool finite_cost(double x) noexcept
{
    return std::isfinite(x) && x >= 0;
}

/** The time to the first token for each split of the prefix: chunks below it computed, the others loaded. */
class split_times {
public:
    split_times(const admission_costs& costs, const admission_request& request)
        : costs_(costs)
        , request_(request)
        , prefix_(tokens(request.prefix_chunks))
        , suffix_(costs.prefill.seconds(prefix_, prefix_ + static_cast<double>(request.suffix_tokens)))
    {}

    struct time {
        double ttft = 0;
        bool waits = false; ///< some layer of the suffix waits for the load
    };
    [[nodiscard]] time at(std::size_t split) const
    {
        const auto layers = std::size_t{request_.geometry.layers};
        const double head = costs_.prefill.seconds(0, tokens(split));
        if (split == request_.prefix_chunks)
            return {head + suffix_, false};
        const double link = costs_.store.link_bytes_per_second;
        if (link <= 0)
            return {std::numeric_limits<double>::infinity(), true};
        const double payload = static_cast<double>(request_.prefix_chunks - split) *
                               static_cast<double>(record_bytes(request_.geometry)) / link;
        // The head is a first layer that needs no fetch.
        std::vector<double> fetch(layers + 1, payload);
        fetch[0] = 0;
        fetch[1] += costs_.store.request_seconds;
        std::vector<double> compute(layers + 1, suffix_ / static_cast<double>(layers));
        compute[0] = head;
        // As deep as there are layers: no load waits for compute, unless there is no memory for all layers.
        const ttft_prediction p = predict_layerwise(fetch, compute, layers + 1);
        return {p.ttft, std::any_of(p.stalls.begin(), p.stalls.end(), [](double s) { return s > 0; })};
    }

    /** The fewest chunks to compute so that nothing waits for the load. */
    [[nodiscard]] std::size_t meeting() const
    {
        std::size_t low = 0, high = request_.prefix_chunks; // at high nothing waits
        while (low < high) {
            const std::size_t middle = low + (high - low) / 2;
            if (at(middle).waits)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

private:
    [[nodiscard]] double tokens(std::size_t chunks) const noexcept
    {
        return static_cast<double>(chunks) * request_.geometry.tokens_per_chunk;
    }

    const admission_costs& costs_;
    const admission_request& request_;
    double prefix_; // tokens
    double suffix_; // seconds
};

} // namespace detail

OBJECTCACHE_DECL result<prefill_model> fit_prefill(const measured_prefill& one, const measured_prefill& other)
{
    const auto count = [](const measured_prefill& m) { return static_cast<double>(m.tokens); };
    const auto middle = [](const measured_prefill& m) {
        return static_cast<double>(m.cached) + static_cast<double>(m.tokens) / 2;
    };
    for (const measured_prefill* m : {&one, &other})
        if (m->tokens == 0 || !detail::finite_cost(m->seconds) || m->seconds == 0)
            return status(errc::invalid_argument, "fit_prefill: a prefill of no tokens, or of no time");
    if (middle(one) == middle(other))
        return status(errc::invalid_argument, "fit_prefill: two prefills around the same position");
    // Seconds per token are a straight line over the middle of the tokens.
    const double rate = one.seconds / count(one), other_rate = other.seconds / count(other);
    prefill_model out;
    out.seconds_per_pair = (other_rate - rate) / (middle(other) - middle(one));
    out.seconds_per_token = rate - out.seconds_per_pair * middle(one);
    const double sum = one.seconds + other.seconds;
    if (out.seconds_per_pair < 0)
        out = {sum / (count(one) + count(other)), 0};
    else if (out.seconds_per_token < 0)
        out = {0, sum / (count(one) * middle(one) + count(other) * middle(other))};
    if (!detail::finite_cost(out.seconds_per_token) || !detail::finite_cost(out.seconds_per_pair))
        return status(errc::invalid_argument, "fit_prefill: times that are none");
    return out;
}

OBJECTCACHE_DECL result<admission> admit(const admission_costs& costs, const admission_request& request)
{
    const auto bad = [](const char* what) { return status(errc::invalid_argument, what); };
    if (status valid = request.geometry.validate(); !valid.ok())
        return valid;
    if (request.suffix_tokens == 0)
        return bad("suffix_tokens: nothing to compute the next token from");
    if (!detail::finite_cost(costs.store.request_seconds) || !(costs.store.link_bytes_per_second >= 0))
        return bad("store: request_seconds and link_bytes_per_second must not be negative");
    const prefill_model& prefill = costs.prefill;
    if (!detail::finite_cost(prefill.seconds_per_token) || !detail::finite_cost(prefill.seconds_per_pair) ||
        prefill.seconds_per_token + prefill.seconds_per_pair == 0)
        return bad("prefill: measure what computing takes (fit_prefill)");
    if (!(costs.margin >= 0 && costs.margin < 1))
        return bad("margin must be in 0 ... 1, without 1");

    const detail::split_times times(costs, request);
    admission out;
    out.recompute_seconds = times.at(request.prefix_chunks).ttft;
    if (!std::isfinite(out.recompute_seconds))
        return bad("prefill: so long takes nothing");
    out.load_seconds = times.at(0).ttft;
    std::size_t split = times.meeting();
    out.both_seconds = times.at(split).ttft;
    // Behind it more is computed and nothing gained, before it the load is what takes so long.
    if (split != 0)
        if (const double before = times.at(split - 1).ttft; before <= out.both_seconds) {
            out.both_seconds = before;
            --split;
        }
    // Where requests take longer than computing all, or nothing is worth a request, the best split is an end.
    for (const double end : {out.recompute_seconds, out.load_seconds})
        out.both_seconds = std::min(out.both_seconds, end);

    const double better = std::min(out.recompute_seconds, out.load_seconds);
    if (out.both_seconds < better && out.both_seconds <= better * (1 - costs.margin)) {
        out.way = admission_way::both;
        out.first_chunk = split;
    } else if (out.load_seconds < out.recompute_seconds) {
        out.way = admission_way::load;
    } else {
        out.first_chunk = request.prefix_chunks;
    }
    return out;
}

} // namespace objectcache
