// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/io/with_deadline.hpp>
#include <objectcache/s3/cached_credentials.hpp>
#include <objectcache/s3/detail/refresh_schedule.hpp>

#include <boost/asio/this_coro.hpp>

#include <optional>
#include <string>
#include <utility>

namespace objectcache::s3 {

struct cached_credentials::state {
    /** One refresh; shared by those who wait for it. */
    struct round {
        explicit round(const asio::any_io_executor& executor) : over(executor) {}
        latch over;
        status failed;
    };

    state(asio::any_io_executor ex, credentials_provider from, refresh_options how)
        : executor(std::move(ex))
        , source(std::move(from))
        , options(how)
        , schedule(how)
    {}

    asio::any_io_executor executor;
    credentials_provider source;
    refresh_options options;
    detail::refresh_schedule schedule;
    credentials current;
    status failed; // why the last refresh was none
    std::shared_ptr<round> running;
};

/** The copies and the waiting calls share it; the refresh does not, and ends with it. */
struct cached_credentials::owner {
    explicit owner(std::shared_ptr<state> what) : shared(std::move(what)), refreshes(shared->executor) {}

    std::shared_ptr<state> shared;
    task_group refreshes;
};

OBJECTCACHE_DECL cached_credentials::cached_credentials(asio::any_io_executor executor,
                                                        credentials_provider source, refresh_options options)
    : owner_(
          std::make_shared<owner>(std::make_shared<state>(std::move(executor), std::move(source), options)))
{}

OBJECTCACHE_DECL asio::awaitable<result<credentials>> cached_credentials::operator()() const
{
    return get(owner_);
}

OBJECTCACHE_DECL void cached_credentials::refused(const credentials& who) const
{
    const credentials& current = owner_->shared->current;
    if (who.access_key_id == current.access_key_id && who.session_token == current.session_token)
        owner_->shared->schedule.forget();
}

OBJECTCACHE_DECL std::chrono::seconds cached_credentials::ahead() const noexcept
{
    return owner_->shared->options.ahead;
}

OBJECTCACHE_DECL asio::awaitable<result<credentials>> cached_credentials::get(std::shared_ptr<owner> self)
{
    using action = detail::refresh_schedule::action;
    state& shared = *self->shared;
    const clock& time = clock::of(shared.executor);
    const action next = shared.schedule.next(time.date(), time.now());
    if (next == action::give_up)
        co_return shared.failed;

    std::shared_ptr<state::round> round = shared.running;
    if (!round && next != action::use) {
        round = std::make_shared<state::round>(shared.executor);
        shared.running = round;
        self->refreshes.spawn(refresh(self->shared));
    }
    if (next == action::wait) {
        const bool throws = co_await asio::this_coro::throw_if_cancelled();
        co_await asio::this_coro::throw_if_cancelled(false);
        const error_code ec = co_await round->over.wait();
        co_await asio::this_coro::throw_if_cancelled(throws);
        if (ec)
            co_return result<credentials>(errc::cancelled, "waiting for credentials");
        if (!round->failed.ok() && !shared.schedule.is_valid(time.date()))
            co_return round->failed;
    }
    co_return shared.current;
}

/** Sources do not throw; but this one may be anybody's, and who waits must hear of it. */
OBJECTCACHE_DECL asio::awaitable<result<credentials>> cached_credentials::ask(credentials_provider source)
{
    try {
        co_return co_await source();
    } catch (...) {
        co_return result<credentials>(errc::exhausted, "the source of credentials threw an exception");
    }
}

OBJECTCACHE_DECL asio::awaitable<void> cached_credentials::refresh(std::shared_ptr<state> self)
{
    const clock& time = clock::of(self->executor);
    const deadline until(time.now() + self->options.timeout);
    asio::awaitable<result<credentials>> work = ask(self->source);
    std::string what = "refreshing credentials";
    result<credentials> got = co_await with_deadline(std::move(work), until, std::move(what));
    if (got && got->expiry && *got->expiry <= time.date())
        got = status(errc::no_credentials, "the credentials that were given have expired already");
    if (got) {
        self->current = std::move(*got);
        self->schedule.refreshed(time.date(), self->current.expiry);
    } else {
        self->failed = got.error();
        self->schedule.failed(time.now());
        self->running->failed = self->failed;
    }
    const auto round = std::exchange(self->running, nullptr);
    round->over.set();
}

} // namespace objectcache::s3
