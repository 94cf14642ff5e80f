// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/task_group.hpp>

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <stdexcept>

using namespace objectcache;

namespace task_group_test {

struct fixture {
    asio::io_context io;
    latch door{io.get_executor()};
    task_group group{io.get_executor()};
    int begun = 0, ended = 0, cancelled = 0, joined = 0;

    static asio::awaitable<void> child(fixture& f)
    {
        ++f.begun;
        const error_code ec = co_await f.door.wait();
        f.cancelled += ec ? 1 : 0;
        ++f.ended;
    }
    static asio::awaitable<void> failing(fixture& f)
    {
        ++f.begun;
        throw std::runtime_error("a child must not throw");
        co_return;
    }
    static asio::awaitable<void> join(fixture& f)
    {
        co_await f.group.join();
        ++f.joined;
    }
    static asio::awaitable<void> join_throwing(fixture& f)
    {
        // A caller that left Asio's default in place: cancelled awaits throw.
        co_await f.group.join();
        CHECK(f.ended == f.begun);
        const bool throws = co_await asio::this_coro::throw_if_cancelled();
        CHECK(throws);
        ++f.joined;
    }
    static asio::awaitable<void> spawn_inside(fixture& f)
    {
        f.group.spawn(child(f));
        CHECK(f.begun == 1); // on the executor: up to its first wait
        CHECK(f.ended == 0);
        co_return;
    }
    static asio::awaitable<void> spawn_cancelled(fixture& f)
    {
        f.group.spawn(child(f));
        co_return;
    }
    void poll()
    {
        io.restart();
        io.poll();
    }
};

} // namespace task_group_test

TEST_CASE_FIXTURE(task_group_test::fixture, "join waits for every child, also for several joiners")
{
    for (int i = 0; i < 3; ++i)
        group.spawn(child(*this));
    CHECK(begun == 0); // off the executor: later
    asio::co_spawn(io, join(*this), asio::detached);
    asio::co_spawn(io, join(*this), asio::detached);
    poll();
    CHECK(begun == 3);
    CHECK(group.size() == 3);
    CHECK(joined == 0);
    door.set();
    poll();
    CHECK(group.size() == 0);
    CHECK(joined == 2);
    CHECK(cancelled == 0);
    asio::co_spawn(io, join(*this), asio::detached);
    poll();
    CHECK(joined == 3); // nothing to wait for
}

TEST_CASE_FIXTURE(task_group_test::fixture, "children that come while somebody joins are waited for as well")
{
    group.spawn(child(*this));
    asio::co_spawn(io, join(*this), asio::detached);
    poll();
    group.spawn(child(*this));
    asio::co_spawn(io, join(*this), asio::detached);
    poll();
    CHECK(begun == 2);
    door.set();
    poll();
    CHECK(ended == 2);
    CHECK(joined == 2);
}

TEST_CASE_FIXTURE(task_group_test::fixture,
                  "cancel reaches children that wait, that have not begun, and that come later")
{
    SUBCASE("waiting")
    {
        group.spawn(child(*this));
        poll();
        group.cancel();
    }
    SUBCASE("not begun")
    {
        group.spawn(child(*this));
        group.cancel();
    }
    SUBCASE("not begun, and the wish is first in line")
    {
        asio::post(io, [this] { group.cancel(); });
        group.spawn(child(*this));
    }
    SUBCASE("later, from outside")
    {
        group.cancel();
        group.spawn(child(*this));
    }
    SUBCASE("later, from the executor")
    {
        group.cancel();
        asio::co_spawn(io, spawn_cancelled(*this), asio::detached);
    }
    poll();
    CHECK(begun == 1);
    CHECK(cancelled == 1);
    CHECK(group.size() == 0);
}

TEST_CASE_FIXTURE(task_group_test::fixture,
                  "a child begins inside spawn on the executor, and its end is seen later")
{
    asio::co_spawn(io, spawn_inside(*this), asio::detached);
    poll();
    group.cancel();
    poll();
    CHECK(ended == 1);
}

TEST_CASE_FIXTURE(task_group_test::fixture, "a cancelled join cancels the children and still waits for them")
{
    group.spawn(child(*this));
    asio::cancellation_signal signal;
    SUBCASE("in a coroutine of this library")
    {
        asio::co_spawn(io, join(*this), asio::bind_cancellation_slot(signal.slot(), asio::detached));
    }
    SUBCASE("in a coroutine whose cancelled awaits throw")
    {
        asio::co_spawn(io, join_throwing(*this), asio::bind_cancellation_slot(signal.slot(), asio::detached));
    }
    poll();
    signal.emit(asio::cancellation_type::terminal);
    poll();
    CHECK(cancelled == 1);
    CHECK(joined == 1);
}

TEST_CASE_FIXTURE(task_group_test::fixture, "a child that throws has ended, and nothing else happens")
{
    group.spawn(failing(*this));
    group.spawn(child(*this));
    asio::co_spawn(io, join(*this), asio::detached);
    poll();
    CHECK(group.size() == 1);
    door.set();
    poll();
    CHECK(joined == 1);
}

TEST_CASE("a group destroyed before its children cancels them")
{
    asio::io_context io;
    latch door(io.get_executor());
    bool cancelled = false;
    {
        task_group group(io.get_executor());
        group.spawn([](latch& d, bool& c) -> asio::awaitable<void> {
            const error_code ec = co_await d.wait();
            c = ec == condition::cancelled;
        }(door, cancelled));
        io.poll();
    }
    io.restart();
    io.poll();
    CHECK(cancelled);
}
