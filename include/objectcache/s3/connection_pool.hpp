// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/deadline.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/io/byte_budget.hpp>
#include <objectcache/s3/connection_options.hpp>
#include <objectcache/s3/endpoint.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace objectcache::s3 {

class transfer;

namespace detail {
class connection;
}

/** Connections to one endpoint, kept alive between exchanges. The most recently used one is used next, so that those
    beyond the need grow old and are closed. A name with several addresses gets its connections spread over them. How many
    connections may be in use is found by measuring, see `connection_control`.

    Old ones are closed by a timer that runs while connections are in use. A pool that nobody uses has no work in the
    context, so that `io_context::run` may return; its connections are looked at when it is used again.

    @par Lifetime  The execution context must outlive the pool and its leases; leases may outlive the pool.
    @par Threads   Not safe: one thread, or one strand, at a time. */
class connection_pool {
    struct state;

public:
    /** A connection on loan. Move only. Unless `keep()` was called, the connection is closed at the end. */
    class lease {
    public:
        lease() noexcept;
        lease(lease&& other) noexcept;
        lease& operator=(lease&& other) noexcept;
        ~lease();

        /** Carry out a transfer that borrows `scratch()`.

            @par Completion    Once the transfer is done; the socket then is quiet.
            @par Resumes       On the awaiting coroutine's executor.
            @par Cancellation  Terminal; the transfer ends with `condition::cancelled`. */
        [[nodiscard]] asio::awaitable<void> run(transfer& t);
        [[nodiscard]] byte_span scratch() const noexcept;
        /** Has the connection lain idle? Then the server may have closed it meanwhile. */
        [[nodiscard]] bool reused() const noexcept;
        /** Bytes of the transfer that have arrived and that it does not know of yet. */
        [[nodiscard]] std::size_t arrived() const;
        /** The connection may be used again, see `transfer::reusable`. */
        void keep() noexcept { keep_ = true; }

    private:
        friend connection_pool;
        void give_back() noexcept;

        std::shared_ptr<state> from_;
        byte_budget::ticket place_;
        std::unique_ptr<detail::connection> connection_;
        std::uint64_t moved_before_ = 0; // bytes, of the connection
        bool ran_ = false;
        bool keep_ = false;
    };

    connection_pool(asio::any_io_executor executor, endpoint where, connection_options options = {});

    /** A connection to `host`: an idle one, or a new one.

        @param fresh   Trust no idle connection of this host: close them all and make a new one.
        @param placed  Set once its turn has come: a failure from then on is the endpoint's. Outlives the coroutine.

        @par Completion    With a lease.
        @par Resumes       On the awaiting coroutine's executor.
        @par Cancellation  Terminal, partial and total.
        @par Errors
        @li `condition::timeout`      `until` passed, in line or while connecting.
        @li `condition::unavailable`  no address, no connection within `connect_timeout`, or refused: the system's own
                                      code; `errc::tls_failed` with OpenSSL's reason for a handshake or a certificate.
        @li `condition::denied`       the proxy wants other credentials, or does not lead there.
        @li `condition::invalid`      the proxy's URL, or a CA file or client's certificate that cannot be read.
        @li `condition::cancelled`. */
    [[nodiscard]] asio::awaitable<result<lease>> acquire(std::string host, priority who, deadline until,
                                                         bool fresh = false, bool* placed = nullptr);

    /** Open connections ahead of the need, behind everybody who needs one now, until `n` to `host` lie idle; of
        `max_connections` at most.

        @par Completion    Success once they are there. Those that could be opened stay, whatever became of the others.
        @par Resumes       On the awaiting coroutine's executor.
        @par Cancellation  Terminal, partial and total.
        @par Errors        Those of `acquire`: the first. */
    [[nodiscard]] asio::awaitable<status> prewarm(std::string host, std::size_t n, deadline until);

    /** The store asked for less (SlowDown): fewer connections from now on. */
    void throttled();

    /** How many may be in use now. */
    [[nodiscard]] std::size_t limit() const noexcept;
    [[nodiscard]] std::size_t idle() const noexcept;
    [[nodiscard]] std::size_t in_use() const noexcept;
    /** Callers in line. */
    [[nodiscard]] std::size_t waiting() const noexcept;
    /** Close what is not in use. */
    void close_idle() noexcept;

private:
    static asio::awaitable<result<lease>> acquire(std::shared_ptr<state> from, std::string host, priority who,
                                                  deadline until, bool fresh, bool* placed);
    static asio::awaitable<status> open_new(std::shared_ptr<state> from, std::string host, deadline until,
                                            lease& out);
    static asio::awaitable<status> open(std::shared_ptr<state> from, detail::connection& fresh,
                                        deadline until);
    static asio::awaitable<result<std::vector<asio::ip::tcp::endpoint>>>
    look_up(std::shared_ptr<state> from, std::string name, std::uint16_t port);
    static asio::awaitable<void> open_ahead(std::shared_ptr<state> from, std::string host, deadline until,
                                            status& out);
    static asio::awaitable<status> prewarm(std::shared_ptr<state> from, std::string host, std::size_t n,
                                           deadline until);

    std::shared_ptr<state> state_;
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/connection_pool.ipp>
#endif
