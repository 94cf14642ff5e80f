// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/testing/detail/s3_session.hpp>
#include <objectcache/testing/detail/s3_state.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <atomic>
#include <future>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

namespace objectcache::testing {

namespace detail {

/** The threads, and what listens. */
class s3_server_impl {
public:
    explicit s3_server_impl(s3_server_options options) : state(std::move(options)) {}
    s3_server_impl(const s3_server_impl&) = delete;
    s3_server_impl& operator=(const s3_server_impl&) = delete;
    ~s3_server_impl() { stop(); }

    [[nodiscard]] status start()
    {
        if (state.options.threads == 0)
            return {errc::invalid_argument, "s3_server: no threads"};
        if (status ready = prepare(); !ready.ok())
            return ready;
        try {
            for (unsigned i = 0; i < state.options.threads; ++i)
                workers_.push_back(std::make_unique<worker>());
            if (status bound = listen(); !bound.ok())
                return bound;
            start_coroutine(workers_.front()->context, accept());
            for (auto& w : workers_)
                w->thread = std::thread([&context = w->context, poll = state.options.poll] {
                    while (poll && !context.stopped())
                        context.poll();
                    context.run();
                });
        } catch (const boost::system::system_error& e) { // a reactor, on io_uring for one
            return {error_code(e.code()), "s3_server: a reactor"};
        } catch (const std::system_error& e) {
            return {e.code(), "s3_server: a thread"};
        }
        return {};
    }

    void close_idle_connections()
    {
        for (auto& w : workers_) {
            std::promise<void> done;
            asio::post(w->context, [&] {
                for (session_base* session : w->sessions)
                    session->close_if_idle();
                done.set_value();
            });
            done.get_future().wait();
        }
    }

    s3_state state;
    std::uint16_t port = 0;

private:
    /** A thread with a reactor of its own: connections never move between threads. */
    struct worker {
        std::set<session_base*> sessions; // outlives the context, which owns the sessions' coroutines
        asio::io_context context{1};
        asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
        std::thread thread;
    };

    [[nodiscard]] status prepare()
    {
        if (status opened = state.store.open(state.options.directory); !opened.ok())
            return opened;
        for (const std::string& bucket : state.options.buckets)
            if (status made = state.store.create_bucket(bucket); !made.ok() && made != errc::already_exists)
                return made;
        if (!state.options.tls)
            return {};
        boost::system::error_code chain, key;
        tls_.emplace(asio::ssl::context::tls_server);
        tls_->use_certificate_chain(asio::buffer(state.options.tls->certificate_pem), chain);
        tls_->use_private_key(asio::buffer(state.options.tls->private_key_pem), asio::ssl::context::pem, key);
        if (chain || key)
            return {errc::invalid_argument, "s3_server: certificate: " + (chain ? chain : key).message()};
        return {};
    }

    [[nodiscard]] status listen()
    {
        const tcp::endpoint where(asio::ip::address_v4::loopback(), state.options.port);
        boost::system::error_code ec;
        acceptor_.emplace(workers_.front()->context);
        acceptor_->open(where.protocol(), ec);
        if (!ec)
            acceptor_->set_option(tcp::acceptor::reuse_address(true), ec);
        if (!ec)
            acceptor_->bind(where, ec);
        if (!ec)
            acceptor_->listen(tcp::acceptor::max_listen_connections, ec);
        if (!ec)
            port = acceptor_->local_endpoint(ec).port();
        return ec ? status(ec, "s3_server: port " + std::to_string(state.options.port)) : status();
    }

    asio::awaitable<void> accept()
    {
        asio::steady_timer pause(workers_.front()->context);
        for (std::size_t turn = 0;; ++turn) {
            worker& to = *workers_[turn % workers_.size()];
            auto [ec, socket] = co_await acceptor_->async_accept(to.context, completion);
            if (stopping_)
                co_return;
            if (ec) {
                // Most likely out of file descriptors: until one is free, to go on would only spin.
                pause.expires_after(std::chrono::milliseconds(10));
                co_await pause.async_wait(completion);
            } else if (tls_) {
                start_coroutine(to.context,
                                serve<tls_stream>(state, to.sessions, tls_stream(std::move(socket), *tls_)));
            } else {
                start_coroutine(to.context, serve<tcp::socket>(state, to.sessions, std::move(socket)));
            }
        }
    }

    template <class Stream>
    static asio::awaitable<void> serve(s3_state& state, std::set<session_base*>& peers, Stream stream)
    {
        s3_session<Stream> session(state, peers, std::move(stream));
        co_await session.run();
    }

    // An exception here is want of memory: it costs the connection, not the server.
    static void start_coroutine(asio::io_context& context, asio::awaitable<void> body)
    {
        asio::co_spawn(context, std::move(body), [](std::exception_ptr) {});
    }

    /** Sessions end by themselves once their sockets are closed. A context must not be destroyed under them: Asio's io_uring
        backend then touches what is gone (Asio issue 1235). */
    static asio::awaitable<void> drain(worker& w)
    {
        asio::steady_timer pause(w.context);
        for (int turn = 0; !w.sessions.empty() && turn < 400; ++turn) {
            for (session_base* session : w.sessions)
                session->abort();
            pause.expires_after(std::chrono::milliseconds(turn < 8 ? 0 : 5));
            co_await pause.async_wait(completion);
        }
        w.work.reset();
        if (!w.sessions.empty()) // should not be; but a destructor must end
            w.context.stop();
    }

    void stop()
    {
        stopping_ = true;
        // The first worker accepts for all of them, so it goes first.
        for (auto& w : workers_) {
            if (!w->thread.joinable())
                continue;
            asio::post(w->context, [this, &worker = *w] {
                if (&worker == workers_.front().get()) {
                    boost::system::error_code ignored;
                    acceptor_->close(ignored);
                }
                start_coroutine(worker.context, drain(worker));
            });
            w->thread.join();
        }
        acceptor_.reset();
        workers_.clear();
    }

    std::atomic<bool> stopping_ = false;
    std::optional<asio::ssl::context> tls_;
    std::vector<std::unique_ptr<worker>> workers_;
    std::optional<tcp::acceptor> acceptor_;
};

} // namespace detail

OBJECTCACHE_DECL s3_fault s3_fault::drop(point where, std::uint64_t after)
{
    s3_fault out;
    out.what = action::drop;
    out.where = where;
    out.after = after;
    return out;
}

OBJECTCACHE_DECL s3_fault s3_fault::reset(point where, std::uint64_t after)
{
    s3_fault out = drop(where, after);
    out.what = action::reset;
    return out;
}

OBJECTCACHE_DECL s3_fault s3_fault::stall(point where, std::uint64_t after)
{
    s3_fault out = drop(where, after);
    out.what = action::stall;
    return out;
}

OBJECTCACHE_DECL s3_fault s3_fault::error(unsigned status, std::string code)
{
    s3_fault out;
    out.status = status;
    out.code = std::move(code);
    return out;
}

OBJECTCACHE_DECL s3_fault s3_fault::wrong_length(std::int64_t by)
{
    s3_fault out;
    out.length_error = by;
    return out;
}

OBJECTCACHE_DECL s3_server::s3_server(std::unique_ptr<detail::s3_server_impl> impl) noexcept
    : impl_(std::move(impl))
{}
OBJECTCACHE_DECL s3_server::s3_server(s3_server&&) noexcept = default;
OBJECTCACHE_DECL s3_server& s3_server::operator=(s3_server&&) noexcept = default;
OBJECTCACHE_DECL s3_server::~s3_server() = default;

OBJECTCACHE_DECL result<s3_server> s3_server::start(s3_server_options options)
{
    auto impl = std::make_unique<detail::s3_server_impl>(std::move(options));
    if (status started = impl->start(); !started.ok())
        return started;
    return s3_server(std::move(impl));
}

OBJECTCACHE_DECL std::uint16_t s3_server::port() const noexcept
{
    return impl_->port;
}

OBJECTCACHE_DECL std::string s3_server::endpoint_url() const
{
    return (impl_->state.options.tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port());
}

OBJECTCACHE_DECL const s3::credentials& s3_server::credentials() const noexcept
{
    return impl_->state.options.credentials;
}

OBJECTCACHE_DECL void s3_server::set_latency(duration time_to_first_byte) noexcept
{
    impl_->state.latency_ns = std::chrono::nanoseconds(time_to_first_byte).count();
}

OBJECTCACHE_DECL void s3_server::set_bandwidth(std::uint64_t down, std::uint64_t up,
                                               std::uint64_t burst_bytes)
{
    impl_->state.down.set_rate(down, burst_bytes);
    impl_->state.up.set_rate(up, burst_bytes);
}

OBJECTCACHE_DECL void s3_server::set_clock_offset(std::chrono::seconds ahead) noexcept
{
    impl_->state.clock_offset_s = ahead.count();
}

OBJECTCACHE_DECL void s3_server::set_responder(s3_responder responder)
{
    impl_->state.set_responder(std::move(responder));
}

OBJECTCACHE_DECL void s3_server::close_idle_connections()
{
    impl_->close_idle_connections();
}

OBJECTCACHE_DECL s3_server_stats s3_server::stats() const noexcept
{
    return impl_->state.stats();
}

OBJECTCACHE_DECL std::vector<s3_log_entry> s3_server::log() const
{
    return impl_->state.log();
}

OBJECTCACHE_DECL void s3_server::clear_log()
{
    impl_->state.clear_log();
}

OBJECTCACHE_DECL status s3_server::create_bucket(const std::string& bucket)
{
    return impl_->state.store.create_bucket(bucket);
}

OBJECTCACHE_DECL std::vector<s3_object> s3_server::objects() const
{
    std::vector<s3_object> out;
    detail::list_query all;
    all.max_keys = std::numeric_limits<std::size_t>::max();
    for (const auto& [bucket, created] : impl_->state.store.buckets())
        if (const auto page = impl_->state.store.list(bucket, all))
            for (const auto& [key, object] : page->objects)
                out.push_back({bucket, key, object.size, object.etag});
    return out;
}

OBJECTCACHE_DECL std::size_t s3_server::pending_uploads() const
{
    return impl_->state.uploads.size();
}

OBJECTCACHE_DECL result<std::vector<std::byte>> s3_server::read(const std::string& bucket,
                                                                const std::string& key) const
{
    const auto object = impl_->state.store.find(bucket, key);
    if (!object)
        return {errc::not_found, bucket + "/" + key};
    return detail::read_object(*object);
}

OBJECTCACHE_DECL status s3_server::put(const std::string& bucket, const std::string& key,
                                       const_byte_span bytes)
{
    if (key.empty() || key.size() > 1024)
        return {errc::invalid_argument, "not a key: " + key};
    auto upload = impl_->state.store.begin_upload(bytes.size());
    if (!upload)
        return upload.error();
    while (!bytes.empty()) {
        const byte_span to = upload->window();
        const std::size_t n = std::min(bytes.size(), to.size());
        std::copy_n(bytes.begin(), n, to.begin());
        if (status good = upload->filled(n); !good.ok())
            return good;
        bytes = bytes.subspan(n);
    }
    upload->seal();
    detail::stored_object about;
    about.modified = impl_->state.now();
    return impl_->state.store.commit(bucket, key, std::move(*upload), {}, std::move(about)).error();
}

OBJECTCACHE_DECL status s3_server::erase(const std::string& bucket, const std::string& key)
{
    return impl_->state.store.erase(bucket, key);
}

OBJECTCACHE_DECL status s3_server::corrupt(const std::string& bucket, const std::string& key,
                                           std::uint64_t offset)
{
    return impl_->state.store.modify(bucket, key, [&](std::vector<std::byte>& bytes) -> status {
        if (offset >= bytes.size())
            return {errc::invalid_argument, "corrupt: past the end of " + key};
        bytes[static_cast<std::size_t>(offset)] ^= std::byte(0xff);
        return {};
    });
}

OBJECTCACHE_DECL status s3_server::truncate(const std::string& bucket, const std::string& key,
                                            std::uint64_t size)
{
    return impl_->state.store.modify(bucket, key, [&](std::vector<std::byte>& bytes) -> status {
        if (size > bytes.size())
            return {errc::invalid_argument, "truncate: past the end of " + key};
        bytes.resize(static_cast<std::size_t>(size));
        return {};
    });
}

} // namespace objectcache::testing
