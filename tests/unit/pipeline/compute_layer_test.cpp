// SPDX-License-Identifier: BSL-1.0
#include <objectcache/pipeline/compute_layer.hpp>

#include <objectcache/cache.hpp>
#include <objectcache/testing/gated_device.hpp>
#include <objectcache/testing/recording_tier.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <doctest/doctest.h>
#include <support/kv_fixture.hpp>

#include <optional>

using namespace objectcache;

namespace compute_layer_test {

using tested_cache = cache<testing::gated_device, testing::recording_tier>;

/** A load of four layers into memory for two. */
struct fixture {
    fixture()
    {
        source.fill();
        REQUIRE(testing::run_coroutine(io, prepare(*this)));
    }
    static asio::awaitable<void> prepare(fixture& f)
    {
        const store_report stored = co_await f.kv.store(f.where, f.tokens, f.source.pages());
        CHECK(stored.stored == 3);
        const prefix_match match = co_await f.kv.match(f.where, f.tokens);
        f.load.emplace(f.kv.load(match, f.ring.pages()));
    }
    void poll()
    {
        for (int i = 0; i < 300; ++i) {
            io.restart();
            io.poll_one();
        }
    }
    [[nodiscard]] bool holds(std::size_t slot, layer_id l)
    {
        return ring.rows_of(slot, 48) == source.rows_of(l, 48);
    }
    /** The scheduler looks at events when a clock says so: what an event leads to takes time. */
    [[nodiscard]] bool comes_to_hold(std::size_t slot, layer_id l)
    {
        return testing::run_until(io, [&] { return holds(slot, l); });
    }
    std::optional<error_code> compute(layer_id l, testing::gated_device::event e)
    {
        std::optional<error_code> out;
        load->compute_layer(l, std::move(e))([&](error_code ec) { out = ec; });
        CHECK(testing::run_until(io, [&] { return out.has_value(); }));
        return out;
    }

    static cache_options options()
    {
        cache_options o;
        o.staging_bytes = 64 << 10;
        return o;
    }

    kv_geometry shape = kv_fixture::geometry();
    scope where = kv_fixture::scope();
    std::vector<token_id> tokens = kv_fixture::tokens(49);
    kv_fixture::memory source{shape, 49}, ring{shape, 49, 2};
    testing::gated_device device;
    asio::io_context io;
    testing::recording_tier tier{io.get_executor()};
    tested_cache kv = *tested_cache::create(tier, device, options());
    std::optional<tested_cache::load_type> load;
};

} // namespace compute_layer_test

TEST_CASE_FIXTURE(compute_layer_test::fixture,
                  "the end of its compute is what frees a layer's memory, and nothing else does")
{
    poll();
    CHECK(holds(0, 0));
    CHECK(holds(1, 1));
    const auto computing = device.make_event();
    std::optional<error_code> out;
    load->compute_layer(0, computing)([&](error_code ec) { out = ec; });
    poll();
    CHECK_FALSE(out);
    CHECK(holds(0, 0));
    device.reach(computing);
    CHECK(testing::run_until(io, [&] { return out.has_value(); }));
    CHECK(out == error_code());
    CHECK(comes_to_hold(0, 2));
    CHECK(holds(1, 1));
    CHECK(compute(1, {}) == error_code());
    CHECK(comes_to_hold(1, 3));
}

TEST_CASE_FIXTURE(compute_layer_test::fixture,
                  "a wait that is cancelled, or a device that failed, frees nothing")
{
    poll();
    const auto computing = device.make_event();
    SUBCASE("cancelled")
    {
        asio::cancellation_signal signal;
        std::optional<error_code> out;
        load->compute_layer(0, computing)(
            asio::bind_cancellation_slot(signal.slot(), [&](error_code ec) { out = ec; }));
        poll();
        signal.emit(asio::cancellation_type::total);
        poll();
        REQUIRE(out);
        CHECK(*out == condition::cancelled);
        // Asked again, the answer counts.
        device.reach(computing);
        CHECK(holds(0, 0));
        CHECK(compute(0, computing) == error_code());
        CHECK(comes_to_hold(0, 2));
    }
    SUBCASE("failed")
    {
        device.fail(computing);
        const auto out = compute(0, computing);
        REQUIRE(out);
        CHECK(*out == condition::device);
        CHECK(holds(0, 0));
    }
}
