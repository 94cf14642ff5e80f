// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/latch.hpp>
#include <objectcache/io/with_deadline.hpp>
#include <objectcache/pipeline/detail/find_prefix.hpp>
#include <objectcache/pipeline/detail/outgoing.hpp>
#include <objectcache/pipeline/detail/page_mover.hpp>
#include <objectcache/pipeline/save.hpp>

#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace objectcache::detail {

/** One store under way: device to tier, object by object, part by part.

    A part is gathered into staging, sealed and sent; while one is on the wire the next is copied. An object of several parts
    is an upload, which nobody sees before it is completed; segments are completed in the order of their chunks, so
    that what can be found is a prefix at any moment. */
template <device Device, tier Tier>
class store_state : public std::enable_shared_from_this<store_state<Device, Tier>> {
public:
    using context = pipeline_context<Device, Tier>;
    using event = typename Device::event;
    using lease = typename staging_pool<Device>::lease;

    store_state(std::shared_ptr<context> shared, digest scope, std::vector<chunk_id> chunks, kv_pages pages)
        : context_(std::move(shared))
        , chunks_(std::move(chunks))
        , pages_(std::move(pages))
        , mover_(context_->owner, copy_queue::store, pages_)
        , keys_{context_->options.key_prefix, scope}
        , where_(context_->options.layout_for(pages_.geometry()))
        , writes_(context_->executor, context_->options.max_writes)
        , work_(context_->executor)
    {}

    asio::awaitable<store_report> run(event after)
    {
        auto keep = this->shared_from_this();
        work_.spawn(issue(keep, std::move(after)));
        co_await work_.join();
        co_return report_;
    }

    /** Drop what is not acknowledged; `run` completes when nothing moves any more. */
    void cancel()
    {
        stopped_ = true;
        work_.cancel();
    }

private:
    /** An object under way. */
    struct object {
        object(const asio::any_io_executor& ex, outgoing b, if_exists m)
            : body(std::move(b))
            , mode(m)
            , to_send(body.parts())
            , sent(ex)
            , over(ex)
        {}
        outgoing body;
        if_exists mode;
        std::shared_ptr<object> before; ///< whose end this one's publication waits for
        std::string upload;             ///< id; empty unless it has several parts
        std::vector<std::string> tags;
        std::uint32_t to_send; ///< parts that have not ended
        latch sent;            ///< all of them have
        latch over;            ///< published, or given up
        status failed;
    };
    using object_ptr = std::shared_ptr<object>;

    [[nodiscard]] status stopping() const
    {
        if (context_->closing)
            return status(errc::shut_down);
        return stopped_ ? status(errc::cancelled) : status();
    }
    [[nodiscard]] deadline soon() const { return context_->in(context_->options.store_timeout); }

    static asio::awaitable<status> computed(std::shared_ptr<store_state> self, event after)
    {
        co_return status(co_await self->context_->events.wait(std::move(after), event_kind::compute));
    }

    static asio::awaitable<void> issue(std::shared_ptr<store_state> self, event after)
    {
        // Reading KV that is still being written is the classic way to store garbage.
        asio::awaitable<status> compute = computed(self, std::move(after));
        std::string what = "waiting for the compute";
        status ready = co_await with_deadline(std::move(compute), self->soon(), std::move(what));
        if (!ready.ok()) {
            self->drop(self->chunks_.size(), ready);
            co_return;
        }
        co_await self->look();
        const std::vector<store_object> plan = self->plan();
        object_ptr before;
        for (std::size_t i = 0; i < plan.size(); ++i) {
            const object_ptr mine = self->make(plan[i]);
            if (self->where_ == layout::segment_objects)
                mine->before = std::exchange(before, mine);
            status why = co_await self->send_parts(mine);
            if (why.ok())
                continue;
            // Not even begun in time: what comes behind has no better prospects, and would be behind a hole.
            for (std::size_t rest = i + 1; rest < plan.size(); ++rest)
                self->drop(plan[rest].chunks - plan[rest].merged, why);
            co_return;
        }
    }

    /** What is there already need not be sent, in whatever layout it is. As a rule the match before this store has asked. */
    asio::awaitable<void> look()
    {
        const time_point now = context_->time.now();
        for (const chunk_id& chunk : chunks_) {
            if (context_->index.is_absent(chunk, now))
                co_return;
            if (!context_->index.contains(chunk, now))
                break;
        }
        const deadline until = context_->in(context_->options.match_timeout);
        auto finder = std::make_shared<prefix_finder<Device, Tier>>(context_, keys_.scope, pages_.geometry(),
                                                                    chunks_, priority::store, until);
        (void)co_await finder->run();
    }

    [[nodiscard]] std::vector<store_object> plan()
    {
        const time_point now = context_->time.now();
        std::vector<std::optional<chunk_place>> places;
        for (const chunk_id& chunk : chunks_) {
            const chunk_place* at = context_->index.find(chunk, now);
            places.push_back(at ? std::optional(*at) : std::nullopt);
            report_.present += at ? 1 : 0;
        }
        cache_counters::add(context_->counters.chunks_present, report_.present);
        std::vector<store_object> out =
            plan_store(where_, segment_chunks(pages_.geometry()), places, context_->options.merge_segments);
        replace_damaged(out);
        return out;
    }

    /** Also objects that are damaged although their chunks are to be had elsewhere: every process that does not know it yet
        would try to read them, and miss. */
    void replace_damaged(std::vector<store_object>& plan) const
    {
        const prefix_index& index = context_->index;
        const time_point now = context_->time.now();
        const kv_geometry& geometry = pages_.geometry();
        const auto add = [&plan](std::size_t first, std::size_t chunks) {
            const auto same = [&](const store_object& o) { return o.first == first && o.chunks == chunks; };
            if (std::none_of(plan.begin(), plan.end(), same))
                plan.push_back({first, chunks, chunks});
        };
        if (!index.any_unreadable())
            return;
        if (where_ != layout::segment_objects) {
            for (std::size_t i = 0; i < chunks_.size(); ++i)
                if (index.is_damaged(commit_key(keys_, where_, chunks_[i]), now))
                    add(i, 1);
            return;
        }
        const std::size_t per_region = segment_chunks(geometry);
        for (std::size_t first = 0; first < chunks_.size(); first += per_region) {
            const auto region =
                std::span(chunks_).subspan(first, std::min(per_region, chunks_.size() - first));
            const std::string prefix = region_prefix(keys_, region.front());
            for (const std::string& key : index.damaged(prefix, now)) {
                const auto name =
                    parse_segment_name(region.front(), std::string_view(key).substr(prefix.size()));
                // Another sequence's is for those to replace who have its KV.
                if (name && shared_chunks(geometry, *name, region) == name->chunks &&
                    *name == name_segment(geometry, region, name->offset, name->chunks))
                    add(first + name->offset, name->chunks);
            }
        }
    }

    [[nodiscard]] object_ptr make(const store_object& what)
    {
        const std::uint64_t part = std::max<std::uint64_t>(
            std::min<std::uint64_t>(context_->options.part_bytes, context_->options.staging_bytes / 4),
            context_->store.least_part());
        outgoing body(keys_, pages_, where_, chunks_, what, part);
        const bool damaged = context_->index.is_damaged(body.key(), context_->time.now());
        return std::make_shared<object>(context_->executor, std::move(body),
                                        damaged ? if_exists::replace : if_exists::keep);
    }

    /** Begin the object and all its parts. A failure means that it was given up before they were all begun. */
    asio::awaitable<status> send_parts(object_ptr mine)
    {
        const std::uint32_t parts = mine->body.parts();
        status why = stopping();
        if (context_->index.is_unknown(mine->body.key(), context_->time.now()))
            why = status(errc::unknown_version, mine->body.key() + ": left alone");
        if (mine->before && !mine->before->failed.ok())
            why = mine->before->failed;
        if (parts > 1 && why.ok()) {
            auto request = co_await context_->requests.acquire(1, priority::store, soon());
            why = request.error();
            if (request) {
                ++report_.requests;
                std::string key = mine->body.key();
                auto id = co_await context_->store.begin_upload(std::move(key), soon());
                why = id.error();
                if (id) {
                    mine->upload = std::move(*id);
                    mine->tags.resize(parts);
                }
            }
        }
        work_.spawn(publish(this->shared_from_this(), mine));
        for (std::uint32_t part = 0; part < parts; ++part) {
            const deadline until = soon();
            byte_budget::ticket turn;
            lease staging;
            if (why.ok())
                why = mine->failed; // of a part before
            if (why.ok()) {
                auto granted = co_await writes_.acquire(1, priority::store, until);
                why = granted.error();
                if (granted)
                    turn = std::move(*granted);
            }
            if (why.ok()) {
                auto lent =
                    co_await context_->staging.acquire(mine->body.part_bytes(part), priority::store, until);
                why = lent.error();
                if (lent)
                    staging = std::move(*lent);
            }
            if (why.ok())
                why = stopping();
            if (!why.ok()) {
                for (; part < parts; ++part)
                    ended(*mine, why);
                break;
            }
            work_.spawn(
                transfer(this->shared_from_this(), mine, part, std::move(turn), std::move(staging), until));
        }
        co_return why;
    }

    static asio::awaitable<void> transfer(std::shared_ptr<store_state> self, object_ptr mine,
                                          std::uint32_t part, [[maybe_unused]] byte_budget::ticket turn,
                                          lease staging, deadline until)
    {
        context& shared = *self->context_;
        error_code copied = self->mover_(mine->body.slices(part, staging.bytes()));
        const event behind = shared.owner.record(copy_queue::store);
        // The device writes into the lease: nothing may end this coroutine before the device is past it.
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        const error_code reached = co_await shared.events.wait(behind, event_kind::store_copy);
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        if (!copied)
            copied = reached;
        if (!copied)
            copied = self->stopping().code();
        if (copied) {
            self->ended(*mine, status(copied, "copy from device"));
            co_return;
        }
        mine->body.seal(part, staging.bytes());
        status sent;
        if (!mine->upload.empty())
            sent = co_await self->upload(mine, part, staging.bytes(), until);
        else if (self->where_ == layout::layer_objects)
            sent = co_await self->write_layers(mine, staging.bytes(), until);
        else
            sent = co_await self->write_whole(mine, staging.bytes(), until);
        self->ended(*mine, sent);
    }

    /** A part, or all of an object, is acknowledged or given up. */
    void ended(object& mine, const status& how)
    {
        if (!how.ok() && mine.failed.ok())
            mine.failed = how;
        if (--mine.to_send == 0)
            mine.sent.set();
    }

    /** What follows when all parts of an object have ended. */
    static asio::awaitable<void> publish(std::shared_ptr<store_state> self, object_ptr mine)
    {
        // Nothing is left waiting: the parts are cancelled with this.
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        (void)co_await mine->sent.wait();
        if (!mine->upload.empty()) {
            if (mine->failed.ok())
                mine->failed = co_await self->turn_to_publish(*mine);
            if (mine->failed.ok())
                mine->failed = co_await self->complete(mine);
            if (!mine->failed.ok()) {
                // What cannot be thrown away now is for a collector.
                std::string key = mine->body.key(), id = mine->upload;
                (void)co_await self->context_->store.abort_upload(std::move(key), std::move(id),
                                                                  self->soon());
            }
        }
        self->finish(*mine);
        mine->before.reset();
        mine->over.set();
    }

    asio::awaitable<status> turn_to_publish(object& mine)
    {
        if (where_ == layout::segment_objects && mine.before) {
            const std::shared_ptr<object> before = std::exchange(mine.before, nullptr);
            const error_code cancelled = co_await before->over.wait();
            if (cancelled)
                co_return status(cancelled);
            if (!before->failed.ok())
                co_return status(before->failed.code(), "the chunks before were not stored");
        }
        co_return stopping();
    }

    void finish(object& mine)
    {
        const store_object& what = mine.body.what();
        if (!mine.failed.ok()) {
            drop(what.chunks - what.merged, mine.failed);
            return;
        }
        // Only now, acknowledged, may anyone find it (law 1).
        context_->index.mark_repaired(mine.body.key());
        chunk_place place;
        place.where = where_;
        if (where_ == layout::segment_objects) {
            auto segment = std::make_shared<stored_segment>();
            segment->key = mine.body.key();
            segment->chunks = static_cast<std::uint32_t>(what.chunks);
            place.segment = std::move(segment);
        }
        for (const chunk_id& id : mine.body.ids()) {
            context_->index.add(id, place, context_->time.now());
            ++place.index;
        }
        report_.stored += what.chunks - what.merged;
        report_.merged += what.merged;
        cache_counters::add(context_->counters.chunks_stored, what.chunks - what.merged);
        cache_counters::add(context_->counters.chunks_merged, what.merged);
    }

    asio::awaitable<status> upload(object_ptr mine, std::uint32_t part, const_byte_span body, deadline until)
    {
        const const_byte_span parts[] = {body};
        auto request = co_await context_->requests.acquire(1, priority::store, until);
        if (!request)
            co_return request.error();
        ++report_.requests;
        std::string key = mine->body.key(), id = mine->upload;
        auto tag =
            co_await context_->store.upload_part(std::move(key), std::move(id), part + 1, parts, until);
        if (!tag)
            co_return tag.error();
        mine->tags[part] = std::move(*tag);
        count(body.size());
        co_return status();
    }

    asio::awaitable<status> complete(object_ptr mine)
    {
        const deadline until = soon();
        auto request = co_await context_->requests.acquire(1, priority::store, until);
        if (!request)
            co_return request.error();
        ++report_.requests;
        std::string key = mine->body.key(), id = mine->upload;
        status s = co_await context_->store.complete_upload(std::move(key), std::move(id), mine->tags,
                                                            mine->mode, until);
        co_return s;
    }

    asio::awaitable<status> write_whole(object_ptr mine, const_byte_span body, deadline until)
    {
        status s = co_await turn_to_publish(*mine);
        std::string key = mine->body.key();
        if (s.ok())
            s = co_await write(std::move(key), body, mine->mode, until);
        co_return s;
    }

    asio::awaitable<status> write(std::string key, const_byte_span body, if_exists mode, deadline until)
    {
        const const_byte_span parts[] = {body};
        if (status why = stopping(); !why.ok())
            co_return why;
        auto request = co_await context_->requests.acquire(1, priority::store, until);
        if (!request)
            co_return request.error();
        ++report_.requests;
        status s = co_await context_->store.write(std::move(key), parts, mode, until);
        if (s.ok())
            count(body.size());
        co_return s;
    }

    /** The layers beside one another, the manifest when all of them are acknowledged. */
    asio::awaitable<status> write_layers(object_ptr mine, const_byte_span staged, deadline until)
    {
        status failed;
        task_group layers(context_->executor);
        const std::size_t record = mine->body.record();
        for (layer_id layer = 0; layer < pages_.geometry().layers; ++layer)
            layers.spawn(write_layer(this->shared_from_this(), mine, layer,
                                     staged.subspan(layer * record, record), until, failed));
        co_await layers.join();
        if (failed.ok())
            failed = stopping();
        if (!failed.ok())
            co_return failed;
        std::array<std::byte, header_bytes> manifest;
        encode_header(manifest, mine->body.header());
        std::string key = mine->body.key();
        failed = co_await write(std::move(key), manifest, mine->mode, until);
        co_return failed;
    }

    static asio::awaitable<void> write_layer(std::shared_ptr<store_state> self, object_ptr mine,
                                             layer_id layer, const_byte_span record, deadline until,
                                             status& failed)
    {
        std::string key = layer_key(self->keys_, mine->body.ids().front(), layer);
        status s = co_await self->write(std::move(key), record, mine->mode, until);
        if (!s.ok() && failed.ok())
            failed = s;
    }

    void count(std::size_t bytes)
    {
        report_.bytes += bytes;
        cache_counters::add(context_->counters.bytes_stored, bytes);
    }

    void drop(std::size_t chunks, const status& why)
    {
        report_.dropped += chunks;
        cache_counters::add(context_->counters.chunks_dropped, chunks);
        if (report_.failed.ok())
            report_.failed = why;
    }

    std::shared_ptr<context> context_;
    std::vector<chunk_id> chunks_;
    kv_pages pages_;
    page_mover<Device> mover_;
    key_space keys_;
    layout where_;
    byte_budget writes_;
    task_group work_;
    bool stopped_ = false;
    store_report report_;
};

} // namespace objectcache::detail
