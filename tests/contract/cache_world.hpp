// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <contract/harness.hpp>

#include <objectcache/cache.hpp>
#include <objectcache/testing/recording_tier.hpp>

#include <boost/asio/use_awaitable.hpp>

#include <vector>

/** A cache over a tier that can be held, and a device that can be held, in an environment that moves by steps. */
namespace contract {

inline constexpr std::size_t chunk_tokens = 16;
inline constexpr std::size_t chunks = 5;
inline constexpr std::size_t prompt = chunks * chunk_tokens + 3;
inline constexpr oc::layer_id layers = 4;

inline oc::cache_options small_options(oc::layout where = oc::layout::chunk_objects)
{
    oc::cache_options o;
    o.stored_as = where;
    o.read_layouts = oc::layout_set::only(where);
    o.staging_bytes = 48 << 10;
    // All of the five chunks in one segment, uploaded in several parts and read in several requests per layer.
    o.part_bytes = 4 << 10;
    if (where == oc::layout::segment_objects)
        o.coalesce_bytes = 1;
    return o;
}

template <class Tier>
struct cache_world {
    using cache = oc::cache<oc::testing::gated_device, Tier>;
    using load_type = typename cache::load_type;

    cache_world(environment& e, Tier& t, oc::cache_options o = small_options())
        : env(e)
        , tier(t)
        , options(std::move(o))
        , source(memory(e))
        , target(memory(e))
        , kv(*cache::create(tier, env.device, options))
    {
        source.fill();
        target.clear();
    }

    static kv_fixture::memory& memory(environment& e)
    {
        return e.memory.emplace_back(kv_fixture::geometry(), prompt);
    }

    /** Store everything and forget that it was: the next match has to ask. */
    void store_all()
    {
        env.run(store_all(*this));
        kv = *cache::create(tier, env.device, options);
    }
    static asio::awaitable<void> store_all(cache_world& w)
    {
        const oc::store_report report = co_await w.kv.store(w.where, w.tokens, w.source.pages());
        CAPTURE(report.failed.message());
        CHECK(report.stored == chunks);
        CHECK_FALSE(co_await w.kv.close());
    }

    /** End everything in order; nothing may be left behind. */
    void close()
    {
        env.run(close(kv));
        CHECK(kv.staging_in_use() == 0);
    }
    static asio::awaitable<void> close(cache& which) { CHECK_FALSE(co_await which.close()); }

    /** Rows of whole chunks are the stored ones or untouched, never anything else; below `usable` they are stored ones. */
    void check_rows(std::size_t usable_tokens)
    {
        const std::size_t row = shape.row_bytes(), part = chunk_tokens * row;
        std::size_t foreign = 0, missing = 0;
        for (std::size_t l = 0; l < layers; ++l)
            for (std::size_t c = 0; c < chunks; ++c)
                for (std::byte* base : {target.k(l), target.v(l)}) {
                    const std::byte* is = base + c * part;
                    const std::byte* right = source.bytes.data() + (is - target.bytes.data());
                    const bool same = std::equal(is, is + part, right);
                    const bool untouched =
                        std::all_of(is, is + part, [](std::byte b) { return b == std::byte{0xee}; });
                    foreign += !same && !untouched;
                    missing += !same && (c + 1) * chunk_tokens <= usable_tokens;
                }
        CHECK(foreign == 0);
        CHECK(missing == 0);
    }

    /** Whoever asks the store, without having seen the store happen, gets whole and true chunks. */
    void check_published()
    {
        auto fresh = *cache::create(tier, env.device, options);
        kv_fixture::memory& seen = memory(env);
        seen.clear();
        env.run(check_published(*this, fresh, seen));
    }
    static asio::awaitable<void> check_published(cache_world& w, cache& fresh, kv_fixture::memory& seen)
    {
        const oc::prefix_match match = co_await fresh.match(w.where, w.tokens);
        CHECK(match.ended_by.ok());
        auto load = fresh.load(match, seen.pages());
        const oc::load_report report = co_await load.finish();
        CHECK(report.failed.ok());
        CHECK(report.usable_tokens == match.tokens());
        for (std::size_t l = 0; l < layers; ++l)
            CHECK(seen.rows_of(l, match.tokens()) == w.source.rows_of(l, match.tokens()));
        CHECK_FALSE(co_await fresh.close());
    }

    environment& env;
    Tier& tier;
    oc::cache_options options;
    oc::kv_geometry shape = kv_fixture::geometry();
    oc::scope where = kv_fixture::scope();
    std::vector<oc::token_id> tokens = kv_fixture::tokens(prompt);
    kv_fixture::memory& source;
    kv_fixture::memory& target;
    cache kv;
};

} // namespace contract
