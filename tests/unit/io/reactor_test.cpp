// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/reactor.hpp>

#include <objectcache/io/latch.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <string>
#include <thread>

using namespace objectcache;

TEST_CASE("a reactor runs what it is given on one thread of its own, and waits for more")
{
    reactor_thread reactor;
    const auto where = [] { return std::this_thread::get_id(); };
    const std::thread::id first = asio::post(reactor.get_executor(), asio::use_future(where)).get();
    const std::thread::id second = asio::post(reactor.context(), asio::use_future(where)).get();
    CHECK(first == second);
    CHECK(first != std::this_thread::get_id());
}

TEST_CASE("a reactor that is destroyed destroys what waits on it")
{
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = held;
    {
        reactor_thread reactor;
        auto never = std::make_shared<latch>(reactor.get_executor());
        latch& door = *never; // kept by the handler that waits for it
        auto waiting = asio::post(reactor.get_executor(), asio::use_future([&] {
                                      door.async_wait([never = std::move(never), held = std::move(held)](
                                                          error_code) { FAIL("nobody set it"); });
                                  }));
        waiting.get();
        CHECK_FALSE(watch.expired());
    }
    CHECK(watch.expired());
}

TEST_CASE("what is cancelled ends alone, also when much was done before")
{
    asio::io_context context(1);
    using socket = asio::local::stream_protocol::socket;
    socket busy(context), busy_peer(context), quiet(context), quiet_peer(context);
    asio::local::connect_pair(busy, busy_peer);
    asio::local::connect_pair(quiet, quiet_peer);
    std::array<char, 1> byte{};
    const auto send_one = [&] { return busy_peer.write_some(asio::buffer("x", 1)); };
    int received = 0;
    const auto receive_one = [&] {
        busy.async_read_some(asio::buffer(byte), [&](boost::system::error_code, std::size_t n) {
            received += n == 1 ? 1 : -1'000'000;
        });
    };
    // More than a ring has entries: each of them then remembers a read of `busy`.
    constexpr int rounds = 17'000;
    for (int i = 0; i < rounds; ++i) {
        receive_one();
        send_one();
        context.restart();
        context.run();
    }
    REQUIRE(received == rounds);

    receive_one();
    asio::cancellation_signal give_up;
    bool cancelled = false;
    std::array<char, 1> nothing{};
    quiet.async_read_some(
        asio::buffer(nothing),
        asio::bind_cancellation_slot(give_up.slot(), [&](boost::system::error_code ec, std::size_t) {
            cancelled = ec == asio::error::operation_aborted;
        }));
    context.restart();
    context.poll();
    give_up.emit(asio::cancellation_type::terminal);
    while (!cancelled)
        context.run_one();
    context.poll();
    CHECK(received == rounds);
    send_one();
    context.run();
    CHECK(received == rounds + 1);
}

TEST_CASE("the backend is the build's choice")
{
#if defined(BOOST_ASIO_DISABLE_EPOLL)
    CHECK(reactor_backend() == std::string("io_uring"));
#else
    CHECK(reactor_backend() == std::string("epoll"));
#endif
}
