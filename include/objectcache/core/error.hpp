// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <string>
#include <system_error>

namespace objectcache {

/** What every operation completes with. Default constructed means success. */
using std::error_code;

/** Errors that objectcache itself finds. Errors of the system (connection refused, timed out ...) keep their own
    category, so that the precise cause survives; test with `condition` unless you need that cause. */
enum class errc {
    cancelled = 1,      ///< the caller, or the shutdown of the owner, cancelled the operation
    deadline_exceeded,  ///< the operation's deadline passed before it finished
    not_found,          ///< no such object or bucket
    already_exists,     ///< a conditional write found the object in place
    access_denied,      ///< the store refused the credentials or the signature
    no_credentials,     ///< no credentials were configured or found
    unreachable,        ///< no connection could be made
    connection_lost,    ///< the peer closed the connection before the response was complete
    tls_failed,         ///< TLS handshake or certificate verification failed
    throttled,          ///< the store asked to slow down (503 SlowDown, 429)
    server_error,       ///< any other 5xx, or an error inside a 200 answer
    unexpected_status,  ///< a status the operation has no meaning for
    malformed_response, ///< not valid HTTP, or XML that does not parse
    length_mismatch,    ///< the body is shorter or longer than the range that was asked for
    checksum_mismatch,  ///< the bytes are not those that were stored
    wrong_chunk,        ///< intact bytes, but of another chunk, layer or scope
    unknown_version,    ///< the object's format version is not known to this library
    wrong_geometry,     ///< the object describes another KV geometry
    invalid_argument,   ///< the caller's arguments contradict each other
    exhausted,          ///< a bounded resource (staging, queue) could not be had
    device_failed,      ///< the device reported an error
    shut_down           ///< the owner is being destroyed
};

/** What callers test for: `if (ec == condition::corrupt)`. Every code of the library, of the system and of Asio that
    can come out of an operation belongs to at least one condition. */
enum class condition {
    cancelled = 1, ///< cancelled, or owner shut down
    timeout,       ///< a deadline passed, here or in the transport
    absent,        ///< the object is not there
    denied,        ///< credentials missing or refused
    unavailable,   ///< the store cannot be reached, is throttling or failing: another try may work
    corrupt,       ///< an answer arrived and is not what was stored or not what was asked for
    invalid,       ///< a call that can never succeed
    exhausted,     ///< local resources
    device         ///< the device failed
};

const std::error_category& error_category() noexcept;
const std::error_category& condition_category() noexcept;
error_code make_error_code(errc e) noexcept;
std::error_condition make_error_condition(condition c) noexcept;

/** An error code with one line on what it happened to ("GET bucket/key: connection refused").

    Cheap when successful: no allocation. Passed by value; results of coroutines. */
class [[nodiscard]] status {
public:
    status() = default;
    status(error_code code, std::string detail = {}) : code_(code), detail_(std::move(detail)) {}
    status(errc code, std::string detail = {}) : status(make_error_code(code), std::move(detail)) {}

    [[nodiscard]] bool ok() const noexcept { return !code_; }
    [[nodiscard]] error_code code() const noexcept { return code_; }
    [[nodiscard]] const std::string& detail() const noexcept { return detail_; }
    /** One line for people: the detail, then the code's own message. Empty when ok. */
    [[nodiscard]] std::string message() const;

    friend bool operator==(const status& s, condition c) noexcept
    {
        return s.code_ == make_error_condition(c);
    }
    friend bool operator==(const status& s, errc c) noexcept { return s.code_ == make_error_code(c); }

private:
    error_code code_;
    std::string detail_;
};

/** Whether it says that the bytes which are stored are not what they should be, so that they may be replaced. Not so of a
    format version that this library does not know, which is not its to judge, nor of an answer that is none of the store's
    (a proxy's page), which says nothing of the object: that is as if the store could not be reached. */
[[nodiscard]] inline bool tells_of_damage(const status& s) noexcept
{
    return s == condition::corrupt && !(s == errc::unknown_version) && !(s == errc::malformed_response);
}

} // namespace objectcache

template <>
struct std::is_error_code_enum<objectcache::errc> : std::true_type {};
template <>
struct std::is_error_condition_enum<objectcache::condition> : std::true_type {};

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/core/impl/error.ipp>
#endif
