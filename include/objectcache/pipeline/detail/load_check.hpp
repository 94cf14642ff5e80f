// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/format.hpp>
#include <objectcache/kv/pages.hpp>
#include <objectcache/pipeline/detail/layer_slots.hpp>
#include <objectcache/pipeline/match.hpp>
#include <objectcache/pipeline/options.hpp>
#include <objectcache/plan/load_pacer.hpp>
#include <objectcache/plan/load_plan.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace objectcache::detail {

/** Why a load with these can only fail; success if it need not. Pure. */
[[nodiscard]] inline status check_load(const prefix_match& matched, const kv_pages& pages,
                                       const load_options& how)
{
    if (std::uint64_t{how.passes} * matched.geometry.layers > load_options::most_layers)
        return {errc::invalid_argument,
                "passes: more than " + std::to_string(load_options::most_layers) + " layers in all of them"};
    if (how.first_chunk > matched.chunks.size())
        return {errc::invalid_argument, "first_chunk: " + std::to_string(how.first_chunk) + " of " +
                                            std::to_string(matched.chunks.size()) + " matched chunks"};
    if (how.first_layer > matched.geometry.layers)
        return {errc::invalid_argument, "first_layer: " + std::to_string(how.first_layer) + " of " +
                                            std::to_string(matched.geometry.layers) + " layers"};
    if (matched.empty())
        return {};
    if (status s = pages.validate(); !s.ok())
        return s;
    if (pages.geometry() != matched.geometry)
        return {errc::wrong_geometry, "pages are of another geometry than the match"};
    if (status s = matched.validate(); !s.ok())
        return s;
    if (pages.capacity_tokens() < matched.tokens())
        return {errc::invalid_argument, "pages have room for " + std::to_string(pages.capacity_tokens()) +
                                            " of " + std::to_string(matched.tokens()) + " tokens"};
    if (!how.layer_by_layer && pages.layer_slots() < matched.geometry.layers)
        return {errc::invalid_argument, "layer_by_layer = false, and pages that keep only some layers"};
    return {};
}

/** How its reads are planned, in a cache with these options over such a link. Pure. */
[[nodiscard]] inline load_plan_options plan_of(const prefix_match& matched, const load_options& how,
                                               const cache_options& own, const layer_slots& slots,
                                               const load_pacer::knowledge& link)
{
    load_plan_options out;
    out.layer_by_layer = how.layer_by_layer;
    out.first_layer = how.first_layer;
    out.first_chunk = how.first_chunk;
    out.coalesce_bytes = own.coalesce_bytes;
    out.max_group_bytes = own.staging_bytes;
    out.max_request_bytes = own.staging_bytes / 2;
    if (own.pace_layers &&
        how.passes == 1) // of many passes nothing waits for the first layer of the first alone
        out.first_request_bytes = link.first_request_bytes(record_bytes(matched.geometry) *
                                                           (matched.chunks.size() - how.first_chunk));
    // With few slots a group waits for the memory of as many layers at once: half of them, so that the other half can
    // compute meanwhile.
    if (slots.reused())
        out.max_layers_per_group = static_cast<std::uint32_t>(std::max<std::size_t>(1, slots.slots / 2));
    return out;
}

} // namespace objectcache::detail
