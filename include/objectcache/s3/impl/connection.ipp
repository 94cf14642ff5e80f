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
OBJECTCACHE_DECL tls_stream::step connection::attempt(tls_stream& tls, transfer& t)
{
    if (t.next() == transfer::want::receive)
        return tls.read(t.room());
    std::array<const_byte_span, 1> first;
    return tls.write(t.unsent(first).front());
}

OBJECTCACHE_DECL asio::awaitable<void> connection::run(transfer& t)
{
    const auto token = asio::as_tuple(asio::use_awaitable);
    constexpr std::size_t turn = std::size_t(256)
                                 << 10; // bytes moved without a wait before others have theirs
    std::size_t unbroken = 0;
    while (t.next() != transfer::want::done) {
        const transfer::want wanted = t.next();
        boost::system::error_code ec;
        std::size_t n = 0;
        if (tls_) {
            const tls_stream::step step = attempt(*tls_, t);
            switch (step.what) {
            case tls_stream::step::outcome::done:
                n = step.bytes;
                unbroken += n;
                break;
            case tls_stream::step::outcome::ended:
                ec = asio::error::eof;
                break;
            case tls_stream::step::outcome::failed:
                t.failed(step.why);
                continue;
            default:
                unbroken = 0;
                if (t.waits_for_continue()) {
                    co_await hears(t);
                    continue;
                }
                ec = co_await ready(step.what);
                break;
            }
            if (unbroken >= turn) {
                unbroken = 0;
                ec = co_await pause();
            }
        } else if (wanted == transfer::want::send) {
            std::array<const_byte_span, 16> parts;
            std::array<asio::const_buffer, parts.size()> list;
            const auto unsent = t.unsent(parts);
            for (std::size_t i = 0; i < unsent.size(); ++i)
                list[i] = asio::const_buffer(unsent[i].data(), unsent[i].size());
            const std::span<const asio::const_buffer> buffers(list.data(), unsent.size());
            std::tie(ec, n) = co_await socket_.async_write_some(buffers, token);
        } else {
            if (t.waits_for_continue()) {
                const bool heard = co_await hears(t);
                if (!heard)
                    continue;
            }
            const byte_span room = t.room();
            const asio::mutable_buffer buffer(room.data(), room.size());
            std::tie(ec, n) = co_await socket_.async_read_some(buffer, token);
        }
        moved += n;
        if (n != 0 && wanted == transfer::want::send)
            t.sent(n);
        else if (n != 0)
            t.received(n);
        if (ec && t.next() == wanted)
            report(t, ec);
    }
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
