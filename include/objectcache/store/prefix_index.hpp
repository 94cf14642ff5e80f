// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/ids.hpp>

#include <cstddef>
#include <list>
#include <span>
#include <unordered_map>
#include <utility>

namespace objectcache {

/** What this process believes about chunks in the store, so that a warm match costs no round trip.

    Beliefs, not facts: the store is shared and its lifecycle rules remove objects. So a belief expires, a 404 ends it at
    once, and only chunks whose write was acknowledged or that were seen in the store enter. Pure: time is a parameter.

    @par Threads Not safe: one thread, or one strand, at a time. */
class prefix_index {
public:
    /** @param capacity chunks to remember; the least recently touched go first
        @param ttl how long a belief holds; keep it shorter than the bucket's lifecycle rule */
    explicit prefix_index(std::size_t capacity = std::size_t{1} << 20,
                          duration ttl = std::chrono::minutes(10))
        : capacity_(capacity)
        , ttl_(ttl)
    {}

    void add(const chunk_id& chunk, time_point now) { touch(chunk, belief::stored, now); }

    /** The chunk was found damaged: it is not there for readers, and the next store of it must replace it. */
    void mark_damaged(const chunk_id& chunk, time_point now) { touch(chunk, belief::damaged, now); }

    void forget(const chunk_id& chunk)
    {
        if (const auto found = entries_.find(chunk); found != entries_.end()) {
            order_.erase(found->second.place);
            entries_.erase(found);
        }
    }

    [[nodiscard]] bool contains(const chunk_id& chunk, time_point now) const
    {
        return is(chunk, belief::stored, now);
    }
    [[nodiscard]] bool is_damaged(const chunk_id& chunk, time_point now) const
    {
        return is(chunk, belief::damaged, now);
    }

    /** How many of `chain`, from its start, are believed stored. */
    [[nodiscard]] std::size_t known_prefix(std::span<const chunk_id> chain, time_point now) const
    {
        std::size_t n = 0;
        while (n < chain.size() && contains(chain[n], now))
            ++n;
        return n;
    }

    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

private:
    enum class belief { stored, damaged };
    struct entry {
        belief what;
        time_point until;
        std::list<chunk_id>::iterator place;
    };

    [[nodiscard]] bool is(const chunk_id& chunk, belief what, time_point now) const
    {
        const auto found = entries_.find(chunk);
        return found != entries_.end() && found->second.what == what && now < found->second.until;
    }

    void touch(const chunk_id& chunk, belief what, time_point now)
    {
        forget(chunk);
        while (!order_.empty() && entries_.size() >= capacity_)
            forget(chunk_id(order_.back()));
        order_.push_front(chunk);
        entries_.emplace(chunk, entry{what, now + ttl_, order_.begin()});
    }

    std::size_t capacity_;
    duration ttl_;
    std::list<chunk_id> order_; // most recently touched first
    std::unordered_map<chunk_id, entry> entries_;
};

} // namespace objectcache
