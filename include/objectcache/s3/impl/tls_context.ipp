// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/tls_context.hpp>

#include <openssl/err.h>

#include <algorithm>

namespace objectcache::s3::detail {

/** What OpenSSL says about its last failure. */
[[nodiscard]] OBJECTCACHE_DECL std::string tls_reason()
{
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    std::string out = reason ? reason : "no reason given";
    ERR_clear_error();
    return out;
}

OBJECTCACHE_DECL result<std::shared_ptr<tls_context>> tls_context::make(const connection_options& how)
{
    const auto refused = [](const std::string& what, const std::string& file) {
        return status(errc::invalid_argument, what + " '" + file + "': " + tls_reason());
    };
    ERR_clear_error();
    std::shared_ptr<tls_context> out(new tls_context);
    out->context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX* context = out->context_.get();
    if (!context)
        return status(errc::exhausted, "TLS: " + tls_reason());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    // What cannot be sent at once is offered again from wherever it then lies.
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // A record and the head of the next per system call; of more, the first would be out of the cache before its turn.
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, std::size_t(20) << 10);
    // No S3 service has a use for it, and TLS 1.3 has it no more.
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, &tls_context::on_session);
    SSL_CTX_set_app_data(context, out.get());

    const int trusted = how.ca_file.empty()
                            ? SSL_CTX_set_default_verify_paths(context)
                            : SSL_CTX_load_verify_locations(context, how.ca_file.c_str(), nullptr);
    if (trusted != 1)
        return refused("CA file", how.ca_file);
    if (!how.certificate_file.empty()) {
        const std::string& key = how.key_file.empty() ? how.certificate_file : how.key_file;
        // An encrypted key would have OpenSSL ask at the terminal.
        SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });
        if (SSL_CTX_use_certificate_chain_file(context, how.certificate_file.c_str()) != 1)
            return refused("client certificate", how.certificate_file);
        if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1 ||
            SSL_CTX_check_private_key(context) != 1)
            return refused("key of the client certificate", key);
    }
    ERR_clear_error(); // reading a file to its end leaves a note
    return out;
}

OBJECTCACHE_DECL SSL* tls_context::new_connection(const std::string& host)
{
    SSL* out = SSL_new(context_.get());
    if (out)
        SSL_set_app_data(out, const_cast<std::string*>(&host));
    return out;
}

/** Called by OpenSSL: by the handshake of TLS 1.2, and while reading whenever a server of TLS 1.3 sends a ticket. */
OBJECTCACHE_DECL int tls_context::on_session(SSL* from, SSL_SESSION* session)
{
    auto* self = static_cast<tls_context*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(from)));
    tls_session owned(session);
    try {
        self->keep_session(*static_cast<const std::string*>(SSL_get_app_data(from)), std::move(owned));
    } catch (...) { // no memory: then there is nothing to resume
    }
    return 1; // the reference is ours
}

OBJECTCACHE_DECL tls_session tls_context::take_session(const std::string& host)
{
    const auto found =
        std::find_if(kept_.rbegin(), kept_.rend(), [&](const kept& k) { return k.host == host; });
    if (found == kept_.rend())
        return nullptr;
    const auto older =
        std::find_if(std::next(found), kept_.rend(), [&](const kept& k) { return k.host == host; });
    if (older == kept_.rend()) {
        SSL_SESSION_up_ref(found->session.get());
        return tls_session(found->session.get());
    }
    tls_session out = std::move(found->session);
    kept_.erase(std::next(found).base());
    return out;
}

OBJECTCACHE_DECL void tls_context::keep_session(const std::string& host, tls_session session)
{
    if (SSL_SESSION_is_resumable(session.get()) != 1)
        return;
    const auto mine = [&](const kept& k) { return k.host == host; };
    if (static_cast<std::size_t>(std::count_if(kept_.begin(), kept_.end(), mine)) == most_per_host)
        kept_.erase(std::find_if(kept_.begin(), kept_.end(), mine));
    kept_.push_back({host, std::move(session)});
    if (kept_.size() > most)
        kept_.pop_front();
}

OBJECTCACHE_DECL void tls_context::forget_sessions(const std::string& host)
{
    std::erase_if(kept_, [&](const kept& k) { return k.host == host; });
}

} // namespace objectcache::s3::detail
