// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/tls_stream.hpp>

#include <boost/asio/ip/address.hpp>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace objectcache::s3::detail {

OBJECTCACHE_DECL tls_stream::tls_stream(std::shared_ptr<tls_context> shared, int socket, std::string host)
    : shared_(std::move(shared))
    , host_(std::move(host))
    , wire_{socket}
    , method_(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "objectcache socket"))
    , ssl_(shared_->new_connection(host_))
{}

OBJECTCACHE_DECL tls_stream::~tls_stream()
{
    // Without it OpenSSL takes the session for one that was cut short, which nobody may resume.
    if (established_ && !failed_ && wire_.error == 0)
        SSL_shutdown(ssl_.get());
    ERR_clear_error();
}

OBJECTCACHE_DECL status tls_stream::prepare()
{
    if (!method_ || !ssl_)
        return {errc::exhausted, "TLS: no memory"};
    BIO_meth_set_read(method_.get(), &tls_stream::receive);
    BIO_meth_set_write(method_.get(), &tls_stream::send);
    BIO_meth_set_ctrl(method_.get(), &tls_stream::control);
    BIO* bio = BIO_new(method_.get());
    if (!bio)
        return {errc::exhausted, "TLS: no memory"};
    BIO_set_data(bio, &wire_);
    BIO_set_init(bio, 1);
    SSL* ssl = ssl_.get();
    SSL_set_bio(ssl, bio, bio);

    // The certificate must be for the host we meant, and a server of many names must know which.
    X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    boost::system::error_code not_an_address;
    static_cast<void>(boost::asio::ip::make_address(host_, not_an_address));
    const bool good = not_an_address ? X509_VERIFY_PARAM_set1_host(wanted, host_.data(), host_.size()) == 1 &&
                                           SSL_set_tlsext_host_name(ssl, host_.c_str()) == 1
                                     : X509_VERIFY_PARAM_set1_ip_asc(wanted, host_.c_str()) == 1;
    if (!good)
        return {errc::tls_failed, "OpenSSL does not take '" + host_ + "' as a host"};
    if (const tls_session earlier = shared_->take_session(host_))
        SSL_set_session(ssl, earlier.get());
    return {};
}

OBJECTCACHE_DECL bool tls_stream::begin()
{
    if (!failed_) // else OpenSSL must not be asked again
        ERR_clear_error();
    return !failed_;
}

OBJECTCACHE_DECL tls_stream::step tls_stream::outcome_of(int returned)
{
    if (failed_)
        return {step::outcome::failed, 0, make_error_code(errc::tls_failed)};
    switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
        return {step::outcome::wait_readable};
    case SSL_ERROR_WANT_WRITE:
        return {step::outcome::wait_writable};
    case SSL_ERROR_ZERO_RETURN:
        return {step::outcome::ended};
    default:
        break;
    }
    // What the system refused to send was no failure of TLS: the peer's answer, which may say why, can still be read.
    const bool sending = std::exchange(wire_.send_failed, false);
    failed_ = !sending;
    if (const char* reason = ERR_reason_error_string(ERR_peek_last_error()))
        reason_ = reason;
    ERR_clear_error();
    if (wire_.error != 0)
        return {step::outcome::failed, 0, error_code(wire_.error, std::system_category())};
    if (wire_.ended)
        return {step::outcome::ended};
    return {step::outcome::failed, 0, make_error_code(errc::tls_failed)};
}

OBJECTCACHE_DECL tls_stream::step tls_stream::handshake()
{
    const int returned = begin() ? SSL_connect(ssl_.get()) : 0;
    if (returned != 1) {
        const step out = outcome_of(returned);
        // If an earlier session was what the server stumbled over, the next connection begins anew.
        if (failed_)
            shared_->forget_sessions(host_);
        return out;
    }
    established_ = true;
    return {};
}

OBJECTCACHE_DECL std::string tls_stream::handshake_failure()
{
    if (const long why = SSL_get_verify_result(ssl_.get()); why != X509_V_OK)
        return "certificate of " + host_ + ": " + X509_verify_cert_error_string(why);
    if (wire_.error != 0)
        return "TLS handshake: " + std::system_category().message(wire_.error);
    if (wire_.ended)
        return "TLS handshake: the connection was closed";
    return "TLS handshake: " + (reason_.empty() ? "no reason given" : reason_);
}

OBJECTCACHE_DECL tls_stream::step tls_stream::read(byte_span into)
{
    std::size_t bytes = 0;
    if (begin() && SSL_read_ex(ssl_.get(), into.data(), into.size(), &bytes) == 1)
        return {step::outcome::done, bytes};
    return outcome_of(0);
}

OBJECTCACHE_DECL tls_stream::step tls_stream::write(const_byte_span from)
{
    std::size_t bytes = 0;
    if (begin() && SSL_write_ex(ssl_.get(), from.data(), from.size(), &bytes) == 1)
        return {step::outcome::done, bytes};
    return outcome_of(0);
}

OBJECTCACHE_DECL bool tls_stream::is_quiet()
{
    std::byte probe;
    std::size_t bytes = 0;
    const bool spoke = begin() && SSL_peek_ex(ssl_.get(), &probe, 1, &bytes) == 1;
    return !spoke && outcome_of(0).what == step::outcome::wait_readable;
}

OBJECTCACHE_DECL int tls_stream::receive(BIO* bio, char* into, int size)
{
    auto& self = *static_cast<wire*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const ssize_t n = ::recv(self.socket, into, static_cast<std::size_t>(size), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_read(bio);
    else if (n < 0)
        self.error = errno;
    self.ended = n == 0;
    return static_cast<int>(n);
}

OBJECTCACHE_DECL int tls_stream::send(BIO* bio, const char* from, int size)
{
    auto& self = *static_cast<wire*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const ssize_t n = ::send(self.socket, from, static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_write(bio);
    else if (n < 0) {
        self.error = errno;
        self.send_failed = true;
    }
    return static_cast<int>(n);
}

OBJECTCACHE_DECL long tls_stream::control(BIO* bio, int command, long, void*)
{
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1; // nothing is held back
    case BIO_CTRL_EOF:
        return static_cast<const wire*>(BIO_get_data(bio))->ended ? 1 : 0;
    default:
        return 0;
    }
}

} // namespace objectcache::s3::detail
