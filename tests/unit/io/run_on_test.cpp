// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/run_on.hpp>

#include <objectcache/core/result.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/io/reactor.hpp>

#include <support/run.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>

namespace run_on_test {

using namespace objectcache;

/** A reactor elsewhere, a door there, and what waits behind it. Everything a call was lent lives here. */
struct world {
    ~world() { end(); }
    void end()
    {
        if (there)
            there->stop();
        door.reset();
        there.reset();
    }
    static asio::awaitable<status> wait(world& self)
    {
        ++self.waiting;
        const error_code ec = co_await self.door->wait();
        self.lent.assign(100, 1); // whoever destroys it too early is found out
        --self.waiting;
        co_return ec ? status(ec) : status();
    }
    static asio::awaitable<void> call(world& self, std::optional<status>& out)
    {
        auto work = [&self] { return wait(self); };
        status s = co_await run_on<status>(self.there->get_executor(), std::move(work));
        self.ended_on = std::this_thread::get_id();
        out = std::move(s);
    }
    using thread_name = std::unique_ptr<std::thread::id>; // can be moved only
    static asio::awaitable<result<thread_name>> where(world& self)
    {
        auto work = [] { return name_of_thread(); };
        auto out = co_await run_on<result<thread_name>>(self.there->get_executor(), std::move(work));
        co_return out;
    }
    static asio::awaitable<result<thread_name>> name_of_thread()
    {
        co_return std::make_unique<std::thread::id>(std::this_thread::get_id());
    }
    /** Until that many wait there. */
    void reached(int n) const
    {
        while (waiting != n)
            std::this_thread::yield();
    }
    void open()
    {
        asio::post(there->get_executor(), [this] { door->set(); });
    }

    std::optional<reactor_thread> there{std::in_place};
    std::optional<latch> door{std::in_place, there->get_executor()};
    std::atomic<int> waiting = 0;
    std::vector<int> lent = std::vector<int>(100);
    std::thread::id ended_on;
};

TEST_CASE("a coroutine runs on another thread, and its value comes back to this one")
{
    asio::io_context io;
    world w;
    const auto there =
        asio::post(w.there->get_executor(), asio::use_future([] { return std::this_thread::get_id(); }))
            .get();
    for (int i = 0; i < 100; ++i) {
        const auto ran = support::run(io, world::where(w));
        REQUIRE(ran.ok());
        CHECK(**ran == there);
        CHECK(**ran != std::this_thread::get_id());
    }
}

TEST_CASE("the context of whoever waits has work until the answer is there")
{
    asio::io_context io;
    world w;
    std::optional<status> ended;
    asio::co_spawn(io, world::call(w, ended), [](std::exception_ptr) {});
    CHECK(io.poll() == 1);
    w.reached(1);
    CHECK_FALSE(io.stopped());
    w.open();
    io.run();
    REQUIRE(ended);
    CHECK(ended->ok());
    CHECK(w.ended_on == std::this_thread::get_id());
}

TEST_CASE("a cancellation is handed over, whenever it comes, and the call ends when the coroutine has")
{
    constexpr std::array kinds = {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                                  asio::cancellation_type::total};
    for (const auto kind : kinds)
        for (const bool begun : {false, true})
            for (int i = 0; i < 50; ++i) {
                asio::io_context io;
                world w;
                asio::cancellation_signal signal;
                std::optional<status> ended;
                const auto all_kinds = [](world& to, std::optional<status>& out) -> asio::awaitable<void> {
                    co_await without_exceptions();
                    co_await world::call(to, out);
                };
                asio::co_spawn(io, all_kinds(w, ended),
                               asio::bind_cancellation_slot(signal.slot(),
                                                            [](std::exception_ptr e) { CHECK_FALSE(e); }));
                CHECK(io.poll() == 1);
                if (begun)
                    w.reached(1);
                signal.emit(kind);
                io.run();
                REQUIRE(ended);
                CHECK(*ended == condition::cancelled);
                CHECK(w.waiting == 0);
            }
}

TEST_CASE("a cancellation that came before is all that happens; one that comes late changes nothing")
{
    asio::io_context io;
    world w;
    asio::cancellation_signal signal;
    std::optional<status> ended;
    const auto cancelled_before = [](asio::cancellation_signal& s, world& to,
                                     std::optional<status>& out) -> asio::awaitable<void> {
        co_await without_exceptions();
        s.emit(asio::cancellation_type::terminal);
        co_await world::call(to, out);
    };
    const auto quiet = [](std::exception_ptr e) { CHECK_FALSE(e); };
    asio::co_spawn(io, cancelled_before(signal, w, ended),
                   asio::bind_cancellation_slot(signal.slot(), quiet));
    io.run();
    REQUIRE(ended);
    CHECK(*ended == condition::cancelled);
    CHECK(w.lent[0] == 0); // it was not begun

    io.restart();
    ended.reset();
    w.open();
    asio::co_spawn(io, world::call(w, ended), asio::bind_cancellation_slot(signal.slot(), quiet));
    io.run();
    REQUIRE(ended);
    CHECK(ended->ok());
    signal.emit(asio::cancellation_type::terminal);
}

TEST_CASE("whoever waits for a coroutine that is destroyed there hears of it")
{
    asio::io_context io;
    world w;
    const auto quiet = [](std::exception_ptr e) { CHECK_FALSE(e); };
    std::optional<status> ended, not_begun;
    asio::co_spawn(io, world::call(w, ended), quiet);
    CHECK(io.poll() == 1);
    w.reached(1);
    w.there->context().stop();
    asio::co_spawn(io, world::call(w, not_begun), quiet);
    CHECK(io.poll() == 1);
    w.end();
    CHECK_FALSE(ended); // here, not there
    io.restart();
    io.run();
    REQUIRE(ended);
    REQUIRE(not_begun);
    CHECK(*ended == errc::shut_down);
    CHECK(*not_begun == errc::shut_down);
    CHECK(w.ended_on == std::this_thread::get_id());
}

TEST_CASE("whoever waits is destroyed with their context, and what runs there then ends unheard")
{
    for (int i = 0; i < 50; ++i) {
        world w;
        auto held = std::make_shared<int>(1);
        const std::weak_ptr<int> watch = held;
        const auto body = [](world& to, std::shared_ptr<int> with) -> asio::awaitable<void> {
            std::optional<status> out;
            co_await world::call(to, out);
            CHECK(*with == 2); // is never reached
        };
        {
            asio::io_context io;
            asio::co_spawn(io, body(w, std::move(held)), [](std::exception_ptr) {});
            CHECK(io.poll() == 1);
            w.reached(1);
            if (i % 2 != 0)
                w.open(); // at the same time
        }
        CHECK(watch.expired());
        w.open();
        w.reached(0);
    }
}

} // namespace run_on_test
