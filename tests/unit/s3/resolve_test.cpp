// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/resolve.hpp>

#include <objectcache/io/operation.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using s3::detail::known_addresses;
using s3::detail::resolve;

namespace resolve_test {

TEST_CASE("resolve: hosts that nobody needs to be asked about")
{
    CHECK(known_addresses("127.0.0.1", 80).at(0) ==
          asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 80));
    CHECK(known_addresses("::1", 80).at(0).address().is_loopback());
    CHECK(known_addresses("localhost", 80).size() == 2);
    CHECK(known_addresses("bucket.localhost", 80).at(0).address().is_loopback());
    CHECK(known_addresses("notlocalhost", 80).empty());
    CHECK(known_addresses("127.1", 80).empty());
    CHECK(known_addresses("", 80).empty());
}

// An abbreviated address and a label longer than any: the system's resolver answers both without a network.
const std::string abbreviated = "127.1";
const std::string impossible(70, 'x');

TEST_CASE("resolve: the system's resolver")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        const auto found = co_await resolve(io.get_executor(), abbreviated, 81);
        REQUIRE(found);
        CHECK(found->at(0) == asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 81));
        const auto none = co_await resolve(io.get_executor(), impossible, 81);
        CHECK(none.code() == errc::unreachable);
        CHECK(none.error().detail().starts_with("cannot resolve xxx"));
    };
    asio::io_context io;
    REQUIRE(testing::run_coroutine(io, body(io)));
}

TEST_CASE("resolve: a question that was given up is left to itself")
{
    asio::io_context io;
    asio::cancellation_signal signal;
    error_code ended;
    const auto body = [](asio::io_context& on, error_code& out) -> asio::awaitable<void> {
        co_await without_exceptions();
        out = (co_await resolve(on.get_executor(), abbreviated, 81)).code();
    };
    asio::co_spawn(io, body(io, ended), asio::bind_cancellation_slot(signal.slot(), asio::detached));
    io.run_one(); // the coroutine asks; whatever the answer, it waits in the context
    signal.emit(asio::cancellation_type::total);
    io.run();
    CHECK(ended == condition::cancelled);
}

} // namespace resolve_test
