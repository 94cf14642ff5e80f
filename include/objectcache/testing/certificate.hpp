// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>

#include <chrono>
#include <string>

namespace objectcache::testing {

/** A certificate and its private key, PEM. */
struct certificate {
    std::string certificate_pem;
    std::string private_key_pem;
};

/** Make a certificate (P-256, signed by its own key) that is good for `host` and serves as its own CA file.

    @param host      A DNS name, a wildcard name or an IP address; it becomes the subject alternative name.
    @param validity  From one hour before now. Negative: a certificate that has expired.

    @par Errors  `condition::invalid`: OpenSSL does not take `host` as a name; `condition::exhausted`: it
         could not make the key.
    @par Threads Any. */
[[nodiscard]] result<certificate>
self_signed_certificate(const std::string& host, std::chrono::hours validity = std::chrono::hours(24));

} // namespace objectcache::testing

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/testing/impl/certificate.ipp>
#endif
