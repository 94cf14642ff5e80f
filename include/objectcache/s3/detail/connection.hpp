// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/s3/detail/proxy.hpp>
#include <objectcache/s3/detail/tls_stream.hpp>
#include <objectcache/s3/transfer.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>

#include <memory>
#include <optional>
#include <string>

namespace objectcache::s3::detail {

using asio::ip::tcp;

/** Begin a coroutine that was spawned: nothing throws, and whatever kind of cancellation arrives is passed on as
    terminal, the one kind that every operation of Asio listens to. */
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
    /** @param tls  Null: without. */
    connection(const asio::any_io_executor& executor, std::string host, std::shared_ptr<tls_context> tls)
        : socket_(executor)
        , host_(std::move(host))
        , tls_context_(std::move(tls))
    {}
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    [[nodiscard]] const std::string& host() const noexcept { return host_; }
    [[nodiscard]] byte_span scratch() const noexcept { return {scratch_.get(), transfer::head_limit}; }

    /** TCP alone. May be tried again with another address. Does not bound its own time. */
    [[nodiscard]] asio::awaitable<status> connect(tcp::endpoint where);
    /** What comes before the first exchange, once connected: the way through a proxy, the handshake of TLS. Does not bound
        its own time.

        @param via  To what we are connected instead of the host; null: to the host itself. */
    [[nodiscard]] asio::awaitable<status> begin(std::uint16_t port, const proxy* via);

    /** Carry out the transfer, as far as it goes. The socket is quiet when this returns, whatever the outcome. */
    [[nodiscard]] asio::awaitable<void> run(transfer& t);

    /** Has the peer neither closed the connection nor sent what nobody asked for? A question to the kernel, not to the
        peer: the answer may be out of date. */
    [[nodiscard]] bool is_quiet();
    /** Bytes that have arrived and were not taken yet: whose thread was busy for long must not take them for silence. */
    [[nodiscard]] std::size_t arrived() const;
    /** Was an earlier TLS session resumed? */
    [[nodiscard]] bool resumed() const noexcept { return tls_ && tls_->resumed(); }

    time_point idle_since{};
    bool used = false;       ///< has lain idle: the server may have closed it
    std::uint64_t moved = 0; ///< bytes, both ways

private:
    [[nodiscard]] asio::awaitable<status> tunnel(std::uint16_t port, const proxy& via);
    [[nodiscard]] asio::awaitable<status> shake_hands();
    /** Wait for what TLS waits for. Unlike the waits of Asio it is not begun by a coroutine that was cancelled before. */
    [[nodiscard]] asio::awaitable<boost::system::error_code> ready(tls_stream::step::outcome what);
    /** Give the peer its time to answer a request whose body is held back. */
    [[nodiscard]] asio::awaitable<bool> hears(transfer& t);
    [[nodiscard]] asio::awaitable<status> readable();
    /** Let other work of this thread have its turn. */
    [[nodiscard]] asio::awaitable<boost::system::error_code> pause();
    [[nodiscard]] tls_stream::step attempt(transfer& t);
    static void report(transfer& t, boost::system::error_code ec);

    tcp::socket socket_;
    std::string host_;
    std::shared_ptr<tls_context> tls_context_;
    std::optional<tls_stream> tls_; // goes before its socket
    std::unique_ptr<std::byte[]> scratch_ = std::make_unique_for_overwrite<std::byte[]>(transfer::head_limit);
};

} // namespace objectcache::s3::detail

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/connection.ipp>
#endif
