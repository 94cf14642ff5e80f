// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/s3/detail/tls_context.hpp>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>

namespace objectcache::s3::detail {

/** The client's side of TLS over a connected socket. It never waits: it says what it waits for. OpenSSL reads from the
    socket itself, so that bytes are copied once after they were decrypted: to their destination.

    @par Lifetime  The socket is borrowed and must be closed later. The stream cannot be moved. */
class tls_stream {
public:
    /** What came of one call. */
    struct step {
        enum class outcome { done, wait_readable, wait_writable, ended, failed };
        outcome what = outcome::done;
        std::size_t bytes = 0; ///< moved; only if done
        error_code why = {};   ///< only if failed: the system's own code, else `errc::tls_failed`
    };

    tls_stream(std::shared_ptr<tls_context> shared, int socket, std::string host);
    tls_stream(const tls_stream&) = delete;
    tls_stream& operator=(const tls_stream&) = delete;
    /** Says goodbye, if that can be done without waiting. */
    ~tls_stream();

    /** Expect a certificate for the host, and offer to resume its last session. Once, first. */
    [[nodiscard]] status prepare();
    /** To be called until it does not ask to wait. */
    [[nodiscard]] step handshake();
    /** Why the handshake failed, for people. */
    [[nodiscard]] std::string handshake_failure();
    [[nodiscard]] step read(byte_span into);
    /** A part of `from` that was not written has to be offered again, as the beginning of the next call's. */
    [[nodiscard]] step write(const_byte_span from);

    /** Has OpenSSL taken from the socket what it has not handed out? Then a wait for the socket could last for ever. */
    [[nodiscard]] bool holds_some() const noexcept { return SSL_has_pending(ssl_.get()) == 1; }
    /** Is the peer there, as far as is known, and has it said nothing? Takes in what is for TLS itself, such as tickets. */
    [[nodiscard]] bool is_quiet();
    /** Was an earlier session resumed? */
    [[nodiscard]] bool resumed() const noexcept { return SSL_session_reused(ssl_.get()) == 1; }

private:
    /** OpenSSL's own socket BIO raises SIGPIPE where the peer is gone, and hides what the system said. */
    struct wire {
        int socket;
        int error = 0;            // errno
        bool send_failed = false; // since this was last asked
        bool ended = false;       // by the peer
    };
    static int receive(BIO* bio, char* into, int size);
    static int send(BIO* bio, const char* from, int size);
    static long control(BIO* bio, int command, long, void*);

    [[nodiscard]] bool begin();
    [[nodiscard]] step outcome_of(int returned);

    std::shared_ptr<tls_context> shared_;
    std::string host_;
    wire wire_;
    std::unique_ptr<BIO_METHOD, freed_by<BIO_meth_free>> method_;
    std::unique_ptr<SSL, freed_by<SSL_free>> ssl_;
    std::string reason_; // OpenSSL's, of the failure
    bool established_ = false;
    bool failed_ = false;
};

} // namespace objectcache::s3::detail

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/tls_stream.ipp>
#endif
