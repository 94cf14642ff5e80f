// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/connection.hpp>
#include <objectcache/s3/detail/resolve.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <sys/socket.h>

#include <array>

namespace objectcache::s3::detail {

OBJECTCACHE_DECL asio::awaitable<status> connection::open(std::uint16_t port)
{
    const auto token = asio::as_tuple(asio::use_awaitable);
    result<addresses> found = co_await resolve(socket_.get_executor(), host_, port);
    if (!found)
        co_return found.error();
    boost::system::error_code ec;
    boost::system::error_code ignored;
    for (const tcp::endpoint& address : *found) {
        socket_.close(ignored);
        std::tie(ec) = co_await socket_.async_connect(address, token);
        if (!ec || ec == asio::error::operation_aborted)
            break;
    }
    if (ec)
        co_return status(error_code(ec));
    socket_.set_option(tcp::no_delay(true),
                       ignored); // a request is one write; waiting for more gains nothing
    if (!tls_)
        co_return status();

    if (status bad = expect_host(); !bad.ok())
        co_return bad;
    std::tie(ec) = co_await tls_->async_handshake(asio::ssl::stream_base::client, token);
    if (ec == asio::error::operation_aborted)
        co_return status(error_code(ec));
    if (ec)
        co_return status(errc::tls_failed, handshake_failure(ec));
    co_return status();
}

/** The certificate must be for the host we meant, and a server of many names must know which. */
OBJECTCACHE_DECL status connection::expect_host()
{
    SSL* ssl = tls_->native_handle();
    X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    boost::system::error_code not_an_address;
    static_cast<void>(asio::ip::make_address(host_, not_an_address));
    const bool good = not_an_address ? X509_VERIFY_PARAM_set1_host(wanted, host_.data(), host_.size()) == 1 &&
                                           SSL_set_tlsext_host_name(ssl, host_.c_str()) == 1
                                     : X509_VERIFY_PARAM_set1_ip_asc(wanted, host_.c_str()) == 1;
    return good ? status() : status(errc::tls_failed, "OpenSSL does not take '" + host_ + "' as a host");
}

OBJECTCACHE_DECL std::string connection::handshake_failure(boost::system::error_code ec)
{
    if (const long why = SSL_get_verify_result(tls_->native_handle()); why != X509_V_OK)
        return std::string("certificate of ") + host_ + ": " + X509_verify_cert_error_string(why);
    return "TLS handshake: " + ec.message();
}

OBJECTCACHE_DECL void connection::report(transfer& t, boost::system::error_code ec)
{
    if (ec == asio::error::eof || ec == asio::ssl::error::stream_truncated)
        t.ended();
    else if (ec.category() == asio::error::get_ssl_category() ||
             ec.category() == asio::ssl::error::get_stream_category())
        t.failed(make_error_code(errc::tls_failed));
    else
        t.failed(ec);
}

OBJECTCACHE_DECL asio::awaitable<void> connection::run(transfer& t)
{
    const auto token = asio::as_tuple(asio::use_awaitable);
    boost::system::error_code ec;
    std::size_t n = 0;
    while (t.next() != transfer::want::done) {
        if (t.next() == transfer::want::send) {
            std::array<const_byte_span, 16> parts;
            std::array<asio::const_buffer, parts.size()> list;
            const auto unsent = t.unsent(parts);
            for (std::size_t i = 0; i < unsent.size(); ++i)
                list[i] = asio::const_buffer(unsent[i].data(), unsent[i].size());
            const std::span<const asio::const_buffer> buffers(list.data(), unsent.size());
            if (tls_)
                std::tie(ec, n) = co_await tls_->async_write_some(buffers, token);
            else
                std::tie(ec, n) = co_await socket_.async_write_some(buffers, token);
            if (ec)
                report(t, ec);
            else
                t.sent(n);
        } else {
            const byte_span room = t.room();
            const asio::mutable_buffer buffer(room.data(), room.size());
            if (tls_)
                std::tie(ec, n) = co_await tls_->async_read_some(buffer, token);
            else
                std::tie(ec, n) = co_await socket_.async_read_some(buffer, token);
            if (n != 0)
                t.received(n);
            if (ec && t.next() == transfer::want::receive)
                report(t, ec);
        }
    }
}

OBJECTCACHE_DECL bool connection::is_quiet()
{
    if (tls_) { // what OpenSSL holds the kernel does not know of
        const SSL* ssl = tls_->native_handle();
        if (SSL_has_pending(ssl) == 1 || BIO_ctrl_pending(SSL_get_rbio(ssl)) != 0)
            return false;
    }
    std::byte probe;
    const auto n = ::recv(socket_.native_handle(), &probe, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK;
    // Session tickets come before the first answer; whatever comes after one answers no request of ours.
    return n > 0 && tls_ && !used;
}

} // namespace objectcache::s3::detail
