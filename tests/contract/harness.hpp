// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/testing/gated_device.hpp>
#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <doctest/doctest.h>
#include <support/kv_fixture.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

/** What every awaitable of the library promises, as a driver that knows nothing of the operation it drives. */
namespace contract {

namespace oc = objectcache;
namespace asio = boost::asio;

using strand = asio::strand<asio::io_context::executor_type>;

/** A context on which nothing happens but by steps, with a clock that stands still; and the device, which outlives it as
    hosts must see to. */
struct environment {
    environment()
        : io(std::make_unique<asio::io_context>(1))
        , time(asio::make_service<oc::testing::manual_clock>(*io))
        , away(asio::make_strand(*io))
    {}
    environment(const environment&) = delete;
    environment& operator=(const environment&) = delete;

    /** The context goes, with whatever is in flight on it. */
    void destroy_context()
    {
        away.reset();
        io.reset();
    }

    [[nodiscard]] asio::any_io_executor executor() { return io->get_executor(); }

    /** Run one handler that is ready; false when there is none. */
    bool step()
    {
        io->restart();
        return io->poll_one() != 0;
    }
    /** Run what is ready. A scheduler that looks for an event always is: hence the bound. */
    void settle()
    {
        for (int i = 0; i < 300 && step(); ++i) {
        }
    }
    /** Wait for the kernel too; gives up when nothing happens for long. */
    bool run_until(const std::function<bool()>& done) { return oc::testing::run_until(*io, done); }
    /** Run a coroutine of the test itself to its end. */
    void run(asio::awaitable<void> body)
    {
        std::optional<std::exception_ptr> ended;
        asio::co_spawn(*io, std::move(body), [&](std::exception_ptr failure) { ended = failure; });
        REQUIRE(run_until([&] { return ended.has_value(); }));
        if (*ended)
            std::rethrow_exception(*ended);
    }

    oc::testing::gated_device device;
    std::deque<kv_fixture::memory> memory;  // of the engine
    std::deque<std::shared_ptr<void>> kept; // whatever else of the host outlives the context
    std::unique_ptr<asio::io_context> io;
    oc::testing::manual_clock& time;
    std::optional<strand> away; // what is awaited here must end here, not on the operation's executor
};

/** How and where an operation ended. */
struct outcome {
    std::optional<oc::status> ended;
    int times = 0;
    bool where_it_should = true;

    void arrive(oc::status how, const environment& env)
    {
        ended = std::move(how);
        ++times;
        where_it_should = where_it_should && env.away->running_in_this_thread();
    }
};

inline oc::status status_of(oc::error_code ec)
{
    return {ec};
}
inline oc::status status_of(oc::status s)
{
    return s;
}
template <class T>
oc::status status_of(const oc::result<T>& r)
{
    return r.error();
}
template <class T>
    requires requires(const T& t)
    {
        t.failed;
    }
oc::status status_of(const T& report)
{
    return report.failed;
}
template <class T>
    requires requires(const T& t)
    {
        t.ended_by;
    }
oc::status status_of(const T& match)
{
    return match.ended_by;
}

/** A completion handler as a caller without coroutines has one, with an executor and a cancellation slot of its own. */
struct callback {
    using executor_type = strand;
    using cancellation_slot_type = asio::cancellation_slot;

    environment* env;
    outcome* out;
    asio::cancellation_slot slot;

    [[nodiscard]] executor_type get_executor() const noexcept { return *env->away; }
    [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept { return slot; }

    template <class T>
    void operator()(const T& value) const
    {
        out->arrive(status_of(value), *env);
    }
};

/** One operation of the library, in a world where it has to wait until it is let go. */
struct subject {
    explicit subject(environment& e) : env(e) {}
    subject(const subject&) = delete;
    subject& operator=(const subject&) = delete;
    virtual ~subject() = default;

    /** Await it. */
    virtual asio::awaitable<oc::status> run() = 0;
    /** Start it with a completion handler; false for what only coroutines can await. */
    virtual bool initiate(callback) { return false; }
    /** What it waits for happens. */
    virtual void let_go() {}
    /** Does it wait for more than what is stepped? Then a step waits for the kernel. */
    [[nodiscard]] virtual bool asks_the_kernel() const { return false; }
    /** Does it complete without being let go? */
    [[nodiscard]] virtual bool by_itself() const { return false; }
    /** Does a cancellation end it, without being let go? */
    [[nodiscard]] virtual bool cancellable() const { return true; }
    /** What it completes with then; nothing: success. */
    [[nodiscard]] virtual std::optional<oc::condition> cancelled_as() const
    {
        return oc::condition::cancelled;
    }
    /** Does a coroutine reach it only through an operation that Asio starts, deaf to what came before? */
    [[nodiscard]] virtual bool initiate_only() const { return false; }
    /** What must hold after it has ended, however. */
    virtual void check_ended() {}

    environment& env;
};

struct entry {
    std::string name;
    std::function<std::unique_ptr<subject>(environment&)> make;
};

enum class style {
    coroutine,
    callback, ///< started on the executor, where it is most tempted to complete inside the initiating call
    outside   ///< started elsewhere: a cancellation may be there before the operation
};

/** A subject with the operation under way, or about to be. */
class trial {
public:
    explicit trial(const entry& e) : it(e.make(env)) {}
    trial(const trial&) = delete;
    trial& operator=(const trial&) = delete;
    /** Destroys what is in flight as a host would: its own objects first, then the context, last the device. */
    ~trial()
    {
        it.reset();
        signal.slot().clear(); // holds an executor
        env.destroy_context();
        CHECK(env.device.staging_allocated() == 0);
        CHECK_FALSE(env.device.any_gate_closed());
    }

    /** False when the subject has no such style. */
    bool start(style how, std::optional<asio::cancellation_type> cancelled_before = {})
    {
        if (how == style::coroutine) {
            asio::co_spawn(*env.away, awaiting(*this, cancelled_before),
                           asio::bind_cancellation_slot(signal.slot(), [this](std::exception_ptr failure) {
                               threw = threw || failure != nullptr;
                           }));
            return true;
        }
        bool supported = false;
        if (how == style::outside) {
            if (cancelled_before)
                asio::post(*env.io, [this, kind = *cancelled_before] { signal.emit(kind); });
            supported = it->initiate({&env, &out, signal.slot()});
            CHECK(out.times == 0);
            return supported;
        }
        asio::post(*env.away, [&] {
            supported = it->initiate({&env, &out, signal.slot()});
            CHECK(out.times == 0);
            if (supported && cancelled_before)
                signal.emit(*cancelled_before);
            CHECK(out.times == 0);
        });
        env.step();
        return supported;
    }

    /** Run `n` handlers, or fewer if it ends before or nothing more happens; says whether there may be more. */
    bool run_steps(int n)
    {
        int done = 0;
        if (it->asks_the_kernel())
            (void)env.run_until([&] { return out.times != 0 || done++ == n; });
        else
            while (done++ < n && out.times == 0 && env.step()) {
            }
        return out.times == 0 && done > n;
    }
    bool run_to_end()
    {
        return env.run_until([&] { return out.ended.has_value(); });
    }
    void check_ended(bool may_be_cancelled)
    {
        env.settle();
        CHECK(out.times == 1);
        CHECK(out.where_it_should);
        CHECK_FALSE(threw);
        if (!out.ended->ok()) {
            CAPTURE(out.ended->message());
            CHECK(may_be_cancelled);
            CHECK(it->cancelled_as());
            CHECK(*out.ended == it->cancelled_as().value_or(oc::condition::invalid));
        }
        it->check_ended();
    }

    environment env;
    std::unique_ptr<subject> it;
    asio::cancellation_signal signal;
    outcome out;
    bool threw = false;

private:
    static asio::awaitable<void> awaiting(trial& self,
                                          std::optional<asio::cancellation_type> cancelled_before)
    {
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        co_await asio::this_coro::throw_if_cancelled(false);
        if (cancelled_before)
            self.signal.emit(*cancelled_before);
        oc::status ended = co_await self.it->run();
        self.out.arrive(std::move(ended), self.env);
    }
};

} // namespace contract
