// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/credentials_provider.hpp>
#include <objectcache/s3/refresh_options.hpp>

#include <boost/asio/any_io_executor.hpp>

#include <chrono>
#include <memory>

namespace objectcache::s3 {

/** A `credentials_provider` that remembers what another one gave, and asks it again in time: once for all who wait.

    As the AWS SDKs do, it refreshes `ahead` of the expiry (half way through for credentials that live shorter than twice
    that), and if that fails goes on serving those it has for as long as they are valid. After a failure nobody is asked
    again before a pause; meanwhile, where there are no valid ones, callers get that failure at once.

    A value whose copies share everything. There is no timer: credentials that nobody asks for are not refreshed.

    @par Lifetime  The execution context must outlive it.
    @par Threads   Not safe: one thread, or one strand, at a time: that of its executor. */
class cached_credentials {
public:
    cached_credentials(asio::any_io_executor executor, credentials_provider source,
                       refresh_options options = {});

    /** Valid credentials.

        @par Completion    At once with those it has, otherwise with the outcome of the refresh that is under way.
        @par Resumes       On the awaiting coroutine's executor.
        @par Cancellation  Terminal, partial and total; ends this wait. The refresh goes on for the others, until the last
                           copy and the last waiting call are gone.
        @par Errors        Those of the source; `condition::timeout` for one that takes too long; `condition::cancelled`. */
    [[nodiscard]] asio::awaitable<result<credentials>> operator()() const;

    /** The store refused what it was given: ask the source again, even though they have not expired. Of no effect if they
        have been replaced already. */
    void refused(const credentials& who) const;

    /** How long before the expiry it wants to be asked, to refresh while the old ones serve. */
    [[nodiscard]] std::chrono::seconds ahead() const noexcept;

private:
    struct state;
    struct owner;

    static asio::awaitable<result<credentials>> get(std::shared_ptr<owner> self);
    static asio::awaitable<result<credentials>> ask(credentials_provider source);
    static asio::awaitable<void> refresh(std::shared_ptr<state> self);

    std::shared_ptr<owner> owner_;
};

} // namespace objectcache::s3

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/cached_credentials.ipp>
#endif
