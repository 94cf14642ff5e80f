// SPDX-License-Identifier: BSL-1.0
#include <objectcache/device/staging_pool.hpp>

#include <objectcache/testing/gated_device.hpp>
#include <objectcache/testing/manual_clock.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <optional>

using namespace objectcache;
using namespace std::chrono_literals;

namespace staging_pool_test {

using pool = staging_pool<testing::gated_device>;
using outcome = std::optional<result<pool::lease>>;

struct fixture {
    testing::gated_device device;
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    std::optional<pool> staging{*pool::create(io.get_executor(), device, 16'000)}; // four pages

    static asio::awaitable<void> acquire(pool& from, std::size_t size, deadline until, outcome& out)
    {
        out.emplace(co_await from.acquire(size, priority::load, until));
    }
    void start(std::size_t size, outcome& out, deadline until = deadline::never())
    {
        asio::co_spawn(io, acquire(*staging, size, until, out), asio::detached);
        poll();
    }
    void poll()
    {
        io.restart();
        io.poll();
    }
};

} // namespace staging_pool_test

TEST_CASE_FIXTURE(staging_pool_test::fixture, "a lease is memory of the size asked for, beside all others")
{
    staging_pool_test::outcome a, b;
    CHECK(staging->capacity() == 16'384);
    CHECK(device.staging_allocated() == 16'384);
    start(5000, a);
    start(100, b);
    REQUIRE((a && a->ok() && b && b->ok()));
    CHECK((*a)->bytes().size() == 5000);
    CHECK((*b)->bytes().size() == 100);
    CHECK((*b)->bytes().data() >= (*a)->bytes().data() + 5000);
    CHECK(staging->in_use() == 12'288);
    auto moved = std::move(**a);
    a.reset();
    CHECK(staging->in_use() == 12'288);
    moved.release();
    CHECK(staging->in_use() == 4096);
    moved = std::move(**b);
    b.reset();
    CHECK(staging->in_use() == 4096);
    moved = {};
    CHECK(staging->in_use() == 0);
}

TEST_CASE_FIXTURE(staging_pool_test::fixture, "who does not fit waits until enough is free in one piece")
{
    staging_pool_test::outcome a, b, c, wide;
    start(4096, a);
    start(4096, b);
    start(4096, c);
    start(8192, wide);
    CHECK_FALSE(wide);
    a.reset(); // two pages are free, but not together
    poll();
    CHECK_FALSE(wide);
    b.reset();
    poll();
    REQUIRE(wide);
    CHECK(wide->ok());
}

TEST_CASE_FIXTURE(staging_pool_test::fixture, "what never fits is refused at once, waiting has an end")
{
    staging_pool_test::outcome huge, nothing, all, late;
    start(16'385, huge);
    REQUIRE(huge);
    CHECK(huge->error() == condition::exhausted);
    start(0, nothing);
    REQUIRE(nothing);
    CHECK(nothing->error() == condition::exhausted);
    start(16'384, all);
    start(1, late, deadline(time.now() + 1s));
    CHECK_FALSE(late);
    time.advance(1s);
    poll();
    REQUIRE(late);
    CHECK(late->error() == condition::timeout);
}

TEST_CASE_FIXTURE(staging_pool_test::fixture, "the slab lives until the last lease is back")
{
    staging_pool_test::outcome a;
    start(4096, a);
    staging.reset();
    CHECK(device.staging_allocated() == 16'384);
    (*a)->bytes()[0] = std::byte{1};
    a.reset();
    CHECK(device.staging_allocated() == 0);
}

TEST_CASE("a device without staging memory makes no pool")
{
    testing::fail_counter fuse(0, errc::device_failed);
    testing::gated_device device(&fuse);
    asio::io_context io;
    const auto made = staging_pool_test::pool::create(io.get_executor(), device, 4096);
    CHECK_FALSE(made.ok());
    CHECK(device.staging_allocated() == 0);
}
