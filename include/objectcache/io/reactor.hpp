// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <thread>

namespace objectcache {

namespace asio = boost::asio;

/** What waits for sockets in this program: a choice of the build (`objectcache::uring`), the same for all of it. */
[[nodiscard]] constexpr const char* reactor_backend() noexcept
{
#if defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT)
    return "io_uring";
#else
    return "epoll";
#endif
}

/** An `io_context` with a thread of its own, for hosts that do not run one.

    The destructor stops the context and joins the thread; operations that were under way are destroyed, not completed.
    End them first (`cache::close`) to give every buffer back in order. */
class reactor_thread {
public:
    reactor_thread() : work_(context_.get_executor()), thread_([this] { context_.run(); }) {}
    ~reactor_thread() { stop(); }

    /** Stop the context and wait for the thread's end: from then on nothing runs there, and what lives there may be
        destroyed anywhere. Blocks for the handler that is running. Not on the thread itself. */
    void stop()
    {
        context_.stop();
        if (thread_.joinable())
            thread_.join();
    }

    [[nodiscard]] asio::io_context::executor_type get_executor() noexcept { return context_.get_executor(); }
    [[nodiscard]] asio::io_context& context() noexcept { return context_; }

private:
    asio::io_context context_{1}; // one thread runs it: handlers need no locks
    asio::executor_work_guard<asio::io_context::executor_type> work_;
    std::thread thread_;
};

} // namespace objectcache
