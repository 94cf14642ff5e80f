// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/plan/garbage.hpp>

#include <algorithm>
#include <utility>

namespace objectcache {

namespace detail {

/** Bytes of the records of one chunk in a segment of that size; nothing if no geometry gives it. */
OBJECTCACHE_DECL std::optional<std::uint64_t> segment_chunk_bytes(const judged_object& segment) noexcept
{
    const std::uint64_t chunks = segment.name->segment.chunks;
    const std::uint64_t head = segment_head_bytes(segment.name->segment.chunks);
    if (segment.object.size <= head || (segment.object.size - head) % chunks != 0)
        return std::nullopt;
    return (segment.object.size - head) / chunks;
}

/** By name, and both of a size that the same geometry gives. */
OBJECTCACHE_DECL containment covers(const judged_object& larger, const judged_object& smaller) noexcept
{
    const auto bytes = segment_chunk_bytes(larger);
    if (!bytes || bytes != segment_chunk_bytes(smaller))
        return containment::no;
    return contains(larger.name->segment, smaller.name->segment);
}

OBJECTCACHE_DECL bool is_old(const judged_object& o, std::chrono::system_clock::time_point until) noexcept
{
    // A store that does not know the time does not know that it is over either.
    return o.object.modified <= until && o.object.modified != std::chrono::system_clock::time_point::max();
}

OBJECTCACHE_DECL void judge_layers(judged_group& group, std::chrono::system_clock::time_point old_until)
{
    judged_object& last = group.objects.back(); // manifest sorts behind the digits
    const auto old = [&](const judged_object& o) { return is_old(o, old_until); };
    if (last.name->kind == object_kind::manifest) {
        // In order and without duplicates: where none is missing, the last one's number is their count.
        const std::size_t layers = group.objects.size() - 1;
        if (layers == 0 || group.objects[layers - 1].name->layer + 1 != layers)
            last.what = old(last) ? verdict::broken : verdict::young;
        return;
    }
    const bool all = std::all_of(group.objects.begin(), group.objects.end(), old);
    for (judged_object& layer : group.objects)
        layer.what = all ? verdict::orphan : verdict::young;
}

OBJECTCACHE_DECL void judge_segments(judged_group& group, std::chrono::system_clock::time_point old_until)
{
    for (judged_object& smaller : group.objects) {
        for (const judged_object& larger : group.objects) {
            const containment found = covers(larger, smaller);
            if (found == containment::no)
                continue;
            const bool old = is_old(smaller, old_until) && is_old(larger, old_until);
            if (found == containment::yes && old) {
                smaller.what = verdict::superseded;
                break;
            }
            if (old)
                smaller.what = verdict::undecided;
            else if (found == containment::yes && smaller.what == verdict::keep)
                smaller.what = verdict::young;
        }
    }
}

} // namespace detail

OBJECTCACHE_DECL std::string_view name(verdict value) noexcept
{
    switch (value) {
    case verdict::keep:
        return "keep";
    case verdict::superseded:
        return "superseded";
    case verdict::orphan:
        return "orphan";
    case verdict::broken:
        return "broken";
    case verdict::undecided:
        return "undecided";
    case verdict::young:
        return "young";
    case verdict::other_version:
        return "other_version";
    case verdict::foreign:
        return "foreign";
    }
    return {};
}

OBJECTCACHE_DECL bool judged_group::has(verdict what) const noexcept
{
    return std::any_of(objects.begin(), objects.end(),
                       [what](const judged_object& o) { return o.what == what; });
}

OBJECTCACHE_DECL garbage_planner::garbage_planner(std::string prefix,
                                                  std::chrono::system_clock::time_point old_until)
    : prefix_(std::move(prefix))
    , old_until_(old_until)
{}

OBJECTCACHE_DECL judged_group garbage_planner::close()
{
    judged_group out = std::move(*open_);
    open_.reset();
    const auto& first = out.objects.front().name;
    if (first && first->where() == layout::layer_objects)
        detail::judge_layers(out, old_until_);
    else if (first && first->where() == layout::segment_objects)
        detail::judge_segments(out, old_until_);
    return out;
}

OBJECTCACHE_DECL result<std::optional<judged_group>> garbage_planner::feed(listed_object next)
{
    if (next.key <= last_key_)
        return status(errc::malformed_response, "the store does not list in the order of keys: " + next.key +
                                                    " comes behind " + last_key_);
    last_key_ = next.key;
    judged_object object{std::move(next), parse_object_key(prefix_, last_key_), verdict::keep};
    std::string group = last_key_; // by itself, unless its chunk or region makes a folder of it
    if (!object.name) {
        const auto version = key_version(prefix_, last_key_);
        object.what = version && *version != format_version ? verdict::other_version : verdict::foreign;
        // At once: it may lie in the midst of a group, between layers and their manifest, and must not end it.
        judged_group alone{std::move(group), {}};
        alone.objects.push_back(std::move(object));
        return std::optional(std::move(alone));
    }
    if (object.name->kind != object_kind::chunk)
        group.resize(group.rfind('/') + 1);
    std::optional<judged_group> done;
    const bool joins = open_ && open_->prefix == group &&
                       (object.name->kind != object_kind::segment || open_->objects.size() < most_segments);
    if (open_ && !joins)
        done = close();
    if (!open_)
        open_.emplace().prefix = std::move(group);
    open_->objects.push_back(std::move(object));
    return done;
}

OBJECTCACHE_DECL std::optional<judged_group> garbage_planner::finish()
{
    return open_ ? std::optional(close()) : std::nullopt;
}

OBJECTCACHE_DECL supersession::supersession(judged_group& group,
                                            std::chrono::system_clock::time_point old_until)
    : group_(&group)
    , old_until_(old_until)
{
    if (!group.has(verdict::undecided))
        return;
    for (std::size_t i = 0; i < group.objects.size(); ++i)
        if (detail::is_old(group.objects[i], old_until_))
            larger_.push_back(i);
    std::stable_sort(larger_.begin(), larger_.end(), [&](std::size_t a, std::size_t b) {
        return group.objects[a].name->segment.chunks < group.objects[b].name->segment.chunks;
    });
}

OBJECTCACHE_DECL std::optional<std::size_t> supersession::next()
{
    while (!larger_.empty()) {
        const std::size_t i = larger_.back();
        larger_.pop_back();
        for (const judged_object& o : group_->objects)
            if (o.what == verdict::undecided && detail::covers(group_->objects[i], o) == containment::perhaps)
                return i;
    }
    for (judged_object& o : group_->objects) {
        if (o.what != verdict::undecided)
            continue;
        const bool later =
            std::any_of(group_->objects.begin(), group_->objects.end(), [&](const judged_object& larger) {
                return detail::covers(larger, o) == containment::yes;
            });
        o.what = later ? verdict::young : verdict::keep;
    }
    return std::nullopt;
}

OBJECTCACHE_DECL void supersession::report(std::size_t index, const result<segment_head>& head)
{
    const judged_object& larger = group_->objects[index];
    if (!head || !match_name(*larger.name, larger.object.size, *head).ok())
        return;
    for (judged_object& o : group_->objects) {
        if (o.what == verdict::undecided && detail::covers(larger, o) == containment::perhaps &&
            contains(*head, larger.name->segment.offset, o.name->segment))
            o.what = verdict::superseded;
    }
}

} // namespace objectcache
