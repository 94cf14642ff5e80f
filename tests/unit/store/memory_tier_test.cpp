// SPDX-License-Identifier: BSL-1.0
#include <objectcache/store/memory_tier.hpp>

#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <support/run.hpp>

#include <doctest/doctest.h>

#include <array>
#include <optional>

using namespace objectcache;

// What all tiers have in common is in tests/contract/tiers_test.cpp.

namespace memory_tier_test {

struct fixture {
    asio::io_context io;
    memory_tier tier{io.get_executor(), 100};

    template <class T>
    T run(asio::awaitable<T> work)
    {
        return support::run(io, std::move(work));
    }
    status write(std::string key, std::size_t size, if_exists mode = if_exists::keep)
    {
        const std::vector<std::byte> bytes(size, std::byte{1});
        const std::array parts = {const_byte_span(bytes)};
        return run(tier.write(std::move(key), parts, mode, deadline::never()));
    }
    result<std::string> part(std::string key, std::string id, std::uint32_t number, std::size_t size)
    {
        const std::vector<std::byte> bytes(size, std::byte{1});
        const std::array parts = {const_byte_span(bytes)};
        return run(tier.upload_part(std::move(key), std::move(id), number, parts, deadline::never()));
    }
    status complete(std::string key, std::string id, std::vector<std::string> tags, if_exists mode)
    {
        return run(tier.complete_upload(std::move(key), std::move(id), tags, mode, deadline::never()));
    }
    status read(std::string key)
    {
        std::array<std::byte, 1> into{};
        return run(tier.read(std::move(key), {0, 1}, into, deadline::never()));
    }
};

} // namespace memory_tier_test

TEST_CASE_FIXTURE(memory_tier_test::fixture, "the least recently used objects make room")
{
    for (const char* key : {"a", "b", "c"})
        CHECK(write(key, 30).ok());
    CHECK(tier.bytes() == 90);
    CHECK(read("a").ok()); // now b is the oldest
    CHECK(write("d", 40).ok());
    CHECK(read("a").ok());
    CHECK(read("b") == condition::absent);
    CHECK(read("c").ok());
    CHECK(read("d").ok());
    CHECK(tier.bytes() == 100);
    CHECK(tier.objects() == 3);
}

TEST_CASE_FIXTURE(memory_tier_test::fixture,
                  "an object larger than the tier is refused, and what it would replace stays")
{
    CHECK(write("a", 50).ok());
    CHECK(write("big", 101) == condition::exhausted);
    CHECK(write("a", 101, if_exists::replace) == condition::exhausted);
    CHECK(read("a").ok());
    CHECK(tier.bytes() == 50);
    CHECK(write("big", 100).ok());
    CHECK(tier.objects() == 1);
}

TEST_CASE_FIXTURE(memory_tier_test::fixture, "replacing and removing keep the account")
{
    CHECK(write("a", 50).ok());
    CHECK(write("a", 60).ok()); // kept
    CHECK(tier.bytes() == 50);
    CHECK(write("a", 60, if_exists::replace).ok());
    CHECK(tier.bytes() == 60);
    REQUIRE(tier.find("a"));
    CHECK(tier.find("a")->size() == 60);
    CHECK(run(tier.remove("a", deadline::never())).ok());
    CHECK(tier.bytes() == 0);
    CHECK_FALSE(tier.find("a"));
}

TEST_CASE("memory_tier: a listing says when an object was written last")
{
    asio::io_context io;
    auto& time = asio::make_service<testing::manual_clock>(io);
    memory_tier tier(io.get_executor(), 100);
    const auto write = [&](std::string key, std::vector<std::byte> bytes, if_exists mode) {
        const std::array parts = {const_byte_span(bytes)};
        CHECK(support::run(io, tier.write(std::move(key), parts, mode, deadline::never())).ok());
    };
    const auto first = time.date();
    write("a", std::vector<std::byte>(1), if_exists::keep);
    time.advance(std::chrono::hours(1));
    write("a", std::vector<std::byte>(2), if_exists::keep); // nothing
    write("b", std::vector<std::byte>(3), if_exists::keep);
    using entries = std::vector<object_entry>;
    const auto list = [&] { return support::run(io, tier.list("", "", 10, deadline::never())); };
    CHECK(list()->objects == entries{{"a", 1, first}, {"b", 3, time.date()}});
    write("a", std::vector<std::byte>(2), if_exists::replace);
    CHECK(list()->objects == entries{{"a", 2, time.date()}, {"b", 3, time.date()}});
}

TEST_CASE_FIXTURE(memory_tier_test::fixture,
                  "a range whose end does not fit in 64 bits is damage, not a read")
{
    CHECK(write("a", 50).ok());
    std::array<std::byte, 8> into{};
    const byte_range wild{~std::uint64_t{0} - 3, 8};
    CHECK(run(tier.read("a", wild, into, deadline::never())) == condition::corrupt);
    CHECK(run(tier.read("a", {0, 4}, into, deadline::never())) ==
          condition::corrupt); // not the buffer's size
    CHECK(run(tier.read("a", {50, 0}, byte_span(), deadline::never())).ok());
}

TEST_CASE_FIXTURE(memory_tier_test::fixture, "an empty object is an object")
{
    CHECK(write("e", 0).ok());
    const auto found = run(tier.stat("e", deadline::never()));
    REQUIRE(found.ok());
    CHECK(found->size == 0);
}

TEST_CASE_FIXTURE(memory_tier_test::fixture, "uploads take room from objects, and never more than there is")
{
    for (const char* key : {"a", "b", "c"})
        CHECK(write(key, 30).ok());
    const auto id = run(tier.begin_upload("u", deadline::never()));
    REQUIRE(id.ok());
    CHECK(tier.bytes() == 90);
    CHECK(part("u", *id, 1, 40).ok()); // instead of a
    CHECK(tier.bytes() == 100);
    CHECK(tier.objects() == 2);
    CHECK(part("u", *id, 2, 61).error() == condition::exhausted);
    CHECK(part("u", *id, 1, 101).error() == condition::exhausted);
    CHECK(tier.bytes() == 100);
    CHECK(part("u", *id, 1, 50).ok()); // instead of its first sending, and of b
    CHECK(tier.bytes() == 80);
    CHECK(read("c").ok());
    CHECK(write("d", 51) == condition::exhausted);
    CHECK(read("c").ok());
    CHECK(write("d", 50).ok());
    CHECK(tier.objects() == 1);
    CHECK(tier.bytes() == 100);
    CHECK(part("u", *id, 1, 20).ok());
    CHECK(tier.bytes() == 70);
    CHECK(run(tier.abort_upload("u", *id, deadline::never())).ok());
    CHECK(tier.bytes() == 50);
    CHECK(tier.uploads() == 0);
    CHECK(write("e", 100).ok());
}

TEST_CASE_FIXTURE(memory_tier_test::fixture, "completing an upload keeps the account")
{
    for (const auto mode : {if_exists::keep, if_exists::replace}) {
        const auto id = run(tier.begin_upload("u", deadline::never()));
        REQUIRE(id.ok());
        const auto first = part("u", *id, 1, 20), second = part("u", *id, 2, 5),
                   unnamed = part("u", *id, 3, 7);
        REQUIRE(first.ok());
        REQUIRE(second.ok());
        CHECK(unnamed.ok());
        CHECK(complete("u", *id, {*first, *second}, mode).ok());
        CHECK(tier.bytes() == 25);
        CHECK(tier.objects() == 1);
        CHECK(tier.uploads() == 0);
        REQUIRE(tier.find("u"));
        CHECK(tier.find("u")->size() == 25);
        CHECK(read("u").ok());
    }
    const auto late = run(tier.begin_upload("u", deadline::never()));
    REQUIRE(late.ok());
    const auto only = part("u", *late, 1, 60);
    REQUIRE(only.ok());
    CHECK(complete("u", *late, {*only}, if_exists::keep).ok()); // kept, and the upload thrown away
    CHECK(tier.bytes() == 25);
    CHECK(run(tier.remove("u", deadline::never())).ok());
    CHECK(tier.bytes() == 0);
}
