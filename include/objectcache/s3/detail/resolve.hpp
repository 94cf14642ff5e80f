// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/s3/detail/address_book.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace objectcache::s3::detail {

/** The addresses of a host for which nobody needs to be asked: a literal, or localhost and everything below it
    (RFC 6761). Empty for any other. */
[[nodiscard]] inline addresses known_addresses(std::string_view host, std::uint16_t port)
{
    boost::system::error_code ec;
    const asio::ip::address literal = asio::ip::make_address(host, ec);
    if (!ec)
        return {{literal, port}};
    if (host == "localhost" || host.ends_with(".localhost"))
        return {{asio::ip::address_v4::loopback(), port}, {asio::ip::address_v6::loopback(), port}};
    return {};
}

/** The addresses of a host.

    Asio asks the system's resolver on a thread of its own, which nothing can interrupt; so a cancelled wait leaves the
    question to itself. Its answer touches nothing of ours.

    @par Cancellation  Terminal, partial and total.
    @par Errors        `errc::unreachable` for a name that has no address, `condition::cancelled`. */
[[nodiscard]] inline asio::awaitable<result<addresses>> resolve(asio::any_io_executor executor,
                                                                std::string host, std::uint16_t port)
{
    addresses known = known_addresses(host, port);
    if (!known.empty())
        co_return known;

    struct question {
        explicit question(const asio::any_io_executor& ex) : resolver(ex), answered(ex) {}
        asio::ip::tcp::resolver resolver;
        latch answered;
        boost::system::error_code failure;
        addresses found;
    };
    const auto shared = std::make_shared<question>(executor);
    shared->resolver.async_resolve(
        host, std::to_string(port), asio::ip::tcp::resolver::numeric_service,
        [shared](boost::system::error_code ec, const asio::ip::tcp::resolver::results_type& results) {
            shared->failure = ec;
            for (const auto& entry : results)
                shared->found.push_back(entry.endpoint());
            shared->answered.set();
        });
    const error_code given_up = co_await shared->answered.async_wait(asio::use_awaitable);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (given_up || cancellation.cancelled() != asio::cancellation_type::none) {
        shared->resolver.cancel();
        co_return result<addresses>(errc::cancelled);
    }
    if (shared->failure || shared->found.empty())
        co_return result<addresses>(errc::unreachable,
                                    "cannot resolve " + host + ": " + shared->failure.message());
    co_return std::move(shared->found);
}

} // namespace objectcache::s3::detail
