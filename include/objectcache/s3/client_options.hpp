// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/s3/checksum.hpp>
#include <objectcache/s3/circuit.hpp>
#include <objectcache/s3/connection_pool.hpp>
#include <objectcache/s3/endpoint.hpp>
#include <objectcache/s3/hedge.hpp>
#include <objectcache/s3/retry.hpp>
#include <objectcache/s3/throttle.hpp>

#include <chrono>
#include <cstdint>

namespace objectcache::s3 {

/** Is the body of a PUT covered by the signature? Costs a SHA-256 pass over it before the first byte is sent. */
enum class payload_signing {
    automatic, ///< over plain HTTP, where nothing else protects the body
    always,
    never,
    chunks ///< piece by piece while it travels, with `upload_checksum` after it; not every store knows that
};

/** Are the checksums that S3 keeps with objects compared with what was received? Only of whole objects: a store has none
    for ranges. */
enum class checksum_check {
    off,
    when_supported, ///< if the answer has one
    required        ///< an answer without one is `errc::checksum_mismatch`
};

/** How a client behaves; the defaults are meant to be left alone. */
struct client_options {
    connection_options connections;
    duration request_timeout = std::chrono::seconds(30); ///< of operations without a deadline of their own
    /** Without a byte either way for so long, a request counts as lost, and may be tried again. It is looked at as often, so
        that what stops moving is noticed after one to two of these. */
    duration stall_timeout = std::chrono::seconds(10);
    payload_signing signing = payload_signing::automatic;
    checksum upload_checksum = checksum::none; ///< sent with each PUT, for the store to verify and keep
    /** Bodies from this size on are held back until the store says `100 Continue`, or nothing for a second, where there is
        reason to doubt that it will take them: after a failed try, and while it asks for fewer requests. Otherwise that
        would cost a round trip for nothing. */
    std::size_t expect_continue_bytes = std::size_t(1) << 20;
    checksum_check verify = checksum_check::when_supported;
    /** Where the store answers a conditional PUT with 501, or the conditional end of a multipart upload: look first and
        then write, which is no longer atomic, and remember it for that kind of write. Otherwise the 501 is the outcome. */
    bool emulate_if_none_match = true;

    retry_options retry;
    throttle_options throttling;
    circuit_options circuit;
    hedge_options hedge; ///< a budget of 0 turns hedging off

    /** The defaults, and what the AWS tools take from the environment: AWS_CA_BUNDLE or the profile's `ca_bundle` (the one that
        AWS_PROFILE names, or `default`), AWS_MAX_ATTEMPTS, AWS_REQUEST_CHECKSUM_CALCULATION (`when_supported`: CRC32C), AWS_RESPONSE_CHECKSUM_VALIDATION; and HTTPS_PROXY or,
        for an endpoint without TLS, http_proxy, unless NO_PROXY names the host.

        @par Errors  `condition::invalid` for a value that means nothing. */
    [[nodiscard]] static result<client_options> from_env(const endpoint& where);
};

/** What a client has done since it was made. */
struct client_counters {
    std::uint64_t operations = 0;  ///< begun
    std::uint64_t requests = 0;    ///< sent, with retries and hedges
    std::uint64_t retries = 0;     ///< second and further tries
    std::uint64_t stalled = 0;     ///< requests given up because nothing moved
    std::uint64_t throttled = 0;   ///< answers that asked for fewer requests
    std::uint64_t refused = 0;     ///< operations that the open circuit did not let out
    std::uint64_t hedges = 0;      ///< second requests for reads that were late
    std::uint64_t hedges_won = 0;  ///< of these, the ones that were faster
    std::uint64_t corrections = 0; ///< clock, credentials or region put right after a refusal
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/client_options.ipp>
#endif
