// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/latch.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <doctest/doctest.h>

#include <optional>

using namespace objectcache;

namespace latch_test {

struct fixture {
    asio::io_context io;
    latch door{io.get_executor()};

    void poll()
    {
        io.restart();
        io.poll();
    }
    auto into(std::optional<error_code>& out)
    {
        return [&out](error_code ec) { out = ec; };
    }
};

} // namespace latch_test

TEST_CASE_FIXTURE(latch_test::fixture, "a latch lets everyone through, once set and ever after")
{
    std::optional<error_code> a, b, later;
    door.async_wait(into(a));
    door.async_wait(into(b));
    poll();
    CHECK_FALSE(a);
    CHECK_FALSE(door.is_set());
    door.set();
    CHECK(door.is_set());
    CHECK_FALSE(a); // never inside set()
    poll();
    CHECK(a == error_code());
    CHECK(b == error_code());

    door.async_wait(into(later));
    CHECK_FALSE(later); // nor inside the initiating call
    poll();
    CHECK(later == error_code());
}

TEST_CASE_FIXTURE(latch_test::fixture, "cancelling one wait leaves the others alone")
{
    std::optional<error_code> a, b;
    asio::cancellation_signal signal;
    door.async_wait(asio::bind_cancellation_slot(signal.slot(), into(a)));
    door.async_wait(into(b));
    poll();
    SUBCASE("terminal")
    {
        signal.emit(asio::cancellation_type::terminal);
    }
    SUBCASE("partial")
    {
        signal.emit(asio::cancellation_type::partial);
    }
    SUBCASE("total")
    {
        signal.emit(asio::cancellation_type::total);
    }
    poll();
    REQUIRE(a);
    CHECK(*a == condition::cancelled);
    CHECK_FALSE(b);
    door.set();
    poll();
    CHECK(b == error_code());
}

TEST_CASE_FIXTURE(latch_test::fixture, "set wins over a cancellation that comes later")
{
    std::optional<error_code> a;
    asio::cancellation_signal signal;
    door.async_wait(asio::bind_cancellation_slot(signal.slot(), into(a)));
    door.set();
    signal.emit(asio::cancellation_type::total);
    poll();
    CHECK(a == error_code());
}

TEST_CASE_FIXTURE(latch_test::fixture, "the wait ends on the handler's executor, and futures work")
{
    auto strand = asio::make_strand(io);
    bool there = false;
    door.async_wait(
        asio::bind_executor(strand, [&](error_code) { there = strand.running_in_this_thread(); }));
    auto future = door.async_wait(asio::use_future);
    door.set();
    poll();
    CHECK(there);
    CHECK_FALSE(future.get());
}
