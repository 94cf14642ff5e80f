// SPDX-License-Identifier: BSL-1.0
#include <objectcache/cache.hpp>

#include <boost/asio/post.hpp>
#include <doctest/doctest.h>
#include <support/cache_fixture.hpp>

#include <new>
#include <optional>

using namespace objectcache;
using namespace std::chrono_literals;

// What a load does with what it cannot do, with a device without memory, and beside others.
namespace cache_load_test {

/** Three chunks are stored and matched. */
struct fixture : cache_test::fixture {
    std::vector<token_id> tokens = kv_fixture::tokens(3 * G + 1);
    kv_fixture::memory source{shape, 3 * G + 1}, target{shape, 3 * G + 1};

    fixture() { source.fill(); }

    prefix_match matched()
    {
        CHECK(store(tokens, source).stored == 3);
        prefix_match found = match(tokens);
        CHECK(found.tokens() == 3 * G);
        tier.clear();
        target.clear();
        return found;
    }
    load_report end(cache_test::tested_load& load) { return run(load.finish(asio::use_awaitable)); }
    error_code fetch(cache_test::tested_load& load, layer_id layer)
    {
        return run(load.fetch_layer(layer)(asio::use_awaitable));
    }
    /** The load is refused with that, and no byte has moved. */
    void check_refused(cache_test::tested_load& load, condition why)
    {
        const load_report report = end(load);
        CAPTURE(report.failed.message());
        CHECK(report.failed == why);
        CHECK_FALSE(report.failed.detail().empty());
        CHECK(report.usable_tokens == 0);
        for (layer_id l = 0; l < shape.layers; ++l)
            CHECK(fetch(load, l) == why);
        CHECK(tier.calls().empty());
        CHECK_FALSE(device.any_gate_closed());
        for (const std::byte b : target.bytes)
            REQUIRE(b == std::byte{0xee});
    }
};

/** There is no memory where it says so. */
struct poor_device : testing::gated_device {
    bool no_gates = false, no_maps = false;

    gates make_gates(std::size_t n)
    {
        if (no_gates)
            throw std::bad_alloc();
        return gated_device::make_gates(n);
    }
    struct page_map {
        copy_queue queue;
        kv_pages pages;
    };
    result<page_map> map_pages(copy_queue queue, const kv_pages& pages)
    {
        if (no_maps && queue == copy_queue::load)
            throw std::bad_alloc();
        return page_map{queue, pages};
    }
    error_code move_slices(page_map& map, std::span<const kv_slice> slices) noexcept
    {
        std::vector<copy_op> ops;
        for (const kv_slice& s : slices)
            map.pages.for_each_piece(s.layer, s.first_token, s.tokens,
                                     [&](std::byte* memory, std::size_t offset, std::size_t size) {
                                         std::byte* const payload = s.payload + offset;
                                         if (map.queue == copy_queue::load)
                                             ops.push_back({memory, payload, size});
                                         else
                                             ops.push_back({payload, memory, size});
                                     });
        return copy(map.queue, ops);
    }
};

/** Tells of a read's first half before it has ended, as the network does. */
struct slow_tier : memory_tier {
    using memory_tier::memory_tier;

    asio::awaitable<status> read(std::string key, byte_range range, byte_span into, deadline until,
                                 read_observer* observer = nullptr)
    {
        const status s = co_await memory_tier::read(std::move(key), range, into, until, nullptr);
        if (s.ok() && observer) {
            observer->arrived(into.size() / 2);
            for (int turn = 0; turn < 10; ++turn) // what that leads to happens meanwhile
                co_await asio::post(get_executor(), asio::use_awaitable);
            observer->arrived(into.size());
        }
        co_return s;
    }
};

} // namespace cache_load_test

TEST_CASE_FIXTURE(cache_load_test::fixture, "a compute that fails is a failure of the load")
{
    const prefix_match found = matched();
    auto load = kv.load(found, target.pages());
    CHECK_FALSE(fetch(load, 0));
    const auto computing = device.make_event();
    CHECK(run(load.compute_layer(9, computing)(asio::use_awaitable)) == condition::invalid);
    std::optional<error_code> computed;
    condition why = condition::device;
    bool done = false;
    SUBCASE("the device failed")
    {
        device.fail(computing);
        start(load.compute_layer(0, computing)(asio::use_awaitable), computed);
    }
    SUBCASE("the wait is cancelled")
    {
        why = condition::cancelled;
        asio::cancellation_signal signal;
        load.compute_layer(0, computing)(
            asio::bind_cancellation_slot(signal.slot(), [&](error_code ec) { computed = ec; }));
        settle();
        CHECK_FALSE(computed);
        signal.emit(asio::cancellation_type::terminal);
        settle();
    }
    SUBCASE("it does not: a call with a wrong argument is none of the load's")
    {
        done = true;
        start(load.compute_layer(0, {})(asio::use_awaitable), computed);
    }
    REQUIRE(computed);
    CHECK((done ? !*computed : *computed == why));
    const load_report report = end(load);
    CHECK((done ? report.failed.ok() : report.failed == why));
    CHECK(report.usable_tokens == 3 * G); // what was loaded is there: the tokens behind were not computed
}

TEST_CASE_FIXTURE(cache_load_test::fixture, "nothing is published of a compute that failed")
{
    const auto broken = device.make_event();
    SUBCASE("before the store")
    {
        device.fail(broken);
        const store_report none = run(kv.store(where, tokens, source.pages(), broken, asio::use_awaitable));
        CHECK(none.failed == condition::device);
        CHECK(none.dropped == 3);
    }
    SUBCASE("while it waits")
    {
        std::optional<store_report> none;
        start(kv.store(where, tokens, source.pages(), broken, asio::use_awaitable), none);
        CHECK_FALSE(none);
        device.fail(broken);
        time.advance(1s);
        settle();
        REQUIRE(none);
        CHECK(none->failed == condition::device);
        CHECK(none->dropped == 3);
    }
    CHECK(tier.stored().objects() == 0);
    CHECK(tier.calls().empty());
    CHECK(device.copied(copy_queue::store) == 0);
    forget();
    CHECK(match(tokens).empty());
}

TEST_CASE_FIXTURE(cache_load_test::fixture, "close ends the matches that are under way, and waits for them")
{
    tier.hold(cache_test::call::stat);
    std::optional<prefix_match> found;
    std::optional<error_code> closed;
    start(kv.match(where, tokens, asio::use_awaitable), found);
    CHECK(tier.waiting(cache_test::call::stat) > 0);
    start(kv.close(asio::use_awaitable), closed);
    REQUIRE(closed);
    CHECK(tier.waiting(cache_test::call::stat) == 0);
    REQUIRE(found);
    CHECK(found->ended_by == condition::cancelled);
    CHECK(found->empty());
    tier.clear();
    tier.release(cache_test::call::stat);
    settle();
    CHECK(tier.calls().empty());
}

TEST_CASE_FIXTURE(cache_load_test::fixture, "close ends the waits for a compute, and later ones do not begin")
{
    const prefix_match found = matched();
    auto load = kv.load(found, target.pages());
    CHECK_FALSE(fetch(load, 3));
    const auto computing = device.make_event();
    std::optional<error_code> computed, closed;
    start(load.compute_layer(0, computing)(asio::use_awaitable), computed);
    CHECK_FALSE(computed);
    start(kv.close(asio::use_awaitable), closed);
    REQUIRE(closed);
    REQUIRE(computed);
    CHECK(*computed == condition::cancelled);
    CHECK(run(load.compute_layer(0, computing)(asio::use_awaitable)) == errc::shut_down);
    CHECK(run(load.compute_layer(1, {})(asio::use_awaitable)) == errc::shut_down);
}

TEST_CASE_FIXTURE(cache_load_test::fixture,
                  "a load and a store that share one request and little staging do not wait for one another")
{
    options.max_requests = 1;
    options.staging_bytes = 8192; // one chunk to store
    forget();
    const prefix_match found = matched();
    const auto other = kv_fixture::tokens(G, 9000), longer = kv_fixture::tokens(G + 1, 9000);
    CHECK(match(longer).empty()); // so that the store need not ask
    device.hold(copy_queue::store);
    std::optional<store_report> stored;
    std::optional<load_report> loaded;
    start(kv.store(where, other, source.pages(), {}, asio::use_awaitable), stored);
    CHECK(kv.staging_in_use() == 8192);
    auto load = kv.load(found, target.pages());
    start(load.finish(asio::use_awaitable), loaded);
    device.release(copy_queue::store);
    for (int i = 0; i < 20; ++i) {
        time.advance(1ms);
        settle();
    }
    REQUIRE((stored && loaded));
    CHECK(stored->failed.ok());
    CHECK(loaded->failed.ok());
    CHECK(loaded->usable_tokens == 3 * G);
}

TEST_CASE_FIXTURE(cache_load_test::fixture, "a row of gates of another size is refused, and opened")
{
    const prefix_match found = matched();
    for (const std::size_t gates : {0, 1, 7, 9, 100}) {
        CAPTURE(gates);
        auto row = device.make_gates(gates);
        load_options how;
        how.passes = 2;
        auto load = kv.load(found, target.pages(), how, row);
        check_refused(load, condition::invalid);
        for (std::size_t i = 0; i < gates; ++i)
            CHECK(row.open(i));
    }
    auto row = device.make_gates(4);
    auto load = kv.load(found, target.pages(), {}, row);
    CHECK(end(load).failed.ok());
    CHECK(row.open(3));
    CHECK(target.rows_of(3, 3 * G) == source.rows_of(3, 3 * G));
    // An empty match has layers too.
    auto short_row = device.make_gates(3);
    auto empty = kv.load({}, target.pages(), {}, short_row);
    CHECK(end(empty).failed == condition::invalid);
    CHECK(short_row.open(2));
}

TEST_CASE("a match that a host cut is refused; one that it shortened is loaded")
{
    for (const layout as : {layout::chunk_objects, layout::layer_objects, layout::segment_objects}) {
        CAPTURE(name(as));
        cache_load_test::fixture f;
        f.options.stored_as = as;
        f.options.read_layouts = layout_set::only(as);
        f.forget();
        const prefix_match found = f.matched();
        kv_fixture::memory two(f.shape, 2 * 16), behind(f.shape, 64);
        prefix_match cut = found;
        cut.chunks.resize(2);
        auto wrong = f.kv.load(cut, two.pages());
        f.check_refused(wrong, condition::invalid);
        prefix_match padded = found;
        padded.chunks.resize(4);
        auto more = f.kv.load(padded, behind.pages());
        f.check_refused(more, condition::invalid);

        prefix_match less = found;
        less.shorten(2 * 16 + 15);
        CHECK(less.tokens() == 2 * 16);
        auto load = f.kv.load(less, two.pages());
        const load_report report = f.end(load);
        CHECK(report.failed.ok());
        CHECK(report.usable_tokens == 2 * 16);
        CHECK(report.bytes == 2 * 4 * (1024 + 32));
        for (layer_id l = 0; l < 4; ++l)
            CHECK(two.rows_of(l, 32) == f.source.rows_of(l, 32));
    }
}

TEST_CASE_FIXTURE(cache_load_test::fixture,
                  "a load that is not layer by layer cannot have memory for only some layers")
{
    const prefix_match found = matched();
    kv_fixture::memory ring(shape, 3 * G, 3);
    load_options how;
    how.layer_by_layer = false;
    auto load = kv.load(found, ring.pages(), how);
    check_refused(load, condition::invalid);
    auto whole = kv.load(found, target.pages(), how);
    CHECK(end(whole).failed.ok());
}

TEST_CASE_FIXTURE(cache_load_test::fixture, "passes beyond all measure are refused")
{
    const prefix_match found = matched();
    for (const std::uint32_t passes : {(1U << 18) + 1, ~0U}) {
        load_options how;
        how.passes = passes;
        auto load = kv.load(found, target.pages(), how);
        check_refused(load, condition::invalid);
        CHECK(run(load.fetch_layer(0, 1)(asio::use_awaitable)) == condition::invalid);
    }
}

TEST_CASE_FIXTURE(cache_load_test::fixture,
                  "a load that finds no memory for its gates has no layers, and says so")
{
    cache_load_test::poor_device poor;
    memory_tier store(io.get_executor());
    auto lean = *cache<cache_load_test::poor_device, memory_tier>::create(store, poor, options);
    CHECK(run(lean.store(where, tokens, source.pages(), {}, asio::use_awaitable)).stored == 3);
    const prefix_match found = run(lean.match(where, tokens, asio::use_awaitable));
    CHECK(found.tokens() == 3 * G);
    poor.no_gates = true;
    testing::gated_device::stream stream;
    auto load = lean.load(found, target.pages());
    CHECK(load.gate(0, &stream) == condition::exhausted);
    CHECK(stream.waits().empty());
    CHECK(load.wait_layer(0) == condition::exhausted);
    CHECK(run(load.fetch_layer(0)(asio::use_awaitable)) == condition::exhausted);
    CHECK(run(load.fetch_layer(4)(asio::use_awaitable)) == condition::invalid);
    CHECK(run(load.compute_layer(0, {})(asio::use_awaitable)) == condition::exhausted);
    const load_report report = run(load.finish(asio::use_awaitable));
    CHECK(report.failed == condition::exhausted);
    CHECK(report.usable_tokens == 0);
    CHECK(report.layers.empty());
    load = {};
    CHECK_FALSE(run(lean.close(asio::use_awaitable)));
}

TEST_CASE_FIXTURE(cache_load_test::fixture, "a copy that finds no memory fails its load, and nothing else")
{
    // Records of a MiB, two in a request: the first is copied while the second comes.
    shape.kv_heads = 8;
    shape.head_size = 128;
    shape.tokens_per_chunk = 256;
    where = kv_fixture::scope(shape);
    tokens = kv_fixture::tokens(257);
    kv_fixture::memory from(shape, 257), to(shape, 257);
    from.fill();
    to.clear();
    options.staging_bytes = 64 << 20;
    options.coalesce_bytes = 64 << 20;
    cache_load_test::poor_device poor;
    cache_load_test::slow_tier store(io.get_executor());
    auto lean =
        *cache<cache_load_test::poor_device, cache_load_test::slow_tier>::create(store, poor, options);
    CHECK(run(lean.store(where, tokens, from.pages(), {}, asio::use_awaitable)).stored == 1);
    const prefix_match found = run(lean.match(where, tokens, asio::use_awaitable));
    CHECK(found.tokens() == 256);
    poor.no_maps = true;
    poor.hold(copy_queue::load);
    auto load = lean.load(found, to.pages());
    std::optional<load_report> report;
    start(load.finish(asio::use_awaitable), report);
    CHECK_FALSE(report); // what may have been enqueued is waited for
    CHECK(lean.staging_in_use() > 0);
    poor.release(copy_queue::load);
    for (int i = 0; i < 5; ++i) {
        time.advance(1ms);
        settle();
    }
    REQUIRE(report);
    CHECK(report->failed == condition::exhausted);
    CHECK(report->usable_tokens == 0);
    CHECK(lean.staging_in_use() == 0);
    CHECK_FALSE(poor.any_gate_closed());

    poor.no_maps = false;
    auto good = lean.load(found, to.pages());
    CHECK(run(good.finish(asio::use_awaitable)).failed.ok());
    CHECK(to.rows_of(3, 256) == from.rows_of(3, 256));
    load = {};
    good = {};
    CHECK_FALSE(run(lean.close(asio::use_awaitable)));
}

TEST_CASE_FIXTURE(cache_load_test::fixture, "a blocking wait ends although nobody runs the executor")
{
    const prefix_match found = matched();
    load_options how;
    how.timeout = duration(1);
    tier.hold(cache_test::call::read);
    auto load = kv.load(found, target.pages(), how);
    CHECK(load.wait_layer(0) == condition::timeout);
    time.advance(1s);
    CHECK(end(load).failed == condition::timeout);
    CHECK(load.wait_layer(0) == condition::timeout);
}

TEST_CASE_FIXTURE(cache_load_test::fixture, "timeouts without an end are none that have passed")
{
    options.match_timeout = options.load_timeout = options.store_timeout = options.index_ttl =
        duration::max();
    forget();
    const prefix_match found = matched(); // by what the store has told the index
    CHECK(tier.calls().empty());
    auto load = kv.load(found, target.pages());
    CHECK(end(load).failed.ok());
    load_options how;
    how.timeout = duration::max();
    auto again = kv.load(found, target.pages(), how);
    CHECK(end(again).failed.ok());
    time.advance(1h);
    tier.clear();
    CHECK(match(tokens).tokens() == 3 * G);
    CHECK(tier.calls().empty());
    forget();
    CHECK(match(tokens).tokens() == 3 * G); // by asking
    CHECK_FALSE(close());
}
