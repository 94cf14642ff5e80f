// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/deadline.hpp>
#include <objectcache/core/read_observer.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/s3/call.hpp>
#include <objectcache/s3/client_options.hpp>
#include <objectcache/s3/connection_pool.hpp>
#include <objectcache/s3/credentials_provider.hpp>
#include <objectcache/s3/endpoint.hpp>
#include <objectcache/s3/xml.hpp>

#include <objectcache/io/clock.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace objectcache::s3 {

struct response_head;

/** Of every operation. */
struct op_options {
    deadline until; ///< default: `client_options::request_timeout` from the start of the operation
};

struct get_options {
    deadline until;
    /** Sees the bytes as they come, on the client's thread, between the waits of the operation; borrowed until completion.
        Only the outcome says whether they are the right ones. */
    read_observer* observer = nullptr;
};

struct put_options {
    deadline until;
    /** Do nothing but say `errc::already_exists` if the object exists. After a try whose end is not known, it may be that
        very try which it meets. Of a store that lacks it (501), see `client_options::emulate_if_none_match`. */
    bool if_none_match = false;
};

struct list_options {
    deadline until;
    std::string continuation;      ///< `list_page::continuation` of the page before
    std::uint32_t max_keys = 1000; ///< at most; stores give no more than 1000
    /** Not empty: of the keys that have it behind the prefix the page names only what goes up to it, once, in
        `common_prefixes`. "/" makes folders. */
    std::string delimiter;
};

struct object_info {
    std::uint64_t size = 0;    ///< bytes of the whole object
    std::string etag;          ///< with its quotes
    std::string last_modified; ///< as HTTP writes it
};

/** An S3 client: signed requests over kept-alive connections.

    What all operations have in common:

    @par Completion    With success, or with the reason of the last failure in one line that names the request. What another
                       try may cure is tried again (`client_options::retry`), reads that are late are sent twice (`hedge`),
                       a store that asks for it is asked more slowly (`throttling`), and one that does not answer is left
                       alone for a while (`circuit`): then operations fail at once. A wrong clock, expired credentials and
                       a bucket in another region are put right on the way.
    @par Resumes       On the awaiting coroutine's executor.
    @par Cancellation  Terminal, partial and total, at any point. The connection is closed, and the operation completes
                       only once the socket is quiet: borrowed memory is never touched after completion. A cancelled PUT
                       or DELETE may have happened or not.
    @par Lifetime      Spans are borrowed until completion; names and options are copied. Operations may outlive the
                       client, but not its execution context; on io_uring they have to end before the context is
                       destroyed, which Asio does not survive otherwise (Asio issue 1235).
    @par Errors
    @li `condition::absent`       no such bucket or object.
    @li `condition::denied`       no credentials, or refused by the store.
    @li `condition::timeout`      the deadline passed.
    @li `condition::unavailable`  no connection, a broken one, throttling (`errc::throttled`), or an error of the store.
    @li `condition::corrupt`      the answer is not HTTP, not of the length asked for, or not XML.
    @li `condition::invalid`      the arguments contradict each other or cannot be sent.
    @li `condition::cancelled`.
    @par Threads       Not safe: client and operations on one thread, or one strand, at a time: that of its executor.
    @par Cost          A receive goes straight into the destination, beside the bytes that arrive together with the
                       response head (at most 16 KiB). */
class client {
public:
    client(asio::any_io_executor executor, endpoint where, credentials who, client_options options = {});
    client(asio::any_io_executor executor, endpoint where, credentials_provider who,
           client_options options = {});

    /** Read exactly `range` of an object into `destination`, which has the range's size.

        @par Errors  Beside the common ones `errc::length_mismatch` for an object that ends before the range does. */
    [[nodiscard]] asio::awaitable<result<object_info>> get(std::string bucket, std::string key,
                                                           byte_range range, byte_span destination,
                                                           get_options options = {});

    /** Read a whole object of at most `destination.size()` bytes; `object_info::size` says how many.

        @par Errors  Beside the common ones `errc::length_mismatch` for a larger object. */
    [[nodiscard]] asio::awaitable<result<object_info>> get(std::string bucket, std::string key,
                                                           byte_span destination, get_options options = {});

    /** Write an object: the concatenation of `parts`. It appears whole or not at all.

        @par Errors  Beside the common ones `errc::already_exists`, see `put_options`.
        @par Cost    No copy. A pass of SHA-256 on the executor's thread where `payload_signing` says so. */
    [[nodiscard]] asio::awaitable<status> put(std::string bucket, std::string key,
                                              std::span<const const_byte_span> parts,
                                              put_options options = {});

    /** What the store knows of an object, without its bytes. */
    [[nodiscard]] asio::awaitable<result<object_info>> head(std::string bucket, std::string key,
                                                            op_options options = {});

    /** One page of the objects whose keys begin with `prefix`, in the order of their bytes. All of them: see listing.hpp. */
    [[nodiscard]] asio::awaitable<result<list_page>> list(std::string bucket, std::string prefix,
                                                          list_options options);
    // Not a default argument: g++ 12 destroys one that owns memory twice when the call is awaited.
    [[nodiscard]] asio::awaitable<result<list_page>> list(std::string bucket, std::string prefix)
    {
        return list(std::move(bucket), std::move(prefix), list_options());
    }

    /** Delete an object. That it was not there is no error. */
    [[nodiscard]] asio::awaitable<status> remove(std::string bucket, std::string key,
                                                 op_options options = {});

    /** Make a bucket in the endpoint's region.

        @par Errors  Beside the common ones `errc::already_exists`, from stores that mind. */
    [[nodiscard]] asio::awaitable<status> create_bucket(std::string bucket, op_options options = {});

    /** Let the first requests for `bucket` wait for neither credentials nor handshakes: fetch the ones, and open connections
        until so many lie idle; of `max_connections` at most. What could be opened stays, whatever became of the others. */
    [[nodiscard]] asio::awaitable<status> prewarm(std::string bucket, std::size_t connections,
                                                  op_options options = {});

    /** Any other request, with all of the above: what multipart uploads, copies and bulk deletes are made of.

        @par Errors  Beside the common ones `condition::invalid` for a query or header that cannot be sent. */
    [[nodiscard]] asio::awaitable<result<answer>> send(call what);

    [[nodiscard]] const client_counters& counters() const noexcept;
    [[nodiscard]] const client_options& options() const noexcept;
    [[nodiscard]] const endpoint& where() const noexcept;
    [[nodiscard]] connection_pool& connections() noexcept;

private:
    struct state;
    struct operation;
    struct attempt;

    static asio::awaitable<status> run(std::shared_ptr<state> self, operation& op);
    static asio::awaitable<status> perform(std::shared_ptr<state> self, operation& op);
    static asio::awaitable<status> get_ready(std::shared_ptr<state> self, operation& op);
    static asio::awaitable<status> prewarm(std::shared_ptr<state> self, std::string bucket,
                                           std::size_t connections, deadline until);
    static asio::awaitable<status> fetch_credentials(std::shared_ptr<state> self, deadline until);
    static asio::awaitable<status> watch(std::shared_ptr<state> self, operation& op, attempt& chosen);
    static asio::awaitable<void> exchange_once(std::shared_ptr<state> self, operation& op, attempt& mine,
                                               timer& observer);
    static asio::awaitable<void> exchange_somehow(std::shared_ptr<state> self, operation& op, attempt& mine);
    static bool correct(state& self, operation& op, const attempt& failed);
    static bool follow(state& self, operation& op, const response_head& head, std::string_view text);
    static status verify(const state& self, const attempt& done);
    static asio::awaitable<status> carry_out(std::shared_ptr<state> self, const call& what, operation& op);
    static asio::awaitable<status> carry_out_once(std::shared_ptr<state> self, const call& what,
                                                  operation& op);
    static asio::awaitable<status> carry_out_if_absent(std::shared_ptr<state> self, const call& what,
                                                       operation& op);
    static asio::awaitable<result<answer>> send(std::shared_ptr<state> self, call what);
    static asio::awaitable<result<object_info>> read(std::shared_ptr<state> self, std::string bucket,
                                                     std::string key, std::optional<byte_range> range,
                                                     byte_span destination, get_options options);
    static asio::awaitable<result<object_info>> head(std::shared_ptr<state> self, std::string bucket,
                                                     std::string key, op_options options);
    static asio::awaitable<status> write(std::shared_ptr<state> self, std::string bucket, std::string key,
                                         std::span<const const_byte_span> parts, put_options options);
    static asio::awaitable<result<list_page>> list(std::shared_ptr<state> self, std::string bucket,
                                                   std::string prefix, list_options options);
    static asio::awaitable<status> command(std::shared_ptr<state> self, const char* method,
                                           std::string bucket, std::string key, std::string body,
                                           op_options options);

    std::shared_ptr<state> state_;
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/client.ipp>
#include <objectcache/s3/impl/client_engine.ipp>
#endif
