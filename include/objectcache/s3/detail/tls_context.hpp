// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/s3/connection_options.hpp>
#include <objectcache/s3/detail/freed_by.hpp>

#include <openssl/ssl.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <string>

namespace objectcache::s3::detail {

using tls_session = std::unique_ptr<SSL_SESSION, freed_by<SSL_SESSION_free>>;

/** What the connections to one service have in common: whom they trust, who they are, and the sessions that the next of
    them resume, which saves the server its signature and a round trip of TLS 1.2.

    @par Threads  Not safe: those of the pool. */
class tls_context {
public:
    /** @par Errors  `condition::invalid`: a file that cannot be read or is not what it should be. */
    [[nodiscard]] static result<std::shared_ptr<tls_context>> make(const connection_options& how);

    tls_context(const tls_context&) = delete;
    tls_context& operator=(const tls_context&) = delete;

    /** A connection to be; null when there is no memory. Sessions that it brings are kept for `host`, which must outlive
        it. */
    [[nodiscard]] SSL* new_connection(const std::string& host);

    /** The youngest session of `host`; null if there is none. It is given away, unless it is the last: a server rarely
        minds a ticket that comes twice, and a burst of connections would find none. */
    [[nodiscard]] tls_session take_session(const std::string& host);
    void keep_session(const std::string& host, tls_session session);
    /** The server did not take them. */
    void forget_sessions(const std::string& host);
    [[nodiscard]] std::size_t sessions() const noexcept { return kept_.size(); }

private:
    struct kept {
        std::string host;
        tls_session session;
    };
    static constexpr std::size_t most_per_host = 8;
    static constexpr std::size_t most = 64;

    tls_context() = default;
    static int on_session(SSL* from, SSL_SESSION* session);

    std::unique_ptr<SSL_CTX, freed_by<SSL_CTX_free>> context_;
    std::deque<kept> kept_; // the youngest last
};

} // namespace objectcache::s3::detail

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/tls_context.ipp>
#endif
