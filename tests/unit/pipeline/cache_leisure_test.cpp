// SPDX-License-Identifier: BSL-1.0
#include <objectcache/cache.hpp>

#include <objectcache/testing/gated_device.hpp>
#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/recording_tier.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <doctest/doctest.h>
#include <support/counting_device.hpp>
#include <support/kv_fixture.hpp>
#include <support/run.hpp>

#include <optional>
#include <thread>

using namespace objectcache;
using namespace std::chrono_literals;

// How often a load asks the device for the end of its copies: behind gates now and then, without pause for those who wait.
namespace cache_leisure_test {

using support::counting_device;
using tested_cache = cache<counting_device, testing::recording_tier>;

struct fixture {
    static constexpr std::size_t G = 16, chunks = 3;
    static constexpr duration leisure = event_scheduler<counting_device>::leisure;

    kv_geometry shape = kv_fixture::geometry();
    scope where = kv_fixture::scope();
    std::vector<token_id> tokens = kv_fixture::tokens(chunks * G + 1);
    counting_device device;
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    testing::recording_tier tier{io.get_executor()};
    cache_options options = defaults();
    kv_fixture::memory source{shape, tokens.size()}, target{shape, tokens.size()};
    tested_cache kv = *tested_cache::create(tier, device, options);
    std::optional<tested_cache::load_type> load;

    static cache_options defaults()
    {
        cache_options o;
        o.stored_as = layout::segment_objects;
        o.staging_bytes = 64 << 10;
        return o;
    }
    fixture()
    {
        source.fill();
        target.clear();
        CHECK(support::run(io, kv.store(where, tokens, source.pages(), {}, asio::use_awaitable)).stored ==
              chunks);
        const prefix_match found = support::run(io, kv.match(where, tokens, asio::use_awaitable));
        device.hold(copy_queue::load);
        load.emplace(kv.load(found, target.pages()));
        turns(2000);
        device.queries = 0;
    }
    ~fixture()
    {
        device.release(copy_queue::load);
        time.advance(leisure);
        CHECK(support::run(io, load->finish(asio::use_awaitable)).failed.ok());
        CHECK(support::run(io, kv.close(asio::use_awaitable)) == error_code());
    }
    /** Bounded: an event that somebody stands still for is looked for again and again. */
    void turns(int n)
    {
        for (int i = 0; i < n; ++i) {
            io.restart();
            io.poll_one();
        }
    }
    [[nodiscard]] std::size_t looks(int in_turns = 200)
    {
        device.queries = 0;
        turns(in_turns);
        return device.queries;
    }
};

TEST_CASE_FIXTURE(fixture, "copies that only gates wait for are looked at now and then")
{
    CHECK(looks() == 0);
    time.advance(fixture::leisure);
    CHECK(looks() == tier.count(testing::recording_tier::call::read)); // once for each request
}

TEST_CASE_FIXTURE(fixture, "who waits for a layer makes the looking frequent, from then on")
{
    std::optional<error_code> out;
    const auto wait = [&]() -> asio::awaitable<void> { out = co_await load->fetch_layer(0); };
    asio::co_spawn(io, wait(), asio::detached);
    CHECK(looks() > 20);
    device.release(copy_queue::load);
    turns(50); // no time passes
    CHECK(out == error_code());
}

TEST_CASE_FIXTURE(fixture, "so does a thread that blocks")
{
    std::thread engine([&] { CHECK_FALSE(load->wait_layer(0)); });
    while (looks() <= 20)
        std::this_thread::yield();
    device.release(copy_queue::load);
    turns(50);
    engine.join();
}

TEST_CASE_FIXTURE(fixture, "and who waits for the end of the load")
{
    std::optional<load_report> out;
    const auto wait = [&]() -> asio::awaitable<void> { out = co_await load->finish(asio::use_awaitable); };
    asio::co_spawn(io, wait(), asio::detached);
    CHECK(looks() > 20);
    device.release(copy_queue::load);
    turns(100);
    REQUIRE(out);
    CHECK(out->failed.ok());
}

} // namespace cache_leisure_test
