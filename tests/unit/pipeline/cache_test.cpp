// SPDX-License-Identifier: BSL-1.0
#include <objectcache/cache.hpp>

#include <objectcache/kv/object_name.hpp>

#include <doctest/doctest.h>
#include <support/cache_fixture.hpp>

#include <optional>
#include <set>

using namespace objectcache;
using namespace std::chrono_literals;

TEST_CASE_FIXTURE(cache_test::fixture,
                  "options that contradict each other make no cache, nor does a device without memory")
{
    cache_options o = options;
    o.max_requests = 0;
    CHECK(cache_test::tested_cache::create(tier, device, o).error() == condition::invalid);
    o = options;
    o.key_prefix = "/x";
    CHECK(cache_test::tested_cache::create(tier, device, o).error() == condition::invalid);
    testing::fail_counter fuse(0, errc::exhausted);
    device.set_fuse(&fuse);
    CHECK(cache_test::tested_cache::create(tier, device, options).error() == condition::device);
}

TEST_CASE_FIXTURE(cache_test::fixture, "a match that this process knows of costs no request")
{
    const auto tokens = kv_fixture::tokens(100);
    kv_fixture::memory source(shape, 100);
    source.fill();
    CHECK(store(tokens, source).stored == 6);
    tier.clear();
    CHECK(match(tokens).tokens() == 96);
    CHECK(tier.calls().empty());
    CHECK(kv.stats().match_requests == 6); // those of the store, which asked first

    forget();
    CHECK(match(tokens).tokens() == 96);
    CHECK(tier.count(cache_test::call::stat) == 6);
    CHECK(kv.stats().match_requests == 6);
    tier.clear();
    CHECK(match(tokens).tokens() == 96); // it has learnt
    CHECK(tier.calls().empty());
    time.advance(options.index_ttl); // but not for ever
    CHECK(match(tokens).tokens() == 96);
    CHECK(tier.count(cache_test::call::stat) == 6);
}

TEST_CASE_FIXTURE(cache_test::fixture, "a cold match of a hundred chunks takes at most two rounds")
{
    const auto tokens = kv_fixture::tokens(100 * G + 1);
    const auto ids = chain(tokens);
    REQUIRE(ids.size() == 100);
    options.max_requests = 128; // fewer, and a round of questions goes out in several
    for (const std::size_t stored : {0, 1, 37, 50, 99, 100}) {
        CAPTURE(stored);
        for (const chunk_id& id : ids)
            CHECK(run(tier.remove(chunk_key({"", *scope_id(where)}, id), deadline::never())).ok());
        for (std::size_t i = 0; i < stored; ++i)
            put(ids[i]);
        forget();
        tier.clear();
        tier.hold(cache_test::call::stat);
        std::optional<prefix_match> found;
        start(kv.match(where, tokens, asio::use_awaitable), found);
        std::size_t rounds = 0;
        while (!found && rounds < 10) {
            CHECK(tier.waiting(cache_test::call::stat) > 0); // all of a round are sent before any is answered
            ++rounds;
            tier.release(cache_test::call::stat);
            tier.hold(cache_test::call::stat);
            settle();
        }
        tier.release(cache_test::call::stat);
        REQUIRE(found);
        CHECK(found->chunks.size() == stored);
        CHECK(found->ended_by.ok());
        CHECK(rounds <= 2);
        CHECK((rounds == 1 || stored != 0));
        CHECK(tier.count(cache_test::call::stat) <=
              stored + 22); // 2 sqrt(100) + 2, and each that is promised
    }
}

TEST_CASE_FIXTURE(cache_test::fixture, "at least one token is left to compute")
{
    const auto tokens = kv_fixture::tokens(2 * G);
    kv_fixture::memory source(shape, 2 * G);
    source.fill();
    CHECK(store(tokens, source).stored == 2);
    CHECK(match(tokens).tokens() == G);
    auto longer = tokens;
    longer.push_back(1);
    CHECK(match(longer).tokens() == 2 * G);
    CHECK(match({}).empty());
    CHECK(match({5}).empty());
}

TEST_CASE_FIXTURE(cache_test::fixture, "scopes and prefixes keep apart what is not the same")
{
    const auto tokens = kv_fixture::tokens(40);
    kv_fixture::memory source(shape, 40);
    source.fill();
    CHECK(store(tokens, source).stored == 2);
    for (int which = 0; which < 4; ++which) {
        CAPTURE(which);
        scope other = where;
        if (which == 0)
            other.tenant_salt = "b";
        if (which == 1)
            other.weights_revision = "2";
        if (which == 2)
            other.geometry.layers = 3;
        if (which == 3)
            other.adapter = "lora";
        CHECK(run(kv.match(other, tokens, asio::use_awaitable)).empty());
    }
    auto changed = tokens;
    changed[3] = 1; // in the first chunk: nothing behind it may match
    CHECK(match(changed).empty());
    changed = tokens;
    changed[G + 3] = 1;
    CHECK(match(changed).tokens() == G);
    options.key_prefix = "team-b/";
    forget();
    CHECK(match(tokens).empty());

    scope impossible = where;
    impossible.model.clear();
    const prefix_match none = run(kv.match(impossible, tokens, asio::use_awaitable));
    CHECK(none.empty());
    CHECK(none.ended_by == condition::invalid);
}

TEST_CASE_FIXTURE(cache_test::fixture, "what is stored is not stored again, in this process or from another")
{
    const auto tokens = kv_fixture::tokens(100);
    kv_fixture::memory source(shape, 100);
    source.fill();
    const store_report first = store(tokens, source);
    CHECK(first.stored == 6);
    CHECK(first.requests == 6);
    CHECK(first.bytes == 6 * object_bytes(layout::chunk_objects, shape));
    const std::uint64_t bytes = tier.stored().bytes();
    tier.clear();
    const store_report second = store(tokens, source);
    CHECK(second.present == 6);
    CHECK(second.stored == 0);
    CHECK(tier.calls().empty());

    forget();
    const store_report third = store(tokens, source); // it does not know, and writes the same bytes again
    CHECK(third.stored + third.present == 6);
    CHECK(third.failed.ok());
    CHECK(tier.stored().bytes() == bytes);
    CHECK(tier.stored().objects() == 6);

    // A match tells it before.
    forget();
    CHECK(match(tokens).tokens() == 96);
    tier.clear();
    const auto more = kv_fixture::tokens(7 * G);
    kv_fixture::memory larger(shape, 7 * G);
    larger.fill();
    const store_report rest = store(more, larger);
    CHECK(rest.present == 6);
    CHECK(rest.stored == 1);
    CHECK(tier.count(cache_test::call::write) == 1);
}

TEST_CASE_FIXTURE(cache_test::fixture, "a store that fails drops chunks, and counts them")
{
    const auto tokens = kv_fixture::tokens(3 * G);
    kv_fixture::memory source(shape, 3 * G);
    source.fill();
    options.max_writes = 1;
    forget();
    auto longer = tokens;
    longer.push_back(1);
    CHECK(match(longer).empty());                   // so that the store need not ask
    testing::fail_counter fuse(2, errc::throttled); // the second write
    tier.set_fuse(&fuse);
    const store_report report = store(tokens, source);
    CHECK(report.stored == 2);
    CHECK(report.dropped == 1);
    CHECK(report.failed == errc::throttled);
    const cache_stats stats = kv.stats();
    CHECK(stats.chunks_stored == 2);
    CHECK(stats.chunks_dropped == 1);
    CHECK(stats.bytes_stored == report.bytes);
    tier.set_fuse(nullptr);
    const store_report again = store(tokens, source);
    CHECK(again.stored == 1);
    CHECK(again.present == 2);
}

TEST_CASE_FIXTURE(cache_test::fixture,
                  "by layers, the manifest is written last, when all layers are acknowledged")
{
    options.stored_as = layout::layer_objects;
    forget();
    const auto tokens = kv_fixture::tokens(3 * G);
    kv_fixture::memory source(shape, 3 * G);
    source.fill();
    CHECK(match(tokens).empty());
    tier.clear();
    CHECK(store(tokens, source).stored == 3);
    const auto ids = chain(tokens);
    const key_space keys{"", *scope_id(where)};
    for (const chunk_id& id : ids) {
        std::set<std::string> layers;
        bool published = false;
        for (const auto& c : tier.calls()) {
            const auto name = parse_object_key("", c.key);
            REQUIRE(name);
            if (name->chunk != id)
                continue;
            CHECK(c.what == cache_test::call::write);
            CHECK_FALSE(published);
            if (name->kind == object_kind::manifest) {
                published = true;
                CHECK(layers.size() == shape.layers);
            } else
                layers.insert(c.key);
        }
        CHECK(published);
    }
    // A layer that is not acknowledged: no manifest, whoever lost the answer.
    for (std::size_t step = 0; step < 2 * shape.layers; ++step) {
        CAPTURE(step);
        scope other = where;
        other.tenant_salt = std::to_string(step);
        const auto one = kv_fixture::tokens(G);
        const auto longer = kv_fixture::tokens(G + 1);
        CHECK(run(kv.match(other, longer, asio::use_awaitable)).empty());
        testing::fail_counter fuse(step);
        tier.set_fuse(&fuse);
        const store_report report = run(kv.store(other, one, source.pages(), {}, asio::use_awaitable));
        tier.set_fuse(nullptr);
        CHECK(report.dropped == 1);
        const digest id = *scope_id(other);
        CHECK_FALSE(tier.stored().find(manifest_key({"", id}, hash_chain(id, one, G)[0])));
    }
}

TEST_CASE_FIXTURE(cache_test::fixture, "nothing is copied before the compute is done")
{
    const auto tokens = kv_fixture::tokens(2 * G);
    kv_fixture::memory source(shape, 2 * G);
    source.fill();
    const auto computed = device.make_event();
    std::optional<store_report> report;
    start(kv.store(where, tokens, source.pages(), computed, asio::use_awaitable), report);
    CHECK_FALSE(report);
    CHECK(device.copied(copy_queue::store) == 0);
    CHECK(kv.staging_in_use() == 0);
    CHECK(tier.calls().empty());
    device.reach(computed);
    settle();
    REQUIRE(report);
    CHECK(report->stored == 2);

    const auto broken = device.make_event();
    device.fail(broken);
    const auto other = kv_fixture::tokens(2 * G, 9000);
    const store_report none = run(kv.store(where, other, source.pages(), broken, asio::use_awaitable));
    CHECK(none.failed == condition::device);
    CHECK(none.dropped == 2);
}

TEST_CASE_FIXTURE(cache_test::fixture, "pages that do not fit are refused, and say nothing about the store")
{
    const auto tokens = kv_fixture::tokens(3 * G);
    kv_fixture::memory source(shape, 3 * G), little(shape, G), ring(shape, 3 * G, 2);
    kv_geometry narrow = shape;
    narrow.layers = 2;
    kv_fixture::memory foreign(narrow, 3 * G);
    source.fill();
    CHECK(run(kv.store(where, tokens, little.pages(), {}, asio::use_awaitable)).failed == condition::invalid);
    CHECK(run(kv.store(where, tokens, ring.pages(), {}, asio::use_awaitable)).failed == condition::invalid);
    CHECK(run(kv.store(where, tokens, foreign.pages(), {}, asio::use_awaitable)).failed ==
          errc::wrong_geometry);
    CHECK(tier.calls().empty());
    CHECK(store(tokens, source).stored == 3);

    const prefix_match found = match(tokens);
    CHECK(found.tokens() == 2 * G);
    for (auto* memory : {&little, &foreign}) {
        auto load = kv.load(found, memory->pages());
        const load_report report = run(load.finish(asio::use_awaitable));
        CHECK_FALSE(report.failed.ok());
        CHECK(report.usable_tokens == 0);
    }
    CHECK(kv.stats().chunks_corrupt == 0);
    CHECK(match(tokens).tokens() == 2 * G);
    CHECK(tier.count(cache_test::call::read) == 0);
}

TEST_CASE_FIXTURE(cache_test::fixture,
                  "the empty match of a refused scope loads nothing, and its layers are ready")
{
    scope impossible = where;
    impossible.model.clear();
    const auto tokens = kv_fixture::tokens(40);
    kv_fixture::memory target(shape, 40);
    auto load = kv.load(run(kv.match(impossible, tokens, asio::use_awaitable)), target.pages());
    for (layer_id l = 0; l < shape.layers; ++l)
        CHECK_FALSE(run(load.fetch_layer(l)(asio::use_awaitable)));
    CHECK_FALSE(device.any_gate_closed());
    const load_report report = run(load.finish(asio::use_awaitable));
    CHECK(report.failed.ok());
    CHECK(report.usable_tokens == 0);
}

TEST_CASE_FIXTURE(cache_test::fixture, "close ends loads and stores that are under way, and refuses new ones")
{
    const auto tokens = kv_fixture::tokens(3 * G + 1), other = kv_fixture::tokens(3 * G, 9000);
    kv_fixture::memory source(shape, 4 * G), target(shape, 4 * G);
    source.fill();
    CHECK(store(tokens, source).stored == 3);
    const prefix_match found = match(tokens);
    CHECK(found.tokens() == 3 * G);
    bool device_holds = false;
    SUBCASE("waiting for the tier")
    {
        tier.hold(cache_test::call::read);
        tier.hold(cache_test::call::write);
    }
    SUBCASE("waiting for the device")
    {
        device.hold(copy_queue::load);
        device.hold(copy_queue::store);
        device_holds = true;
    }
    auto load = kv.load(found, target.pages());
    std::optional<load_report> loaded;
    std::optional<store_report> stored;
    std::optional<error_code> closed, twice, fetched;
    start(load.fetch_layer(3)(asio::use_awaitable), fetched);
    start(load.finish(asio::use_awaitable), loaded);
    start(kv.store(where, other, source.pages(), {}, asio::use_awaitable), stored);
    CHECK(kv.staging_in_use() > 0);
    start(kv.close(asio::use_awaitable), closed);
    start(kv.close(asio::use_awaitable), twice);
    if (device_holds) {
        CHECK_FALSE(closed);
        CHECK(kv.staging_in_use() > 0);
        device.release(copy_queue::load);
        device.release(copy_queue::store);
        for (int i = 0; i < 5; ++i) {
            time.advance(1ms);
            settle();
        }
    }
    REQUIRE((closed && twice && loaded && stored && fetched));
    CHECK_FALSE(*closed);
    CHECK_FALSE(*twice);
    CHECK(kv.staging_in_use() == 0);
    CHECK(loaded->failed.ok() == device_holds); // all had been read: what was copied is a load
    CHECK(stored->failed == condition::cancelled);
    CHECK(stored->stored + stored->dropped == 3);
    CHECK((device_holds ? !*fetched : *fetched == condition::cancelled));
    CHECK_FALSE(device.any_gate_closed());

    tier.release(cache_test::call::read);
    tier.release(cache_test::call::write);
    tier.clear();
    CHECK(match(tokens).ended_by == condition::cancelled);
    CHECK(store(other, source).failed == condition::cancelled);
    auto late = kv.load(found, target.pages());
    const load_report none = run(late.finish(asio::use_awaitable));
    CHECK(none.failed == condition::cancelled);
    CHECK(none.usable_tokens == 0);
    CHECK(tier.calls().empty());
}

TEST_CASE_FIXTURE(cache_test::fixture, "the numbers add up")
{
    const auto tokens = kv_fixture::tokens(3 * G + 1);
    kv_fixture::memory source(shape, 4 * G), target(shape, 4 * G);
    source.fill();
    (void)match(tokens);
    (void)store(tokens, source);
    auto load = kv.load(match(tokens), target.pages());
    const load_report report = run(load.finish(asio::use_awaitable));
    const cache_stats s = kv.stats();
    CHECK(s.matches == 2);
    CHECK(s.tokens_asked == 2 * 3 * G);
    CHECK(s.tokens_matched == 3 * G);
    CHECK(s.match_requests == 3);
    CHECK(s.loads == 1);
    CHECK(s.load_requests == report.requests);
    CHECK(s.bytes_loaded == report.bytes);
    CHECK(s.layers_failed == 0);
    CHECK(s.chunks_stored == 3);
    CHECK_FALSE(close());
}

TEST_CASE_FIXTURE(cache_test::fixture,
                  "a layer that is gone under its manifest, or cut short, is stored again")
{
    options.stored_as = layout::layer_objects;
    forget();
    const auto tokens = kv_fixture::tokens(3 * G + 1);
    kv_fixture::memory source(shape, 3 * G + 1), target(shape, 3 * G + 1);
    source.fill();
    CHECK(store(tokens, source).stored == 3);
    const key_space keys{"", *scope_id(where)};
    const std::string lost = layer_key(keys, chain(tokens)[1], 2);
    CHECK(run(tier.remove(lost, deadline::never())).ok());
    for (const bool mended : {false, true}) {
        forget();
        const prefix_match found = match(tokens);
        CHECK(found.chunks.size() == 3); // who looks only sees manifests
        auto load = kv.load(found, target.pages());
        const load_report report = run(load.finish(asio::use_awaitable));
        CHECK(report.usable_tokens == (mended ? 3 : 1) * G);
        CHECK(match(tokens).chunks.size() == (mended ? 3 : 1));
        CHECK(store(tokens, source).failed.ok());
    }
    // An object of a wrong size is seen by the match, and replaced by the store behind it.
    tier.stored().find(manifest_key(keys, chain(tokens)[0]))->pop_back();
    forget();
    CHECK(match(tokens).empty());
    CHECK(store(tokens, source).failed.ok());
    forget();
    CHECK(match(tokens).chunks.size() == 3);
}
