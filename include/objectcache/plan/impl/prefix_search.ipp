// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/segment.hpp>
#include <objectcache/plan/prefix_search.hpp>

#include <algorithm>

namespace objectcache {

OBJECTCACHE_DECL prefix_search::prefix_search(std::size_t chunks, std::size_t known, std::uint32_t per_region,
                                              layout_set layouts)
    : chunks_(chunks)
    , known_(known)
    , per_region_(per_region)
    , layouts_(layouts)
    , objects_(layouts.chunk_objects ? chunks - known : 0)
    , manifests_(layouts.layer_objects ? chunks - known : 0)
    , listed_((chunks + per_region - 1) / per_region)
    , crowded_(listed_.size())
    , pieces_from_(chunks)
{}

OBJECTCACHE_DECL void prefix_search::ask_for_segments(std::vector<question>& out)
{
    if (known_ == chunks_)
        return;
    std::size_t region = known_ / per_region_;
    const bool in_part = known_ % per_region_ != 0;
    if (region < listed_.size() && (in_part || region >= whole_regions())) {
        out.push_back({ask::region, region});
        listed_[region] = true;
        ++region;
    }
    for (; region < whole_regions(); ++region)
        out.push_back({ask::segment, region, 0, static_cast<std::uint32_t>(per_region_)});
}

OBJECTCACHE_DECL bool prefix_search::covered(std::size_t region, const std::vector<bool>& there) const
{
    const std::size_t end = std::min(chunks_, (region + 1) * per_region_);
    for (std::size_t chunk = std::max(known_, region * per_region_); chunk < end; ++chunk)
        if (!there[chunk - known_])
            return false;
    return true;
}

OBJECTCACHE_DECL std::vector<bool> prefix_search::stored() const
{
    std::vector<bool> there(chunks_ - known_);
    for (std::size_t i = 0; i < there.size(); ++i)
        there[i] = objects_.present(i) || manifests_.present(i);
    for (const stored_run& run : segments_)
        for (std::size_t chunk = std::max(run.first, known_); chunk < run.end(); ++chunk)
            there[chunk - known_] = true;
    return there;
}

/** The first chunk that every layout was asked for in vain; counted from `known`. */
OBJECTCACHE_DECL std::size_t prefix_search::end_at_most(const std::vector<bool>& there) const
{
    for (std::size_t i = 0; i < there.size(); ++i)
        if (!there[i] && (!layouts_.chunk_objects || objects_.absent(i)) &&
            (!layouts_.layer_objects || manifests_.absent(i)) &&
            (!layouts_.segment_objects || listed_[(known_ + i) / per_region_]))
            return i;
    return there.size();
}

OBJECTCACHE_DECL void prefix_search::ask_for_objects(const std::vector<bool>& there, std::size_t open,
                                                     std::vector<question>& out)
{
    const std::size_t end = end_at_most(there);
    const auto ask_for = [&](ask what, presence_search& in) {
        for (const std::size_t index : in.beside_present(end))
            out.push_back({what, known_ + index});
        // Where one layout ends another may go on, with a run that lies between two places it was asked for.
        for (const std::size_t index : in.around(open))
            out.push_back({what, known_ + index});
    };
    ask_for(ask::chunk, objects_);
    ask_for(ask::manifest, manifests_);
}

OBJECTCACHE_DECL void prefix_search::ask_for_pieces(std::size_t open, std::vector<question>& out)
{
    if (open == chunks_ || open == pieces_from_ || !crowded_[open / per_region_])
        return;
    pieces_from_ = open;
    const std::size_t begin = open / per_region_ * per_region_, end = std::min(chunks_, begin + per_region_);
    // A writer that could not see how far others share its sequence began at the mark before (plan_store).
    const std::size_t stride = segment_mark_stride(static_cast<std::uint32_t>(per_region_));
    for (std::size_t first = open - std::min(open - begin, stride - 1); first <= open; ++first)
        for (std::size_t last = open; last < end; ++last)
            if (first != begin || last + 1 != begin + per_region_) // that was asked for with the others
                out.push_back({ask::segment, begin / per_region_, static_cast<std::uint32_t>(first - begin),
                               static_cast<std::uint32_t>(last + 1 - first)});
}

OBJECTCACHE_DECL void prefix_search::list_what_is_open(const std::vector<bool>& there,
                                                       std::vector<question>& out)
{
    std::size_t last = 0; // region behind the last that has a segment
    for (const stored_run& run : segments_)
        last = std::max(last, (run.end() - 1) / per_region_ + 1);
    unsigned open = 0;
    for (std::size_t region = known_ / per_region_; region < listed_.size(); ++region) {
        if (covered(region, there))
            continue;
        if (open == 0 && listed_[region] && out.empty())
            break; // here the prefix ends
        if (!listed_[region] && (open < most_open || region < last)) {
            out.push_back({ask::region, region});
            listed_[region] = true;
        }
        ++open;
    }
}

OBJECTCACHE_DECL std::vector<prefix_search::question> prefix_search::next_round()
{
    std::vector<question> out;
    if (due_ != 0 || over_)
        return out;
    if (!begun_) {
        for (const std::size_t index : objects_.first_round())
            out.push_back({ask::chunk, known_ + index});
        for (const std::size_t index : manifests_.first_round())
            out.push_back({ask::manifest, known_ + index});
        if (layouts_.segment_objects)
            ask_for_segments(out);
    } else {
        const std::vector<bool> there = stored();
        const auto open =
            static_cast<std::size_t>(std::find(there.begin(), there.end(), false) - there.begin());
        if (layouts_.segment_objects) {
            ask_for_pieces(known_ + open, out);
            list_what_is_open(there, out);
        }
        ask_for_objects(there, open, out);
    }
    begun_ = true;
    over_ = out.empty();
    due_ = out.size();
    if (over_)
        find_continued();
    return out;
}

OBJECTCACHE_DECL void prefix_search::find_continued()
{
    const std::size_t stride = segment_mark_stride(static_cast<std::uint32_t>(per_region_));
    for (stored_run& own : segments_) {
        if (!own.whole_segment())
            continue;
        const auto holds_it = [&](const stored_run& other) {
            return other.first <= own.first && own.first < other.end() && other.end() + stride > own.end() &&
                   !other.whole_segment() && other.place.segment->chunks > own.chunks;
        };
        if (!std::any_of(segments_.begin(), segments_.end(), holds_it))
            continue;
        auto segment = std::make_shared<stored_segment>(*own.place.segment);
        segment->continued = true;
        own.place.segment = std::move(segment);
    }
}

OBJECTCACHE_DECL std::vector<std::string> prefix_search::continued() const
{
    std::vector<std::string> out;
    for (const stored_run& run : segments_)
        if (run.place.segment->continued)
            out.push_back(run.place.segment->key);
    return out;
}

OBJECTCACHE_DECL void prefix_search::report(const question& asked, bool present)
{
    presence_search& search = asked.what == ask::chunk ? objects_ : manifests_;
    search.report(asked.index - known_, present);
    --due_;
}

OBJECTCACHE_DECL void prefix_search::report(const question& asked, std::vector<stored_run> found, bool more)
{
    if (more)
        crowded_[asked.index] = true;
    for (stored_run& run : found)
        if (run.chunks != 0 && run.end() <= chunks_)
            segments_.push_back(std::move(run));
    --due_;
}

OBJECTCACHE_DECL std::vector<chunk_place> prefix_search::places() const
{
    std::vector<chunk_place> out;
    for (std::size_t chunk = known_; chunk < chunks_;) {
        // Of several segments the one that reaches farthest: fewest requests.
        const stored_run* best = nullptr;
        for (const stored_run& run : segments_)
            if (run.first <= chunk && chunk < run.end() && (best == nullptr || run.end() > best->end()))
                best = &run;
        if (best != nullptr) {
            for (; chunk < best->end(); ++chunk)
                out.push_back(best->at(chunk));
        } else if (objects_.present(chunk - known_)) {
            out.push_back({layout::chunk_objects});
            ++chunk;
        } else if (manifests_.present(chunk - known_)) {
            out.push_back({layout::layer_objects});
            ++chunk;
        } else {
            break;
        }
    }
    return out;
}

} // namespace objectcache
