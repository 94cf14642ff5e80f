// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/format.hpp>
#include <objectcache/kv/hash_chain.hpp>
#include <objectcache/kv/object_key.hpp>
#include <objectcache/kv/segment.hpp>
#include <objectcache/pipeline/detail/context.hpp>
#include <objectcache/plan/prefix_search.hpp>

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace objectcache::detail {

/** The longest stored prefix of a chain: what this process knows already, then two rounds of questions for the rest; the first
    time in a scope that is stored in several layouts, two more. */
template <device Device, tier Tier>
class prefix_finder : public std::enable_shared_from_this<prefix_finder<Device, Tier>> {
public:
    using context = pipeline_context<Device, Tier>;
    using ask = prefix_search::ask;

    struct outcome {
        std::vector<chunk_place> places; ///< of the prefix's chunks
        status ended_by;
    };

    prefix_finder(std::shared_ptr<context> shared, digest scope, kv_geometry geometry,
                  std::vector<chunk_id> chain, priority urgency, deadline until)
        : context_(std::move(shared))
        , keys_{context_->options.key_prefix, scope}
        , geometry_(geometry)
        , chain_(std::move(chain))
        , places_(context_->index.known_prefix(chain_, context_->time.now()))
        , census_(context_->census_of(scope))
        , asked_(layouts())
        , search_(chain_.size(), places_.size(), segment_chunks(geometry_), asked_)
        , urgency_(urgency)
        , until_(until)
    {}

    [[nodiscard]] const std::vector<chunk_id>& chain() const noexcept { return chain_; }

    asio::awaitable<outcome> run()
    {
        auto keep = this->shared_from_this();
        const std::size_t known = places_.size();
        co_await search();
        // The first time it is found out which layouts the scope has; where there are others, they may go on.
        if (ended_by_.ok() && places_.size() < chain_.size() && layouts() != asked_) {
            asked_ = layouts();
            search_ = prefix_search(chain_.size(), places_.size(), segment_chunks(geometry_), asked_);
            co_await search();
        }
        const time_point now = context_->time.now();
        for (std::size_t i = known; i < places_.size(); ++i)
            context_->index.add(chain_[i], places_[i], now);
        if (places_.size() < chain_.size() && ended_by_.ok())
            ended_by_ = census_failed_;
        if (places_.size() < chain_.size() && ended_by_.ok())
            context_->index.mark_absent(chain_[places_.size()], now);
        outcome out;
        out.places = std::move(places_);
        out.ended_by = ended_by_;
        co_return out;
    }

private:
    using layout_census = typename context::layout_census;

    asio::awaitable<void> search()
    {
        auto keep = this->shared_from_this();
        for (auto round = search_.next_round(); !round.empty() && ended_by_.ok();
             round = search_.next_round()) {
            task_group questions(context_->executor);
            for (const prefix_search::question& question : round)
                questions.spawn(answer(keep, question));
            count_layouts(questions);
            co_await questions.join();
            // Between two rounds nobody else would notice.
            const auto cancellation = co_await asio::this_coro::cancellation_state;
            if (ended_by_.ok() && !search_.done() &&
                cancellation.cancelled() != asio::cancellation_type::none)
                ended_by_ = status(errc::cancelled);
        }
        learn_continued();
        for (chunk_place& place : search_.places())
            places_.push_back(std::move(place));
    }

    /** What others made of segments that this process knows. */
    void learn_continued()
    {
        for (const std::string& key : search_.continued()) {
            std::shared_ptr<stored_segment> segment;
            for (std::size_t i = 0; i < places_.size(); ++i) {
                const auto known = places_[i].segment;
                if (!known || known->key != key || known->continued)
                    continue;
                if (!segment) {
                    segment = std::make_shared<stored_segment>(*known);
                    segment->continued = true;
                }
                places_[i].segment = segment;
                context_->index.add(chain_[i], places_[i], context_->time.now());
            }
        }
    }

    [[nodiscard]] layout own() const { return context_->options.layout_for(geometry_); }

    /** A scope is nearly always stored in one layout. Which others it has is found out beside the first questions. Only an
        answer to all of them counts: without it nothing is known to be absent. */
    [[nodiscard]] layout_set layouts() const
    {
        layout_set out = layout_set::only(own());
        if (census_->until <= context_->time.now())
            return out;
        const layout_set read = context_->options.read_layouts, has = census_->has;
        out.layer_objects |= read.layer_objects && has.layer_objects;
        out.chunk_objects |= read.chunk_objects && has.chunk_objects;
        out.segment_objects |= read.segment_objects && has.segment_objects;
        return out;
    }
    void count_layouts(task_group& questions)
    {
        if (counted_ || census_->until > context_->time.now())
            return;
        counted_ = true;
        fresh_.until = context_->in(context_->options.index_ttl).at();
        for (const layout other : {layout::layer_objects, layout::chunk_objects, layout::segment_objects})
            if (other != own() && context_->options.read_layouts.contains(other))
                questions.spawn(census_part(this->shared_from_this(), other));
    }

    /** Whether the scope has any object of that layout. */
    static asio::awaitable<void> census_part(std::shared_ptr<prefix_finder> self, layout other)
    {
        try {
            co_await self->count(other);
        } catch (...) { // no memory, or a tier that throws
            self->census_failed_ = status(errc::exhausted);
        }
    }
    asio::awaitable<void> count(layout other)
    {
        auto request = co_await context_->requests.acquire(1, urgency_, until_);
        if (!request) {
            census_failed_ = request.error();
            co_return;
        }
        cache_counters::add(context_->counters.match_requests);
        std::string prefix = layout_prefix(keys_, other);
        std::string beginning;
        const auto page = co_await context_->store.list(std::move(prefix), std::move(beginning), 1, until_);
        if (!page.ok()) {
            census_failed_ = page.error();
            co_return;
        }
        const bool any = !page->objects.empty();
        if (other == layout::layer_objects)
            fresh_.has.layer_objects = any;
        else if (other == layout::chunk_objects)
            fresh_.has.chunk_objects = any;
        else
            fresh_.has.segment_objects = any;
        if (++counted_layouts_ == layouts_to_count())
            *census_ = fresh_;
    }
    [[nodiscard]] unsigned layouts_to_count() const
    {
        unsigned n = 0;
        for (const layout other : {layout::layer_objects, layout::chunk_objects, layout::segment_objects})
            n += other != own() && context_->options.read_layouts.contains(other) ? 1 : 0;
        return n;
    }

    void failed(const status& s)
    {
        if (!s.ok() && s != condition::absent && ended_by_.ok())
            ended_by_ = s;
    }

    /** The region's chunks of this sequence. */
    [[nodiscard]] std::span<const chunk_id> region(std::size_t number) const
    {
        const std::size_t per_region = segment_chunks(geometry_), first = number * per_region;
        return std::span(chain_).subspan(first, std::min(per_region, chain_.size() - first));
    }

    static asio::awaitable<void> answer(std::shared_ptr<prefix_finder> self, prefix_search::question question)
    {
        try {
            if (question.what == ask::region)
                co_await self->list(question);
            else
                co_await self->probe(question);
        } catch (...) { // no memory, or a tier that throws
            self->failed(status(errc::exhausted));
        }
    }

    asio::awaitable<void> probe(prefix_search::question question)
    {
        context& shared = *context_;
        std::string key;
        std::uint64_t expected = header_bytes;
        if (question.what == ask::chunk) {
            key = chunk_key(keys_, chain_[question.index]);
            expected = object_bytes(layout::chunk_objects, geometry_);
        } else if (question.what == ask::manifest) {
            key = manifest_key(keys_, chain_[question.index]);
        } else {
            const auto ids = region(question.index);
            key = segment_key(keys_, name_segment(geometry_, ids, question.offset, question.chunks));
            expected = segment_bytes(geometry_, question.chunks);
        }
        bool present = false;
        auto request = co_await shared.requests.acquire(1, urgency_, until_);
        status s = request ? status() : request.error();
        if (request) {
            cache_counters::add(shared.counters.match_requests);
            std::string name = key;
            const time_point asked = shared.time.now();
            const auto found = co_await shared.store.stat(std::move(name), until_);
            s = found.error();
            if (s.ok() || s == condition::absent)
                shared.saw_latency(shared.time.now() - asked);
            // An object of another size is of another geometry, or cut short: no reader could use it. A damaged one is
            // there, but not for readers: the store that follows will replace it.
            if (found.ok() && found->size != expected)
                shared.index.mark_damaged(key, shared.time.now());
            present = found.ok() && !shared.index.is_unreadable(key, shared.time.now());
        }
        failed(s);
        if (question.what != ask::segment) {
            search_.report(question, present);
            co_return;
        }
        std::vector<stored_run> runs;
        if (present) {
            auto segment = std::make_shared<stored_segment>();
            segment->key = std::move(key);
            segment->chunks = question.chunks;
            runs.push_back({question.index * segment_chunks(geometry_) + question.offset,
                            question.chunks,
                            {layout::segment_objects, std::move(segment), 0}});
        }
        search_.report(question, std::move(runs));
    }

    asio::awaitable<void> list(prefix_search::question question)
    {
        context& shared = *context_;
        const auto ids = region(question.index);
        const std::string prefix = region_prefix(keys_, ids.front());
        std::vector<stored_run> runs;
        bool more = false;
        auto request = co_await shared.requests.acquire(1, urgency_, until_);
        status s = request ? status() : request.error();
        if (request) {
            cache_counters::add(shared.counters.match_requests);
            std::string name = prefix, beginning;
            const time_point asked = shared.time.now();
            // One page, mostly all: a region has as many segments as sequences end or branch off inside it.
            const auto page =
                co_await shared.store.list(std::move(name), std::move(beginning), keys_per_page, until_);
            s = page.error();
            if (s.ok())
                shared.saw_latency(shared.time.now() - asked);
            for (std::size_t i = 0; page.ok() && i < page->objects.size(); ++i) {
                const object_entry& object = page->objects[i];
                if (!object.key.starts_with(prefix)) {
                    s = status(errc::malformed_response, "LIST of " + prefix + ": " + object.key);
                    break;
                }
                if (auto run = segment_of(question.index, object, prefix.size()); run.chunks != 0)
                    runs.push_back(std::move(run));
            }
            more = page.ok() && !page->next.empty();
        }
        failed(s);
        search_.report(question, std::move(runs), more);
    }

    [[nodiscard]] stored_run segment_of(std::size_t number, const object_entry& object,
                                        std::size_t prefix) const
    {
        stored_run out;
        const auto ids = region(number);
        const auto name = parse_segment_name(ids.front(), std::string_view(object.key).substr(prefix));
        if (!name)
            return out;
        if (object.size != segment_bytes(geometry_, name->chunks))
            context_->index.mark_damaged(object.key, context_->time.now());
        if (context_->index.is_unreadable(object.key, context_->time.now()))
            return out;
        out.chunks = shared_chunks(geometry_, *name, ids);
        if (out.chunks == 0)
            return out;
        out.first = number * segment_chunks(geometry_) + name->offset;
        auto segment = std::make_shared<stored_segment>();
        segment->key = object.key;
        segment->chunks = name->chunks;
        out.place = {layout::segment_objects, std::move(segment), 0};
        return out;
    }

    static constexpr std::size_t keys_per_page = 1000;

    std::shared_ptr<context> context_;
    key_space keys_;
    kv_geometry geometry_;
    std::vector<chunk_id> chain_;
    std::vector<chunk_place> places_; // those that this process knows of, then also those found
    std::shared_ptr<layout_census> census_;
    layout_census fresh_;
    bool counted_ = false;
    unsigned counted_layouts_ = 0;
    status census_failed_;
    layout_set asked_;
    prefix_search search_;
    priority urgency_;
    deadline until_;
    status ended_by_;
};

} // namespace objectcache::detail
