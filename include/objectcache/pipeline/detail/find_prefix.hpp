// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/format.hpp>
#include <objectcache/kv/hash_chain.hpp>
#include <objectcache/kv/object_key.hpp>
#include <objectcache/pipeline/detail/context.hpp>
#include <objectcache/pipeline/match.hpp>
#include <objectcache/plan/prefix_search.hpp>

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace objectcache::detail {

/** The longest stored prefix of a chain: what this process knows already, then two rounds of probes for the rest. */
template <device Device, tier Tier>
class prefix_finder : public std::enable_shared_from_this<prefix_finder<Device, Tier>> {
public:
    using context = pipeline_context<Device, Tier>;

    prefix_finder(std::shared_ptr<context> shared, digest scope, kv_geometry geometry,
                  std::vector<chunk_id> chain)
        : context_(std::move(shared))
        , keys_{context_->options.key_prefix, scope}
        , geometry_(geometry)
        , chain_(std::move(chain))
        , known_(context_->index.known_prefix(chain_, context_->time.now()))
        , search_(chain_.size() - known_)
        , until_(context_->in(context_->options.match_timeout))
    {}

    asio::awaitable<prefix_match> run()
    {
        auto keep = this->shared_from_this();
        for (auto round = search_.next_round(); !round.empty() && ended_by_.ok();
             round = search_.next_round()) {
            task_group probes(context_->executor);
            for (const std::size_t index : round)
                probes.spawn(probe(keep, index));
            co_await probes.join();
            // Between two rounds nobody else would notice.
            const auto cancellation = co_await asio::this_coro::cancellation_state;
            if (ended_by_.ok() && !search_.done() &&
                cancellation.cancelled() != asio::cancellation_type::none)
                ended_by_ = status(errc::cancelled);
        }
        std::size_t length = known_ + search_.length();
        const time_point now = context_->time.now();
        // A damaged chunk is there, but not for readers: the store that follows will replace it.
        for (std::size_t i = known_; i < length; ++i)
            if (context_->index.is_damaged(chain_[i], now))
                length = i;
        for (std::size_t i = known_; i < length; ++i)
            context_->index.add(chain_[i], now);
        prefix_match out;
        out.scope = keys_.scope;
        out.geometry = geometry_;
        out.ended_by = ended_by_;
        cache_counters::add(context_->counters.matches);
        cache_counters::add(context_->counters.tokens_asked, chain_.size() * geometry_.tokens_per_chunk);
        cache_counters::add(context_->counters.tokens_matched, length * geometry_.tokens_per_chunk);
        chain_.resize(length);
        out.chunks = std::move(chain_);
        co_return out;
    }

private:
    static asio::awaitable<void> probe(std::shared_ptr<prefix_finder> self, std::size_t index)
    {
        context& shared = *self->context_;
        bool present = false;
        auto request = co_await shared.requests.acquire(1, priority::load, self->until_);
        status s = request ? status() : request.error();
        if (request) {
            cache_counters::add(shared.counters.match_requests);
            const layout where = shared.options.stored_as;
            const auto found = co_await shared.store.stat(
                commit_key(self->keys_, where, self->chain_[self->known_ + index]), self->until_);
            s = found.error();
            // An object of another size is of another geometry, or cut short: no reader could use it.
            const std::uint64_t expected =
                where == layout::chunk_objects ? object_bytes(where, self->geometry_) : header_bytes;
            present = found.ok() && found->size == expected;
        }
        if (!s.ok() && s != condition::absent && self->ended_by_.ok())
            self->ended_by_ = s;
        self->search_.report(index, present);
    }

    std::shared_ptr<context> context_;
    key_space keys_;
    kv_geometry geometry_;
    std::vector<chunk_id> chain_;
    std::size_t known_;
    prefix_search search_;
    deadline until_;
    status ended_by_;
};

} // namespace objectcache::detail
