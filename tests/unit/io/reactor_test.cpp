// SPDX-License-Identifier: BSL-1.0
#include <objectcache/io/reactor.hpp>

#include <objectcache/io/latch.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <doctest/doctest.h>

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

TEST_CASE("the backend is the build's choice")
{
#if defined(BOOST_ASIO_DISABLE_EPOLL)
    CHECK(reactor_backend() == std::string("io_uring"));
#else
    CHECK(reactor_backend() == std::string("epoll"));
#endif
}
