// SPDX-License-Identifier: BSL-1.0
#include <objectcache/pipeline/fetch_layer.hpp>

#include <objectcache/cache.hpp>
#include <objectcache/testing/gated_device.hpp>
#include <objectcache/testing/recording_tier.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <doctest/doctest.h>
#include <support/kv_fixture.hpp>

#include <chrono>
#include <coroutine>
#include <future>
#include <optional>

using namespace objectcache;

namespace fetch_layer_test {

using tested_cache = cache<testing::gated_device, testing::recording_tier>;
using tested_load = tested_cache::load_type;

/** A load of three chunks under way, its reads held. */
struct fixture {
    fixture()
    {
        source.fill();
        target.clear();
        REQUIRE(testing::run_coroutine(io, prepare(*this)));
        tier.hold_reads();
        load.emplace(kv.load(match, target.pages()));
        poll();
    }
    static asio::awaitable<void> prepare(fixture& f)
    {
        const store_report stored = co_await f.kv.store(f.where, f.tokens, f.source.pages());
        CHECK(stored.stored == 3);
        f.match = co_await f.kv.match(f.where, f.tokens);
    }
    void poll()
    {
        for (int i = 0; i < 300; ++i) {
            io.restart();
            io.poll_one();
        }
    }
    [[nodiscard]] bool there(layer_id l) { return target.rows_of(l, 48) == source.rows_of(l, 48); }

    static cache_options options()
    {
        cache_options o;
        o.staging_bytes = 64 << 10;
        o.coalesce_bytes = 1;
        return o;
    }

    kv_geometry shape = kv_fixture::geometry();
    scope where = kv_fixture::scope();
    std::vector<token_id> tokens = kv_fixture::tokens(49);
    kv_fixture::memory source{shape, 49}, target{shape, 49};
    testing::gated_device device;
    asio::io_context io;
    testing::recording_tier tier{io.get_executor()};
    tested_cache kv = *tested_cache::create(tier, device, options());
    prefix_match match;
    std::optional<tested_load> load;
};

struct foreign {
    struct promise_type {
        foreign get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

foreign host_loop(fixture& f, std::vector<layer_id>& computed)
{
    for (layer_id l = 0; l < 4; ++l) {
        const error_code fetched = co_await f.load->fetch_layer(l);
        CHECK_FALSE(fetched);
        CHECK(f.there(l));
        const error_code done = co_await f.load->compute_layer(l, {});
        CHECK_FALSE(done);
        computed.push_back(l);
    }
}

} // namespace fetch_layer_test

TEST_CASE_FIXTURE(fetch_layer_test::fixture,
                  "layers may be awaited out of order, again, and by several waiters")
{
    std::optional<error_code> last, first, again, after;
    load->fetch_layer(3)([&](error_code ec) { last = ec; });
    load->fetch_layer(0)([&](error_code ec) { first = ec; });
    load->fetch_layer(0)([&](error_code ec) { again = ec; });
    auto future = load->fetch_layer(1)(asio::use_future);
    poll();
    CHECK_FALSE((last || first || again));
    tier.release_reads();
    const auto all_ended = [&] {
        return last && first && again &&
               future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    };
    REQUIRE(testing::run_until(io, all_ended));
    CHECK(last == error_code());
    CHECK(first == error_code());
    CHECK(again == error_code());
    CHECK_FALSE(future.get());
    for (layer_id l = 0; l < 4; ++l)
        CHECK(there(l));
    load->fetch_layer(2)([&](error_code ec) { after = ec; });
    CHECK_FALSE(after); // never inside the initiating call
    poll();
    CHECK(after == error_code());
}

TEST_CASE_FIXTURE(fetch_layer_test::fixture,
                  "a layer or a pass that is not part of the load is the caller's mistake")
{
    std::optional<error_code> layer, pass, compute;
    load->fetch_layer(4)([&](error_code ec) { layer = ec; });
    load->fetch_layer(0, 1)([&](error_code ec) { pass = ec; });
    load->compute_layer(9, {})([&](error_code ec) { compute = ec; });
    poll();
    REQUIRE((layer && pass && compute));
    for (const error_code ec : {*layer, *pass, *compute})
        CHECK(ec == condition::invalid);
}

TEST_CASE_FIXTURE(fetch_layer_test::fixture,
                  "destroying the load ends the waits for its layers, and it lives as long as they do")
{
    std::optional<error_code> out;
    load->fetch_layer(0)([&](error_code ec) { out = ec; });
    poll();
    load.reset();
    poll();
    REQUIRE(out);
    CHECK(*out == condition::cancelled);
    CHECK_FALSE(device.any_gate_closed());
    CHECK(kv.staging_in_use() == 0);
}

TEST_CASE_FIXTURE(fetch_layer_test::fixture, "a host with coroutines of its own awaits layers and computes")
{
    std::vector<layer_id> computed;
    fetch_layer_test::host_loop(*this, computed);
    poll();
    CHECK(computed.empty());
    tier.release_reads();
    CHECK(testing::run_until(io, [&] { return computed.size() == 4; }));
    CHECK(computed == std::vector<layer_id>{0, 1, 2, 3});
}
