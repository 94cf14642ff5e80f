// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/detail/freed_by.hpp>
#include <objectcache/testing/certificate.hpp>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>

namespace objectcache::testing {

namespace detail {

// What a PEM writer put into a memory BIO; empty if it failed.
template <class Write>
[[nodiscard]] std::string pem_text(Write write)
{
    const std::unique_ptr<BIO, s3::detail::freed_by<BIO_free_all>> out(BIO_new(BIO_s_mem()));
    if (!out || write(out.get()) != 1)
        return {};
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

[[nodiscard]] OBJECTCACHE_DECL bool add_extension(X509* to, int nid, const std::string& value)
{
    const std::unique_ptr<X509_EXTENSION, s3::detail::freed_by<X509_EXTENSION_free>> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()));
    return extension && X509_add_ext(to, extension.get(), -1) == 1;
}

} // namespace detail

OBJECTCACHE_DECL result<certificate> self_signed_certificate(const std::string& host,
                                                             std::chrono::hours validity)
{
    // A comma or line break would be read as further names by the extension's own little language.
    const bool plain = !host.empty() && host.find_first_of(",\n\r;/ ") == std::string::npos &&
                       host.find('\0') == std::string::npos;
    if (!plain)
        return {errc::invalid_argument, "certificate: not a host name"};

    const std::unique_ptr<EVP_PKEY, s3::detail::freed_by<EVP_PKEY_free>> key(EVP_EC_gen("P-256"));
    const std::unique_ptr<X509, s3::detail::freed_by<X509_free>> made(X509_new());
    if (!key || !made)
        return {errc::exhausted, "certificate: no key could be made"};

    // Unique, because clients refuse two certificates of one issuer with one serial number.
    std::uint64_t serial = 0;
    bool good = RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1;
    good = good && ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.get()), serial >> 1) == 1;
    good = good && X509_set_version(made.get(), X509_VERSION_3) == 1;
    good = good && X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
    good = good && X509_gmtime_adj(X509_getm_notAfter(made.get()),
                                   static_cast<long>(std::chrono::seconds(validity).count()));
    good = good && X509_set_pubkey(made.get(), key.get()) == 1;
    X509_NAME* const name = X509_get_subject_name(made.get());
    const auto add_to_name = [&](const char* field, const std::string& text) {
        return X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC,
                                          reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1,
                                          0) == 1;
    };
    good = good && add_to_name("O", "objectcache test");
    good = good && add_to_name("CN", std::to_string(serial)); // so that one CA file can hold several
    good = good && X509_set_issuer_name(made.get(), name) == 1;
    if (!good)
        return {errc::exhausted, "certificate: out of memory"};

    const std::unique_ptr<ASN1_OCTET_STRING, s3::detail::freed_by<ASN1_OCTET_STRING_free>> address(
        a2i_IPADDRESS(host.c_str()));
    if (!detail::add_extension(made.get(), NID_basic_constraints, "critical,CA:TRUE") ||
        !detail::add_extension(made.get(), NID_subject_alt_name, (address ? "IP:" : "DNS:") + host))
        return {errc::invalid_argument, "certificate: not a host name: " + host};
    if (X509_sign(made.get(), key.get(), EVP_sha256()) == 0)
        return {errc::exhausted, "certificate: it could not be signed"};

    certificate out;
    out.certificate_pem = detail::pem_text([&](BIO* to) { return PEM_write_bio_X509(to, made.get()); });
    out.private_key_pem = detail::pem_text([&](BIO* to) {
        return PEM_write_bio_PrivateKey(to, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
    if (out.certificate_pem.empty() || out.private_key_pem.empty())
        return {errc::exhausted, "certificate: out of memory"};
    return out;
}

} // namespace objectcache::testing
