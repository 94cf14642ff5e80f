// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/s3/endpoint.hpp>
#include <objectcache/s3/transfer.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/this_coro.hpp>

#include <memory>
#include <optional>
#include <string>

namespace objectcache::s3::detail {

using asio::ip::tcp;

/** Begin a coroutine that was spawned: nothing throws, and whatever kind of cancellation arrives is passed on as
    terminal, the one kind that Asio's TLS streams listen to. */
[[nodiscard]] inline asio::awaitable<void> fully_cancellable()
{
    constexpr auto terminal = [](asio::cancellation_type kind) {
        return kind == asio::cancellation_type::none ? kind : asio::cancellation_type::terminal;
    };
    co_await asio::this_coro::reset_cancellation_state(terminal);
    co_await asio::this_coro::throw_if_cancelled(false);
}

/** A TCP connection, with TLS where the endpoint wants it, and the scratch buffer of the transfers on it. */
class connection {
public:
    connection(const asio::any_io_executor& executor, std::string host, asio::ssl::context* tls)
        : socket_(executor)
        , host_(std::move(host))
    {
        if (tls)
            tls_.emplace(socket_, *tls);
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    [[nodiscard]] const std::string& host() const noexcept { return host_; }
    [[nodiscard]] byte_span scratch() const noexcept { return {scratch_.get(), transfer::head_limit}; }

    /** Resolve, connect, shake hands. Does not bound its own time. */
    [[nodiscard]] asio::awaitable<status> open(std::uint16_t port);

    /** Carry out the transfer, as far as it goes. The socket is quiet when this returns, whatever the outcome. */
    [[nodiscard]] asio::awaitable<void> run(transfer& t);

    /** Has the peer neither closed the connection nor sent what nobody asked for? A question to the kernel, not to the
        peer: the answer may be out of date. */
    [[nodiscard]] bool is_quiet();

    time_point idle_since{};
    bool used = false; ///< has carried an exchange before

private:
    [[nodiscard]] status expect_host();
    [[nodiscard]] std::string handshake_failure(boost::system::error_code ec);
    static void report(transfer& t, boost::system::error_code ec);

    tcp::socket socket_;
    std::optional<asio::ssl::stream<tcp::socket&>> tls_;
    std::string host_;
    std::unique_ptr<std::byte[]> scratch_ = std::make_unique_for_overwrite<std::byte[]>(transfer::head_limit);
};

} // namespace objectcache::s3::detail

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/connection.ipp>
#endif
