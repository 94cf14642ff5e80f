// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/certificate.hpp>

#include <objectcache/s3/detail/freed_by.hpp>

#include <doctest/doctest.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/context.hpp>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>

namespace certificate_test {

using namespace objectcache;
using testing::self_signed_certificate;

using s3::detail::freed_by;
using x509 = std::unique_ptr<X509, freed_by<X509_free>>;

x509 parsed(const std::string& pem)
{
    const std::unique_ptr<BIO, freed_by<BIO_free_all>> in(
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    return x509(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
}

TEST_CASE("the certificate is for its host, signed by its own key, and TLS takes both")
{
    const auto made = self_signed_certificate("store.example.org");
    REQUIRE(made.ok());
    const x509 certificate = parsed(made->certificate_pem);
    REQUIRE(certificate);
    CHECK(X509_check_host(certificate.get(), "store.example.org", 0, 0, nullptr) == 1);
    CHECK(X509_check_host(certificate.get(), "other.example.org", 0, 0, nullptr) == 0);
    CHECK(X509_verify(certificate.get(), X509_get0_pubkey(certificate.get())) == 1);
    CHECK(X509_cmp_current_time(X509_get0_notBefore(certificate.get())) < 0);
    CHECK(X509_cmp_current_time(X509_get0_notAfter(certificate.get())) > 0);

    boost::asio::ssl::context tls(boost::asio::ssl::context::tls_server);
    boost::system::error_code chain, key;
    tls.use_certificate_chain(boost::asio::buffer(made->certificate_pem), chain);
    tls.use_private_key(boost::asio::buffer(made->private_key_pem), boost::asio::ssl::context::pem, key);
    CHECK(!chain);
    CHECK(!key); // OpenSSL compares it with the certificate's
}

TEST_CASE("addresses, wildcards, and a validity in the past")
{
    const auto address = self_signed_certificate("127.0.0.1");
    REQUIRE(address.ok());
    CHECK(X509_check_ip_asc(parsed(address->certificate_pem).get(), "127.0.0.1", 0) == 1);
    CHECK(X509_check_ip_asc(parsed(address->certificate_pem).get(), "127.0.0.2", 0) == 0);
    const auto address6 = self_signed_certificate("::1");
    REQUIRE(address6.ok());
    CHECK(X509_check_ip_asc(parsed(address6->certificate_pem).get(), "::1", 0) == 1);
    const auto wildcard = self_signed_certificate("*.localhost.test");
    REQUIRE(wildcard.ok());
    CHECK(X509_check_host(parsed(wildcard->certificate_pem).get(), "bucket.localhost.test", 0, 0, nullptr) ==
          1);
    const auto expired = self_signed_certificate("localhost", std::chrono::hours(-1));
    REQUIRE(expired.ok());
    CHECK(X509_cmp_current_time(X509_get0_notAfter(parsed(expired->certificate_pem).get())) < 0);
}

TEST_CASE("two certificates differ in key, name and serial number")
{
    const auto one = self_signed_certificate("localhost");
    const auto two = self_signed_certificate("localhost");
    REQUIRE(one.ok());
    REQUIRE(two.ok());
    CHECK(one->private_key_pem != two->private_key_pem);
    CHECK(X509_NAME_cmp(X509_get_subject_name(parsed(one->certificate_pem).get()),
                        X509_get_subject_name(parsed(two->certificate_pem).get())) != 0);
    CHECK(ASN1_INTEGER_cmp(X509_get0_serialNumber(parsed(one->certificate_pem).get()),
                           X509_get0_serialNumber(parsed(two->certificate_pem).get())) != 0);
}

TEST_CASE("what is not a host name is refused, also where OpenSSL would read it as more than one")
{
    for (const std::string host : {"", "a,DNS:b", "a b", "a\nb", "a/b"}) {
        CAPTURE(host);
        CHECK(self_signed_certificate(host).error() == condition::invalid);
    }
    CHECK(self_signed_certificate(std::string("a\0b", 3)).error() == condition::invalid);
}

} // namespace certificate_test
