// SPDX-License-Identifier: BSL-1.0
#include <contract/cache_subjects.hpp>

#include <boost/asio/detached.hpp>

namespace contract {

namespace deadlines {

struct fixture {
    fixture() : tier(env.executor()), w(env, tier, options()) {}
    ~fixture()
    {
        for (const auto call : {recording::call::read, recording::call::write, recording::call::stat})
            tier.release(call);
        env.device.release(oc::copy_queue::load);
        env.device.release(oc::copy_queue::store);
        w.close();
    }
    static oc::cache_options options()
    {
        oc::cache_options o = small_options();
        o.match_timeout = 1s;
        o.load_timeout = 10s;
        o.store_timeout = 30s;
        o.staging_bytes = 8192; // one chunk
        return o;
    }
    template <class T>
    static asio::awaitable<void> into(asio::awaitable<T> work, std::optional<T>& out)
    {
        out.emplace(co_await std::move(work));
    }
    template <class T>
    void start(asio::awaitable<T> work, std::optional<T>& out)
    {
        asio::co_spawn(*env.io, into(std::move(work), out), asio::detached);
        env.settle();
    }
    void advance(oc::duration by)
    {
        env.time.advance(by);
        env.settle();
    }

    environment env;
    recording tier;
    cache_world<recording> w;
};

asio::awaitable<oc::prefix_match> match(cache_world<recording>& w)
{
    oc::prefix_match found = co_await w.kv.match(w.where, w.tokens);
    co_return found;
}
asio::awaitable<oc::store_report> store(cache_world<recording>& w, oc::testing::gated_device::event after)
{
    oc::store_report report = co_await w.kv.store(w.where, w.tokens, w.source.pages(), after);
    co_return report;
}
asio::awaitable<oc::error_code> fetch(cache_world<recording>::load_type& load, oc::layer_id layer)
{
    const oc::error_code ec = co_await load.fetch_layer(layer);
    co_return ec;
}
asio::awaitable<oc::load_report> finish(cache_world<recording>::load_type& load)
{
    oc::load_report report = co_await load.finish();
    co_return report;
}

} // namespace deadlines

TEST_CASE_FIXTURE(deadlines::fixture, "a match ends when its time is up, with what it knows")
{
    w.store_all();
    tier.hold(recording::call::stat);
    std::optional<oc::prefix_match> found;
    start(deadlines::match(w), found);
    advance(999ms);
    CHECK_FALSE(found);
    advance(1ms);
    REQUIRE(found);
    CHECK(found->empty());
    CHECK(found->ended_by == oc::condition::timeout);
    CHECK(tier.waiting(recording::call::stat) == 0);
}

TEST_CASE_FIXTURE(deadlines::fixture,
                  "a load ends when its time is up: layers fail, gates open, nothing is kept")
{
    w.store_all();
    std::optional<oc::prefix_match> match;
    start(deadlines::match(w), match);
    REQUIRE(match);
    tier.hold(recording::call::read);
    oc::load_options how;
    oc::duration limit = 10s;
    SUBCASE("the cache's timeout") {}
    SUBCASE("its own timeout")
    {
        how.timeout = limit = 3s;
    }
    auto load = w.kv.load(*match, w.target.pages(), how);
    std::optional<oc::error_code> first, last;
    std::optional<oc::load_report> report;
    start(deadlines::fetch(load, 0), first);
    start(deadlines::fetch(load, layers - 1), last);
    start(deadlines::finish(load), report);
    advance(limit - 1ms);
    CHECK_FALSE(first);
    CHECK_FALSE(last);
    CHECK(env.device.any_gate_closed());
    advance(1ms);
    REQUIRE(first);
    REQUIRE(last);
    CHECK(*first == oc::condition::timeout);
    CHECK(*last == oc::condition::timeout);
    CHECK_FALSE(env.device.any_gate_closed());
    REQUIRE(report);
    CHECK(report->failed == oc::condition::timeout);
    CHECK(report->usable_tokens == 0);
    CHECK(w.kv.staging_in_use() == 0);
    w.check_rows(0);
}

TEST_CASE_FIXTURE(deadlines::fixture,
                  "a load that is late because of the device gives up, but not its staging")
{
    w.store_all();
    std::optional<oc::prefix_match> match;
    start(deadlines::match(w), match);
    env.device.hold(oc::copy_queue::load);
    auto load = w.kv.load(*match, w.target.pages());
    std::optional<oc::error_code> first;
    std::optional<oc::load_report> report;
    start(deadlines::fetch(load, 0), first);
    start(deadlines::finish(load), report);
    advance(10s);
    REQUIRE(first);
    CHECK(*first == oc::condition::timeout);
    CHECK_FALSE(env.device.any_gate_closed());
    CHECK_FALSE(report); // law 2
    CHECK(w.kv.staging_in_use() > 0);
    env.device.release(oc::copy_queue::load);
    advance(2ms);
    REQUIRE(report);
    CHECK(report->failed == oc::condition::timeout);
    CHECK(w.kv.staging_in_use() == 0);
}

TEST_CASE_FIXTURE(deadlines::fixture, "a store drops what cannot be stored in time, and says why")
{
    oc::testing::gated_device::event after;
    std::optional<oc::store_report> report;
    SUBCASE("the tier does not answer")
    {
        tier.hold(recording::call::write);
    }
    SUBCASE("the compute does not end")
    {
        after = env.device.make_event();
    }
    start(deadlines::store(w, after), report);
    for (int i = 0; i < 10 && !report; ++i) {
        CHECK(w.kv.staging_in_use() <= 8192);
        advance(30s);
    }
    REQUIRE(report);
    CHECK(report->failed == oc::condition::timeout);
    CHECK(report->stored == 0);
    CHECK(report->dropped == chunks);
    CHECK(w.kv.staging_in_use() == 0);
    CHECK(w.kv.stats().chunks_dropped == chunks);
    CHECK(tier.stored().objects() == 0);
}

TEST_CASE_FIXTURE(deadlines::fixture,
                  "a store that the device keeps waiting owns its staging until the device is done")
{
    env.device.hold(oc::copy_queue::store);
    std::optional<oc::store_report> report;
    start(deadlines::store(w, {}), report);
    advance(300s);
    CHECK_FALSE(report);
    CHECK(w.kv.staging_in_use() > 0);
    env.device.release(oc::copy_queue::store);
    advance(2ms);
    REQUIRE(report);
    CHECK(report->stored + report->dropped == chunks);
    CHECK(w.kv.staging_in_use() == 0);
}

TEST_CASE_FIXTURE(deadlines::fixture, "loads and stores wait for staging no longer than their own time")
{
    w.store_all();
    std::optional<oc::prefix_match> match;
    start(deadlines::match(w), match);
    // A first load holds the pool, because the device does.
    env.device.hold(oc::copy_queue::load);
    auto holder = w.kv.load(*match, w.target.pages());
    std::optional<oc::load_report> held, second;
    start(deadlines::finish(holder), held);
    oc::load_options brief;
    brief.timeout = 2s;
    auto other = w.kv.load(*match, w.target.pages(), brief);
    start(deadlines::finish(other), second);
    advance(2s);
    env.device.release(oc::copy_queue::load);
    advance(2ms);
    REQUIRE(second);
    CHECK(second->failed == oc::condition::timeout);
    for (int i = 0; i < 20 && !held; ++i)
        advance(1ms);
    REQUIRE(held);
    CHECK(held->failed.ok());
}

} // namespace contract
