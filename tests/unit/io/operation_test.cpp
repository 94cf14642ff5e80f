// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/operation.hpp>

#include <objectcache/core/result.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/pipeline/load_report.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <doctest/doctest.h>

#include <memory>
#include <new>
#include <optional>

using namespace objectcache;

namespace operation_test {

template <class T>
asio::awaitable<T> give(T value)
{
    co_return value;
}

asio::awaitable<error_code> behind(latch& door)
{
    const error_code ec = co_await door.wait();
    co_return ec;
}

template <class T>
asio::awaitable<T> out_of_memory()
{
    throw std::bad_alloc();
    co_return T();
}

struct fixture {
    asio::io_context io;
    latch door{io.get_executor()};

    void poll()
    {
        io.restart();
        io.poll();
    }
    template <class Token>
    auto wait(Token&& token)
    {
        return start_operation<error_code>(
            io.get_executor(), [this] { return behind(door); }, std::forward<Token>(token));
    }
};

} // namespace operation_test

TEST_CASE_FIXTURE(operation_test::fixture,
                  "coroutines, futures and callbacks get what the coroutine returned")
{
    using operation_test::give;
    const auto start = [&](auto&& token) {
        return start_operation<status>(
            io.get_executor(), [] { return give(status(errc::not_found, "key")); },
            std::forward<decltype(token)>(token));
    };
    std::optional<status> called, awaited;
    start([&](status s) { called = std::move(s); });
    CHECK_FALSE(called);
    auto future = start(asio::use_future);
    asio::co_spawn(
        io,
        [](decltype(start)& begin, std::optional<status>& out) -> asio::awaitable<void> {
            out = co_await begin(asio::use_awaitable);
        }(start, awaited),
        asio::detached);
    poll();
    REQUIRE(called);
    REQUIRE(awaited);
    for (const status& s : {*called, *awaited, future.get()}) {
        CHECK(s == errc::not_found);
        CHECK(s.detail() == "key");
    }
}

TEST_CASE_FIXTURE(operation_test::fixture, "a coroutine that runs out of memory is a value too")
{
    using operation_test::out_of_memory;
    std::optional<error_code> code;
    std::optional<status> s;
    std::optional<load_report> report;
    const auto ex = io.get_executor();
    start_operation<error_code>(
        ex, [] { return out_of_memory<error_code>(); }, [&](error_code v) { code = v; });
    start_operation<status>(
        ex, [] { return out_of_memory<status>(); }, [&](status v) { s = v; });
    start_operation<load_report>(
        ex, [] { return out_of_memory<load_report>(); }, [&](load_report v) { report = std::move(v); });
    poll();
    REQUIRE((code && s && report));
    CHECK(*code == condition::exhausted);
    CHECK(*s == condition::exhausted);
    CHECK(report->failed == condition::exhausted);
}

TEST_CASE_FIXTURE(operation_test::fixture,
                  "it ends on the handler's executor, else on its own, never inside the call")
{
    asio::io_context other;
    auto strand = asio::make_strand(other);
    int bound = 0, plain = 0;
    asio::post(io, [&] { // on its executor, where it could run through at once
        door.set();
        wait(asio::bind_executor(strand,
                                 [&](error_code) { bound += strand.running_in_this_thread() ? 1 : 100; }));
        wait([&](error_code) { plain += io.get_executor().running_in_this_thread() ? 1 : 100; });
        CHECK(bound + plain == 0);
    });
    poll();
    CHECK(plain == 1);
    CHECK(bound == 0);
    other.run(); // there is work to do: the operation keeps the handler's context alive
    CHECK(bound == 1);
}

TEST_CASE_FIXTURE(operation_test::fixture,
                  "what the factory holds lives until the coroutine has ended, not longer")
{
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = held;
    bool ended = false;
    start_operation<error_code>(
        io.get_executor(), [this, held = std::move(held)] { return operation_test::behind(door); },
        [&](error_code) { ended = true; });
    poll();
    CHECK_FALSE(watch.expired());
    door.set();
    poll();
    CHECK(ended);
    CHECK(watch.expired());
}

TEST_CASE_FIXTURE(operation_test::fixture,
                  "every kind of cancellation reaches it, before it begins and while it waits")
{
    enum class moment { before_it_is_queued, before_it_begins, while_it_waits };
    asio::cancellation_signal signal;
    std::optional<error_code> out;
    for (const auto when : {moment::before_it_is_queued, moment::before_it_begins, moment::while_it_waits})
        for (const auto kind : {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                                asio::cancellation_type::total}) {
            CAPTURE(static_cast<int>(when));
            CAPTURE(static_cast<int>(kind));
            out.reset();
            if (when == moment::before_it_is_queued)
                asio::post(io, [&signal, kind] { signal.emit(kind); });
            wait(asio::bind_cancellation_slot(signal.slot(), [&](error_code ec) { out = ec; }));
            if (when == moment::while_it_waits)
                poll();
            if (when != moment::before_it_is_queued)
                signal.emit(kind);
            CHECK_FALSE(out);
            poll();
            REQUIRE(out);
            CHECK(*out == condition::cancelled);
        }
    signal.emit(asio::cancellation_type::terminal); // nobody is there any more
    poll();
    door.set();
    poll();
}
