// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/core/ids.hpp>
#include <objectcache/s3/credentials.hpp>
#include <objectcache/s3/detail/sha256.hpp>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// AWS Signature Version 4, for clients and for servers. Pure: time is a parameter, nothing
// is read from the environment. The pieces are public because a server needs them in another order than a client.
namespace objectcache::s3 {

/** A header field or a query parameter; both views are borrowed. */
struct field {
    std::string_view name;
    std::string_view value;

    field() = default;
    constexpr field(std::string_view n, std::string_view v) noexcept : name(n), value(v) {}
    /** Of a pair that owns its strings. */
    field(const std::pair<std::string, std::string>& owner) noexcept : name(owner.first), value(owner.second)
    {}
};

/** Payload hash of a request whose body is not covered by the signature. Only to be used where TLS covers it. */
inline constexpr std::string_view unsigned_payload = "UNSIGNED-PAYLOAD";

/** Lower-case hex SHA-256 of nothing: payload hash of a request without a body. */
inline constexpr std::string_view empty_payload =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Payload hash of a body: lower-case hex SHA-256 of the concatenation of `parts`.

    @par Cost  About one second per 1.5-2 GB on a core with SHA extensions: the larger part of a signed PUT's CPU time. */
[[nodiscard]] std::string payload_hash(std::span<const const_byte_span> parts);

/** The parts of a request that a signature covers. All views are borrowed. */
struct signable_request {
    std::string_view method;        ///< upper case
    std::string_view path;          ///< S3: *decoded* ("/bucket/a key"); it is encoded once
    std::span<const field> query;   ///< decoded names and values, any order
    std::span<const field> headers; ///< exactly those to be signed, any order, any case; must include host
    std::string_view payload;       ///< `payload_hash()`, `empty_payload` or `unsigned_payload`
    bool normalize_path = false;    ///< remove dot segments and empty segments: every service but S3
};

/** Seconds are all that SigV4 knows. */
using sigv4_time = std::chrono::sys_seconds;

/** The value of `x-amz-date`: 20150830T123600Z. Years 0 to 9999. */
[[nodiscard]] std::string format_amz_date(sigv4_time at);

/** The inverse of `format_amz_date`; nothing unless `text` has exactly that form and names a real date. */
[[nodiscard]] std::optional<sigv4_time> parse_amz_date(std::string_view text);

/** Where and when a signing key is good: one day, one region, one service. */
struct credential_scope {
    std::string day; ///< 20150830, UTC
    std::string region;
    std::string service = "s3";

    [[nodiscard]] std::string text() const; ///< 20150830/us-east-1/s3/aws4_request
    friend bool operator==(const credential_scope&, const credential_scope&) = default;
};

/** @name The steps of SigV4, in order. */
/** @{ */
[[nodiscard]] std::string canonical_request(const signable_request& request);
/** Sorted lower-case names without duplicates: "host;x-amz-date". */
[[nodiscard]] std::string signed_header_names(std::span<const field> headers);
[[nodiscard]] std::string string_to_sign(std::string_view canonical, sigv4_time at,
                                         const credential_scope& scope);
/** The key that signs all requests of a scope. Four HMACs: derive it once a day, see `signer`. */
[[nodiscard]] digest signing_key(std::string_view secret_access_key, const credential_scope& scope);
/** 64 lower-case hex digits. */
[[nodiscard]] std::string signature(const digest& key, std::string_view text_to_sign);
/** @} */

/** A signing key, and where it is good. */
struct scoped_key {
    credential_scope scope;
    digest key;
};

/** Signs the requests of one client; remembers the key of the day.

    @par Threads  None of its own. Calls on one signer must not overlap.
    @par Cost     Per request one SHA-256 over the canonical request and one HMAC; five HMACs on the first
                  request of a day and after a change of the credentials. */
class signer {
public:
    explicit signer(std::string region, std::string service = "s3");

    /** The value of the Authorization header for `request`, whose headers must include host and
        `x-amz-date: format_amz_date(at)`, and for S3 `x-amz-content-sha256`. */
    [[nodiscard]] std::string authorization(const signable_request& request, const credentials& who,
                                            sigv4_time at);
    /** `format_amz_date(at)`, made once for all requests of a second. Good until the next call. */
    [[nodiscard]] const std::string& date(sigv4_time at);
    /** For what is signed elsewhere than in that header. Good until the next call with another day or credentials. */
    [[nodiscard]] const scoped_key& key_for(const credentials& who, sigv4_time at);

private:
    scoped_key key_;
    std::string scope_; // the text of the key's
    std::string secret_;
    std::string date_; // of `date_at_`
    sigv4_time date_at_{};
    detail::sha256_hasher hash_;
};

/** What an Authorization header says; nothing in it is verified yet. */
struct authorization {
    std::string access_key_id;
    credential_scope scope;
    std::vector<std::string> signed_headers; ///< lower case, sorted
    std::string signature;                   ///< 64 hex digits
};

/** Reads an Authorization header of SigV4; nothing if it has another form. Safe on any input. */
[[nodiscard]] std::optional<authorization> parse_authorization(std::string_view header);

/** Server side: was `request` signed with `secret_access_key` as `claim` says?

    `request.headers` are *all* headers received. Also refused, as S3 does: `host` or an `x-amz-*` header that is not
    signed, a signed header that is missing, a scope of another day than `at`. Whether `at` is recent, the region the
    right one and the body the one that was hashed is the caller's to check.

    @par Errors   `condition::denied`, with the reason in the detail (never the expected signature).
    @par Threads  Any. The comparison takes the same time whatever differs. */
[[nodiscard]] status verify(const authorization& claim, const signable_request& request, sigv4_time at,
                            std::string_view secret_access_key);

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/sigv4.ipp>
#endif
