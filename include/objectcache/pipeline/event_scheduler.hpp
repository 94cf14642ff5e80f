// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/device.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/pipeline/wait_predictor.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <utility>

namespace objectcache {

/** What an event marks the end of; each kind has its own prediction. */
enum class event_kind { load_copy, store_copy, compute };

/** Whether somebody stands still until an event is seen, or it only says that memory can be used again. */
enum class event_haste { at_once, at_leisure };

/** Turns device events into something a coroutine awaits, without a host function in the device's way and without a
    thread of its own: the reactor looks at the pending events when `wait_predictor` says that one should be there.

    A stream does one thing after the other, and an engine may enqueue all layers at once. So an event is expected so long after it
    was recorded, or after another of its kind was reached, whichever was later.

    Events at leisure are looked at whenever another one is, and every `leisure` otherwise; nothing is learnt from them.

    @par Lifetime Destroying it ends every wait with `condition::cancelled`. The device must outlive it.
    @par Threads Not safe: the thread, or strand, of its executor.
    @par Cost One query per look; at most one timer is armed however many events wait. */
template <device Device>
class event_scheduler {
public:
    using event = typename Device::event;
    /** How late an event that nobody stands still for may be seen. */
    static constexpr duration leisure = std::chrono::microseconds(500);

    event_scheduler(asio::any_io_executor executor, Device& owner)
        : state_(std::make_shared<state>(std::move(executor), owner))
    {}
    event_scheduler(event_scheduler&&) = default;
    ~event_scheduler()
    {
        if (state_)
            state_->shut_down();
    }

    /** Wait until the device has reached `what`.

        @par Completion Success when the device was seen past the event.
        @par Resumes On the awaiting coroutine's executor.
        @par Cancellation Terminal, partial and total; ends the waiting, not the work before the event: who holds
             memory that the device may touch must not let itself be cancelled here (law 2).
        @par Errors `condition::device` when the device failed, `condition::cancelled`. */
    [[nodiscard]] asio::awaitable<error_code> wait(event what, event_kind kind,
                                                   event_haste haste = event_haste::at_once)
    {
        auto shared = state_;
        if (const event_state now = shared->owner.query(what); now != event_state::pending)
            co_return now == event_state::done ? error_code() : make_error_code(errc::device_failed);
        auto mine =
            std::make_shared<pending>(shared->executor, std::move(what), kind, haste, shared->alarm.now());
        shared->waiting.push_back(mine);
        shared->look_again();
        if (error_code ec = co_await mine->reached.wait()) {
            shared->waiting.remove(mine); // nobody looks for it any more
            co_return ec;
        }
        co_return mine->outcome;
    }

    /** From now on somebody stands still for the events of this kind that are waited for. */
    void hurry(event_kind kind) noexcept
    {
        bool any = false;
        for (const auto& p : state_->waiting)
            if (p->kind == kind && std::exchange(p->haste, event_haste::at_once) == event_haste::at_leisure)
                any = true;
        try {
            if (any)
                state_->look_again();
        } catch (...) { // no memory: they are seen at leisure
        }
    }

    /** Events that are being waited for. */
    [[nodiscard]] std::size_t waiting() const noexcept { return state_->waiting.size(); }
    [[nodiscard]] const wait_predictor& predictor(event_kind kind) const noexcept
    {
        return state_->predictors[static_cast<std::size_t>(kind)];
    }

private:
    struct pending {
        pending(const asio::any_io_executor& ex, event e, event_kind k, event_haste h, time_point at)
            : reached(ex)
            , what(std::move(e))
            , kind(k)
            , haste(h)
            , teaches(h == event_haste::at_once)
            , since(at)
        {}
        latch reached;
        event what;
        event_kind kind;
        event_haste haste;
        const bool teaches; // who is hurried later may have been reached long ago
        time_point since;
        error_code outcome;
    };

    struct state : std::enable_shared_from_this<state> {
        state(asio::any_io_executor ex, Device& d) : executor(ex), owner(d), alarm(ex) {}

        asio::any_io_executor executor;
        Device& owner;
        timer alarm;
        std::list<std::shared_ptr<pending>> waiting;
        std::array<wait_predictor, 3> predictors;
        std::array<time_point, 3> reached{}; // of each kind, when the last one was
        std::uint64_t turns = 0;
        bool posted = false;
        bool stopped = false;

        [[nodiscard]] wait_predictor& predictor(event_kind kind) noexcept
        {
            return predictors[static_cast<std::size_t>(kind)];
        }

        void look_again()
        {
            if (posted)
                return;
            asio::post(executor, [self = this->shared_from_this()] {
                self->posted = false;
                self->look();
            });
            posted = true; // not if that threw
        }

        void look()
        {
            if (stopped)
                return;
            const time_point now = alarm.now();
            duration pause = duration::max();
            for (auto it = waiting.begin(); it != waiting.end();) {
                pending& p = **it;
                const event_state seen = owner.query(p.what);
                time_point& before = reached[static_cast<std::size_t>(p.kind)];
                const duration elapsed = now - std::max(p.since, before);
                if (seen == event_state::pending) {
                    pause =
                        std::min(pause, p.haste == event_haste::at_once ? predictor(p.kind).next_look(elapsed)
                                                                        : leisure);
                    ++it;
                    continue;
                }
                if (seen != event_state::done)
                    p.outcome = make_error_code(errc::device_failed);
                else if (p.teaches)
                    predictor(p.kind).observe(elapsed), before = now;
                p.reached.set();
                it = waiting.erase(it);
            }
            if (waiting.empty())
                return;
            if (pause == duration::zero())
                return look_again();
            alarm.expires_at(now + pause);
            alarm.native().async_wait(
                [self = this->shared_from_this(), turn = ++turns, at = now + pause](auto) {
                    if (turn != self->turns)
                        return; // it was rearmed, and the later wait looks
                    if (const time_point then = self->alarm.now(); then >= at) // else it was cancelled
                        for (wait_predictor& p : self->predictors)
                            p.woke(then - at);
                    self->look_again();
                });
        }

        void shut_down()
        {
            stopped = true;
            alarm.cancel();
            for (auto& p : waiting) {
                p->outcome = make_error_code(errc::shut_down);
                p->reached.set();
            }
            waiting.clear();
        }
    };

    std::shared_ptr<state> state_;
};

} // namespace objectcache
