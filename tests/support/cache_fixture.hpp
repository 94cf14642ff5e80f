// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cache.hpp>
#include <objectcache/testing/gated_device.hpp>
#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/recording_tier.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>
#include <support/kv_fixture.hpp>
#include <support/run.hpp>

#include <optional>
#include <utility>
#include <vector>

/** A cache over a tier and a device that can be held, on a clock that stands still: what the unit tests of the pipeline
    share. */
namespace cache_test {

using namespace objectcache;

using call = testing::recording_tier::call;
using tested_cache = cache<testing::gated_device, testing::recording_tier>;
using tested_load = tested_cache::load_type;

struct fixture {
    static constexpr std::size_t G = 16;

    kv_geometry shape = kv_fixture::geometry();
    scope where = kv_fixture::scope();
    testing::gated_device device;
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    testing::recording_tier tier{io.get_executor()};
    cache_options options = defaults();
    tested_cache kv = make();

    static cache_options defaults()
    {
        cache_options o;
        o.stored_as = layout::chunk_objects;
        o.read_layouts = layout_set::only(layout::chunk_objects);
        o.staging_bytes = 64 << 10;
        return o;
    }
    tested_cache make() { return *tested_cache::create(tier, device, options); }
    /** Another process: it knows nothing of what this one did. */
    void forget() { kv = make(); }

    template <class T>
    static asio::awaitable<void> into(asio::awaitable<T> work, std::optional<T>& out)
    {
        out.emplace(co_await std::move(work));
    }
    template <class T>
    T run(asio::awaitable<T> work)
    {
        return support::run(io, std::move(work));
    }
    template <class T>
    void start(asio::awaitable<T> work, std::optional<T>& out)
    {
        asio::co_spawn(io, into(std::move(work), out), asio::detached);
        settle();
    }
    /** Run what can happen now. Bounded: an event that is about to be reached is looked for again and again. */
    void settle()
    {
        io.restart();
        for (int i = 0; i < 5000 && io.poll_one() != 0; ++i)
            io.restart();
    }

    prefix_match match(const std::vector<token_id>& tokens)
    {
        return run(kv.match(where, tokens, asio::use_awaitable));
    }
    store_report store(const std::vector<token_id>& tokens, kv_fixture::memory& from)
    {
        return run(kv.store(where, tokens, from.pages(), {}, asio::use_awaitable));
    }
    error_code close() { return run(kv.close(asio::use_awaitable)); }

    /** Existence probes only, whatever is in the objects: enough for matches. */
    void put(const chunk_id& chunk)
    {
        const key_space keys{options.key_prefix, *scope_id(where)};
        const std::vector<std::byte> object(object_bytes(layout::chunk_objects, shape));
        const const_byte_span part[] = {object};
        CHECK(
            run(tier.stored().write(chunk_key(keys, chunk), part, if_exists::keep, deadline::never())).ok());
    }
    std::vector<chunk_id> chain(const std::vector<token_id>& tokens)
    {
        return hash_chain(*scope_id(where), tokens, G);
    }
};

} // namespace cache_test
