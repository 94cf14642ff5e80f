// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/deadline.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/s3/credentials.hpp>
#include <objectcache/testing/certificate.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace objectcache::testing {

namespace detail {
class s3_server_impl;
}

/** A request as the server understood it. */
struct s3_request {
    std::uint64_t number = 0;     ///< 1, 2 ... in the order in which request heads arrived
    std::uint64_t connection = 0; ///< 1, 2 ... in the order in which connections were accepted
    std::string method;
    std::string bucket; ///< empty: the service
    std::string key;    ///< empty: the bucket
    std::string query;  ///< as sent, without '?'
    std::string range;  ///< as sent: "bytes=0-99"
};

/** How one request deviates from what S3 would do. Default: not at all. */
struct s3_fault {
    enum class action {
        none,
        drop,  ///< close the connection in order
        reset, ///< close it with a TCP reset
        stall  ///< go silent until the server stops, holding the connection
    };
    enum class point {
        request_head,  ///< the head was read; nothing is stored, the body stays unread
        request_body,  ///< after `after` bytes of the request's body; nothing is stored
        response_head, ///< the request was carried out, no byte of the answer is sent
        response_body  ///< after `after` bytes of the answer's body
    };

    action what = action::none;
    point where = point::request_head;
    std::uint64_t after = 0;
    unsigned status = 0; ///< not 0: this error is the answer and the request is not carried out
    std::string code;    ///< of that error: "SlowDown"
    std::int64_t length_error =
        0;            ///< Content-Length is wrong by so many bytes; the connection closes after the body
    duration delay{}; ///< on top of the latency

    [[nodiscard]] static s3_fault drop(point where, std::uint64_t after = 0);
    [[nodiscard]] static s3_fault reset(point where, std::uint64_t after = 0);
    [[nodiscard]] static s3_fault stall(point where, std::uint64_t after = 0);
    [[nodiscard]] static s3_fault error(unsigned status, std::string code);
    [[nodiscard]] static s3_fault wrong_length(std::int64_t by);
};

/** Decides on a fault for each request, before it is authenticated. Must not throw. */
using s3_responder = std::function<s3_fault(const s3_request&)>;

/** A request that is answered, or whose connection ended first. It is logged before the first byte of the
    answer leaves, so a client that has its answer is in the log. */
struct s3_log_entry {
    s3_request request;
    unsigned status = 0;         ///< 0: no head was sent
    std::uint64_t bytes_in = 0;  ///< of the request's body that arrived
    std::uint64_t bytes_out = 0; ///< of the answer's body that the server set out to send
    std::string error_code;      ///< S3's, of an error answer
    duration took{};             ///< from the request's head to the first byte of its answer
};

/** Totals since the start. Requests count when they are logged, bytes as they move. */
struct s3_server_stats {
    std::uint64_t connections = 0;
    std::uint64_t requests = 0;
    std::uint64_t gets = 0; ///< of objects
    std::uint64_t heads = 0;
    std::uint64_t puts = 0; ///< of objects
    std::uint64_t deletes = 0;
    std::uint64_t lists = 0;
    std::uint64_t errors_4xx = 0;
    std::uint64_t errors_5xx = 0;
    std::uint64_t bytes_in = 0;  ///< bodies received
    std::uint64_t bytes_out = 0; ///< bodies sent
};

struct s3_object {
    std::string bucket;
    std::string key;
    std::uint64_t size = 0; ///< bytes
    std::string
        etag; ///< the MD5 of what was uploaded, 32 hex digits; of N parts the MD5 of their MD5s, and "-N"
};

struct s3_server_options {
    std::uint16_t port = 0; ///< 0: one that is free
    unsigned threads = 1;
    /** Threads that look for work instead of sleeping: each takes a core, and latency and link are as exact as they are said to
        be. A thread that sleeps is woken late, on a virtual machine by tenths of a millisecond. */
    bool poll = false;
    std::filesystem::path directory;  ///< where objects live as files; empty: in memory
    std::vector<std::string> buckets; ///< there from the start
    s3::credentials credentials{"objectcache-test", "objectcache-test-secret", {}, {}};
    bool allow_anonymous = false;     ///< unsigned requests are carried out; signed ones must still be right
    std::string domain = "localhost"; ///< host "bucket.<domain>" addresses a bucket in virtual-host style
    std::uint64_t max_object_bytes = std::uint64_t(5) << 30;
    std::uint64_t least_part_bytes = 5 << 20; ///< of a multipart upload, but for the last part
    int send_buffer_bytes = 0;                ///< of each connection, in the kernel; 0: the system's choice
    std::size_t log_entries = 4096;           ///< older ones are forgotten
    std::optional<certificate> tls;           ///< serve HTTPS
    std::function<void(const s3_log_entry&)> on_request; ///< called on the server's threads; must not throw
};

/** An S3 server for tests: real HTTP on 127.0.0.1, verified signatures, and every way to be slow or wrong
    that a test asks for.

    It has what the library and common clients use: GET with ranges and conditions, HEAD, PUT (also
    `If-None-Match: *` and `If-Match`), DELETE, also in bulk, copies, multipart uploads, LIST v1 and v2, buckets; SigV4 in
    header or query, over the whole body or chunk by chunk; checksums in headers and trailers, which are verified, kept,
    and returned where `x-amz-checksum-mode` asks for them; path and virtual-host style; any region. Request heads are
    bounded at 16 KiB. Anything else of S3 is refused with 501 NotImplemented, never half done.

    @par Threads The server runs on threads of its own. All member functions may be called from any thread at
         any time, but from a responder or `on_request` only `stats()`. Construction and destruction block. */
class s3_server {
public:
    /** Start listening on 127.0.0.1. A server that exists is running.

        @par Errors `condition::invalid`: a bucket name, the certificate or no threads; else what the system
             said about the port or the directory. */
    [[nodiscard]] static result<s3_server> start(s3_server_options options = {});

    s3_server(s3_server&&) noexcept;
    s3_server& operator=(s3_server&&) noexcept;
    /** Closes all connections, whatever they are doing, and joins the threads. */
    ~s3_server();

    [[nodiscard]] std::uint16_t port() const noexcept;
    /** "http://127.0.0.1:<port>", or https. */
    [[nodiscard]] std::string endpoint_url() const;
    [[nodiscard]] const s3::credentials& credentials() const noexcept;

    /** @name Shaping. In force for the requests, and the pieces of bodies, that begin after the call. */
    /** @{ */
    /** Time from the end of a request to the first byte of its answer. Requests wait beside one another, not
        in a queue. */
    void set_latency(duration time_to_first_byte) noexcept;
    /** The link that the bodies of all connections share, one per direction; bytes per second, 0: unlimited.
        A body of n bytes on an idle link takes n / rate after its head; connections take turns in pieces of
        at most 256 KiB or, on fast links, of what passes in 200 us.
        @param burst_bytes What passes at once after the link was idle. */
    void set_bandwidth(std::uint64_t down, std::uint64_t up, std::uint64_t burst_bytes = 0);
    /** What the server takes for the time is the system's plus this. */
    void set_clock_offset(std::chrono::seconds ahead) noexcept;
    /** @} */

    /** Let `responder` decide on the faults of requests whose heads arrive after the call; null: none. Calls
        of a responder do not overlap, and when this returns the previous one is not running. */
    void set_responder(s3_responder responder);
    /** Close the connections that are kept alive without a request, and wait until they are. */
    void close_idle_connections();

    [[nodiscard]] s3_server_stats stats() const noexcept;
    /** The last requests, in the order in which their answers began. */
    [[nodiscard]] std::vector<s3_log_entry> log() const;
    void clear_log();

    /** @name What is stored, and damage to it.
        @par Errors `condition::absent`: no such bucket or object; `condition::invalid`: an offset or size
             past the end, a name that S3 does not allow. */
    /** @{ */
    [[nodiscard]] status create_bucket(const std::string& bucket);
    [[nodiscard]] std::vector<s3_object> objects() const;
    /** Multipart uploads that were begun and neither completed nor aborted. */
    [[nodiscard]] std::size_t pending_uploads() const;
    [[nodiscard]] result<std::vector<std::byte>> read(const std::string& bucket,
                                                      const std::string& key) const;
    [[nodiscard]] status put(const std::string& bucket, const std::string& key, const_byte_span bytes);
    [[nodiscard]] status erase(const std::string& bucket, const std::string& key);
    /** Flip the bits of one byte. The ETag stays: nobody noticed. */
    [[nodiscard]] status corrupt(const std::string& bucket, const std::string& key, std::uint64_t offset);
    /** Keep the first `size` bytes. The ETag stays. */
    [[nodiscard]] status truncate(const std::string& bucket, const std::string& key, std::uint64_t size);
    /** @} */

private:
    explicit s3_server(std::unique_ptr<detail::s3_server_impl> impl) noexcept;

    std::unique_ptr<detail::s3_server_impl> impl_;
};

} // namespace objectcache::testing

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/testing/impl/s3_server.ipp>
#endif
