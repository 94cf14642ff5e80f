// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/with_deadline.hpp>
#include <objectcache/s3/detail/connection.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <chrono>

namespace objectcache::s3::detail {

OBJECTCACHE_DECL asio::awaitable<status> connection::connect(tcp::endpoint where)
{
    boost::system::error_code ignored;
    socket_.close(ignored);
    const auto [ec] = co_await socket_.async_connect(where, asio::as_tuple(asio::use_awaitable));
    if (ec)
        co_return status(error_code(ec));
    // A request is one write; waiting for more gains nothing.
    socket_.set_option(tcp::no_delay(true), ignored);
    co_return status();
}

OBJECTCACHE_DECL asio::awaitable<status> connection::begin(std::uint16_t port, const proxy* via)
{
    status done;
    if (via)
        done = co_await tunnel(port, *via);
    if (done.ok() && tls_context_)
        done = co_await shake_hands();
    co_return done;
}

OBJECTCACHE_DECL asio::awaitable<status> connection::tunnel(std::uint16_t port, const proxy& via)
{
    exchange what;
    what.head = via.connect_head(host_, port);
    what.answer = expect::head; // whatever follows is the tunnel
    transfer t(std::move(what), scratch());
    co_await run(t);
    const unsigned code = t.response().status;
    if (code / 100 == 2 && t.outcome().ok())
        co_return status();
    if (t.outcome() == condition::cancelled)
        co_return t.outcome();
    if (code == 0 || code / 100 == 2) // no answer, or none that is HTTP
        co_return status(t.outcome().code(), via.name() + ": " + t.outcome().detail());
    co_return status(code == 401 || code == 403 || code == 407 ? errc::access_denied : errc::unreachable,
                     via.name() + ": " + std::to_string(code) + " to CONNECT " + host_);
}

OBJECTCACHE_DECL asio::awaitable<status> connection::shake_hands()
{
    tls_.emplace(tls_context_, socket_.native_handle(), host_);
    if (status bad = tls_->prepare(); !bad.ok())
        co_return bad;
    for (;;) {
        const tls_stream::step step = tls_->handshake();
        if (step.what == tls_stream::step::outcome::done)
            co_return status();
        if (step.what == tls_stream::step::outcome::failed || step.what == tls_stream::step::outcome::ended)
            co_return status(errc::tls_failed, tls_->handshake_failure());
        const boost::system::error_code ec = co_await ready(step.what);
        if (ec)
            co_return status(error_code(ec));
    }
}

OBJECTCACHE_DECL asio::awaitable<boost::system::error_code> connection::ready(tls_stream::step::outcome what)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none)
        co_return asio::error::operation_aborted;
    const auto side =
        what == tls_stream::step::outcome::wait_writable ? tcp::socket::wait_write : tcp::socket::wait_read;
    const auto [ec] = co_await socket_.async_wait(side, asio::as_tuple(asio::use_awaitable));
    co_return ec;
}

OBJECTCACHE_DECL asio::awaitable<status> connection::readable()
{
    co_await fully_cancellable();
    const boost::system::error_code ec = co_await ready(tls_stream::step::outcome::wait_readable);
    co_return status(error_code(ec));
}

OBJECTCACHE_DECL asio::awaitable<bool> connection::hears(transfer& t)
{
    constexpr auto patience = std::chrono::seconds(1); // curl's
    const deadline until(clock::of(socket_.get_executor()).now() + patience);
    asio::awaitable<status> work = readable();
    std::string nothing;
    const status heard = co_await with_deadline(std::move(work), until, std::move(nothing));
    if (heard == errc::deadline_exceeded)
        t.go_ahead();
    else if (!heard.ok())
        t.failed(heard.code());
    co_return heard.ok();
}

OBJECTCACHE_DECL asio::awaitable<boost::system::error_code> connection::pause()
{
    co_await asio::post(socket_.get_executor(), asio::use_awaitable);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none)
        co_return asio::error::operation_aborted;
    co_return boost::system::error_code();
}

OBJECTCACHE_DECL void connection::report(transfer& t, boost::system::error_code ec)
{
    if (ec == asio::error::eof)
        t.ended();
    else
        t.failed(ec);
}

/** Moves what can be moved without a wait. */
OBJECTCACHE_DECL tls_stream::step connection::attempt(transfer& t)
{
    using outcome = tls_stream::step::outcome;
    const bool sending = t.next() == transfer::want::send;
    std::array<const_byte_span, 16> parts;
    if (tls_)
        return sending ? tls_->write(t.unsent(std::span(parts).first(1)).front()) : tls_->read(t.room());

    ssize_t n = 0;
    if (sending) {
        std::array<iovec, parts.size()> list;
        msghdr message{};
        message.msg_iov = list.data();
        for (const const_byte_span part : t.unsent(parts))
            list[message.msg_iovlen++] = {const_cast<std::byte*>(part.data()), part.size()};
        n = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        const byte_span room = t.room();
        n = ::recv(socket_.native_handle(), room.data(), room.size(), MSG_DONTWAIT);
    }
    if (n > 0)
        return {outcome::done, static_cast<std::size_t>(n)};
    if (n == 0)
        return {outcome::ended};
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return {sending ? outcome::wait_writable : outcome::wait_readable};
    return {outcome::failed, 0, error_code(errno, std::system_category())};
}

OBJECTCACHE_DECL asio::awaitable<void> connection::run(transfer& t)
{
    using outcome = tls_stream::step::outcome;
    const auto token = asio::as_tuple(asio::use_awaitable);
    // Bytes moved without a wait before others have theirs: some milliseconds. In a shorter turn they cost more, as what comes
    // for the others meanwhile fills their windows, and the cache no longer holds it when it is read.
    const std::size_t turn = std::size_t(tls_ ? 1024 : 4096) << 10;
    std::size_t unbroken = 0;
    bool promising = true; // is there likely something to receive?
    while (t.next() != transfer::want::done) {
        const transfer::want wanted = t.next();
        const bool sending = wanted == transfer::want::send;
        const std::size_t room = sending ? 0 : t.room().size();
        tls_stream::step step{outcome::wait_readable};
        if (sending || promising || (tls_ && tls_->holds_some()))
            step = attempt(t);
        boost::system::error_code ec;
        std::size_t n = step.bytes;
        switch (step.what) {
        case outcome::done:
            unbroken += n;
            break;
        case outcome::ended:
            ec = asio::error::eof;
            break;
        case outcome::failed:
            t.failed(step.why);
            continue;
        default:
            unbroken = 0;
            if (t.waits_for_continue()) {
                promising = co_await hears(t);
                continue;
            }
            if (tls_ || sending) {
                ec = co_await ready(step.what);
            } else { // waits and receives in one
                const auto cancellation = co_await asio::this_coro::cancellation_state;
                if (cancellation.cancelled() != asio::cancellation_type::none) {
                    ec = asio::error::operation_aborted; // Asio does not tell what begins later
                    break;
                }
                const byte_span to = t.room();
                const asio::mutable_buffer buffer(to.data(), to.size());
                std::tie(ec, n) = co_await socket_.async_read_some(buffer, token);
            }
            break;
        }
        // What filled its room has probably left something, and so has a record. After a request there is nothing yet.
        promising = !sending && (tls_ || n == room);
        if (unbroken >= turn) {
            unbroken = 0;
            ec = co_await pause();
        }
        moved += n;
        if (n != 0 && sending)
            t.sent(n);
        else if (n != 0)
            t.received(n);
        if (ec && t.next() == wanted)
            report(t, ec);
    }
}

OBJECTCACHE_DECL std::size_t connection::arrived() const
{
    boost::system::error_code ec;
    const std::size_t bytes = socket_.available(ec);
    return ec ? 0 : bytes;
}

OBJECTCACHE_DECL bool connection::is_quiet()
{
    if (tls_)
        return tls_->is_quiet();
    std::byte probe;
    const auto n = ::recv(socket_.native_handle(), &probe, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

} // namespace objectcache::s3::detail
