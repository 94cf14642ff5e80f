// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace objectcache {

namespace asio = boost::asio;

/** A point in a `host_stream`, as a CUDA event is in a CUDA stream. A default constructed one is done.

    @par Threads Any thread may query and wait. */
class host_event {
public:
    host_event() = default;

    [[nodiscard]] bool done() const noexcept
    {
        return !reached_ || reached_->load(std::memory_order_acquire) != 0;
    }

    /** Block the calling thread until the event is reached. */
    void wait() const noexcept
    {
        if (reached_)
            reached_->wait(0, std::memory_order_acquire);
    }

private:
    friend class host_stream;
    std::shared_ptr<std::atomic<std::uint32_t>> reached_;
};

/** A thread that executes enqueued work in order: what a CUDA stream is to a GPU, on the CPU, so that overlap of copies
    and compute is real. The host engine makes one for its compute; `host_device` has two for its copies.

    Work must not throw, as a kernel cannot.

    @par Threads `enqueue`, `record` and `wait` from one thread at a time; order is the order of the calls. */
class host_stream {
public:
    host_stream() = default;
    /** Runs what is enqueued, then ends the thread. A wait for an event that is never reached would block here. */
    ~host_stream() { pool_.join(); }

    template <std::invocable F>
    void enqueue(F work)
    {
        asio::post(pool_, std::move(work));
    }

    /** An event behind everything enqueued so far. */
    [[nodiscard]] host_event record()
    {
        host_event event;
        event.reached_ = std::make_shared<std::atomic<std::uint32_t>>(0);
        enqueue([flag = event.reached_] {
            flag->store(1, std::memory_order_release);
            flag->notify_all();
        });
        return event;
    }

    /** Let what is enqueued later start only after `event` of another stream. */
    void wait(host_event event)
    {
        enqueue([event = std::move(event)] { event.wait(); });
    }

    /** Block the calling thread until everything enqueued so far is done. */
    void synchronize() { record().wait(); }

private:
    asio::thread_pool pool_{1};
};

} // namespace objectcache
