// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/s3/credentials.hpp>
#include <objectcache/s3/endpoint.hpp>
#include <objectcache/s3/request.hpp>
#include <objectcache/s3/sigv4.hpp>

#include <chrono>
#include <string>

namespace objectcache::s3 {

/** The longest that S3 honours a presigned URL; temporary credentials may end it sooner. */
inline constexpr std::chrono::seconds longest_presigned = std::chrono::hours(24 * 7);

/** A URL with which anybody may do one thing until `now + expires`: the signature travels in the query (SigV4).

    Whoever uses the URL has to send the method and every header of `what.headers`, and `what.range` as a Range header, as
    they were signed. The body is not covered, so that PUT needs no knowledge of it; `what.payload` and
    `what.content_length` are ignored.

    @param expires 1 s to `longest_presigned`.
    @par Errors
    @li `condition::invalid`  what `serialize` refuses, another expiry, and a query parameter of SigV4's own.
    @li `condition::denied`   anonymous credentials: there is nothing to sign with. */
[[nodiscard]] result<std::string> presign(const request& what, const endpoint& where, const credentials& who,
                                          signer& with, sigv4_time now, std::chrono::seconds expires);

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/presign.ipp>
#endif
