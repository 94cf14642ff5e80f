// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/recording_tier.hpp>

#include <objectcache/testing/manual_clock.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <array>
#include <optional>

using namespace objectcache;
using namespace std::chrono_literals;

// What it has in common with other tiers is in tests/contract/tiers_test.cpp.

namespace recording_tier_test {

using call = testing::recording_tier::call;

struct fixture {
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    testing::recording_tier tier{io.get_executor()};
    const std::vector<std::byte> bytes = std::vector<std::byte>(8, std::byte{1});
    const std::array<const_byte_span, 1> parts{const_byte_span(bytes)};
    std::array<std::byte, 4> into{};

    template <class T>
    static asio::awaitable<void> run(asio::awaitable<T> work, std::optional<status>& out)
    {
        const T done = co_await std::move(work);
        if constexpr (std::is_same_v<T, status>)
            out = done;
        else
            out = done.error();
    }
    template <class T>
    void start(asio::awaitable<T> work, std::optional<status>& out)
    {
        asio::co_spawn(io, run(std::move(work), out), asio::detached);
        poll();
    }
    template <class T>
    status done(asio::awaitable<T> work)
    {
        std::optional<status> out;
        start(std::move(work), out);
        REQUIRE(out);
        return *out;
    }
    asio::awaitable<status> write(std::string key)
    {
        return tier.write(std::move(key), parts, if_exists::keep, deadline::never());
    }
    asio::awaitable<status> read(std::string key, deadline until = deadline::never())
    {
        return tier.read(std::move(key), {2, 4}, into, until);
    }
    void poll()
    {
        io.restart();
        io.poll();
    }
};

} // namespace recording_tier_test

TEST_CASE_FIXTURE(recording_tier_test::fixture, "every call is written down, in order, also those that fail")
{
    using recording_tier_test::call;
    CHECK(done(write("a")).ok());
    CHECK(done(read("a")).ok());
    CHECK(done(read("b")) == condition::absent);
    CHECK(done(tier.stat("a", deadline::never())).ok());
    CHECK(done(tier.list("a", "", 9, deadline::never())).ok());
    CHECK(done(tier.remove("a", deadline::never())).ok());
    using entry = testing::recording_tier::entry;
    CHECK(tier.calls() == std::vector<entry>{{call::write, "a", {0, 8}},
                                             {call::read, "a", {2, 4}},
                                             {call::read, "b", {2, 4}},
                                             {call::stat, "a", {}},
                                             {call::list, "a", {}},
                                             {call::remove, "a", {}}});
    CHECK(tier.count(call::read) == 2);
    tier.clear();
    CHECK(tier.calls().empty());

    CHECK(done(tier.begin_upload("u", deadline::never())).ok());
    CHECK(done(tier.upload_part("u", "7", 3, parts, deadline::never())) == condition::absent);
    CHECK(done(tier.complete_upload("u", "7", {}, if_exists::keep, deadline::never())) == condition::absent);
    CHECK(done(tier.abort_upload("u", "7", deadline::never())).ok());
    CHECK(tier.calls() == std::vector<entry>{{call::begin_upload, "u", {}},
                                             {call::upload_part, "u", {0, 8}, 3},
                                             {call::complete_upload, "u", {}},
                                             {call::abort_upload, "u", {}}});
}

TEST_CASE_FIXTURE(recording_tier_test::fixture,
                  "calls of a kind can be held until released, or until their deadline")
{
    using recording_tier_test::call;
    CHECK(done(write("a")).ok());
    tier.hold_reads();
    std::optional<status> first, second;
    start(read("a"), first);
    start(read("a", deadline(time.now() + 1s)), second);
    CHECK(tier.reads_waiting() == 2);
    CHECK(done(tier.stat("a", deadline::never())).ok()); // others are not held
    time.advance(1s);
    poll();
    CHECK_FALSE(first);
    REQUIRE(second);
    CHECK(*second == condition::timeout);
    tier.release_reads();
    poll();
    REQUIRE(first);
    CHECK(first->ok());
    CHECK(tier.reads_waiting() == 0);
    CHECK(done(read("a")).ok());

    tier.hold(call::begin_upload);
    std::optional<status> begun;
    start(tier.begin_upload("u", deadline::never()), begun);
    CHECK(tier.waiting(call::begin_upload) == 1);
    CHECK(tier.stored().uploads() == 0);
    tier.release(call::begin_upload);
    poll();
    REQUIRE(begun);
    CHECK(tier.stored().uploads() == 1);
}

TEST_CASE_FIXTURE(recording_tier_test::fixture, "a call fails before its effect, or after it")
{
    testing::fail_counter fuse;
    tier.set_fuse(&fuse);
    CHECK(done(write("a")) == condition::unavailable);
    CHECK(tier.stored().objects() == 0);
    fuse.next();
    CHECK(done(write("a")) == condition::unavailable);
    CHECK(tier.stored().objects() == 1);
    fuse.next();
    CHECK(done(write("a")).ok());
    CHECK(fuse.steps() == 2);
}
