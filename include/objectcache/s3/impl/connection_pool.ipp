// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/io/with_deadline.hpp>
#include <objectcache/s3/connection_control.hpp>
#include <objectcache/s3/connection_pool.hpp>
#include <objectcache/s3/detail/address_book.hpp>
#include <objectcache/s3/detail/connection.hpp>
#include <objectcache/s3/detail/resolve.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace objectcache::s3 {

struct connection_pool::state : std::enable_shared_from_this<state> {
    state(asio::any_io_executor ex, endpoint to, connection_options how)
        : executor(std::move(ex))
        , where(std::move(to))
        , options(std::move(how))
        , control(within(options))
        , places(executor, control.limit())
        , book(options.address_ttl, options.address_quarantine)
    {
        if (!options.proxy.empty()) {
            if (auto parsed = detail::proxy::parse(options.proxy))
                via = std::move(*parsed);
            else
                ready = parsed.error();
        }
        if (!where.tls || !ready.ok())
            return;
        if (auto made = detail::tls_context::make(options))
            tls = std::move(*made);
        else
            ready = made.error();
    }

    [[nodiscard]] static connection_control_options within(const connection_options& how)
    {
        connection_control_options out = how.control;
        out.max = std::max<std::size_t>(how.max_connections, 1);
        out.min = std::clamp<std::size_t>(out.min, 1, out.max);
        out.initial = std::clamp(out.initial, out.min, out.max);
        return out;
    }

    [[nodiscard]] time_point now()
    {
        if (!time)
            time = &clock::of(executor);
        return time->now();
    }

    /** One is wanted (`more`), or about to be given back. */
    void adjust(std::size_t more)
    {
        places.resize(
            control.limit(now(), static_cast<std::size_t>(places.in_use()) + places.waiters() + more));
    }

    void close_old()
    {
        const time_point oldest = now() - options.max_idle;
        std::erase_if(idle, [&](const auto& c) { return c->idle_since <= oldest; });
    }

    /** The youngest idle connection to `host` that still looks alive. */
    [[nodiscard]] std::unique_ptr<detail::connection> take_idle(const std::string& host)
    {
        close_old();
        for (std::size_t i = idle.size(); i-- > 0;) {
            if (idle[i]->host() != host)
                continue;
            auto found = std::move(idle[i]);
            idle.erase(idle.begin() + static_cast<std::ptrdiff_t>(i));
            if (found->is_quiet())
                return found;
        }
        return nullptr;
    }

    void put_idle(std::unique_ptr<detail::connection> c)
    {
        c->used = true;
        c->idle_since = now();
        idle.push_back(std::move(c));
    }

    /** Have the idle ones closed in time, as long as somebody uses the pool. */
    void watch()
    {
        if (idle.empty() || places.in_use() == 0) {
            if (std::exchange(watching, false))
                alarm->cancel();
            return;
        }
        if (std::exchange(watching, true))
            return;
        if (!alarm)
            alarm.emplace(executor);
        alarm->expires_at(idle.front()->idle_since + options.max_idle);
        alarm->native().async_wait(
            [weak = weak_from_this(), mine = ++watch_number](boost::system::error_code) {
                const auto self = weak.lock();
                if (!self || !self->watching || self->watch_number != mine)
                    return;
                self->watching = false;
                self->close_old();
                self->watch();
            });
    }

    /** One question to the resolver for all who want the same name at a time. */
    struct question {
        explicit question(const asio::any_io_executor& ex) : answered(ex) {}
        latch answered;
        status failure;
    };

    asio::any_io_executor executor;
    endpoint where;
    connection_options options;
    connection_control control;
    byte_budget places; // one per lease
    detail::address_book book;
    std::map<std::string, std::shared_ptr<question>> questions;
    std::optional<detail::proxy> via;
    std::shared_ptr<detail::tls_context> tls;
    status ready;                                         // why nothing can be opened, if so
    std::deque<std::unique_ptr<detail::connection>> idle; // the most recently used last
    // Both are found when they are needed: the context may get another clock until then.
    clock* time = nullptr;
    std::optional<timer> alarm;
    bool watching = false;
    std::uint64_t watch_number = 0;
};

OBJECTCACHE_DECL connection_pool::lease::lease() noexcept = default;
OBJECTCACHE_DECL connection_pool::lease::lease(lease&& other) noexcept = default;
OBJECTCACHE_DECL connection_pool::lease::~lease()
{
    give_back();
}

OBJECTCACHE_DECL asio::awaitable<void> connection_pool::lease::run(transfer& t)
{
    if (!std::exchange(ran_, true))
        moved_before_ = connection_->moved;
    return connection_->run(t);
}

OBJECTCACHE_DECL byte_span connection_pool::lease::scratch() const noexcept
{
    return connection_->scratch();
}

OBJECTCACHE_DECL std::size_t connection_pool::lease::arrived() const
{
    return connection_->arrived();
}

OBJECTCACHE_DECL bool connection_pool::lease::reused() const noexcept
{
    return connection_->used;
}

OBJECTCACHE_DECL connection_pool::lease& connection_pool::lease::operator=(lease&& other) noexcept
{
    if (this != &other) {
        give_back();
        from_ = std::move(other.from_);
        place_ = std::move(other.place_);
        connection_ = std::move(other.connection_);
        keep_ = std::exchange(other.keep_, false);
        ran_ = std::exchange(other.ran_, false);
        moved_before_ = other.moved_before_;
    }
    return *this;
}

OBJECTCACHE_DECL void connection_pool::lease::give_back() noexcept
{
    if (!from_)
        return;
    if (std::exchange(ran_, false))
        from_->control.received(connection_->moved - moved_before_);
    from_->adjust(0);
    const bool too_many = from_->places.in_use() > from_->places.capacity();
    if (connection_ && std::exchange(keep_, false) && !too_many)
        from_->put_idle(std::move(connection_));
    connection_.reset();
    place_.release(); // only now: whoever is next in line finds the idle connection
    from_->watch();
    from_.reset();
}

OBJECTCACHE_DECL connection_pool::connection_pool(asio::any_io_executor executor, endpoint where,
                                                  connection_options options)
    : state_(std::make_shared<state>(std::move(executor), std::move(where), std::move(options)))
{}

OBJECTCACHE_DECL asio::awaitable<result<connection_pool::lease>>
connection_pool::acquire(std::string host, priority who, deadline until, bool fresh, bool* placed)
{
    return acquire(state_, std::move(host), who, until, fresh, placed);
}

OBJECTCACHE_DECL asio::awaitable<result<connection_pool::lease>>
connection_pool::acquire(std::shared_ptr<state> from, std::string host, priority who, deadline until,
                         bool fresh, bool* placed)
{
    if (!from->ready.ok())
        co_return from->ready;
    from->adjust(1);
    lease out;
    if (std::optional<byte_budget::ticket> place = from->places.try_acquire(1, who)) {
        out.place_ = std::move(*place);
    } else {
        result<byte_budget::ticket> later = co_await from->places.acquire(1, who, until);
        if (!later)
            co_return later.error();
        out.place_ = std::move(*later);
    }
    if (placed)
        *placed = true;
    out.from_ = from;
    if (fresh)
        std::erase_if(from->idle, [&](const auto& c) { return c->host() == host; });
    else
        out.connection_ = from->take_idle(host);
    from->watch();
    if (out.connection_)
        co_return out;
    status opened = co_await open_new(from, std::move(host), until, out);
    if (!opened.ok())
        co_return opened;
    co_return out;
}

/** Fill a lease that has its place. */
OBJECTCACHE_DECL asio::awaitable<status>
connection_pool::open_new(std::shared_ptr<state> from, std::string host, deadline until, lease& out)
{
    // Idle connections to other hosts make way: what is open stays within the bound.
    while (!from->idle.empty() && from->idle.size() + from->places.in_use() > from->options.max_connections)
        from->idle.pop_front();
    out.connection_ = std::make_unique<detail::connection>(from->executor, std::move(host), from->tls);
    const deadline limit = deadline(from->now() + from->options.connect_timeout).nearer(until);
    asio::awaitable<status> work = open(from, *out.connection_, limit);
    std::string nothing;
    status opened = co_await with_deadline(std::move(work), limit, std::move(nothing));
    if (opened == errc::deadline_exceeded && !until.passed(from->now()))
        opened = status(errc::unreachable, "no connection within the connect timeout");
    co_return opened;
}

OBJECTCACHE_DECL asio::awaitable<status> connection_pool::open(std::shared_ptr<state> from,
                                                               detail::connection& fresh, deadline until)
{
    co_await detail::fully_cancellable();
    const detail::proxy* via = from->via ? &*from->via : nullptr;
    const std::string prefix = via ? via->name() + ": " : std::string();
    std::string name = via ? via->host : fresh.host();
    const std::uint16_t port = via ? via->port : from->where.port;
    result<detail::addresses> found = co_await look_up(from, std::move(name), port);
    if (!found)
        co_return status(found.code(), prefix + found.error().detail());

    status last;
    asio::ip::tcp::endpoint address;
    for (std::size_t left = found->size(); left != 0; --left) {
        address = (*found)[found->size() - left];
        // One that does not answer must leave time for the others.
        const time_point now = from->now();
        const deadline share =
            left == 1 ? deadline() : deadline(now + (until.at() - now) / static_cast<int>(left));
        asio::awaitable<status> attempt = fresh.connect(address);
        std::string nothing;
        last = co_await with_deadline(std::move(attempt), share, std::move(nothing));
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (last.ok() || cancellation.cancelled() != asio::cancellation_type::none)
            break;
        from->book.failed(address, from->now());
    }
    if (!last.ok())
        co_return status(last.code(), prefix + last.detail());
    last = co_await fresh.begin(from->where.port, via);
    if (last.ok())
        from->book.worked(address);
    else if (last == condition::unavailable)
        from->book.failed(address, from->now());
    co_return last;
}

OBJECTCACHE_DECL asio::awaitable<result<detail::addresses>>
connection_pool::look_up(std::shared_ptr<state> from, std::string name, std::uint16_t port)
{
    for (;;) {
        detail::addresses known = from->book.order(name, from->now());
        if (!known.empty())
            co_return known;
        if (const auto asked = from->questions.find(name); asked != from->questions.end()) {
            const std::shared_ptr<state::question> other = asked->second;
            const error_code given_up = co_await other->answered.wait();
            if (given_up)
                co_return result<detail::addresses>(status(given_up));
            if (!other->failure.ok())
                co_return other->failure;
            continue; // or whoever asked was cancelled, and it is our turn
        }
        const auto mine = std::make_shared<state::question>(from->executor);
        from->questions.emplace(name, mine);
        asio::awaitable<result<detail::addresses>> asking = from->options.resolver
                                                                ? from->options.resolver(name, port)
                                                                : detail::resolve(from->executor, name, port);
        result<detail::addresses> found = co_await std::move(asking);
        if (found && found->empty())
            found = result<detail::addresses>(errc::unreachable, name + " has no address");
        if (found)
            from->book.learn(name, std::move(*found), from->now());
        else if (found.error() != condition::cancelled)
            mine->failure = found.error();
        from->questions.erase(name);
        mine->answered.set();
        if (!found)
            co_return found.error();
    }
}

OBJECTCACHE_DECL asio::awaitable<status> connection_pool::prewarm(std::string host, std::size_t n,
                                                                  deadline until)
{
    return prewarm(state_, std::move(host), n, until);
}

OBJECTCACHE_DECL asio::awaitable<status>
connection_pool::prewarm(std::shared_ptr<state> from, std::string host, std::size_t n, deadline until)
{
    if (!from->ready.ok())
        co_return from->ready;
    from->close_old();
    const auto there = static_cast<std::size_t>(std::count_if(
        from->idle.begin(), from->idle.end(), [&](const auto& c) { return c->host() == host; }));
    n = std::min(n, from->options.max_connections);
    std::vector<status> outcomes(n > there ? n - there : 0);
    task_group openings(from->executor);
    for (status& outcome : outcomes)
        openings.spawn(open_ahead(from, host, until, outcome));
    co_await openings.join();
    for (status& outcome : outcomes)
        if (!outcome.ok())
            co_return std::move(outcome);
    co_return status();
}

OBJECTCACHE_DECL asio::awaitable<void>
connection_pool::open_ahead(std::shared_ptr<state> from, std::string host, deadline until, status& out)
{
    result<byte_budget::ticket> place = co_await from->places.acquire(1, priority::store, until);
    if (!place) {
        out = place.error();
        co_return;
    }
    lease opening;
    opening.from_ = from;
    opening.place_ = std::move(*place);
    out = co_await open_new(from, std::move(host), until, opening);
    if (out.ok())
        opening.keep();
}

OBJECTCACHE_DECL void connection_pool::throttled()
{
    state_->control.throttled(state_->now());
    state_->adjust(0);
}

OBJECTCACHE_DECL std::size_t connection_pool::limit() const noexcept
{
    return static_cast<std::size_t>(state_->places.capacity());
}

OBJECTCACHE_DECL std::size_t connection_pool::idle() const noexcept
{
    return state_->idle.size();
}

OBJECTCACHE_DECL std::size_t connection_pool::in_use() const noexcept
{
    return static_cast<std::size_t>(state_->places.in_use());
}

OBJECTCACHE_DECL std::size_t connection_pool::waiting() const noexcept
{
    return state_->places.waiters();
}

OBJECTCACHE_DECL void connection_pool::close_idle() noexcept
{
    state_->idle.clear();
    state_->watch();
}

} // namespace objectcache::s3
