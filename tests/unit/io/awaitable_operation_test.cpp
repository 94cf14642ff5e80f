// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/awaitable_operation.hpp>

#include <objectcache/io/latch.hpp>
#include <objectcache/io/reactor.hpp>

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <doctest/doctest.h>

#include <future>
#include <optional>
#include <thread>

using namespace objectcache;

namespace awaitable_operation_test {

/** The coroutine type of a host that knows nothing of Asio: runs at once, destroys itself at its end. */
struct fire_and_forget {
    struct promise_type {
        fire_and_forget get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

/** Opening a door, as an awaitable of this library. */
class [[nodiscard]] pass : public awaitable_operation<pass, error_code> {
public:
    pass(asio::any_io_executor executor, latch& door) : executor_(std::move(executor)), door_(&door) {}
    template <asio::completion_token_for<void(error_code)> Token>
    auto operator()(Token&& token)
    {
        return start_operation<error_code>(
            executor_, [door = door_] { return door->wait(); }, std::forward<Token>(token));
    }

private:
    asio::any_io_executor executor_;
    latch* door_;
};

fire_and_forget foreign(asio::any_io_executor executor, latch& door, std::optional<error_code>& out)
{
    out = co_await pass(executor, door);
}

fire_and_forget from_afar(asio::any_io_executor executor, latch& door, std::promise<std::thread::id>& out)
{
    (void)co_await pass(executor, door);
    out.set_value(std::this_thread::get_id());
}

asio::awaitable<void> native(asio::any_io_executor executor, latch& door, std::optional<error_code>& out)
{
    out = co_await pass(executor, door);
}

} // namespace awaitable_operation_test

TEST_CASE("an operation is awaited by Asio's coroutines, by foreign ones, by futures and callbacks")
{
    using namespace awaitable_operation_test;
    asio::io_context io;
    latch door(io.get_executor());
    std::optional<error_code> a, b, c;
    foreign(io.get_executor(), door, a);
    asio::co_spawn(io, native(io.get_executor(), door, b), asio::detached);
    pass operation(io.get_executor(), door);
    operation([&](error_code ec) { c = ec; });
    auto future = operation(asio::use_future); // the same operation, started again
    io.poll();
    CHECK_FALSE((a || b || c));
    door.set();
    io.restart();
    io.poll();
    CHECK(a == error_code());
    CHECK(b == error_code());
    CHECK(c == error_code());
    CHECK_FALSE(future.get());
}

TEST_CASE("a foreign coroutine goes on where the operation runs, however fast that is")
{
    using namespace awaitable_operation_test;
    reactor_thread reactor;
    latch door(reactor.get_executor());
    asio::post(reactor.get_executor(), [&] { door.set(); });
    const std::thread::id there =
        asio::post(reactor.get_executor(), asio::use_future([] { return std::this_thread::get_id(); })).get();
    for (int i = 0; i < 200; ++i) { // the operation may end before the coroutine is suspended
        std::promise<std::thread::id> resumed;
        from_afar(reactor.get_executor(), door, resumed);
        CHECK(resumed.get_future().get() == there);
    }
}
