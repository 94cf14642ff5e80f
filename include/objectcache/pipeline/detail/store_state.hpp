// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/with_deadline.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/kv/object_key.hpp>
#include <objectcache/kv/pages.hpp>
#include <objectcache/pipeline/detail/context.hpp>
#include <objectcache/pipeline/save.hpp>

#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <memory>
#include <utility>
#include <vector>

namespace objectcache::detail {

/** One store under way: device to tier, chunk by chunk.

    A chunk is gathered into staging whole, because objects appear whole; while one is on the wire the next is copied. */
template <device Device, tier Tier>
class store_state : public std::enable_shared_from_this<store_state<Device, Tier>> {
public:
    using context = pipeline_context<Device, Tier>;
    using event = typename Device::event;
    using lease = typename staging_pool<Device>::lease;

    store_state(std::shared_ptr<context> shared, digest scope, std::vector<chunk_id> chunks, kv_pages pages)
        : context_(std::move(shared))
        , scope_(scope)
        , chunks_(std::move(chunks))
        , pages_(std::move(pages))
        , keys_{context_->options.key_prefix, scope_}
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
    [[nodiscard]] status stopping() const
    {
        if (context_->closing)
            return status(errc::shut_down);
        return stopped_ ? status(errc::cancelled) : status();
    }

    [[nodiscard]] const kv_geometry& geometry() const noexcept { return pages_.geometry(); }
    [[nodiscard]] bool by_chunk() const noexcept
    {
        return context_->options.stored_as == layout::chunk_objects;
    }
    [[nodiscard]] std::size_t header_size() const noexcept { return by_chunk() ? header_bytes : 0; }
    [[nodiscard]] std::size_t record_size() const noexcept
    {
        return static_cast<std::size_t>(record_bytes(geometry()));
    }
    [[nodiscard]] std::size_t staged_size() const noexcept
    {
        return header_size() + geometry().layers * record_size();
    }

    static asio::awaitable<status> computed(std::shared_ptr<store_state> self, event after)
    {
        co_return status(co_await self->context_->events.wait(std::move(after), event_kind::compute));
    }

    static asio::awaitable<void> issue(std::shared_ptr<store_state> self, event after)
    {
        context& shared = *self->context_;
        // Reading KV that is still being written is the classic way to store garbage.
        asio::awaitable<status> compute = computed(self, std::move(after));
        std::string what = "waiting for the compute";
        status ready = co_await with_deadline(std::move(compute), shared.in(shared.options.store_timeout),
                                              std::move(what));
        if (!ready.ok()) {
            self->drop(self->chunks_.size(), ready);
            co_return;
        }
        for (std::size_t chunk = 0; chunk < self->chunks_.size(); ++chunk) {
            if (shared.index.contains(self->chunks_[chunk], shared.time.now())) {
                ++self->report_.present;
                cache_counters::add(shared.counters.chunks_present);
                continue;
            }
            const deadline until = shared.in(shared.options.store_timeout);
            auto turn = co_await self->writes_.acquire(1, priority::store, until);
            if (!turn) {
                self->drop(self->chunks_.size() - chunk, turn.error());
                co_return;
            }
            auto staging = co_await shared.staging.acquire(self->staged_size(), priority::store, until);
            const status why = staging ? self->stopping() : staging.error();
            if (!why.ok()) {
                self->drop(self->chunks_.size() - chunk, why);
                co_return;
            }
            self->work_.spawn(transfer(self, chunk, std::move(*turn), std::move(*staging), until));
        }
    }

    static asio::awaitable<void> transfer(std::shared_ptr<store_state> self, std::size_t chunk,
                                          [[maybe_unused]] byte_budget::ticket turn, lease staging,
                                          deadline until)
    {
        context& shared = *self->context_;
        error_code copied = self->copy_from_device(chunk, staging.bytes());
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
            self->drop(1, status(copied, "copy from device"));
            co_return;
        }
        self->seal(chunk, staging.bytes());
        status written;
        if (self->by_chunk())
            written = co_await self->write(chunk, staging.bytes(), self->commit(chunk), until);
        else
            written = co_await self->write_layers(chunk, staging.bytes(), until);
        if (!written.ok()) {
            self->drop(1, written);
            co_return;
        }
        // Only now, acknowledged, may anyone find it (law 1).
        shared.index.add(self->chunks_[chunk], shared.time.now());
        ++self->report_.stored;
        cache_counters::add(shared.counters.chunks_stored);
    }

    [[nodiscard]] std::string commit(std::size_t chunk) const
    {
        return commit_key(keys_, context_->options.stored_as, chunks_[chunk]);
    }

    [[nodiscard]] error_code copy_from_device(std::size_t chunk, byte_span staged)
    {
        const std::size_t tokens = geometry().tokens_per_chunk;
        std::vector<copy_op> ops;
        for (layer_id layer = 0; layer < geometry().layers; ++layer)
            pages_.for_each_piece(
                layer, chunk * tokens, tokens, [&](std::byte* memory, std::size_t offset, std::size_t size) {
                    ops.push_back(
                        {staged.data() + header_size() + layer * record_size() + offset, memory, size});
                });
        return context_->owner.copy(copy_queue::store, ops);
    }

    [[nodiscard]] object_header header_of(std::size_t chunk) const
    {
        object_header h;
        h.where = context_->options.stored_as;
        h.geometry = geometry();
        h.first_token = chunk * geometry().tokens_per_chunk;
        h.scope = scope_;
        h.chunk = chunks_[chunk];
        h.previous = chunk == 0 ? scope_ : chunks_[chunk - 1];
        return h;
    }

    void seal(std::size_t chunk, byte_span staged)
    {
        for (layer_id layer = 0; layer < geometry().layers; ++layer)
            seal_slice(staged.subspan(header_size() + layer * record_size(), record_size()), layer,
                       chunks_[chunk], context_->options.stored_as);
        if (by_chunk())
            encode_header(staged.template first<header_bytes>(), header_of(chunk));
    }

    asio::awaitable<status> write(std::size_t chunk, const_byte_span body, std::string key, deadline until)
    {
        const bool damaged = context_->index.is_damaged(chunks_[chunk], context_->time.now());
        const const_byte_span parts[] = {body};
        if (status why = stopping(); !why.ok())
            co_return why;
        auto request = co_await context_->requests.acquire(1, priority::store, until);
        if (!request)
            co_return request.error();
        ++report_.requests;
        status s = co_await context_->store.write(std::move(key), parts,
                                                  damaged ? if_exists::replace : if_exists::keep, until);
        if (s.ok()) {
            report_.bytes += body.size();
            cache_counters::add(context_->counters.bytes_stored, body.size());
        }
        co_return s;
    }

    /** The layers beside one another, the manifest when all of them are acknowledged. */
    asio::awaitable<status> write_layers(std::size_t chunk, const_byte_span staged, deadline until)
    {
        status failed;
        task_group layers(context_->executor);
        for (layer_id layer = 0; layer < geometry().layers; ++layer) {
            const const_byte_span record = staged.subspan(layer * record_size(), record_size());
            layers.spawn(write_layer(this->shared_from_this(), chunk, layer, record, until, failed));
        }
        co_await layers.join();
        if (failed.ok())
            failed = stopping();
        if (!failed.ok())
            co_return failed;
        std::array<std::byte, header_bytes> manifest;
        encode_header(manifest, header_of(chunk));
        std::string key = commit(chunk);
        failed = co_await write(chunk, manifest, std::move(key), until);
        co_return failed;
    }

    static asio::awaitable<void> write_layer(std::shared_ptr<store_state> self, std::size_t chunk,
                                             layer_id layer, const_byte_span record, deadline until,
                                             status& failed)
    {
        std::string key =
            record_key(self->keys_, self->context_->options.stored_as, self->chunks_[chunk], layer);
        status s = co_await self->write(chunk, record, std::move(key), until);
        if (!s.ok() && failed.ok())
            failed = s;
    }

    void drop(std::size_t chunks, const status& why)
    {
        report_.dropped += chunks;
        cache_counters::add(context_->counters.chunks_dropped, chunks);
        if (report_.failed.ok())
            report_.failed = why;
    }

    std::shared_ptr<context> context_;
    digest scope_;
    std::vector<chunk_id> chunks_;
    kv_pages pages_;
    key_space keys_;
    byte_budget writes_;
    task_group work_;
    bool stopped_ = false;
    store_report report_;
};

} // namespace objectcache::detail
