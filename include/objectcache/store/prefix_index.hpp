// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/ids.hpp>
#include <objectcache/plan/stored_run.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <list>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace objectcache {

/** What this process believes about the store, so that a warm match costs no round trip: where chunks lie, which were just
    looked for in vain, and which objects are damaged.

    Beliefs, not facts: the store is shared and its lifecycle rules remove objects. So a belief expires, a 404 ends it at
    once, and only chunks whose write was acknowledged or that were seen in the store enter. Pure: time is a parameter.

    @par Threads Not safe: one thread, or one strand, at a time. */
class prefix_index {
public:
    /** How long a chunk that was looked for counts as absent: long enough to compute and store it, short enough that it
        matters little if somebody else stores it meanwhile. */
    static constexpr duration absent_ttl = std::chrono::seconds(30);

    /** @param capacity chunks to remember; the least recently touched go first
        @param ttl how long a belief holds; keep it shorter than the bucket's lifecycle rule */
    explicit prefix_index(std::size_t capacity = std::size_t{1} << 20,
                          duration ttl = std::chrono::minutes(10))
        : capacity_(capacity)
        , ttl_(ttl)
    {}

    void add(const chunk_id& chunk, chunk_place place, time_point now)
    {
        touch(chunk, {true, std::move(place), later(now, ttl_), {}});
    }
    /** It was looked for, and is not there. */
    void mark_absent(const chunk_id& chunk, time_point now)
    {
        touch(chunk, {false, {}, later(now, std::min(ttl_, absent_ttl)), {}});
    }
    void forget(const chunk_id& chunk)
    {
        if (const auto found = entries_.find(chunk); found != entries_.end()) {
            order_.erase(found->second.recency);
            entries_.erase(found);
        }
    }

    /** Where the chunk is believed to lie; null if it is not believed to be there. Valid until the next change. */
    [[nodiscard]] const chunk_place* find(const chunk_id& chunk, time_point now) const
    {
        const auto found = entries_.find(chunk);
        return found != entries_.end() && found->second.present && now < found->second.until
                   ? &found->second.place
                   : nullptr;
    }
    [[nodiscard]] bool contains(const chunk_id& chunk, time_point now) const
    {
        return find(chunk, now) != nullptr;
    }
    [[nodiscard]] bool is_absent(const chunk_id& chunk, time_point now) const
    {
        const auto found = entries_.find(chunk);
        return found != entries_.end() && !found->second.present && now < found->second.until;
    }

    /** Where those of `chain`, from its start, lie that are believed to be there. */
    [[nodiscard]] std::vector<chunk_place> known_prefix(std::span<const chunk_id> chain, time_point now) const
    {
        std::vector<chunk_place> out;
        for (const chunk_id& chunk : chain) {
            const chunk_place* place = find(chunk, now);
            if (place == nullptr)
                break;
            out.push_back(*place);
        }
        return out;
    }

    /** The object was found damaged: it is not there for readers, and who stores its chunks again must replace it. */
    void mark_damaged(const std::string& key, time_point now) { mark(key, false, now); }
    /** The object is of a format version that this library does not know: it is not there for readers either, but nobody's
        to replace. */
    void mark_unknown(const std::string& key, time_point now) { mark(key, true, now); }
    void mark_repaired(const std::string& key)
    {
        if (const auto found = unreadable_.find(key); found != unreadable_.end()) {
            marks_.erase(found->second.mark);
            unreadable_.erase(found);
        }
    }
    [[nodiscard]] bool is_damaged(const std::string& key, time_point now) const
    {
        const trouble* found = trouble_with(key, now);
        return found != nullptr && !found->unknown;
    }
    [[nodiscard]] bool is_unknown(const std::string& key, time_point now) const
    {
        const trouble* found = trouble_with(key, now);
        return found != nullptr && found->unknown;
    }
    /** One of the two. */
    [[nodiscard]] bool is_unreadable(const std::string& key, time_point now) const
    {
        return trouble_with(key, now) != nullptr;
    }
    [[nodiscard]] bool any_unreadable() const noexcept { return !unreadable_.empty(); }
    /** Damaged objects whose keys begin with `prefix`. */
    [[nodiscard]] std::vector<std::string> damaged(const std::string& prefix, time_point now) const
    {
        std::vector<std::string> out;
        for (auto it = unreadable_.lower_bound(prefix);
             it != unreadable_.end() && it->first.starts_with(prefix); ++it)
            if (!it->second.unknown && now < it->second.until)
                out.push_back(it->first);
        return out;
    }

    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

private:
    struct entry {
        bool present = false;
        chunk_place place;
        time_point until;
        std::list<chunk_id>::iterator recency;
    };

    struct trouble {
        time_point until;
        bool unknown = false;
        std::list<std::string>::iterator mark;
    };

    void mark(const std::string& key, bool unknown, time_point now)
    {
        mark_repaired(key);
        // The oldest end first: those whose time is up, and one that has to make room.
        while (!marks_.empty() &&
               (unreadable_.size() >= capacity_ || unreadable_.find(marks_.front())->second.until <= now))
            mark_repaired(std::string(marks_.front()));
        marks_.push_back(key);
        unreadable_[key] = {later(now, ttl_), unknown, std::prev(marks_.end())};
    }
    [[nodiscard]] const trouble* trouble_with(const std::string& key, time_point now) const
    {
        const auto found = unreadable_.find(key);
        return found != unreadable_.end() && now < found->second.until ? &found->second : nullptr;
    }

    void touch(const chunk_id& chunk, entry what)
    {
        forget(chunk);
        while (!order_.empty() && entries_.size() >= capacity_)
            forget(chunk_id(order_.back()));
        order_.push_front(chunk);
        what.recency = order_.begin();
        entries_.emplace(chunk, std::move(what));
    }

    std::size_t capacity_;
    duration ttl_;
    std::list<chunk_id> order_; // most recently touched first
    std::unordered_map<chunk_id, entry> entries_;
    std::list<std::string> marks_; // keys of what follows, the oldest mark first
    std::map<std::string, trouble> unreadable_;
};

} // namespace objectcache
