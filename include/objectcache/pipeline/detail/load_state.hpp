// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/format.hpp>
#include <objectcache/kv/pages.hpp>
#include <objectcache/pipeline/detail/arrival.hpp>
#include <objectcache/pipeline/detail/child.hpp>
#include <objectcache/pipeline/detail/context.hpp>
#include <objectcache/pipeline/detail/layer_board.hpp>
#include <objectcache/pipeline/detail/layer_slots.hpp>
#include <objectcache/pipeline/detail/load_check.hpp>
#include <objectcache/pipeline/detail/pacing.hpp>
#include <objectcache/pipeline/detail/page_mover.hpp>
#include <objectcache/pipeline/detail/usable_prefix.hpp>
#include <objectcache/pipeline/load_report.hpp>
#include <objectcache/pipeline/match.hpp>
#include <objectcache/plan/load_plan.hpp>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace objectcache::detail {

/** One load under way: reads, verification, copies, gates, and who waits for what.

    Each part (layer_board) ends exactly once: landed on the device, or failed; those of one request together.

    Everything but `gate`, `wait_blocking` and `usable_tokens` runs on the context's executor. */
template <device Device, tier Tier>
class load_state : public std::enable_shared_from_this<load_state<Device, Tier>> {
public:
    using context = pipeline_context<Device, Tier>;
    using event = typename Device::event;
    using lease = typename staging_pool<Device>::lease;

    load_state(std::shared_ptr<context> shared, prefix_match matched, kv_pages pages, load_options options,
               std::optional<typename Device::gates> row)
        : context_(std::move(shared))
        , match_(std::move(matched))
        , pages_(std::move(pages))
        , options_(options)
        , work_(context_->executor)
        , settled_(context_->executor)
        , until_(context_->in(options.timeout > duration::zero() ? options.timeout
                                                                 : context_->options.load_timeout))
        , layers_(context_->executor, context_->owner, match_.geometry.layers, options_.passes,
                  match_.chunks.size() - std::min(options_.first_chunk, match_.chunks.size()), std::move(row))
        , slots_{match_.geometry.layers, options_.passes, pages_.layer_slots(), options_.first_layer}
        , usable_(*context_, match_)
        , mover_(context_->owner, copy_queue::load, pages_)
        , pacing_(context_->executor, context_->link)
    {}

    [[nodiscard]] asio::any_io_executor executor() const { return context_->executor; }
    [[nodiscard]] const prefix_match& match() const noexcept { return match_; }
    [[nodiscard]] std::uint32_t passes() const noexcept { return options_.passes; }

    /** Begin. `refused` ends the load before it starts: the layers fail, nothing is read. */
    void start(status refused) noexcept
    {
        if (refused.ok() && !layers_.complete())
            refused = status(errc::exhausted);
        if (!refused.ok())
            options_.first_chunk = 0; // nothing that is said in a load that cannot be counts
        try {
            context_->running.spawn(run(this->shared_from_this(), std::move(refused)));
        } catch (...) { // no memory
            settle();
        }
    }

    asio::awaitable<error_code> wait(layer_id layer, std::uint32_t pass)
    {
        auto keep = this->shared_from_this();
        if (const error_code none = layers_.missing(layer, pass))
            co_return none;
        layer_state& mine = layers_.at(layer, pass);
        if (mine.timing.waited_from == time_point())
            mine.timing.waited_from = context_->time.now();
        stand_still(mine);
        const error_code ec = co_await mine.ready.wait();
        if (mine.timing.waited_to == time_point())
            mine.timing.waited_to = context_->time.now();
        co_return ec ? ec : mine.failed;
    }

    asio::awaitable<error_code> compute(layer_id layer, event done, std::uint32_t pass)
    {
        auto keep = this->shared_from_this();
        if (const error_code none = layers_.missing(layer, pass))
            co_return none;
        error_code ec = make_error_code(errc::shut_down);
        try {
            if (!context_->closing) {
                // A child of the cache: the device may be gone when close() has completed.
                asio::awaitable<error_code> reached =
                    context_->events.wait(std::move(done), event_kind::compute);
                ec = co_await run_child(context_->running, context_->executor, std::move(reached));
            }
        } catch (...) {
            ec = make_error_code(errc::exhausted);
        }
        if (ec) {
            // Who looks at nothing but the report must not store what was never computed.
            usable_.fail(status(ec, "compute of layer " + std::to_string(layer)));
            co_return ec;
        }
        layer_state& mine = layers_.at(layer, pass);
        mine.timing.computed = context_->time.now();
        mine.computed.set();
        co_return ec;
    }

    error_code wait_blocking(layer_id layer, std::uint32_t pass)
    {
        return layers_.wait_blocking(layer, pass, until_, [&] {
            try {
                asio::post(executor(), [self = this->shared_from_this(), layer, pass] {
                    self->stand_still(self->layers_.at(layer, pass));
                });
            } catch (...) { // no memory: it is seen a little later
            }
        });
    }
    error_code gate(layer_id layer, std::uint32_t pass, typename Device::stream_ref stream)
    {
        return layers_.gate(layer, pass, stream);
    }

    asio::awaitable<load_report> report()
    {
        auto keep = this->shared_from_this();
        load_report out;
        for (std::size_t v = 0; v < layers_.size(); ++v)
            stand_still(layers_[v]);
        if (error_code ec = co_await settled_.wait()) {
            out.failed = ec;
            co_return out;
        }
        out.failed = usable_.failure();
        out.usable_tokens = usable_tokens();
        out.requests = requests_;
        out.bytes = bytes_;
        for (layer_id layer = 0; layers_.complete() && layer < match_.geometry.layers; ++layer)
            out.layers.push_back(layers_.at(layer, options_.passes - 1).timing);
        co_return out;
    }

    [[nodiscard]] std::size_t usable_tokens() const noexcept
    {
        return usable_.chunks() * match_.geometry.tokens_per_chunk;
    }

    /** Stop waiting: every layer that is not ready fails with `why` now. What is owned is given back when sockets and
        device are done with it (law 2). */
    void give_up(status why)
    {
        if (stopped_ || settled_.is_set())
            return;
        stopped_ = true;
        stop_reason_ = std::move(why);
        if (!layers_.complete())
            usable_.end_before(options_.first_chunk, stop_reason_);
        for (std::size_t v = 0; v < layers_.size(); ++v)
            if (!layers_[v].ready.is_set()) {
                usable_.end_before(options_.first_chunk, stop_reason_);
                announce(v, stop_reason_.code());
            }
        pacing_.stop();
        work_.cancel();
    }

private:
    static asio::awaitable<void> run(std::shared_ptr<load_state> self, status refused)
    {
        cache_counters::add(self->context_->counters.loads);
        timer alarm(self->context_->executor);
        alarm.expires_at(self->until_.at());
        alarm.native().async_wait([weak = self->weak_from_this(), until = self->until_](auto) {
            if (auto load = weak.lock(); load && until.passed(load->context_->time.now()))
                load->give_up(errc::deadline_exceeded);
        });
        if (refused.ok()) {
            self->layers_.announce_below(self->options_.first_layer);
            self->work_.spawn(issue(self));
        } else {
            self->give_up(std::move(refused));
        }
        co_await self->work_.join();
        self->settle();
    }

    /** Nothing moves any more. */
    void settle() noexcept
    {
        // A load of no chunks has no part that would announce its layers; a part that did not end ran out of memory.
        for (std::size_t v = 0; v < layers_.size(); ++v) {
            layer_state& layer = layers_[v];
            if (layer.to_end != 0 && !layer.failed) {
                layer.failed = make_error_code(errc::exhausted);
                usable_.end_before(options_.first_chunk, status(errc::exhausted));
            }
            announce(v, layer.failed);
        }
        if (pacing_.learnt())
            context_->learn(pacing_.known(), pacing_.answered());
        settled_.set();
    }

    /** Send the reads in the order the layers are needed, as far ahead as depth, staging and requests allow. */
    static asio::awaitable<void> issue(std::shared_ptr<load_state> self)
    {
        context& shared = *self->context_;
        if (self->match_.empty())
            co_return;
        const auto plan = plan_load(
            self->match_.geometry, self->match_.runs,
            plan_of(self->match_, self->options_, shared.options, self->slots_, self->pacing_.known()));
        if (!plan) {
            self->give_up(plan.error());
            co_return;
        }
        for (std::uint32_t pass = 0; pass < self->options_.passes; ++pass) {
            for (const layer_group& group : plan->groups) {
                const std::size_t first = self->layers_.index_of(group.first_layer, pass);
                if (first >= shared.options.prefetch_depth) {
                    layer_state& before = self->layers_[first - shared.options.prefetch_depth];
                    self->stand_still(before);
                    (void)co_await before.ready.wait();
                }
                for (const load_fetch& fetch : plan->fetches_of(group)) {
                    const bool begins = &fetch == &plan->fetches_of(group).front();
                    if (shared.options.pace_layers)
                        co_await self->pacing_.turn(fetch.range.size, !begins, self->flow_,
                                                    self->until_.at());
                    byte_budget::ticket request;
                    lease staging;
                    const status room = co_await self->make_room(fetch, request, staging);
                    if (!room.ok()) {
                        self->note(fetch, fetch.chunk, room);
                        self->end(fetch, pass, room.code());
                        continue;
                    }
                    const bool awaited = pass == 0 && &group == &plan->groups.front();
                    const std::size_t number = self->pacing_.sent(fetch.range.size, awaited, self->flow_);
                    self->work_.spawn(
                        transfer(self, fetch, number, pass, std::move(request), std::move(staging)));
                }
            }
        }
    }

    /** What a request needs before it may be sent. */
    asio::awaitable<status> make_room(const load_fetch& fetch, byte_budget::ticket& request, lease& staging)
    {
        if (status why = worth_fetching(fetch); !why.ok())
            co_return why;
        // In this order everywhere (store_state too): who has a request must not wait for staging, or those who have the
        // staging may wait for the request.
        const auto size = static_cast<std::size_t>(fetch.range.size);
        if (context_->staging.in_use() + 2 * size > context_->staging.capacity()) // of one piece
            context_->events.hurry(event_kind::load_copy);
        auto lent = co_await context_->staging.acquire(size, priority::load, until_);
        if (!lent)
            co_return lent.error();
        if (status why = worth_fetching(fetch); !why.ok())
            co_return why;
        auto granted = co_await context_->requests.acquire(1, priority::load, until_);
        if (!granted)
            co_return granted.error();
        request = std::move(*granted);
        staging = std::move(*lent);
        co_return worth_fetching(fetch);
    }

    /** One read: into staging, verified and copied while it comes, and given back when the device is done with it. */
    static asio::awaitable<void> transfer(std::shared_ptr<load_state> self, load_fetch fetch,
                                          std::size_t number, std::uint32_t pass, byte_budget::ticket request,
                                          lease staging)
    {
        context& shared = *self->context_;
        std::shared_ptr<arrival> coming;
        std::uint32_t intact = 0; // chunks: the leading ones of the fetch
        status ended;
        try {
            co_await self->receive(fetch, number, pass, request, staging.bytes(), coming, intact, ended);
        } catch (...) { // no memory
            intact = 0;
            ended = status(errc::exhausted);
            self->usable_.end_before(fetch.chunk, ended);
        }
        if (coming)
            coming->over = true;
        if (intact == 0 && (!coming || !coming->touched)) {
            self->end(fetch, pass, ended.code());
            co_return;
        }
        const auto arrived = std::uint64_t{intact} * fetch.layers * record_bytes(self->match_.geometry);
        self->bytes_ += arrived;
        cache_counters::add(shared.counters.bytes_loaded, arrived);

        if (intact != 0)
            self->copy(*coming, intact);
        for (layer_id l = fetch.first_layer; l < fetch.first_layer + fetch.layers; ++l)
            self->layers_.parts_enqueued(self->layers_.index_of(l, pass), fetch.chunks);
        const event behind = shared.owner.record(copy_queue::load);
        error_code device_error;
        try {
            // The device may touch the lease: nothing may end this coroutine before the device is past it.
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            device_error =
                co_await shared.events.wait(behind, event_kind::load_copy, self->haste(fetch, pass));
        } catch (...) {
            device_error = shared.wait_out(behind);
        }
        staging.release();
        if (coming->refused)
            device_error = coming->refused;
        if (device_error)
            self->usable_.end_before(fetch.chunk, status(device_error, "copy to device"));
        const error_code failed = device_error ? device_error : ended.code();
        for (layer_id l = fetch.first_layer; l < fetch.first_layer + fetch.layers; ++l)
            self->parts_ended(self->layers_.index_of(l, pass), fetch.chunks, failed);
    }

    /** Somebody waits on the host until the layer is ready: see it as soon as it is. */
    void stand_still(layer_state& layer)
    {
        if (layer.ready.is_set() || std::exchange(layer.awaited, true))
            return;
        context_->events.hurry(event_kind::load_copy);
    }
    /** What the end of this fetch's copies is waited for. Where the device opens the gates, often nothing but the memory. */
    [[nodiscard]] event_haste haste(const load_fetch& fetch, std::uint32_t pass)
    {
        if (context_->staging.waiters() != 0)
            return event_haste::at_once;
        for (layer_id l = fetch.first_layer; l < fetch.first_layer + fetch.layers; ++l)
            if (layers_.at(l, pass).to_be_seen())
                return event_haste::at_once;
        return event_haste::at_leisure;
    }

    /** The network's part of a transfer: `intact` chunks of it have come, and `ended` says why it is not all of them. */
    asio::awaitable<void> receive(load_fetch fetch, std::size_t number, std::uint32_t pass,
                                  byte_budget::ticket& request, byte_span into,
                                  std::shared_ptr<arrival>& coming, std::uint32_t& intact, status& ended)
    {
        context& shared = *context_;
        for (layer_id l = fetch.first_layer; l < fetch.first_layer + fetch.layers; ++l)
            if (auto& requested = layers_.at(l, pass).timing.requested; requested == time_point())
                requested = shared.time.now();
        cache_counters::add(shared.counters.load_requests);
        ++requests_;
        bool complete = false;
        try {
            std::string key = usable_.key_of(fetch);
            auto more = [self = this->shared_from_this(), fetch, pass](std::shared_ptr<arrival> what) {
                asio::post(self->executor(),
                           [self, fetch, pass, what] { self->copy_arrived(*what, fetch, pass); });
            };
            coming = std::make_shared<arrival>(shared.time, match_, fetch, into,
                                               arrival::worth_copying(into.size()), flow_, std::move(more));
            ended = co_await shared.store.read(std::move(key), fetch.range, into, until_, coming.get());
            complete = ended.ok();
        } catch (...) { // no memory, or a tier that throws
            ended = status(errc::exhausted);
        }
        if (coming)
            coming->settle(complete);
        request.release();
        pacing_.arrived(number, complete, coming ? coming->begun() : std::nullopt, flow_);
        if (complete)
            ended = coming->finish(intact);
        if (intact != 0) {
            status free = co_await slot_free(fetch, pass);
            if (free.ok())
                free = stopping();
            if (!free.ok()) {
                ended = free;
                intact = 0;
            }
        }
        if (!ended.ok())
            note(fetch, fetch.chunk + intact, ended);
    }

    /** Records of a read that goes on: on to the device with them, unless that would overwrite what is in use. */
    void copy_arrived(arrival& coming, const load_fetch& fetch, std::uint32_t pass)
    {
        const auto user = slots_.user_before(fetch, pass);
        if (!coming.over && stopping().ok() && (!user || layers_[*user].computed.is_set()))
            copy(coming, fetch.chunks);
    }

    void copy(arrival& coming, std::uint32_t chunks) noexcept
    {
        error_code ec;
        try {
            const std::vector<kv_slice> slices = coming.slices(coming.take(), chunks);
            if (slices.empty())
                return;
            coming.touched = true;
            ec = mover_(slices);
        } catch (...) { // no memory, and who knows what was enqueued
            coming.touched = true;
            ec = make_error_code(errc::exhausted);
        }
        if (ec && !coming.refused)
            coming.refused = ec;
    }

    [[nodiscard]] status stopping() const
    {
        if (stopped_)
            return stop_reason_;
        return context_->closing ? status(errc::shut_down) : status();
    }

    [[nodiscard]] status worth_fetching(const load_fetch& fetch) const
    {
        if (status why = stopping(); !why.ok())
            return why;
        // A prefix with a hole ends at the hole: what lies behind is not read for the layers that follow.
        if (fetch.chunk >= usable_.chunks())
            return usable_.failure();
        return {};
    }

    /** Wait until the engine is done with the layer whose memory this fetch takes. */
    asio::awaitable<status> slot_free(const load_fetch& fetch, std::uint32_t pass)
    {
        error_code ec;
        if (const auto user = slots_.user_before(fetch, pass))
            ec = co_await layers_[*user].computed.wait();
        co_return status(ec);
    }

    /** Chunk `chunk` of `fetch` is the first that did not arrive. */
    void note(const load_fetch& fetch, std::size_t chunk, const status& why)
    {
        if (!stopped_) // a load that was refused or given up says nothing about the store
            usable_.lost(fetch, chunk, why);
        usable_.end_before(chunk, why);
    }

    /** The parts of `fetch` end here; nothing was enqueued for them. */
    void end(const load_fetch& fetch, std::uint32_t pass, error_code failed)
    {
        for (layer_id l = fetch.first_layer; l < fetch.first_layer + fetch.layers; ++l) {
            layers_.parts_enqueued(layers_.index_of(l, pass), fetch.chunks);
            parts_ended(layers_.index_of(l, pass), fetch.chunks, failed);
            if (layers_.at(l, pass).to_be_seen()) // by those whose copies were enqueued before
                context_->events.hurry(event_kind::load_copy);
        }
    }

    void parts_ended(std::size_t v, std::size_t parts, error_code failed)
    {
        if (layers_.parts_ended(v, parts, failed))
            announce(v, layers_[v].failed);
    }

    void announce(std::size_t v, error_code failed)
    {
        if (layers_[v].ready.is_set())
            return;
        if (failed)
            cache_counters::add(context_->counters.layers_failed);
        layers_.announce(v, failed);
    }

    std::shared_ptr<context> context_;
    prefix_match match_;
    kv_pages pages_;
    load_options options_;
    task_group work_;
    latch settled_;
    deadline until_;
    layer_board<Device> layers_;
    layer_slots slots_;
    usable_prefix<context> usable_;
    page_mover<Device> mover_;
    std::atomic<std::uint64_t> flow_ = 0; // bytes of all requests, as they come
    pacing pacing_;
    bool stopped_ = false;
    status stop_reason_;
    std::uint64_t requests_ = 0, bytes_ = 0;
};

} // namespace objectcache::detail
