// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/with_deadline.hpp>
#include <objectcache/s3/connection_pool.hpp>
#include <objectcache/s3/detail/connection.hpp>

#include <deque>
#include <utility>

namespace objectcache::s3 {

struct connection_pool::state {
    state(asio::any_io_executor ex, endpoint to, connection_options how)
        : executor(std::move(ex))
        , where(std::move(to))
        , options(std::move(how))
        , places(executor, options.max_connections)
    {
        if (where.tls)
            ready = make_tls();
    }

    [[nodiscard]] status make_tls()
    {
        boost::system::error_code ec;
        SSL_CTX_set_min_proto_version(tls.emplace(asio::ssl::context::tls_client).native_handle(),
                                      TLS1_2_VERSION);
        tls->set_verify_mode(asio::ssl::verify_peer, ec);
        if (!ec && options.ca_file.empty())
            tls->set_default_verify_paths(ec);
        else if (!ec)
            tls->load_verify_file(options.ca_file, ec);
        return ec ? status(errc::invalid_argument, "CA file '" + options.ca_file + "': " + ec.message())
                  : status();
    }

    [[nodiscard]] time_point now() const { return clock::of(executor).now(); }

    /** The youngest idle connection to `host` that still looks alive. */
    [[nodiscard]] std::unique_ptr<detail::connection> take_idle(const std::string& host)
    {
        const time_point oldest = now() - options.max_idle;
        std::erase_if(idle, [&](const auto& c) { return c->idle_since < oldest; });
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

    asio::any_io_executor executor;
    endpoint where;
    connection_options options;
    byte_budget places; // one per lease
    std::optional<asio::ssl::context> tls;
    status ready;                                         // why there is no TLS, if there is none
    std::deque<std::unique_ptr<detail::connection>> idle; // the most recently used last
};

OBJECTCACHE_DECL connection_pool::lease::lease() noexcept = default;
OBJECTCACHE_DECL connection_pool::lease::lease(lease&& other) noexcept = default;
OBJECTCACHE_DECL connection_pool::lease::~lease()
{
    give_back();
}

OBJECTCACHE_DECL asio::awaitable<void> connection_pool::lease::run(transfer& t)
{
    return connection_->run(t);
}

OBJECTCACHE_DECL byte_span connection_pool::lease::scratch() const noexcept
{
    return connection_->scratch();
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
    }
    return *this;
}

OBJECTCACHE_DECL void connection_pool::lease::give_back() noexcept
{
    if (connection_ && std::exchange(keep_, false)) {
        connection_->used = true;
        connection_->idle_since = from_->now();
        from_->idle.push_back(std::move(connection_));
    }
    connection_.reset();
    place_.release(); // only now: whoever is next in line finds the idle connection
    from_.reset();
}

OBJECTCACHE_DECL connection_pool::connection_pool(asio::any_io_executor executor, endpoint where,
                                                  connection_options options)
    : state_(std::make_shared<state>(std::move(executor), std::move(where), std::move(options)))
{}

OBJECTCACHE_DECL asio::awaitable<result<connection_pool::lease>>
connection_pool::acquire(std::string host, priority who, deadline until, bool fresh)
{
    return acquire(state_, std::move(host), who, until, fresh);
}

OBJECTCACHE_DECL asio::awaitable<result<connection_pool::lease>>
connection_pool::acquire(std::shared_ptr<state> from, std::string host, priority who, deadline until,
                         bool fresh)
{
    if (!from->ready.ok())
        co_return from->ready;
    result<byte_budget::ticket> place = co_await from->places.acquire(1, who, until);
    if (!place)
        co_return place.error();
    lease out;
    out.from_ = from;
    out.place_ = std::move(*place);
    if (fresh)
        std::erase_if(from->idle, [&](const auto& c) { return c->host() == host; });
    else
        out.connection_ = from->take_idle(host);
    if (out.connection_)
        co_return out;

    // Idle connections to other hosts make way: what is open stays within the bound.
    while (!from->idle.empty() && from->idle.size() + from->places.in_use() > from->options.max_connections)
        from->idle.pop_front();
    out.connection_ = std::make_unique<detail::connection>(from->executor, std::move(host),
                                                           from->tls ? &*from->tls : nullptr);
    const deadline limit = deadline(from->now() + from->options.connect_timeout).nearer(until);
    asio::awaitable<status> work = open(*out.connection_, from->where.port);
    std::string nothing;
    status opened = co_await with_deadline(std::move(work), limit, std::move(nothing));
    if (opened == errc::deadline_exceeded && !until.passed(from->now()))
        opened = status(errc::unreachable, "no connection within the connect timeout");
    if (!opened.ok())
        co_return opened;
    co_return out;
}

OBJECTCACHE_DECL asio::awaitable<status> connection_pool::open(detail::connection& fresh, std::uint16_t port)
{
    co_await detail::fully_cancellable();
    co_return co_await fresh.open(port);
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
}

} // namespace objectcache::s3
