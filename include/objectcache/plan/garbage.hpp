// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/kv/object_name.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/** @file
    What in a bucket nobody needs any more, from its listing alone: what a collector may take away beside live readers and
    writers, and why, is in docs/collector.md. */

namespace objectcache {

/** One object of a listing, of whatever origin. */
struct listed_object {
    std::string key;
    std::uint64_t size = 0; ///< bytes
    /** By the store's clock; the end of time if it does not say. */
    std::chrono::system_clock::time_point modified = std::chrono::system_clock::time_point::max();
};

/** What becomes of an object. */
enum class verdict {
    keep,
    superseded,    ///< a segment all of whose chunks a larger one holds
    orphan,        ///< a layer of a chunk that was never published
    broken,        ///< a manifest without some layers in front of others: it promises what is not there
    undecided,     ///< a segment: perhaps superseded; the heads of others tell, see `supersession`
    young,         ///< would be one of the above, but somebody may still be at work with it
    other_version, ///< of another format version: not ours to judge
    foreign        ///< no key that this library makes
};
inline constexpr std::size_t verdicts = 8;

/** "keep" and so on. */
[[nodiscard]] std::string_view name(verdict value) noexcept;

struct judged_object {
    listed_object object;
    std::optional<object_name> name; ///< none of foreign objects and other versions
    verdict what = verdict::keep;
};

/** Objects that are judged together: one chunk object; the layers of a chunk and its manifest; the segments of a region; one
    object that is none of ours. */
struct judged_group {
    /** What all keys of the group begin with, and no other key that is ours: the prefix to list it again. */
    std::string prefix;
    std::vector<judged_object> objects; ///< in the order of the listing

    [[nodiscard]] bool has(verdict what) const noexcept;
};

/** Judges a listing while it comes.

    - Layers are `orphan` if their chunk has no manifest and all of them are old.
    - A manifest is `broken` if it is old and layers in front of others, or all, are missing. How many there should be at the end
      only the manifest itself says.
    - A segment is `superseded` if a larger one with its last chunk holds all places of it, both are old, and by their
      sizes both are whole. Where a larger one goes on behind its last chunk, and the names allow that it is the same
      sequence, it is `undecided`.

    @par Threads One at a time. A machine without I/O.
    @par Cost Memory for one group, whatever the listing's length: at most 4,097 objects of a chunk, or `most_segments` of a region;
    regions with more are judged in pieces, and what is superseded across pieces is not seen. */
class garbage_planner {
public:
    static constexpr std::size_t most_segments = 4096;

    /** @param prefix the key prefix of the cache; keys outside are `foreign`
        @param old_until objects modified later are too young to be garbage */
    garbage_planner(std::string prefix, std::chrono::system_clock::time_point old_until);

    /** The next object. Gives the group in front of it, if it is complete now, or the object itself if it is none of ours.

        @par Errors errc::malformed_response: the key does not come after the one before, so that nothing can be said about
        what is missing. S3's directory buckets list like that. */
    [[nodiscard]] result<std::optional<judged_group>> feed(listed_object next);

    /** The listing is over: the last group. To be called only if it came to its end. */
    [[nodiscard]] std::optional<judged_group> finish();

private:
    judged_group close();

    std::string prefix_, last_key_;
    std::chrono::system_clock::time_point old_until_;
    std::optional<judged_group> open_;
};

/** Decides the `undecided` segments of one group, with as few heads of others as will do, the largest first.

    @code
    supersession open(group, old_until);
    while (const auto i = open.next())
        open.report(*i, read_head(group.objects[*i]));
    @endcode
    Afterwards none is undecided: they are `superseded`, `young` or `keep`.

    @par Threads One at a time. A machine without I/O.
    @par Cost O(n^2) of n segments; at most one head of each. */
class supersession {
public:
    /** @param group of one region, from a garbage_planner; borrowed */
    supersession(judged_group& group, std::chrono::system_clock::time_point old_until);

    /** The segment whose head to read now; none if all is decided. */
    [[nodiscard]] std::optional<std::size_t> next();
    /** Its head, or why there is none: then it supersedes nothing. */
    void report(std::size_t index, const result<segment_head>& head);

private:
    judged_group* group_;
    std::chrono::system_clock::time_point old_until_;
    std::vector<std::size_t> larger_; // indices, those with fewer chunks first
};

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/plan/impl/garbage.ipp>
#endif
