// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/with_deadline.hpp>
#include <objectcache/pipeline/detail/damaged_objects.hpp>
#include <objectcache/pipeline/detail/find_prefix.hpp>
#include <objectcache/pipeline/detail/outgoing_object.hpp>
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
        , puts_(context_->executor, context_->options.most_puts())
        , work_(context_->executor)
    {}

    /** A cancellation drops what is not acknowledged; it completes when nothing moves any more. */
    asio::awaitable<store_report> run(event after)
    {
        auto keep = this->shared_from_this();
        work_.spawn(issue(keep, std::move(after)));
        co_await work_.join();
        // Whatever nothing was said of ran out of memory before it began.
        if (const std::size_t told = report_.present + report_.stored + report_.dropped;
            told < chunks_.size())
            drop(chunks_.size() - told, status(errc::exhausted));
        co_return report_;
    }

private:
    using object = outgoing_object;
    using object_ptr = std::shared_ptr<object>;

    [[nodiscard]] status stopping() const
    {
        if (context_->closing)
            return status(errc::shut_down);
        return work_.cancelled() ? status(errc::cancelled) : status();
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
        const std::vector<chunk_place> found = co_await self->look();
        const std::vector<store_object> plan = self->plan(found);
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

    /** What is there already need not be sent, in whatever layout it is. As a rule the match before this store has asked.

        @return where the chunks lie that were asked for, from the first one on: the index may have room for fewer */
    asio::awaitable<std::vector<chunk_place>> look()
    {
        const time_point now = context_->time.now();
        for (const chunk_id& chunk : chunks_) {
            if (context_->index.is_absent(chunk, now))
                co_return std::vector<chunk_place>();
            if (!context_->index.contains(chunk, now))
                break;
        }
        const deadline until = context_->in(context_->options.match_timeout);
        auto finder = std::make_shared<prefix_finder<Device, Tier>>(context_, keys_.scope, pages_.geometry(),
                                                                    chunks_, priority::store, until);
        auto found = co_await finder->run();
        co_return std::move(found.places);
    }

    [[nodiscard]] std::vector<store_object> plan(const std::vector<chunk_place>& found)
    {
        const time_point now = context_->time.now();
        std::vector<std::optional<chunk_place>> places;
        for (std::size_t i = 0; i < chunks_.size(); ++i) {
            const chunk_place* at = context_->index.find(chunks_[i], now);
            if (at == nullptr && i < found.size())
                at = &found[i];
            places.push_back(at ? std::optional(*at) : std::nullopt);
            report_.present += at ? 1 : 0;
        }
        cache_counters::add(context_->counters.chunks_present, report_.present);
        std::vector<store_object> out =
            plan_store(where_, segment_chunks(pages_.geometry()), places, context_->options.merge_segments);
        replace_damaged(out, context_->index, now, keys_, pages_.geometry(), where_, chunks_);
        return out;
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
        status why;
        std::uint32_t begun = 0;
        try {
            why = co_await begin(mine);
            work_.spawn(publish(this->shared_from_this(), mine));
        } catch (...) { // no memory: nobody publishes it
            give_up(*mine);
            mine->over.set();
            co_return status(errc::exhausted);
        }
        try {
            while (begun < parts && why.ok()) {
                why = co_await send_part(mine, begun);
                begun += why.ok();
            }
        } catch (...) { // no memory
            why = status(errc::exhausted);
        }
        for (; begun < parts; ++begun)
            mine->part_ended(why);
        co_return why;
    }

    /** What comes before the first part. */
    asio::awaitable<status> begin(object_ptr mine)
    {
        if (status why = stopping(); !why.ok())
            co_return why;
        if (context_->index.is_unknown(mine->body.key(), context_->time.now()))
            co_return left_alone(*mine);
        if (mine->before && !mine->before->failed.ok())
            co_return mine->before->failed;
        if (mine->mode == if_exists::replace)
            if (status why = co_await may_replace(mine); !why.ok())
                co_return why;
        if (mine->body.parts() == 1)
            co_return status();
        auto request = co_await context_->requests.acquire(1, priority::store, soon());
        if (!request)
            co_return request.error();
        ++report_.requests;
        std::string key = mine->body.key();
        auto id = co_await context_->store.begin_upload(std::move(key), soon());
        if (!id)
            co_return id.error();
        mine->tags.resize(mine->body.parts());
        mine->upload = std::move(*id);
        co_return status();
    }

    /** An object that was found damaged, perhaps only by its size, may be of a format that this library does not know: that
        is nobody's to replace. Its head says so, in every version. */
    asio::awaitable<status> may_replace(object_ptr mine)
    {
        const deadline until = soon();
        auto request = co_await context_->requests.acquire(1, priority::store, until);
        if (!request)
            co_return request.error();
        std::array<std::byte, header_bytes> head{};
        const byte_range range{0, header_bytes};
        std::string key = mine->body.key();
        status got = co_await context_->store.read(std::move(key), range, byte_span(head), until, nullptr);
        if (got.ok() && decode_header(head).error() == errc::unknown_version) {
            context_->index.mark_unknown(mine->body.key(), context_->time.now());
            co_return left_alone(*mine);
        }
        if (got == condition::absent || tells_of_damage(got))
            co_return status();
        co_return got;
    }
    [[nodiscard]] static status left_alone(const object& mine)
    {
        return {errc::unknown_version, mine.body.key() + ": left alone"};
    }

    /** Begin one part, once it may be written and there is staging for it. Staging first, then the request: in this order
        everywhere (load_state too). */
    asio::awaitable<status> send_part(object_ptr mine, std::uint32_t part)
    {
        const deadline until = soon();
        if (!mine->failed.ok())
            co_return mine->failed; // of a part before
        auto turn = co_await writes_.acquire(1, priority::store, until);
        if (!turn)
            co_return turn.error();
        auto lent = co_await context_->staging.acquire(mine->body.part_bytes(part), priority::store, until);
        if (!lent)
            co_return lent.error();
        if (status why = stopping(); !why.ok())
            co_return why;
        work_.spawn(
            transfer(this->shared_from_this(), mine, part, std::move(*turn), std::move(*lent), until));
        co_return status();
    }

    static asio::awaitable<void> transfer(std::shared_ptr<store_state> self, object_ptr mine,
                                          std::uint32_t part, [[maybe_unused]] byte_budget::ticket turn,
                                          lease staging, deadline until)
    {
        context& shared = *self->context_;
        bool copied = false;
        status sent;
        try {
            sent = co_await self->send(mine, part, staging.bytes(), copied, until);
        } catch (...) {  // no memory, or a tier that throws
            if (!copied) // the device may be writing into the lease
                (void)shared.wait_out(shared.owner.record(copy_queue::store));
            sent = status(errc::exhausted);
        }
        mine->part_ended(sent);
    }

    /** @param copied set when the device is past the copy */
    asio::awaitable<status> send(object_ptr mine, std::uint32_t part, byte_span staged, bool& copied,
                                 deadline until)
    {
        error_code failed = mover_(mine->body.slices(part, staged));
        const event behind = context_->owner.record(copy_queue::store);
        // The device writes into the lease: nothing may end this coroutine before the device is past it.
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        const error_code reached = co_await context_->events.wait(behind, event_kind::store_copy);
        copied = true;
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        if (!failed)
            failed = reached;
        if (!failed)
            failed = stopping().code();
        if (failed)
            co_return status(failed, "copy from device");
        mine->body.seal(part, staged);
        status sent;
        if (!mine->upload.empty())
            sent = co_await upload(mine, part, staged, until);
        else if (where_ == layout::layer_objects)
            sent = co_await write_layers(mine, staged, until);
        else
            sent = co_await write_whole(mine, staged, until);
        co_return sent;
    }

    /** What follows when all parts of an object have ended. */
    static asio::awaitable<void> publish(std::shared_ptr<store_state> self, object_ptr mine)
    {
        try {
            co_await self->publish_sent(mine);
        } catch (...) { // no memory, or a tier that throws
            self->give_up(*mine);
        }
        mine->before.reset();
        mine->over.set();
    }
    asio::awaitable<void> publish_sent(object_ptr mine)
    {
        // Nothing is left waiting: the parts are cancelled with this.
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        (void)co_await mine->sent.wait();
        if (!mine->upload.empty()) {
            if (mine->failed.ok())
                mine->failed = co_await turn_to_publish(*mine);
            if (mine->failed.ok())
                mine->failed = co_await complete(mine);
            if (!mine->failed.ok()) {
                // What cannot be thrown away now is for a collector.
                std::string key = mine->body.key(), id = mine->upload;
                (void)co_await context_->store.abort_upload(std::move(key), std::move(id), soon());
            }
        }
        finish(*mine);
    }
    /** An exception has ended it; `finish` has counted nothing. */
    void give_up(object& mine)
    {
        mine.failed = status(errc::exhausted);
        drop(mine.body.what().chunks - mine.body.what().merged, mine.failed);
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
        auto turn = co_await puts_.acquire(1, priority::store, until);
        if (!turn)
            co_return turn.error();
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
        status s;
        try {
            std::string key = layer_key(self->keys_, mine->body.ids().front(), layer);
            s = co_await self->write(std::move(key), record, mine->mode, until);
        } catch (...) { // no memory, or a tier that throws: not acknowledged, so that no manifest may follow
            s = status(errc::exhausted);
        }
        if (!s.ok() && failed.ok())
            failed = std::move(s);
    }

    void count(std::size_t bytes)
    {
        report_.bytes += bytes;
        cache_counters::add(context_->counters.bytes_stored, bytes);
    }

    void drop(std::size_t chunks, const status& why)
    {
        if (report_.failed.ok())
            report_.failed = why;
        report_.dropped += chunks;
        cache_counters::add(context_->counters.chunks_dropped, chunks);
    }

    std::shared_ptr<context> context_;
    std::vector<chunk_id> chunks_;
    kv_pages pages_;
    page_mover<Device> mover_;
    key_space keys_;
    layout where_;
    byte_budget writes_; // objects, or parts of them, that are in staging
    byte_budget puts_;   // that are written: of a chunk in layer objects there are many
    task_group work_;
    store_report report_;
};

} // namespace objectcache::detail
