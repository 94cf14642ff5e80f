// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/pages.hpp>
#include <objectcache/pipeline/match.hpp>
#include <objectcache/pipeline/options.hpp>

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
    if (how.first_layer > matched.geometry.layers)
        return {errc::invalid_argument, "first_layer: " + std::to_string(how.first_layer) + " of " +
                                            std::to_string(matched.geometry.layers) + " layers"};
    if (!how.layer_by_layer && pages.layer_slots() < matched.geometry.layers)
        return {errc::invalid_argument, "layer_by_layer = false, and pages that keep only some layers"};
    return {};
}

} // namespace objectcache::detail
