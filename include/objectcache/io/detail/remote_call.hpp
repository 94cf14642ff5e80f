// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/io/operation.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/this_coro.hpp>

#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace objectcache::detail {

/** Who waits in a context for what runs elsewhere: an Asio service, so that they are destroyed with the context, as those
    are who wait for operations of Asio.

    @par Threads Any. */
class remote_calls final : public asio::execution_context::service {
public:
    inline static asio::execution_context::id id; // how Asio finds a service; no state of ours

    class waiting {
    public:
        waiting(const waiting&) = delete;
        waiting& operator=(const waiting&) = delete;
        virtual ~waiting() = default;
        /** The context goes: forget whoever waits. */
        virtual void abandon() noexcept = 0;

    protected:
        waiting() = default;

    private:
        friend class remote_calls;
        std::shared_ptr<waiting> self_; // while it is in the list
        waiting* before_ = nullptr;
        waiting* after_ = nullptr;
    };

    explicit remote_calls(asio::execution_context& context) : service(context) {}

    void add(std::shared_ptr<waiting> w)
    {
        const std::lock_guard hold(lock_);
        waiting& it = *w;
        it.self_ = std::move(w);
        it.after_ = first_;
        if (first_)
            first_->before_ = &it;
        first_ = &it;
    }
    void remove(waiting& w)
    {
        const std::lock_guard hold(lock_);
        (void)take(w);
    }

private:
    [[nodiscard]] std::shared_ptr<waiting> take(waiting& w) noexcept
    {
        if (w.self_) {
            (w.before_ ? w.before_->after_ : first_) = w.after_;
            if (w.after_)
                w.after_->before_ = w.before_;
        }
        return std::move(w.self_);
    }
    void shutdown() noexcept override
    {
        for (;;) {
            std::shared_ptr<waiting> next;
            {
                const std::lock_guard hold(lock_);
                if (!first_)
                    return;
                next = take(*first_);
            }
            next->abandon();
        }
    }

    std::mutex lock_;
    waiting* first_ = nullptr;
};

/** A coroutine that runs on another executor, and the handler that waits for it here.

    Asio's own `co_spawn` does not do it: up to Boost 1.81 at least it hands a cancellation over to the coroutine on the
    thread that asks for it, or by a pointer to what may be gone; and whoever waits is destroyed on the other thread. */
template <class T, class Handler>
class remote_call final : public remote_calls::waiting,
                          public std::enable_shared_from_this<remote_call<T, Handler>> {
public:
    remote_call(asio::any_io_executor there, Handler handler)
        : there_(std::move(there))
        , handler_(std::move(handler))
        , here_(asio::prefer(asio::get_associated_executor(*handler_, there_),
                             asio::execution::outstanding_work.tracked))
        , calls_(asio::use_service<remote_calls>(asio::query(*here_, asio::execution::context)))
    {}

    template <class Make>
    void start(Make make)
    {
        auto self = this->shared_from_this();
        if (auto slot = asio::get_associated_cancellation_slot(*handler_); slot.is_connected())
            slot.assign([self](asio::cancellation_type) { self->cancel(); });
        calls_.add(self);
        asio::co_spawn(there_, run(self, std::move(make)),
                       asio::bind_cancellation_slot(wish_.slot(), answer{self}));
    }

    void abandon() noexcept override
    {
        std::optional<Handler> nobody; // destroyed without the lock: that runs what others wrote
        const std::lock_guard hold(lock_);
        over_ = true;
        if (handler_)
            nobody.emplace(std::move(*handler_));
        handler_.reset();
        here_.reset();
    }

private:
    /** Tells whoever waits, also where the coroutine is destroyed before its end. */
    class answer {
    public:
        explicit answer(std::shared_ptr<remote_call> to) : to_(std::move(to)) {}
        answer(answer&&) noexcept = default;
        answer& operator=(answer&&) = delete;
        ~answer()
        {
            if (to_)
                to_->finish(errc::shut_down);
        }
        void operator()(std::exception_ptr) // the one thing that throws: out of memory
        {
            std::exchange(to_, nullptr)->finish(errc::exhausted);
        }

    private:
        std::shared_ptr<remote_call> to_;
    };

    // The factory is a parameter of the coroutine, so that its captures live in the frame.
    template <class Make>
    static asio::awaitable<void> run(std::shared_ptr<remote_call> self, Make make)
    {
        co_await without_exceptions();
        self->wish_.begin();
        T value = co_await make();
        self->value_.emplace(std::move(value));
    }

    /** There, at the end. The lock orders it with the end of the context here: one that is gone is not posted to. */
    void finish(errc otherwise)
    {
        if (!value_)
            value_.emplace(failed_operation<T>(otherwise));
        const std::lock_guard hold(lock_);
        if (std::exchange(over_, true))
            return;
        asio::post(*here_, [self = this->shared_from_this()] { self->deliver(); });
    }
    /** Here. */
    void deliver()
    {
        calls_.remove(*this);
        const auto until_it_has_run = std::exchange(here_, std::nullopt);
        Handler handler(std::move(*handler_));
        handler_.reset();
        std::move(handler)(std::move(*value_));
    }
    /** Here; what is over there may be gone once it is over. */
    void cancel()
    {
        const std::lock_guard hold(lock_);
        if (!over_)
            asio::post(there_, [self = this->shared_from_this()] { self->wish_.request(); });
    }

    using work = std::decay_t<decltype(asio::prefer(
        asio::get_associated_executor(std::declval<const Handler&>(),
                                      std::declval<const asio::any_io_executor&>()),
        asio::execution::outstanding_work.tracked))>;

    asio::any_io_executor there_;
    std::optional<Handler> handler_;
    std::optional<work> here_;
    remote_calls& calls_;
    cancel_relay wish_;      // there only,
    std::optional<T> value_; // and then here
    std::mutex lock_;
    bool over_ = false; // the coroutine has ended, or nobody waits
};

} // namespace objectcache::detail
