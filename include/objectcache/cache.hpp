// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/pages.hpp>
#include <objectcache/kv/scope.hpp>
#include <objectcache/pipeline/detail/child.hpp>
#include <objectcache/pipeline/detail/find_prefix.hpp>
#include <objectcache/pipeline/detail/load_check.hpp>
#include <objectcache/pipeline/detail/store_state.hpp>
#include <objectcache/pipeline/load.hpp>
#include <objectcache/pipeline/match.hpp>
#include <objectcache/pipeline/options.hpp>
#include <objectcache/pipeline/save.hpp>
#include <objectcache/pipeline/stats.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace objectcache {

/** The KV cache of an inference engine in a storage tier: what a host embeds.

    @code
    auto match = co_await cache.match(scope, tokens);       // the longest stored prefix
    auto load = cache.load(match, pages);                   // its bytes start moving, layer by layer
    ... load.fetch_layer(l), compute, load.compute_layer(l, event) ...
    co_await cache.store(scope, tokens, pages);             // what was computed, for the next request
    @endcode

    It never hurts (law 3): every operation ends within its timeout, with a value; a failing store makes misses.

    @par Lifetime Tier, device and executor are borrowed and must outlive the cache; the cache must outlive its loads.
         Complete `close` before destroying KV memory, device or context.
    @par Threads Any thread may start an operation. They run on the executor, which must run one handler at a time: a
         context with one thread, or a strand. */
template <device Device, tier Tier>
class cache {
    using context = detail::pipeline_context<Device, Tier>;

public:
    using load_type = kv_load<Device, Tier>;
    using event = typename Device::event;

    /** Make a cache over `store` for `engine_device`, running on the tier's executor.

        @par Errors `condition::invalid` for options that contradict each other, `condition::exhausted` when the device
             has no staging memory.
        @par Cost Allocates and pins the staging memory: once per process. */
    [[nodiscard]] static result<cache> create(Tier& store, Device& engine_device, cache_options options = {})
    {
        if (status s = options.validate(); !s.ok())
            return s;
        if (!valid_key_prefix(options.key_prefix))
            return status(errc::invalid_argument, "key_prefix '" + options.key_prefix + "'");
        auto staging =
            staging_pool<Device>::create(store.get_executor(), engine_device, options.staging_bytes);
        if (!staging)
            return staging.error();
        return cache(std::make_shared<context>(store.get_executor(), store, engine_device, std::move(options),
                                               std::move(*staging)));
    }

    cache(cache&&) noexcept = default;
    cache& operator=(cache&&) noexcept = default;
    ~cache() = default;

    [[nodiscard]] asio::any_io_executor get_executor() const { return context_->executor; }
    [[nodiscard]] const cache_options& options() const noexcept { return context_->options; }
    [[nodiscard]] cache_stats stats() const noexcept { return context_->counters.snapshot(); }
    /** Staging bytes lent out; 0 when nothing is under way. On the executor only. */
    [[nodiscard]] std::size_t staging_in_use() const noexcept { return context_->staging.in_use(); }

    /** Find the longest stored prefix of `tokens`. Signature: `void(prefix_match)`.

        At least one token is never matched: an engine needs one to compute the logits of the next.

        @par Completion Always with a match; empty for a miss, with the reason in `ended_by` when the store failed or the
             time was up.
        @par Resumes On the token's associated executor; without one on the cache's.
        @par Cancellation Terminal, partial and total; completes with what was found by then.
        @par Lifetime `where` and `tokens` are copied before the call returns.
        @par Errors In `prefix_match::ended_by`: `condition::invalid` for an impossible scope, `unavailable`, `denied`,
             `timeout`, `cancelled`.
        @par Cost Two rounds of parallel questions for a cold prefix of any length, none for a warm one; two more, once per
             `index_ttl`, in a scope that is stored in several layouts; and one for each segment of a region whose beginning
             so many sequences share that one listing (1,000 keys) does not tell all. */
    template <asio::completion_token_for<void(prefix_match)> Token = default_token>
    auto match(const scope& where, std::span<const token_id> tokens, Token&& token = {})
    {
        return start_operation<prefix_match>(
            context_->executor,
            [shared = context_, id = scope_id(where), geometry = where.geometry,
             list = std::vector<token_id>(tokens.begin(), tokens.end())]() mutable {
                return find(std::move(shared), std::move(id), geometry, std::move(list));
            },
            std::forward<Token>(token));
    }

    /** Start bringing the matched chunks into the engine's KV memory. Returns at once; bytes move from now on.

        Nothing is refused here: a load that cannot be has layers that fail, no byte of it moves, and the engine recomputes
        as after any failure. An empty match makes an empty load whose layers are ready.

        @param row gates to open instead of new ones, all closed, for an engine whose graph waits for these at every replay:
                   one for each layer of each pass, layers of a pass side by side. A row of another size is refused, and all
                   of its gates are opened: nothing waits for ever.
        @par Lifetime The memory that `pages` describes must stay allocated until `kv_load::finish` has completed.
        @par Errors In `load_report::failed`, and of every layer: `condition::invalid` for pages that are too small, a match
             whose runs are not those of its chunks (`prefix_match::shorten`), a first layer or chunk beyond the last, too many
             passes, a row of gates of another size, and memory for only some layers in a load that is not layer by layer: it
             would wait for itself; `errc::wrong_geometry`; `condition::exhausted` when there is no memory for so many
             layers, of which there are none then. */
    [[nodiscard]] load_type load(prefix_match matched, kv_pages pages, load_options how = {},
                                 std::optional<typename Device::gates> row = {})
    {
        how.passes = std::max(how.passes, 1U);
        if (matched.empty() && pages.validate().ok()) {
            // The match of a scope that was refused knows no geometry, and the engine asks for layers.
            matched.geometry = pages.geometry();
        }
        status refused = detail::check_load(matched, pages, how);
        if (std::uint64_t{how.passes} * matched.geometry.layers > load_options::most_layers)
            how.passes = 1; // refused: it has the layers of one
        if (row && row->size() != std::size_t{how.passes} * matched.geometry.layers) {
            refused = status(errc::invalid_argument, "a row of " + std::to_string(row->size()) +
                                                         " gates, not one for each layer of each pass");
            for (std::size_t i = 0; i < row->size(); ++i)
                context_->owner.force_gate(*row, i);
            row.reset();
        }
        auto state = std::make_shared<detail::load_state<Device, Tier>>(
            context_, std::move(matched), std::move(pages), how, std::move(row));
        asio::dispatch(context_->executor,
                       [state, refused = std::move(refused)]() mutable { state->start(std::move(refused)); });
        return load_type(std::move(state));
    }

    /** Store the KV of the whole chunks of `tokens` that are not stored yet. Signature: `void(store_report)`.

        Stores yield to loads and give up rather than pile up; nothing waits for them but the caller who wants to. What
        neither this process knows nor a match has just looked for is asked for first, so that nothing is sent that is
        there. `pages` must have the KV of all of `tokens`, also of what is stored: segments that the sequence goes on in
        may be written again with what comes now (cache_options::merge_segments).

        @param after an event behind the compute that writes the KV; a default one when that is done. Waited for as long as
               a chunk may take (`cache_options::store_timeout`).
        @par Completion With a report; `failed` tells why the first missing chunk was not stored.
        @par Resumes On the token's associated executor; without one on the cache's.
        @par Cancellation Terminal, partial and total; chunks that are not acknowledged are not reported as stored.
        @par Lifetime `where` and `tokens` are copied; the memory behind `pages` must stay allocated and unchanged until
             completion.
        @par Errors In `store_report::failed`: `condition::invalid`, `unavailable`, `denied`, `timeout`, `exhausted`,
             `device`, `cancelled`. */
    template <asio::completion_token_for<void(store_report)> Token = default_token>
    auto store(const scope& where, std::span<const token_id> tokens, kv_pages pages, event after = {},
               Token&& token = {})
    {
        return start_operation<store_report>(
            context_->executor,
            [shared = context_, id = scope_id(where), geometry = where.geometry,
             list = std::vector<token_id>(tokens.begin(), tokens.end()), pages = std::move(pages),
             after = std::move(after)]() mutable {
                return save(std::move(shared), std::move(id), geometry, std::move(list), std::move(pages),
                            std::move(after));
            },
            std::forward<Token>(token));
    }

    /** Take no more work, cancel what is under way (matches, loads, stores, waits for a layer's compute) and wait until
        nothing of the cache moves. Signature: `void(error_code)`.

        @par Completion Always with success; staging is free then, and tier, device and KV memory are not touched any more.
        @par Resumes On the token's associated executor; without one on the cache's.
        @par Cancellation None: what it waits for is ownership, not progress. */
    template <asio::completion_token_for<void(error_code)> Token = default_token>
    auto close(Token&& token = {})
    {
        return start_operation<error_code>(
            context_->executor, [shared = context_]() mutable { return shut(std::move(shared)); },
            std::forward<Token>(token));
    }

private:
    explicit cache(std::shared_ptr<context> c) : context_(std::move(c)) {}

    /** Run as a child of the cache, so that close() waits for it; this operation waits for the child, without a hold on
        anything that the host may destroy after close(). */
    template <class T>
    static asio::awaitable<T> as_child(std::shared_ptr<context> shared, asio::awaitable<T> work)
    {
        asio::any_io_executor executor = shared->executor;
        asio::awaitable<T> child = detail::run_child(shared->running, std::move(executor), std::move(work));
        shared.reset(); // the work has its own
        return child;
    }

    static asio::awaitable<prefix_match> find(std::shared_ptr<context> shared, result<digest> id,
                                              kv_geometry geometry, std::vector<token_id> tokens)
    {
        if (!id)
            co_return prefix_match(id.error());
        if (shared->closing)
            co_return prefix_match(status(errc::shut_down));
        asio::awaitable<prefix_match> work = look(shared, *id, geometry, std::move(tokens));
        asio::awaitable<prefix_match> child = as_child(std::move(shared), std::move(work));
        co_return co_await std::move(child);
    }

    static asio::awaitable<prefix_match> look(std::shared_ptr<context> shared, digest id,
                                              kv_geometry geometry, std::vector<token_id> tokens)
    {
        if (!tokens.empty())
            tokens.pop_back();
        const deadline until = shared->in(shared->options.match_timeout);
        auto finder = std::make_shared<detail::prefix_finder<Device, Tier>>(
            shared, id, geometry, hash_chain(id, tokens, geometry.tokens_per_chunk), priority::load, until);
        auto found = co_await finder->run();
        prefix_match out(std::move(found.ended_by));
        out.scope = id;
        out.geometry = geometry;
        out.chunks.assign(finder->chain().begin(),
                          finder->chain().begin() + static_cast<std::ptrdiff_t>(found.places.size()));
        for (const chunk_place& place : found.places)
            append_place(out.runs, place);
        detail::cache_counters& counters = shared->counters;
        detail::cache_counters::add(counters.matches);
        detail::cache_counters::add(counters.tokens_asked,
                                    finder->chain().size() * geometry.tokens_per_chunk);
        detail::cache_counters::add(counters.tokens_matched, out.tokens());
        co_return out;
    }

    static asio::awaitable<store_report> save(std::shared_ptr<context> shared, result<digest> id,
                                              kv_geometry geometry, std::vector<token_id> tokens,
                                              kv_pages pages, event after)
    {
        store_report report;
        if (!id)
            report.failed = id.error();
        else if (shared->closing)
            report.failed = status(errc::shut_down);
        else if (status s = pages.validate(); !s.ok())
            report.failed = s;
        else if (pages.geometry() != geometry)
            report.failed = status(errc::wrong_geometry, "pages are of another geometry than the scope");
        else if (pages.layer_slots() < geometry.layers)
            report.failed =
                status(errc::invalid_argument, "pages that keep only some layers cannot be stored from");
        else if (pages.capacity_tokens() < geometry.whole_chunks(tokens.size()) * geometry.tokens_per_chunk)
            report.failed = status(errc::invalid_argument, "pages have no room for the tokens to be stored");
        if (!report.failed.ok())
            co_return report;
        asio::awaitable<store_report> work =
            write(shared, *id, hash_chain(*id, tokens, geometry.tokens_per_chunk), std::move(pages),
                  std::move(after));
        asio::awaitable<store_report> child = as_child(std::move(shared), std::move(work));
        co_return co_await std::move(child);
    }

    static asio::awaitable<store_report> write(std::shared_ptr<context> shared, digest id,
                                               std::vector<chunk_id> chain, kv_pages pages, event after)
    {
        const auto state = std::make_shared<detail::store_state<Device, Tier>>(
            std::move(shared), id, std::move(chain), std::move(pages));
        co_return co_await state->run(std::move(after));
    }

    static asio::awaitable<error_code> shut(std::shared_ptr<context> shared)
    {
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        shared->closing = true;
        shared->running.cancel();
        co_await shared->running.join();
        co_return error_code();
    }

    std::shared_ptr<context> context_;
};

} // namespace objectcache
