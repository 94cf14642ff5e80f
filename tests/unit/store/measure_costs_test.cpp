// SPDX-License-Identifier: BSL-1.0
#include <objectcache/store/measure_costs.hpp>

#include <objectcache/store/memory_tier.hpp>
#include <objectcache/store/s3_tier.hpp>
#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/recording_tier.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>
#include <support/run.hpp>

#include <optional>

namespace measure_costs_test {

using namespace objectcache;
using namespace std::chrono_literals;
using call = testing::recording_tier::call;
using outcome = result<storage_costs>;

measure_options small()
{
    measure_options how;
    how.small_reads = 3;
    how.parallel_reads = 2;
    how.rounds = 2;
    how.read_bytes = 4096;
    return how;
}

/** A store behind a link: so long to the first byte, then all reads one behind the other. */
class linked_tier : public memory_tier {
public:
    using memory_tier::memory_tier;

    asio::awaitable<status> read(std::string key, byte_range range, byte_span into, deadline until,
                                 read_observer* = nullptr)
    {
        timer arrival(get_executor());
        free_at = std::max(free_at, arrival.now() + latency) +
                  std::chrono::duration_cast<duration>(
                      std::chrono::duration<double>(static_cast<double>(range.size) / rate));
        arrival.expires_at(free_at);
        (void)co_await arrival.wait();
        if (!ranges && range.offset != 0)
            co_return status(errc::length_mismatch, key);
        status s = co_await memory_tier::read(std::move(key), range, into, until);
        co_return s;
    }

    duration latency = 30ms;
    double rate = 1e6; // bytes per second
    bool ranges = true;
    time_point free_at;
};

/** On a clock that moves only when nothing else can happen. */
struct world {
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);

    template <class Tier>
    outcome measure(Tier& tier, measure_options how)
    {
        std::optional<outcome> out;
        measure_costs(tier, std::move(how), [&](outcome measured) { out = std::move(measured); });
        for (int i = 0; i < 1000 && !out; ++i) {
            io.restart();
            if (io.poll() == 0)
                time.advance_to_next();
        }
        REQUIRE(out);
        return *out;
    }
};

TEST_CASE("latency and rate are those of the link, and nothing of the probes is left")
{
    world w;
    linked_tier tier(w.io.get_executor());
    measure_options how = small();
    how.read_bytes = 1 << 20;
    how.given.per_1000_puts = 7;
    how.given.connections = 5;
    const outcome measured = w.measure(tier, how);
    REQUIRE(measured.ok());
    CHECK(measured->request_seconds == doctest::Approx(0.030 + 1024 / 1e6));
    CHECK(measured->link_bytes_per_second == doctest::Approx(1e6).epsilon(0.001));
    CHECK(measured->ranged_reads);
    CHECK(measured->per_1000_puts == 7);
    CHECK(measured->connections == 5);
    CHECK(tier.objects() == 0);
}

TEST_CASE("the fastest round counts, and the median of the small reads")
{
    world w;
    testing::recording_tier tier(w.io.get_executor());
    measure_options how = small();
    how.rounds = 3;
    std::optional<outcome> out;
    tier.hold(call::read);
    measure_costs(tier, how, [&](outcome measured) { out = std::move(measured); });
    const auto after = [&](duration took) {
        for (int i = 0; i < 100; ++i)
            w.io.restart(), w.io.poll();
        REQUIRE(tier.waiting(call::read) > 0);
        w.time.advance(took);
        tier.release(call::read); // those that wait: others begin later
        tier.hold(call::read);
    };
    for (const auto took : {500ms, 10ms, 90ms, 20ms}) // the first connects
        after(took);
    after(0ms); // the range
    for (const auto took : {120ms, 60ms, 3000ms})
        after(took);
    for (int i = 0; i < 100; ++i)
        w.io.restart(), w.io.poll();
    REQUIRE(out);
    REQUIRE(out->ok());
    CHECK((*out)->request_seconds == doctest::Approx(0.020));
    CHECK((*out)->link_bytes_per_second == doctest::Approx(2 * 4096 / 0.040));
}

TEST_CASE("a store that knows no ranges is measured all the same")
{
    world w;
    linked_tier tier(w.io.get_executor());
    tier.ranges = false;
    const outcome measured = w.measure(tier, small());
    REQUIRE(measured.ok());
    CHECK_FALSE(measured->ranged_reads);
    CHECK(choose_layout({4, 2, 8, kv_dtype::bf16, kv_form::separate, 16}, *measured) ==
          layout::layer_objects);
}

TEST_CASE("a store that takes no time has a rate that is a number")
{
    world w;
    memory_tier tier(w.io.get_executor());
    const outcome measured = w.measure(tier, small());
    REQUIRE(measured.ok());
    CHECK(measured->request_seconds == 0);
    CHECK(measured->link_bytes_per_second > 0);
    CHECK(measured->link_bytes_per_second < 1e12);
    CHECK(tier.objects() == 0);
}

TEST_CASE("probes are nobody else's objects")
{
    world w;
    testing::recording_tier tier(w.io.get_executor());
    measure_options how = small();
    how.key_prefix = "team/";
    REQUIRE(w.measure(tier, how).ok());
    REQUIRE(w.measure(tier, how).ok());
    std::vector<std::string> written;
    for (const auto& entry : tier.calls()) {
        CHECK(entry.key.starts_with("team/oc1-probe/"));
        CHECK_FALSE(parse_object_key("team/", entry.key));
        CHECK_FALSE(entry.key.starts_with("team/oc1/"));
        if (entry.what == call::write)
            written.push_back(entry.key);
    }
    std::sort(written.begin(), written.end());
    CHECK(written.size() == 4);
    CHECK(std::unique(written.begin(), written.end()) == written.end()); // each time other ones
}

TEST_CASE("whatever fails, the failure is told and the probes are removed")
{
    std::size_t steps = 0;
    for (testing::fail_counter fuse;; fuse.next(), ++steps) {
        CAPTURE(fuse.fail_at());
        world w;
        testing::recording_tier tier(w.io.get_executor(), &fuse);
        const outcome measured = w.measure(tier, small());
        if (!fuse.fired()) {
            CHECK(measured.ok());
            CHECK(tier.stored().objects() == 0);
            break;
        }
        const bool removing =
            tier.calls().back().what == call::remove && fuse.fail_at() + 4 >= fuse.steps() && measured.ok();
        CHECK((removing || measured.error() == condition::unavailable));
        CHECK(tier.count(call::remove) == 2);
        CHECK(tier.stored().objects() <= (removing ? 1 : 0));
    }
    CHECK(steps == 2 * (2 + 4 + 1 + 4 + 2)); // writes, small reads, the range, large reads, removals
}

TEST_CASE("a store that hangs is given up in time, also while the probes are removed")
{
    for (const call what : {call::write, call::read, call::remove}) {
        CAPTURE(static_cast<int>(what));
        world w;
        testing::recording_tier tier(w.io.get_executor());
        tier.hold(what);
        measure_options how = small();
        how.timeout = 10s;
        how.cleanup_timeout = 4s;
        const time_point began = w.time.now();
        const outcome measured = w.measure(tier, how);
        CHECK(w.time.now() - began <= 14s);
        CHECK(measured.ok() == (what == call::remove));
        if (what != call::remove) {
            CHECK(measured.error() == condition::timeout);
            CHECK(tier.stored().objects() == 0);
        }
    }
}

TEST_CASE("options that contradict each other are refused, and nothing is written")
{
    const auto refused = [](auto change) {
        world w;
        testing::recording_tier tier(w.io.get_executor());
        measure_options how = small();
        change(how);
        CHECK(w.measure(tier, how).error() == condition::invalid);
        CHECK(tier.calls().empty());
    };
    refused([](measure_options& o) { o.key_prefix = "/"; });
    refused([](measure_options& o) { o.small_reads = 0; });
    refused([](measure_options& o) { o.parallel_reads = 0; });
    refused([](measure_options& o) { o.rounds = 0; });
    refused([](measure_options& o) { o.read_bytes = 0; });
    refused([](measure_options& o) { o.timeout = 0s; });
    refused([](measure_options& o) { o.cleanup_timeout = 0s; });
}

TEST_CASE("over a shaped link: never faster than it is")
{
    asio::io_context io;
    testing::s3_server_options options;
    options.buckets = {"bucket"};
    auto server = testing::s3_server::start(std::move(options));
    REQUIRE(server);
    server->set_latency(20ms);
    server->set_bandwidth(50'000'000, 0);
    s3_tier tier(
        io.get_executor(),
        s3::client(io.get_executor(), *s3::endpoint::parse(server->endpoint_url()), server->credentials()),
        "bucket");
    measure_options how = small();
    how.read_bytes = 1 << 20;
    const outcome measured = support::run(io, measure_costs(tier, how, asio::use_awaitable));
    REQUIRE(measured.ok());
    CHECK(measured->request_seconds >= 0.020);
    CHECK(measured->link_bytes_per_second > 0);
    // A round that took longer is corrected by the median latency, which may be a bit more than its own.
    CHECK(measured->link_bytes_per_second < 100'000'000);
    CHECK(measured->ranged_reads);
    CHECK(server->objects().empty());
}

} // namespace measure_costs_test
