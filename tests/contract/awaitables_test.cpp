// SPDX-License-Identifier: BSL-1.0
#include <contract/cache_subjects.hpp>
#include <contract/s3_subjects.hpp>

#include <array>

namespace contract {

namespace {

std::vector<entry> every_operation()
{
    std::vector<entry> all = io_entries();
    for (auto& more : {tier_entries(), cache_entries(), s3_entries()})
        all.insert(all.end(), more.begin(), more.end());
    return all;
}

constexpr std::array styles = {style::coroutine, style::callback, style::outside};
constexpr std::array kinds = {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                              asio::cancellation_type::total};

} // namespace

TEST_CASE("every awaitable completes once, when it is let go, where its caller runs")
{
    for (const entry& e : every_operation())
        for (const style how : styles) {
            CAPTURE(e.name);
            CAPTURE(static_cast<int>(how));
            trial t(e);
            if (!t.start(how))
                continue;
            t.env.settle();
            if (!t.it->by_itself()) {
                CHECK(t.out.times == 0);
                t.it->let_go();
            }
            REQUIRE(t.run_to_end());
            t.check_ended(false);
        }
}

TEST_CASE("every awaitable can be cancelled before it begins")
{
    for (const entry& e : every_operation())
        for (const style how : styles)
            for (const auto kind : kinds) {
                CAPTURE(e.name);
                CAPTURE(static_cast<int>(how));
                CAPTURE(static_cast<int>(kind));
                trial t(e);
                // Asio does not tell an operation of a cancellation that came before it; what coroutines await directly
                // must ask. Operations that take tokens learn of those that come later, however early.
                if (how == style::coroutine && t.it->initiate_only())
                    continue;
                if (!t.start(how, kind))
                    continue;
                if (!t.it->cancellable()) {
                    t.env.settle();
                    t.it->let_go();
                }
                REQUIRE(t.run_to_end());
                t.check_ended(true);
            }
}

TEST_CASE("every awaitable can be cancelled while it waits")
{
    for (const entry& e : every_operation())
        for (const style how : styles)
            for (const auto kind : kinds) {
                CAPTURE(e.name);
                CAPTURE(static_cast<int>(how));
                CAPTURE(static_cast<int>(kind));
                trial t(e);
                if (!t.start(how))
                    continue;
                t.env.settle();
                CHECK((t.it->by_itself() || t.out.times == 0));
                t.signal.emit(kind);
                if (!t.it->cancellable()) {
                    t.env.settle();
                    CHECK(t.out.times == 0); // it waits for ownership, not for progress
                    t.it->let_go();
                }
                REQUIRE(t.run_to_end());
                t.check_ended(true);
            }
}

TEST_CASE("every awaitable can be cancelled at every step while nothing is in its way")
{
    for (const entry& e : every_operation())
        for (const style how : styles) {
            CAPTURE(e.name);
            CAPTURE(static_cast<int>(how));
            for (int step = 0;; ++step) {
                CAPTURE(step);
                trial t(e);
                t.it->let_go();
                if (!t.start(how))
                    break;
                t.run_steps(step);
                const bool ended = t.out.times != 0;
                if (!ended)
                    t.signal.emit(kinds[static_cast<std::size_t>(step) % kinds.size()]);
                REQUIRE(t.run_to_end());
                t.check_ended(true);
                REQUIRE(step < 1000);
                if (ended)
                    break;
            }
        }
}

TEST_CASE("every awaitable may be destroyed in flight, at every step")
{
    for (const entry& e : every_operation())
        for (const style how : styles)
            for (const bool free : {false, true}) {
                CAPTURE(e.name);
                CAPTURE(static_cast<int>(how));
                CAPTURE(free);
                for (int step = 0;; ++step) {
                    CAPTURE(step);
                    trial t(e);
                    if (free)
                        t.it->let_go();
                    if (!t.start(how))
                        break;
                    if (!t.run_steps(step) || step == 120) // held operations look for their event for ever
                        break;
                }
            }
}

} // namespace contract
