// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/plan/presence_search.hpp>

#include <algorithm>
#include <cmath>

namespace objectcache {

OBJECTCACHE_DECL presence_search::presence_search(std::size_t objects)
    : objects_(objects)
    , stage_(objects == 0 ? stage::over : stage::first_round)
{}

OBJECTCACHE_DECL std::vector<std::size_t> presence_search::gaps() const
{
    std::vector<std::size_t> out;
    std::size_t seen = 0;
    for (std::size_t i = 1; i < probes_.size() && seen < most_gaps; ++i) {
        const probe &a = probes_[i - 1], &b = probes_[i];
        if (a.known == b.known || b.index == a.index + 1)
            continue;
        ++seen;
        for (std::size_t index = a.index + 1; index < b.index; ++index)
            out.push_back(index);
    }
    return out;
}

OBJECTCACHE_DECL std::vector<std::size_t> presence_search::next_round()
{
    std::vector<std::size_t> ask;
    if (stage_ == stage::first_round) {
        const auto root = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(objects_))));
        const std::size_t step = objects_ <= one_round_limit ? 1 : root;
        for (std::size_t index = 0; index < objects_; index += step)
            ask.push_back(index);
        if (ask.back() != objects_ - 1)
            ask.push_back(objects_ - 1);
        stage_ = stage::first_answers;
    } else if (stage_ == stage::second_round) {
        ask = gaps();
        stage_ = stage::second_answers;
    }
    due_ += ask.size();
    for (const std::size_t index : ask)
        probes_.push_back({index});
    std::sort(probes_.begin(), probes_.end(),
              [](const probe& a, const probe& b) { return a.index < b.index; });
    return ask;
}

OBJECTCACHE_DECL void presence_search::report(std::size_t index, bool present)
{
    const auto at = std::lower_bound(probes_.begin(), probes_.end(), index,
                                     [](const probe& p, std::size_t wanted) { return p.index < wanted; });
    if (at == probes_.end() || at->index != index || at->known != answer::due)
        return;
    at->known = present ? answer::present : answer::absent;
    if (--due_ == 0)
        stage_ = stage_ == stage::first_answers && !gaps().empty() ? stage::second_round : stage::over;
}

OBJECTCACHE_DECL std::vector<presence_search::interval> presence_search::present() const
{
    std::vector<interval> out;
    bool open = false; // the last interval reaches up to the probe before
    for (const probe& p : probes_) {
        const bool is = p.known == answer::present;
        if (is && open)
            out.back().end = p.index + 1;
        else if (is)
            out.push_back({p.index, p.index + 1});
        open = is;
    }
    return out;
}

} // namespace objectcache
