// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/plan/presence_search.hpp>

#include <algorithm>
#include <cmath>

namespace objectcache {

OBJECTCACHE_DECL void presence_search::ask(std::size_t index, std::vector<std::size_t>& out)
{
    answers_[index] = answer::due;
    out.push_back(index);
}

OBJECTCACHE_DECL std::size_t presence_search::end_of_unasked(std::size_t first) const
{
    while (is(first, answer::none))
        ++first;
    return first;
}

OBJECTCACHE_DECL std::vector<std::size_t> presence_search::first_round()
{
    std::vector<std::size_t> out;
    const std::size_t objects = answers_.size();
    const auto root = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(objects))));
    const std::size_t step = objects <= one_round_limit ? 1 : root;
    for (std::size_t index = 0; index < objects; index += step)
        ask(index, out);
    if (objects != 0 && is(objects - 1, answer::none))
        ask(objects - 1, out);
    return out;
}

OBJECTCACHE_DECL std::vector<std::size_t> presence_search::beside_present(std::size_t end)
{
    std::vector<std::size_t> out;
    end = std::min(end, answers_.size());
    for (std::size_t first = 0; first < end; ++first) {
        if (!is(first, answer::none))
            continue;
        const std::size_t behind = end_of_unasked(first);
        const bool wanted = present(behind) || (first != 0 && present(first - 1));
        for (; first < std::min(behind, end); ++first)
            if (wanted)
                ask(first, out);
    }
    return out;
}

OBJECTCACHE_DECL std::vector<std::size_t> presence_search::around(std::size_t index)
{
    std::vector<std::size_t> out;
    if (!is(index, answer::none))
        return out;
    while (index != 0 && is(index - 1, answer::none))
        --index;
    for (; is(index, answer::none); ++index)
        ask(index, out);
    return out;
}

OBJECTCACHE_DECL void presence_search::report(std::size_t index, bool present)
{
    if (is(index, answer::due))
        answers_[index] = present ? answer::present : answer::absent;
}

} // namespace objectcache
