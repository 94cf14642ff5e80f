// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <contract/cache_world.hpp>
#include <contract/io_subjects.hpp>

#include <objectcache/store/measure_costs.hpp>
#include <objectcache/store/spread_tier.hpp>

/** The operations of the cache and of its loads, as subjects of the contract. */
namespace contract {

using recording = oc::testing::recording_tier;

struct cache_subject : subject {
    explicit cache_subject(environment& e, oc::cache_options o = small_options())
        : subject(e)
        , tier(e.executor())
        , w(e, tier, std::move(o))
    {}
    void check_ended() override
    {
        release();
        w.close();
        w.check_rows(0);
        w.check_published();
    }
    [[nodiscard]] bool initiate_only() const override { return true; }
    void release()
    {
        for (const auto call :
             {recording::call::read, recording::call::write, recording::call::stat,
              recording::call::begin_upload, recording::call::upload_part, recording::call::complete_upload})
            tier.release(call);
        env.device.release(oc::copy_queue::load);
        env.device.release(oc::copy_queue::store);
    }
    recording tier;
    cache_world<recording> w;
};

struct cache_match : cache_subject {
    explicit cache_match(environment& e) : cache_subject(e)
    {
        w.store_all();
        tier.hold(recording::call::stat);
    }
    asio::awaitable<oc::status> run() override
    {
        oc::prefix_match match = co_await w.kv.match(w.where, w.tokens);
        CHECK((match.chunks.size() == chunks || !match.ended_by.ok()));
        co_return match.ended_by;
    }
    bool initiate(callback done) override
    {
        w.kv.match(w.where, w.tokens, std::move(done));
        return true;
    }
    void let_go() override { tier.release(recording::call::stat); }
};

/** A store that waits for something: the compute before it, the copies from the device, or the tier. */
enum class obstacle { compute, device, tier, upload_begin, upload_part, upload_end };

template <obstacle What, oc::layout Layout>
struct cache_store : cache_subject {
    explicit cache_store(environment& e) : cache_subject(e, small_options(Layout))
    {
        if (What == obstacle::compute)
            after = e.device.make_event();
        if (What == obstacle::device)
            e.device.hold(oc::copy_queue::store);
        if (What == obstacle::tier)
            tier.hold(recording::call::write);
        if (What == obstacle::upload_begin)
            tier.hold(recording::call::begin_upload);
        if (What == obstacle::upload_part)
            tier.hold(recording::call::upload_part);
        if (What == obstacle::upload_end)
            tier.hold(recording::call::complete_upload);
    }
    asio::awaitable<oc::status> run() override
    {
        oc::store_report report = co_await w.kv.store(w.where, w.tokens, w.source.pages(), after);
        CHECK(report.stored + report.dropped == chunks);
        CHECK(report.failed.ok() == (report.dropped == 0));
        CHECK(w.kv.staging_in_use() == 0);
        co_return report.failed;
    }
    bool initiate(callback done) override
    {
        w.kv.store(w.where, w.tokens, w.source.pages(), after, std::move(done));
        return true;
    }
    void let_go() override
    {
        if (What == obstacle::compute)
            env.device.reach(after);
        release();
    }
    // The device may still be writing into the staging: that is awaited. So is the end of an upload: whether the object is
    // there must be known.
    [[nodiscard]] bool cancellable() const override
    {
        return What != obstacle::device && What != obstacle::upload_end;
    }
    oc::testing::gated_device::event after;
};

/** A load under way, whose reads or copies are held. */
template <obstacle What, oc::layout Layout = oc::layout::chunk_objects>
struct load_subject : cache_subject {
    explicit load_subject(environment& e) : cache_subject(e, small_options(Layout))
    {
        w.store_all();
        env.run(begin(*this));
        if (What == obstacle::device)
            env.device.hold(oc::copy_queue::load);
        if (What == obstacle::tier)
            tier.hold(recording::call::read);
        load.emplace(w.kv.load(match, w.target.pages()));
        if (What == obstacle::device)
            REQUIRE(env.run_until([&] { return env.device.queued(oc::copy_queue::load) != 0; }));
    }
    static asio::awaitable<void> begin(load_subject& self)
    {
        self.match = co_await self.w.kv.match(self.w.where, self.w.tokens);
        CHECK(self.match.chunks.size() == chunks);
    }
    void let_go() override { release(); }
    void check_ended() override
    {
        release();
        if (load)
            env.run(finish(*this));
        load.reset();
        cache_subject::check_ended();
    }
    static asio::awaitable<void> finish(load_subject& self)
    {
        const oc::load_report report = co_await self.load->finish();
        CHECK(self.w.kv.staging_in_use() == 0);
        self.w.check_rows(report.usable_tokens);
    }
    oc::prefix_match match;
    std::optional<cache_world<recording>::load_type> load;
};

template <obstacle What>
struct cache_close : load_subject<What> {
    using base = load_subject<What>;
    using base::base;
    asio::awaitable<oc::status> run() override
    {
        const oc::error_code ec = co_await base::w.kv.close();
        CHECK(base::w.kv.staging_in_use() == 0);
        co_return ec;
    }
    bool initiate(callback done) override
    {
        base::w.kv.close(std::move(done));
        return true;
    }
    // It waits for the device only, and for that in any case.
    [[nodiscard]] bool by_itself() const override { return What == obstacle::tier; }
    [[nodiscard]] bool cancellable() const override { return What == obstacle::tier; }
    [[nodiscard]] std::optional<oc::condition> cancelled_as() const override { return std::nullopt; }
};

template <obstacle What, oc::layout Layout>
struct load_fetch_layer : load_subject<What, Layout> {
    using base = load_subject<What, Layout>;
    using base::base;
    asio::awaitable<oc::status> run() override
    {
        const oc::error_code ec = co_await base::load->fetch_layer(layers - 1);
        if (!ec)
            CHECK(base::w.target.rows_of(layers - 1, chunks * chunk_tokens) ==
                  base::w.source.rows_of(layers - 1, chunks * chunk_tokens));
        co_return ec;
    }
    bool initiate(callback done) override
    {
        base::load->fetch_layer(layers - 1)(std::move(done));
        return true;
    }
};

struct load_compute_layer : load_subject<obstacle::tier> {
    explicit load_compute_layer(environment& e) : load_subject(e), computed(e.device.make_event()) {}
    asio::awaitable<oc::status> run() override
    {
        const oc::error_code ec = co_await load->compute_layer(0, computed);
        co_return ec;
    }
    bool initiate(callback done) override
    {
        load->compute_layer(0, computed)(std::move(done));
        return true;
    }
    void let_go() override { env.device.reach(computed); }
    oc::testing::gated_device::event computed;
};

struct load_finish : load_subject<obstacle::tier> {
    using load_subject::load_subject;
    asio::awaitable<oc::status> run() override
    {
        oc::load_report report = co_await load->finish();
        co_return report.failed;
    }
    bool initiate(callback done) override
    {
        load->finish(std::move(done));
        return true;
    }
};

/** The whole loop; `What` is compute for an engine that is slow. */
template <obstacle What>
struct layers_run : load_subject<What> {
    using base = load_subject<What>;
    explicit layers_run(environment& e) : base(e), launch{*this, {}} {}
    struct launcher {
        layers_run& self;
        std::vector<oc::testing::gated_device::event> events;

        oc::testing::gated_device::event operator()(oc::layer_id l)
        {
            CHECK(l == events.size());
            events.push_back(self.env.device.make_event());
            if (self.computing)
                self.env.device.reach(events.back());
            return events.back();
        }
    };
    asio::awaitable<oc::status> run() override
    {
        const oc::error_code ec = co_await oc::run_layers(*base::load, layers, launch);
        if (!ec)
            CHECK(launch.events.size() == layers);
        for (const auto& e : launch.events) // never left alone
            CHECK(base::env.device.query(e) == oc::event_state::done);
        co_return ec;
    }
    void let_go() override
    {
        computing = true;
        for (const auto& e : launch.events)
            base::env.device.reach(e);
        base::release();
    }
    [[nodiscard]] bool initiate_only() const override { return false; }
    [[nodiscard]] bool cancellable() const override { return What != obstacle::compute; }
    bool computing = What != obstacle::compute;
    launcher launch;
};

/** One call of a tier. */
template <recording::call What, bool Held>
struct tier_call : subject {
    explicit tier_call(environment& e) : subject(e), tier(e.executor())
    {
        env.run(put(*this));
        if (Held)
            tier.hold(What);
    }
    static asio::awaitable<void> put(tier_call& self)
    {
        const oc::const_byte_span part[] = {self.bytes};
        std::string key = "a";
        const oc::status s =
            co_await self.tier.write(std::move(key), part, oc::if_exists::replace, oc::deadline::never());
        CHECK(s.ok());
    }
    template <class Tier>
    asio::awaitable<oc::status> call(Tier& t)
    {
        const oc::deadline never;
        std::string key = What == recording::call::write ? "b" : "a", continuation;
        if constexpr (What == recording::call::read) {
            const oc::byte_range range{8, 16};
            oc::status s = co_await t.read(std::move(key), range, std::span(into), never);
            CHECK((!s.ok() || into[0] == std::byte{0x5a}));
            co_return s;
        } else if constexpr (What == recording::call::write) {
            const oc::const_byte_span part[] = {bytes};
            oc::status s = co_await t.write(std::move(key), part, oc::if_exists::keep, never);
            co_return s;
        } else if constexpr (What == recording::call::stat) {
            auto r = co_await t.stat(std::move(key), never);
            co_return r.error();
        } else if constexpr (What == recording::call::remove) {
            oc::status s = co_await t.remove(std::move(key), never);
            co_return s;
        } else {
            auto r = co_await t.list(std::move(key), std::move(continuation), 10, never);
            co_return r.error();
        }
    }
    asio::awaitable<oc::status> run() override
    {
        if constexpr (Held)
            return call(tier);
        else
            return call(tier.stored());
    }
    void let_go() override { tier.release(What); }
    [[nodiscard]] bool by_itself() const override { return !Held; }
    void check_ended() override
    {
        for (const std::byte b : into)
            CHECK((b == std::byte{} || b == std::byte{0x5a}));
        CHECK(tier.waiting(What) == 0);
    }
    recording tier;
    std::vector<std::byte> bytes = std::vector<std::byte>(64, std::byte{0x5a});
    std::array<std::byte, 16> into{};
};

/** The same through a tier that is spread, here over one way. */
template <recording::call What>
struct spread_call : tier_call<What, true> {
    using base = tier_call<What, true>;
    explicit spread_call(environment& e)
        : base(e)
        , spread(e.executor(), std::array<recording*, 1>{&this->tier})
    {}
    asio::awaitable<oc::status> run() override { return base::call(spread); }
    void check_ended() override
    {
        base::check_ended();
        CHECK(spread.under_way(0) == 0);
    }
    oc::spread_tier<recording> spread;
};

/** Measuring a store that does not answer one of the questions. */
template <recording::call Held>
struct store_measured : subject {
    explicit store_measured(environment& e) : subject(e), tier(e.executor()) { tier.hold(Held); }
    static oc::measure_options options()
    {
        oc::measure_options how;
        how.small_reads = how.parallel_reads = how.rounds = 2;
        how.read_bytes = 100;
        return how;
    }
    asio::awaitable<oc::status> run() override
    {
        const oc::measure_options how = options();
        const auto costs = co_await oc::measure_costs(tier, how);
        co_return costs.error();
    }
    bool initiate(callback done) override
    {
        oc::measure_costs(tier, options(), std::move(done));
        return true;
    }
    void let_go() override { tier.release(Held); }
    [[nodiscard]] bool initiate_only() const override { return true; }
    // The probes are removed in any case.
    [[nodiscard]] bool cancellable() const override { return Held != recording::call::remove; }
    void check_ended() override
    {
        CHECK(tier.stored().objects() == 0);
        CHECK(tier.waiting(Held) == 0);
    }
    recording tier;
};

inline std::vector<entry> tier_entries()
{
    using call = recording::call;
    return {of<tier_call<call::read, false>>("memory_tier::read"),
            of<tier_call<call::write, false>>("memory_tier::write"),
            of<tier_call<call::stat, false>>("memory_tier::stat"),
            of<tier_call<call::remove, false>>("memory_tier::remove"),
            of<tier_call<call::list, false>>("memory_tier::list"),
            of<tier_call<call::read, true>>("recording_tier::read"),
            of<tier_call<call::write, true>>("recording_tier::write"),
            of<tier_call<call::stat, true>>("recording_tier::stat"),
            of<tier_call<call::remove, true>>("recording_tier::remove"),
            of<tier_call<call::list, true>>("recording_tier::list"),
            of<spread_call<call::read>>("spread_tier::read"),
            of<spread_call<call::write>>("spread_tier::write"),
            of<spread_call<call::stat>>("spread_tier::stat"),
            of<spread_call<call::remove>>("spread_tier::remove"),
            of<spread_call<call::list>>("spread_tier::list"),
            of<store_measured<call::write>>("measure_costs behind a write"),
            of<store_measured<call::read>>("measure_costs behind a read"),
            of<store_measured<call::remove>>("measure_costs behind a removal")};
}

inline std::vector<entry> cache_entries()
{
    constexpr auto by_chunk = oc::layout::chunk_objects, by_layer = oc::layout::layer_objects,
                   in_segments = oc::layout::segment_objects;
    return {of<cache_match>("cache::match"),
            of<cache_store<obstacle::compute, by_chunk>>("cache::store behind the compute"),
            of<cache_store<obstacle::device, by_chunk>>("cache::store behind the device"),
            of<cache_store<obstacle::tier, by_chunk>>("cache::store behind the tier"),
            of<cache_store<obstacle::tier, by_layer>>("cache::store by layers behind the tier"),
            of<cache_store<obstacle::upload_begin, in_segments>>("cache::store in segments before an upload"),
            of<cache_store<obstacle::upload_part, in_segments>>("cache::store in segments during an upload"),
            of<cache_store<obstacle::upload_end, in_segments>>("cache::store in segments behind an upload"),
            of<cache_store<obstacle::device, in_segments>>("cache::store in segments behind the device"),
            of<load_fetch_layer<obstacle::tier, in_segments>>("fetch_layer in segments behind the tier"),
            of<cache_close<obstacle::tier>>("cache::close during reads"),
            of<cache_close<obstacle::device>>("cache::close during copies"),
            of<load_fetch_layer<obstacle::tier, by_chunk>>("fetch_layer behind the tier"),
            of<load_fetch_layer<obstacle::tier, by_layer>>("fetch_layer by layers behind the tier"),
            of<load_fetch_layer<obstacle::device, by_chunk>>("fetch_layer behind the device"),
            of<load_compute_layer>("compute_layer"),
            of<load_finish>("kv_load::finish"),
            of<layers_run<obstacle::tier>>("run_layers behind the tier"),
            of<layers_run<obstacle::compute>>("run_layers behind the compute")};
}

} // namespace contract
