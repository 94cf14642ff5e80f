// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/plan/prefix_search.hpp>

#include <algorithm>
#include <cmath>

namespace objectcache {

OBJECTCACHE_DECL prefix_search::prefix_search(std::size_t chunks)
    : chunks_(chunks)
    , stage_(chunks == 0 ? stage::over : stage::first_round)
{}

OBJECTCACHE_DECL std::vector<prefix_search::probe>::const_iterator prefix_search::frontier() const noexcept
{
    return std::find_if(probes_.begin(), probes_.end(),
                        [](const probe& p) { return p.known != answer::present; });
}

OBJECTCACHE_DECL std::size_t prefix_search::gap() const noexcept
{
    const auto at = frontier();
    return at == probes_.end() ? 0 : at->index - length();
}

OBJECTCACHE_DECL std::vector<std::size_t> prefix_search::next_round()
{
    std::vector<std::size_t> ask;
    if (stage_ == stage::first_round) {
        const auto root = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(chunks_))));
        const std::size_t step = chunks_ <= one_round_limit ? 1 : root;
        for (std::size_t index = 0; index < chunks_; index += step)
            ask.push_back(index);
        if (ask.back() != chunks_ - 1)
            ask.push_back(chunks_ - 1);
        stage_ = stage::first_answers;
    } else if (stage_ == stage::second_round) {
        for (std::size_t index = length(), last = index + gap(); index < last; ++index)
            ask.push_back(index);
        stage_ = stage::second_answers;
    }
    due_ += ask.size();
    const auto place = frontier(); // before round 1: the end of nothing
    std::vector<probe> added(ask.size());
    std::transform(ask.begin(), ask.end(), added.begin(), [](std::size_t index) { return probe{index}; });
    probes_.insert(place, added.begin(), added.end());
    return ask;
}

OBJECTCACHE_DECL void prefix_search::report(std::size_t index, bool present)
{
    const auto at = std::lower_bound(probes_.begin(), probes_.end(), index,
                                     [](const probe& p, std::size_t wanted) { return p.index < wanted; });
    if (at == probes_.end() || at->index != index || at->known != answer::due)
        return;
    at->known = present ? answer::present : answer::absent;
    if (--due_ == 0)
        stage_ = stage_ == stage::first_answers && gap() != 0 ? stage::second_round : stage::over;
}

OBJECTCACHE_DECL std::size_t prefix_search::length() const noexcept
{
    const auto at = frontier();
    return at == probes_.begin() ? 0 : std::prev(at)->index + 1;
}

} // namespace objectcache
