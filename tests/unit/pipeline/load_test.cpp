// SPDX-License-Identifier: BSL-1.0
#include <objectcache/pipeline/load.hpp>

#include <objectcache/cache.hpp>
#include <objectcache/device/host_device.hpp>
#include <objectcache/io/reactor.hpp>
#include <objectcache/testing/gated_device.hpp>
#include <objectcache/testing/recording_tier.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <doctest/doctest.h>
#include <support/kv_fixture.hpp>

using namespace objectcache;

namespace load_test {

using gated_cache = cache<testing::gated_device, testing::recording_tier>;

cache_options small_options(layout where = layout::chunk_objects)
{
    cache_options o;
    o.stored_as = where;
    o.read_layouts = layout_set::only(where);
    o.staging_bytes = 64 << 10;
    return o;
}

/** One reactor, one tier, one device, and a cache over them, with the KV of 5 chunks (and a bit) stored. */
struct world {
    explicit world(cache_options options = small_options(), std::size_t prompt = 5 * 16 + 3)
        : tokens(kv_fixture::tokens(prompt))
        , source(shape, prompt)
        , target(shape, prompt)
        , kv(*gated_cache::create(tier, device, options))
    {
        source.fill();
        target.clear();
        run(store(*this));
        tier.clear();
    }
    ~world()
    {
        device.release(copy_queue::load);
        device.release(copy_queue::store);
        tier.set_fuse(nullptr);
        tier.release_reads();
        run(close(*this));
        CHECK(kv.staging_in_use() == 0);
    }

    static asio::awaitable<void> store(world& w)
    {
        w.stored = co_await w.kv.store(w.where, w.tokens, w.source.pages());
    }
    static asio::awaitable<void> close(world& w)
    {
        const error_code ec = co_await w.kv.close();
        CHECK_FALSE(ec);
    }
    void run(asio::awaitable<void> body) { REQUIRE(testing::run_coroutine(io, std::move(body))); }
    void poll()
    {
        io.restart();
        io.poll();
    }

    [[nodiscard]] bool loaded(std::size_t layer, std::size_t rows)
    {
        return target.rows_of(layer, rows) == source.rows_of(layer, rows);
    }

    kv_geometry shape = kv_fixture::geometry();
    scope where = kv_fixture::scope();
    asio::io_context io;
    testing::recording_tier tier{io.get_executor()};
    testing::gated_device device;
    std::vector<token_id> tokens;
    kv_fixture::memory source, target;
    gated_cache kv;
    store_report stored;
};

struct launcher {
    world& w;
    std::vector<layer_id> launched;

    testing::gated_device::event operator()(layer_id l)
    {
        CHECK(w.loaded(l, 80));
        launched.push_back(l);
        return {};
    }
};

asio::awaitable<void> load_all(world& w)
{
    const prefix_match match = co_await w.kv.match(w.where, w.tokens);
    CHECK(match.tokens() == 80);
    auto load = w.kv.load(match, w.target.pages());
    for (layer_id l = 0; l < 4; ++l) {
        const error_code ec = co_await load.fetch_layer(l);
        CHECK_FALSE(ec);
        CHECK(w.loaded(l, 80));
        CHECK_FALSE(co_await load.compute_layer(l, {}));
    }
    const load_report report = co_await load.finish();
    CHECK(report.failed.ok());
    CHECK(report.usable_tokens == 80);
    CHECK(report.bytes == 5 * 4 * (1024 + 32));
    CHECK(report.layers.size() == 4);
}

} // namespace load_test

TEST_CASE("what was stored comes back, layer by layer, in every layout")
{
    for (const layout where : {layout::chunk_objects, layout::layer_objects, layout::segment_objects}) {
        CAPTURE(name(where));
        load_test::world w(load_test::small_options(where));
        CHECK(w.stored.stored == 5);
        CHECK(w.stored.failed.ok());
        w.run(load_test::load_all(w));
        // Rows behind the last whole chunk are the engine's own.
        CHECK(w.target.k(0)[80 * w.shape.row_bytes()] == std::byte{0xee});
    }
}

TEST_CASE("layers are asked for in order, the first one alone")
{
    cache_options o = load_test::small_options();
    o.coalesce_bytes = 1; // one record per request
    load_test::world w(o);
    w.run(load_test::load_all(w));
    const auto& calls = w.tier.calls();
    REQUIRE(calls.size() == 20);
    for (std::size_t i = 0; i < calls.size(); ++i)
        CHECK(calls[i].range == chunk_layer_range(w.shape, static_cast<layer_id>(i / 5), 1));
}

TEST_CASE("coalescing reads neighbouring layers with one request")
{
    load_test::world w;
    w.run(load_test::load_all(w));
    CHECK(w.tier.count(testing::recording_tier::call::read) < 20);
    CHECK(w.tier.calls().front().range == chunk_layer_range(w.shape, 0, 1));
}

TEST_CASE("layer i is ready while layer i+1 still travels, and its gate is opened by the device")
{
    cache_options o = load_test::small_options();
    o.coalesce_bytes = 1;
    load_test::world w(o);
    w.device.hold(copy_queue::load);
    w.run([](load_test::world& world) -> asio::awaitable<void> {
        const prefix_match match = co_await world.kv.match(world.where, world.tokens);
        auto load = world.kv.load(match, world.target.pages());
        testing::gated_device::stream stream;
        for (layer_id l = 0; l < 4; ++l)
            CHECK_FALSE(load.gate(l, &stream));
        CHECK(stream.waits().size() == 4);
        CHECK(load.gate(4, &stream) == condition::invalid);

        auto& device = world.device;
        while (!device.last_gates().open(0)) {
            co_await asio::post(world.io, asio::use_awaitable);
            device.run_one(copy_queue::load);
        }
        CHECK(world.loaded(0, 80));
        device.run_one(
            copy_queue::load); // the event behind the gate: the host hears of it later than the stream
        CHECK_FALSE(co_await load.fetch_layer(0));
        CHECK_FALSE(device.last_gates().open(3));
        device.release(copy_queue::load);
        CHECK_FALSE(co_await load.fetch_layer(3));
        CHECK(device.last_gates().open(3));
        CHECK(device.forced_gates() == 0);
        (void)co_await load.finish();
    }(w));
}

TEST_CASE("staging goes back only after the event behind the copy")
{
    load_test::world w;
    w.device.hold(copy_queue::load);
    w.run([](load_test::world& world) -> asio::awaitable<void> {
        const prefix_match match = co_await world.kv.match(world.where, world.tokens);
        auto load = world.kv.load(match, world.target.pages());
        while (world.device.queued(copy_queue::load) == 0)
            co_await asio::post(world.io, asio::use_awaitable);
        load.cancel();
        const error_code ec = co_await load.fetch_layer(0);
        CHECK(ec == condition::cancelled);
        CHECK(world.kv.staging_in_use() > 0); // the device may still read it
        world.device.release(copy_queue::load);
        const load_report report = co_await load.finish();
        CHECK(report.failed == condition::cancelled);
        CHECK(report.usable_tokens == 0);
        CHECK(world.kv.staging_in_use() == 0);
    }(w));
}

TEST_CASE("a staging pool smaller than the load only makes it slower")
{
    cache_options o = load_test::small_options();
    o.staging_bytes = 8192; // one chunk to store; two requests to load
    o.coalesce_bytes = 1;
    load_test::world w(o);
    CHECK(w.stored.stored == 5);
    w.run(load_test::load_all(w));
}

TEST_CASE("damage, loss and foreign bytes are misses with the right reason, never wrong KV")
{
    load_test::world w;
    const auto id = *scope_id(w.where);
    const auto chain = hash_chain(id, w.tokens, 16);
    const key_space keys{"", id};
    std::vector<std::byte>& third = *w.tier.stored().find(chunk_key(keys, chain[2]));
    const std::vector<std::byte>& fourth = *w.tier.stored().find(chunk_key(keys, chain[3]));

    errc expected = errc::checksum_mismatch;
    SUBCASE("a flipped bit")
    {
        third[header_bytes + 1056 + 100] ^= std::byte{4};
    }
    SUBCASE("a flipped bit in a trailer")
    {
        third[header_bytes + 1056 + 1030] ^= std::byte{4};
    }
    SUBCASE("another chunk's object")
    {
        third = fourth;
        expected = errc::wrong_chunk;
    }
    SUBCASE("layers exchanged")
    {
        std::swap_ranges(third.begin() + header_bytes, third.begin() + header_bytes + 1056,
                         third.begin() + header_bytes + 1056);
        expected = errc::wrong_chunk;
    }
    SUBCASE("cut short after it was matched")
    {
        third.resize(header_bytes + 1056 + 10);
        expected = errc::length_mismatch;
    }
    w.run([](load_test::world& world, errc why) -> asio::awaitable<void> {
        const prefix_match match = co_await world.kv.match(world.where, world.tokens);
        REQUIRE(match.tokens() == 80); // warm: the index has them
        auto load = world.kv.load(match, world.target.pages());
        const load_report report = co_await load.finish();
        CHECK(report.failed == why);
        CHECK(report.usable_tokens == 32);
        for (std::size_t l = 0; l < 4; ++l)
            CHECK(world.loaded(l, 32));
        CHECK(world.kv.stats().chunks_corrupt == 1);

        // A damaged chunk is not matched again, and the next store heals it.
        const prefix_match again = co_await world.kv.match(world.where, world.tokens);
        CHECK(again.tokens() == 32);
        const store_report healed = co_await world.kv.store(world.where, world.tokens, world.source.pages());
        CHECK(healed.stored == 1);
        CHECK(healed.present == 4);
        auto second = world.kv.load(co_await world.kv.match(world.where, world.tokens), world.target.pages());
        const load_report good = co_await second.finish();
        CHECK(good.failed.ok());
        CHECK(good.usable_tokens == 80);
        CHECK(world.loaded(3, 80));
    }(w, expected));
}

TEST_CASE("a chunk that the store evicted is a miss from there on")
{
    load_test::world w;
    const auto id = *scope_id(w.where);
    const auto chain = hash_chain(id, w.tokens, 16);
    w.run([](load_test::world& world, std::string evicted) -> asio::awaitable<void> {
        CHECK((co_await world.tier.remove(evicted, deadline::never())).ok());
        auto load = world.kv.load(co_await world.kv.match(world.where, world.tokens), world.target.pages());
        const error_code ec = co_await load.fetch_layer(3);
        CHECK(ec == condition::absent);
        const load_report report = co_await load.finish();
        CHECK(report.usable_tokens == 16);
        CHECK(world.kv.stats().chunks_absent == 1);
        CHECK((co_await world.kv.match(world.where, world.tokens)).tokens() == 16);
    }(w, chunk_key(key_space{"", id}, chain[1])));
}

TEST_CASE("an empty match loads nothing and its layers are ready")
{
    load_test::world w;
    w.run([](load_test::world& world) -> asio::awaitable<void> {
        const auto other = kv_fixture::tokens(40, 7000);
        const prefix_match match = co_await world.kv.match(world.where, other);
        CHECK(match.empty());
        CHECK(match.ended_by.ok());
        auto load = world.kv.load(match, world.target.pages());
        CHECK_FALSE(co_await load.fetch_layer(0));
        const load_report report = co_await load.finish();
        CHECK(report.failed.ok());
        CHECK(report.usable_tokens == 0);
        CHECK(world.tier.count(testing::recording_tier::call::read) == 0);
    }(w));
}

TEST_CASE("pages that cannot hold the match are refused, and no byte moves")
{
    load_test::world w;
    kv_fixture::memory small(w.shape, 32);
    w.run([](load_test::world& world, kv_fixture::memory& little) -> asio::awaitable<void> {
        auto load = world.kv.load(co_await world.kv.match(world.where, world.tokens), little.pages());
        const error_code ec = co_await load.fetch_layer(0);
        CHECK(ec == condition::invalid);
        CHECK((co_await load.finish()).usable_tokens == 0);
        CHECK(world.tier.count(testing::recording_tier::call::read) == 0);
    }(w, small));
}

TEST_CASE("with few slots of memory, a layer waits for the compute of the one whose memory it takes")
{
    std::size_t slots = 0;
    SUBCASE("one")
    {
        slots = 1;
    }
    SUBCASE("two, which divide the layers")
    {
        slots = 2;
    }
    SUBCASE("three, which do not: the next pass begins in the slot of the last layer")
    {
        slots = 3;
    }
    load_test::world w;
    kv_fixture::memory ring(w.shape, 80, slots);
    w.run([](load_test::world& world, kv_fixture::memory& few) -> asio::awaitable<void> {
        load_options how;
        how.passes = 3;
        auto load = world.kv.load(co_await world.kv.match(world.where, world.tokens), few.pages(), how);
        for (std::uint32_t pass = 0; pass < 3; ++pass)
            for (layer_id l = 0; l < 4; ++l) {
                CHECK_FALSE(co_await load.fetch_layer(l, pass));
                // All that does not wait for this layer's compute happens now; none of it may touch the layer.
                for (int turn = 0; turn < 1000; ++turn)
                    co_await asio::post(world.io, asio::use_awaitable);
                CHECK(few.rows_of(l % few.layer_slots, 80) == world.source.rows_of(l, 80));
                CHECK_FALSE(co_await load.compute_layer(l, {}, pass));
            }
        const load_report report = co_await load.finish();
        CHECK(report.failed.ok());
        CHECK(report.bytes == 3 * 5 * 4 * (1024 + 32));
    }(w, ring));
}

TEST_CASE("of layers that are near nothing is read, and they take no slot from the others")
{
    layer_id near = 0;
    std::size_t slots = 0;
    SUBCASE("two of four, and a slot for the others")
    {
        near = 2, slots = 1;
    }
    SUBCASE("one of four, and two slots: the next pass begins in the slot of the last layer")
    {
        near = 1, slots = 2;
    }
    SUBCASE("two of four, and as many slots: none is taken before the next pass")
    {
        near = 2, slots = 2;
    }
    SUBCASE("three, and more slots than layers that come")
    {
        near = 3, slots = 2;
    }
    SUBCASE("all")
    {
        near = 4, slots = 2;
    }
    load_test::world w;
    kv_fixture::memory ring(w.shape, 80, slots);
    ring.clear();
    w.run([](load_test::world& world, kv_fixture::memory& few, layer_id first) -> asio::awaitable<void> {
        load_options how;
        how.passes = 3;
        how.first_layer = first;
        auto load = world.kv.load(co_await world.kv.match(world.where, world.tokens), few.pages(), how);
        for (std::uint32_t pass = 0; pass < 3; ++pass)
            for (layer_id l = 0; l < 4; ++l) {
                CHECK_FALSE(co_await load.fetch_layer(l, pass));
                if (l < first)
                    continue; // and nobody says when it was computed
                for (int turn = 0; turn < 1000; ++turn)
                    co_await asio::post(world.io, asio::use_awaitable);
                CHECK(few.rows_of(l % few.layer_slots, 80) == world.source.rows_of(l, 80));
                CHECK_FALSE(co_await load.compute_layer(l, {}, pass));
            }
        const load_report report = co_await load.finish();
        CHECK(report.failed.ok());
        CHECK(report.usable_tokens == 80);
        CHECK(report.bytes == 3 * 5 * (4 - first) * (1024 + 32));
    }(w, ring, near));
}

TEST_CASE("a load that begins behind the last layer is refused")
{
    load_test::world w;
    w.run([](load_test::world& world) -> asio::awaitable<void> {
        load_options how;
        how.first_layer = 5;
        auto load =
            world.kv.load(co_await world.kv.match(world.where, world.tokens), world.target.pages(), how);
        const load_report report = co_await load.finish();
        CHECK(report.failed == condition::invalid);
        CHECK(world.tier.count(testing::recording_tier::call::read) == 0);
    }(w));
}

TEST_CASE("run_layers launches every layer once, in order, when its KV is in place")
{
    load_test::world w;
    w.run([](load_test::world& world) -> asio::awaitable<void> {
        auto load = world.kv.load(co_await world.kv.match(world.where, world.tokens), world.target.pages());
        load_test::launcher launch{world, {}};
        CHECK_FALSE(co_await run_layers(load, 4, launch));
        CHECK(launch.launched == std::vector<layer_id>{0, 1, 2, 3});
        const load_report report = co_await load.finish();
        for (const layer_timing& t : report.layers)
            CHECK(t.computed >= t.ready);
    }(w));
}

TEST_CASE("an engine with threads of its own waits without a coroutine, and gates its stream")
{
    const kv_geometry shape = kv_fixture::geometry();
    const scope where = kv_fixture::scope();
    const auto tokens = kv_fixture::tokens(100);
    kv_fixture::memory source(shape, 100), target(shape, 100);
    source.fill();
    target.clear();
    host_device device;
    host_stream stream;
    reactor_thread io;
    memory_tier tier(io.get_executor());
    auto kv = *cache<host_device, memory_tier>::create(tier, device, load_test::small_options());

    const store_report stored = kv.store(where, tokens, source.pages(), {}, asio::use_future).get();
    CHECK(stored.stored == 6);
    const prefix_match match = kv.match(where, tokens, asio::use_future).get();
    auto load = kv.load(match, target.pages());
    for (layer_id l = 0; l < 4; ++l)
        CHECK_FALSE(load.gate(l, stream));
    std::vector<std::byte> seen;
    stream.enqueue([&] { seen = target.rows_of(3, 96); });
    for (layer_id l = 0; l < 4; ++l)
        CHECK_FALSE(load.wait_layer(l));
    stream.synchronize();
    CHECK(seen == source.rows_of(3, 96));
    CHECK(load.finish(asio::use_future).get().failed.ok());
    CHECK_FALSE(kv.close(asio::use_future).get());
}
