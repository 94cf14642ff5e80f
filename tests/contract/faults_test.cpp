// SPDX-License-Identifier: BSL-1.0
#include <contract/cache_subjects.hpp>

#include <boost/asio/detached.hpp>

#include <array>

namespace contract {

namespace faults {

constexpr std::array layouts = {oc::layout::chunk_objects, oc::layout::layer_objects,
                                oc::layout::segment_objects};

/** What one request of an engine came to. */
struct engine_run {
    oc::prefix_match match;
    oc::load_report loaded;
    oc::error_code first_fetch_failure;
    oc::store_report stored;
    bool gate_before_rows = false; // a gate was open while its layer's rows were not all there
};

/** Match, load layer by layer, compute, and store: the whole of a request. */
template <class Tier>
asio::awaitable<void> engine(cache_world<Tier>& w, engine_run& out)
{
    out.match = co_await w.kv.match(w.where, w.tokens);
    auto load = w.kv.load(out.match, w.target.pages());
    const auto behind = w.env.device.make_event();
    w.env.device.reach(behind);
    for (oc::layer_id l = 0; l < layers; ++l) {
        const oc::error_code fetched = co_await load.fetch_layer(l);
        if (fetched && !out.first_fetch_failure)
            out.first_fetch_failure = fetched;
        (void)co_await load.compute_layer(l, behind);
    }
    out.loaded = co_await load.finish();
    CHECK(w.kv.staging_in_use() == 0);
    out.stored = co_await w.kv.store(w.where, w.tokens, w.source.pages(), behind);
    CHECK(w.kv.staging_in_use() == 0);
}

template <class Tier>
void check_engine(cache_world<Tier>& w, const engine_run& run)
{
    CHECK(run.match.chunks.size() <= chunks);
    CHECK(run.loaded.usable_tokens <= run.match.tokens());
    CHECK(run.loaded.failed.ok() == (run.loaded.usable_tokens == run.match.tokens()));
    CHECK((run.first_fetch_failure ? !run.loaded.failed.ok() : true));
    CHECK((!run.gate_before_rows || !run.loaded.failed.ok()));
    CHECK(run.stored.stored + run.stored.present + run.stored.dropped == chunks);
    w.check_rows(run.loaded.usable_tokens);
    w.close();
    w.check_published();
}

/** Steps the context and the device's load queue, one item each, watching the gates. */
template <class Tier>
void drive(cache_world<Tier>& w, engine_run& run)
{
    bool ended = false;
    asio::co_spawn(*w.env.io, engine(w, run), [&](std::exception_ptr failure) {
        ended = true;
        CHECK_FALSE(failure);
    });
    const std::size_t rows_before = w.env.device.rows_made();
    for (int i = 0; i < 20'000 && !ended; ++i) {
        if (!w.env.step())
            w.env.time.advance(std::chrono::milliseconds(1)); // the scheduler may have gone to sleep
        w.env.device.run_one(oc::copy_queue::load);
        if (w.env.device.rows_made() == rows_before || run.match.empty())
            continue;
        const auto& gates = w.env.device.last_gates();
        const std::size_t rows = run.match.tokens();
        for (std::size_t l = 0; l < gates.size(); ++l)
            if (gates.open(l) && w.target.rows_of(l, rows) != w.source.rows_of(l, rows))
                run.gate_before_rows = true;
    }
    REQUIRE(ended);
}

/** Flip a bit in the middle chunk's second layer. */
void damage(cache_world<recording>& w)
{
    const oc::digest id = *oc::scope_id(w.where);
    const auto chain = oc::hash_chain(id, w.tokens, chunk_tokens);
    const auto at = kv_fixture::place_of(*w.options.stored_as, w.where, chain, 2, 1);
    auto* bytes = w.tier.stored().find(at.key);
    REQUIRE(bytes);
    bytes->at(at.offset + 5) ^= std::byte{1};
}

/** Whatever went wrong: after a load that finds what is damaged, a store repairs it. */
asio::awaitable<void> mend(cache_world<recording>& w)
{
    for (int i = 0; i < 2; ++i) {
        const oc::prefix_match match = co_await w.kv.match(w.where, w.tokens);
        auto load = w.kv.load(match, w.target.pages());
        (void)co_await load.finish();
        const oc::store_report stored = co_await w.kv.store(w.where, w.tokens, w.source.pages());
        CHECK(stored.failed.ok());
    }
    const oc::prefix_match match = co_await w.kv.match(w.where, w.tokens);
    CHECK(match.chunks.size() == chunks);
}

/** The last chunk is evicted, so that there is something to store. */
asio::awaitable<void> forget_last(cache_world<recording>& w)
{
    const oc::digest id = *oc::scope_id(w.where);
    const auto chain = oc::hash_chain(id, w.tokens, chunk_tokens);
    std::string key = kv_fixture::commit_of(*w.options.stored_as, w.where, chain, chunks - 1);
    const oc::status s = co_await w.tier.remove(std::move(key), oc::deadline::never());
    CHECK(s.ok());
}

} // namespace faults

TEST_CASE("a tier that fails at any step costs a miss, never a wrong row, a leak or a lie")
{
    for (const oc::layout layout : faults::layouts)
        for (const bool damaged : {false, true})
            for (const bool stored_before : {true, false}) {
                CAPTURE(oc::name(layout));
                CAPTURE(damaged);
                CAPTURE(stored_before);
                if (damaged && !stored_before)
                    continue;
                std::size_t steps = 0;
                for (oc::testing::fail_counter fuse;; fuse.next()) {
                    CAPTURE(fuse.fail_at());
                    environment env;
                    {
                        recording tier(env.executor());
                        cache_world<recording> w(env, tier, small_options(layout));
                        if (stored_before)
                            w.store_all();
                        if (damaged)
                            faults::damage(w);
                        tier.set_fuse(&fuse);
                        faults::engine_run run;
                        env.device.hold(oc::copy_queue::load);
                        faults::drive(w, run);
                        env.device.release(oc::copy_queue::load);
                        tier.set_fuse(nullptr);
                        if (!fuse.fired() && !damaged) {
                            CHECK(run.loaded.failed.ok());
                            CHECK(run.stored.failed.ok());
                            CHECK(run.match.chunks.size() == (stored_before ? chunks : 0));
                        }
                        if (!fuse.fired() && damaged)
                            CHECK(run.loaded.usable_tokens == 2 * chunk_tokens);
                        if (fuse.fired() || damaged) // whatever failed, the next store heals it
                            env.run(faults::mend(w));
                        faults::check_engine(w, run);
                    }
                    env.destroy_context();
                    CHECK(env.device.staging_allocated() == 0);
                    CHECK_FALSE(env.device.any_gate_closed());
                    if (!fuse.fired())
                        break;
                    ++steps;
                }
                // A segment of five chunks is few requests: that is what it is for.
                CHECK(steps >= (layout == oc::layout::segment_objects ? 8 : 20));
            }
}

TEST_CASE("a device that fails at any step costs a miss, never a wrong row, a leak or a lie")
{
    for (const oc::layout layout : faults::layouts) {
        CAPTURE(oc::name(layout));
        std::size_t steps = 0;
        for (oc::testing::fail_counter fuse(0, oc::errc::device_failed);; fuse.next()) {
            CAPTURE(fuse.fail_at());
            environment env;
            {
                recording tier(env.executor());
                cache_world<recording> w(env, tier, small_options(layout));
                w.store_all();
                env.device.set_fuse(&fuse);
                auto own = cache_world<recording>::cache::create(tier, env.device, w.options);
                if (own) {
                    w.kv = std::move(*own);
                    faults::engine_run run;
                    env.device.hold(oc::copy_queue::load);
                    faults::drive(w, run);
                    env.device.release(oc::copy_queue::load);
                    env.device.set_fuse(nullptr);
                    CHECK(run.match.chunks.size() == chunks);
                    faults::check_engine(w, run);
                } else {
                    CHECK(own.error() == oc::condition::device);
                    env.device.set_fuse(nullptr);
                }
            }
            env.destroy_context();
            CHECK(env.device.staging_allocated() == 0);
            CHECK_FALSE(env.device.any_gate_closed());
            if (!fuse.fired())
                break;
            ++steps;
        }
        CHECK(steps > 10);
    }
}

TEST_CASE("storing to a device that fails at any step publishes whole chunks or none")
{
    for (const oc::layout layout : faults::layouts) {
        CAPTURE(oc::name(layout));
        for (oc::testing::fail_counter fuse(0, oc::errc::device_failed);; fuse.next()) {
            CAPTURE(fuse.fail_at());
            environment env;
            {
                recording tier(env.executor());
                cache_world<recording> w(env, tier, small_options(layout));
                env.device.set_fuse(&fuse);
                faults::engine_run run;
                faults::drive(w, run);
                env.device.set_fuse(nullptr);
                const std::size_t together = layout == oc::layout::segment_objects ? chunks : 1;
                CHECK(run.stored.dropped == (fuse.fired() ? together : 0));
                CHECK(run.stored.failed.ok() == !fuse.fired());
                faults::check_engine(w, run);
            }
            env.destroy_context();
            CHECK(env.device.staging_allocated() == 0);
            if (!fuse.fired())
                break;
        }
    }
}

namespace faults {

enum class interruption { cancel_load, destroy_load, close_cache };

struct interrupted {
    std::optional<cache_world<recording>::load_type> load;
    bool loaded = false, stored = false, closed = false;

    static asio::awaitable<void> engine(cache_world<recording>& w, interrupted& self)
    {
        const oc::prefix_match match = co_await w.kv.match(w.where, w.tokens);
        self.load.emplace(w.kv.load(match, w.target.pages()));
        auto finish = self.load->finish(); // an operation of its own: the load may be destroyed meanwhile
        const oc::load_report report = co_await std::move(finish);
        CHECK(w.kv.staging_in_use() == 0);
        w.check_rows(report.usable_tokens);
        self.loaded = true;
        const oc::store_report stored = co_await w.kv.store(w.where, w.tokens, w.source.pages());
        CHECK(stored.stored + stored.present + stored.dropped ==
              (stored.failed == oc::errc::shut_down && stored.dropped == 0 ? 0 : chunks));
        self.stored = true;
    }
    static asio::awaitable<void> close(cache_world<recording>& w, interrupted& self)
    {
        CHECK_FALSE(co_await w.kv.close());
        CHECK(w.kv.staging_in_use() == 0);
        self.closed = true;
    }
};

} // namespace faults

TEST_CASE("a request may be interrupted at every step: its load cancelled or destroyed, its cache closed")
{
    using faults::interruption;
    for (const oc::layout layout : faults::layouts)
        for (const auto what :
             {interruption::cancel_load, interruption::destroy_load, interruption::close_cache})
            for (int step = 0;; ++step) {
                CAPTURE(oc::name(layout));
                CAPTURE(static_cast<int>(what));
                CAPTURE(step);
                environment env;
                bool ended = false;
                {
                    recording tier(env.executor());
                    cache_world<recording> w(env, tier, small_options(layout));
                    w.store_all();
                    env.run(faults::forget_last(w));
                    faults::interrupted it;
                    asio::co_spawn(*env.io, faults::interrupted::engine(w, it), asio::detached);
                    for (int i = 0; i < step && !it.stored; ++i)
                        env.step();
                    ended = it.stored;
                    if (what == interruption::close_cache)
                        asio::co_spawn(*env.io, faults::interrupted::close(w, it), asio::detached);
                    else if (it.load && what == interruption::cancel_load)
                        it.load->cancel();
                    else if (it.load)
                        it.load.reset();
                    REQUIRE(env.run_until(
                        [&] { return it.stored && (it.closed || what != interruption::close_cache); }));
                    w.close();
                    w.check_published();
                }
                env.destroy_context();
                CHECK(env.device.staging_allocated() == 0);
                CHECK_FALSE(env.device.any_gate_closed());
                REQUIRE(step < 2000);
                if (ended)
                    break;
            }
}

} // namespace contract
