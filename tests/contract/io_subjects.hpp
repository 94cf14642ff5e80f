// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <contract/harness.hpp>

#include <objectcache/device/staging_pool.hpp>
#include <objectcache/io/byte_budget.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/fair_queue.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/io/run_on.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/io/with_deadline.hpp>
#include <objectcache/pipeline/event_scheduler.hpp>

#include <boost/asio/use_awaitable.hpp>

#include <vector>

/** The operations of io/, device/ and of the event scheduler, as subjects of the contract. */
namespace contract {

using namespace std::chrono_literals;

struct timer_wait : subject {
    explicit timer_wait(environment& e) : subject(e), t(e.executor()) { t.expires_at(t.now() + 1h); }
    asio::awaitable<oc::status> run() override
    {
        const bool came = co_await t.wait();
        co_return came ? oc::status() : oc::status(oc::errc::cancelled);
    }
    void let_go() override { env.time.advance(1h); }
    oc::timer t;
};

struct latch_async_wait : subject {
    explicit latch_async_wait(environment& e) : subject(e), door(e.executor()) {}
    asio::awaitable<oc::status> run() override
    {
        const oc::error_code ec = co_await door.wait();
        co_return ec;
    }
    bool initiate(callback done) override
    {
        door.async_wait(std::move(done));
        return true;
    }
    void let_go() override { door.set(); }
    oc::latch door;
};

struct fair_queue_wait : subject {
    explicit fair_queue_wait(environment& e)
        : subject(e)
        , line(std::make_shared<oc::fair_queue>(e.executor()))
    {}
    asio::awaitable<oc::status> run() override
    {
        std::function<bool()> take = [this] { return open; };
        const oc::error_code ec =
            co_await line->wait(oc::priority::store, oc::deadline::never(), std::move(take));
        co_return ec;
    }
    void let_go() override
    {
        open = true;
        line->serve();
    }
    void check_ended() override { CHECK(line->waiters() == 0); }
    bool open = false;
    std::shared_ptr<oc::fair_queue> line;
};

/** Waiting for a share of something that somebody else holds all of. */
template <class Bounded, class Share>
struct acquire_subject : subject {
    acquire_subject(environment& e, Bounded b) : subject(e), bounded(std::move(b))
    {
        env.run(hold(bounded, all));
    }
    static asio::awaitable<void> hold(Bounded& from, Share& into)
    {
        auto got = co_await from.acquire(4096, oc::priority::load, oc::deadline::never());
        REQUIRE(got.ok());
        into = std::move(*got);
    }
    asio::awaitable<oc::status> run() override
    {
        auto got = co_await bounded.acquire(4096, oc::priority::load, oc::deadline::never());
        co_return got.error();
    }
    void let_go() override { all.release(); }
    void check_ended() override
    {
        all.release();
        CHECK(bounded.in_use() == 0);
    }
    Bounded bounded;
    Share all;
};

struct budget_acquire : acquire_subject<oc::byte_budget, oc::byte_budget::ticket> {
    explicit budget_acquire(environment& e) : acquire_subject(e, oc::byte_budget(e.executor(), 4096)) {}
};

using staging = oc::staging_pool<oc::testing::gated_device>;

struct staging_acquire : acquire_subject<staging, staging::lease> {
    explicit staging_acquire(environment& e)
        : acquire_subject(e, std::move(*staging::create(e.executor(), e.device, 4096)))
    {}
};

struct under_deadline : subject {
    explicit under_deadline(environment& e) : subject(e), door(e.executor()) {}
    asio::awaitable<oc::status> run() override
    {
        asio::awaitable<oc::status> work = behind(*this);
        std::string what = "work";
        oc::status s =
            co_await oc::with_deadline(std::move(work), oc::deadline(env.time.now() + 1h), std::move(what));
        co_return s;
    }
    static asio::awaitable<oc::status> behind(under_deadline& self)
    {
        ++self.working;
        const oc::error_code ec = co_await self.door.wait();
        --self.working;
        co_return ec;
    }
    void let_go() override { door.set(); }
    void check_ended() override
    {
        CHECK(working == 0);
        CHECK(env.time.pending() == 0);
    }
    oc::latch door;
    int working = 0;
};

/** Elsewhere, but on the same context, so that it moves by steps. */
struct run_elsewhere : subject {
    explicit run_elsewhere(environment& e) : subject(e), there(asio::make_strand(*e.io)), door(there) {}
    asio::awaitable<oc::status> run() override
    {
        auto work = [this] { return behind(*this); };
        oc::status s = co_await oc::run_on<oc::status>(there, std::move(work));
        co_return s;
    }
    static asio::awaitable<oc::status> behind(run_elsewhere& self)
    {
        CHECK(self.there.running_in_this_thread());
        ++self.working;
        const oc::error_code ec = co_await self.door.wait();
        --self.working;
        co_return ec;
    }
    void let_go() override { door.set(); }
    void check_ended() override { CHECK(working == 0); }
    strand there;
    oc::latch door;
    int working = 0;
};

struct group_join : subject {
    explicit group_join(environment& e) : subject(e), door(e.executor()), group(e.executor())
    {
        for (int i = 0; i < 3; ++i)
            group.spawn(child(*this));
    }
    static asio::awaitable<void> child(group_join& self)
    {
        (void)co_await self.door.wait();
        ++self.ended;
    }
    asio::awaitable<oc::status> run() override
    {
        co_await group.join();
        co_return ended == 3 ? oc::status() : oc::status(oc::errc::invalid_argument, "a child is left");
    }
    void let_go() override { door.set(); }
    [[nodiscard]] std::optional<oc::condition> cancelled_as() const override { return std::nullopt; }
    void check_ended() override { CHECK(group.size() == 0); }
    oc::latch door;
    oc::task_group group;
    int ended = 0;
};

struct event_wait : subject {
    explicit event_wait(environment& e)
        : subject(e)
        , scheduler(e.executor(), e.device)
        , event(e.device.make_event())
    {}
    asio::awaitable<oc::status> run() override
    {
        const oc::error_code ec = co_await scheduler.wait(event, oc::event_kind::compute);
        co_return ec;
    }
    void let_go() override { env.device.reach(event); }
    void check_ended() override { CHECK(scheduler.waiting() == 0); }
    oc::event_scheduler<oc::testing::gated_device> scheduler;
    oc::testing::gated_device::event event;
};

template <class Subject>
entry of(std::string name)
{
    return {std::move(name), [](environment& e) { return std::make_unique<Subject>(e); }};
}

inline std::vector<entry> io_entries()
{
    return {of<timer_wait>("timer::wait"),
            of<latch_async_wait>("latch::async_wait"),
            of<fair_queue_wait>("fair_queue::wait"),
            of<budget_acquire>("byte_budget::acquire"),
            of<staging_acquire>("staging_pool::acquire"),
            of<under_deadline>("with_deadline"),
            of<run_elsewhere>("run_on"),
            of<group_join>("task_group::join"),
            of<event_wait>("event_scheduler::wait")};
}

} // namespace contract
