// SPDX-License-Identifier: BSL-1.0
#include <objectcache/cache.hpp>

#include <objectcache/testing/observed_tier.hpp>

#include <boost/asio/post.hpp>
#include <doctest/doctest.h>
#include <support/cache_fixture.hpp>
#include <support/forged.hpp>

#include <functional>
#include <optional>
#include <stdexcept>

using namespace objectcache;
using namespace std::chrono_literals;

// What matches and stores make of tiers that throw, fail or lie, and of objects that are not theirs to judge.
namespace cache_store_test {

using testing::tier_call;

/** Throws at the calls of one kind, from the n-th on or at that one alone. */
struct thrower {
    std::optional<tier_call> at;
    int after = 0;
    bool once = false;

    int before(tier_call what, std::uint64_t)
    {
        if (what == at && (after-- == 0 || (after < 0 && !once)))
            throw std::runtime_error("a tier of the host's");
        return 0;
    }
};
struct throwing_observer {
    thrower* how;
    int before(tier_call what, std::uint64_t bytes) { return how->before(what, bytes); }
    void after(int) {}
};
using throwing_tier = testing::observed_tier<memory_tier, throwing_observer>;
using throwing_cache = cache<testing::gated_device, throwing_tier>;

/** Answers listings as it is told. */
struct lying_tier : memory_tier {
    using memory_tier::memory_tier;
    std::function<result<key_page>(const std::string& prefix, const std::string& continuation)> answer;
    int lists = 0;

    asio::awaitable<result<key_page>> list(std::string prefix, std::string continuation, std::size_t most,
                                           deadline until)
    {
        ++lists;
        if (answer) {
            co_await asio::post(get_executor(), asio::use_awaitable);
            co_return answer(prefix, continuation);
        }
        auto page = co_await memory_tier::list(std::move(prefix), std::move(continuation), most, until);
        co_return page;
    }
};

struct fixture : cache_test::fixture {
    std::vector<token_id> tokens = kv_fixture::tokens(3 * G + 1);
    kv_fixture::memory source{shape, 6 * G + 1}, target{shape, 6 * G + 1};

    fixture() { source.fill(); }
};

} // namespace cache_store_test

TEST_CASE_FIXTURE(cache_store_test::fixture,
                  "a tier that throws fails what it was asked for, and nobody waits for it")
{
    using cache_store_test::tier_call;
    for (const layout as : {layout::chunk_objects, layout::layer_objects, layout::segment_objects})
        for (const tier_call at : {tier_call::write, tier_call::begin_upload, tier_call::upload_part,
                                   tier_call::complete_upload, tier_call::stat, tier_call::list}) {
            CAPTURE(name(as));
            CAPTURE(static_cast<int>(at));
            cache_store_test::thrower how;
            cache_store_test::throwing_tier store(memory_tier(io.get_executor()), {&how});
            options.stored_as = as;
            options.read_layouts = layout_set::only(as);
            options.part_bytes = 4 << 10; // all of the three chunks in a segment of several parts
            auto fragile = *cache_store_test::throwing_cache::create(store, device, options);
            how.at = at;
            const prefix_match none = run(fragile.match(where, tokens, asio::use_awaitable));
            CHECK(none.empty());
            const bool asks = at == (as == layout::segment_objects ? tier_call::list : tier_call::stat);
            CHECK((none.ended_by.ok() || none.ended_by == condition::exhausted));
            const bool uploads = as == layout::segment_objects;
            const bool writes = uploads ? (at == tier_call::begin_upload || at == tier_call::upload_part ||
                                           at == tier_call::complete_upload)
                                        : at == tier_call::write;
            const store_report report =
                run(fragile.store(where, tokens, source.pages(), {}, asio::use_awaitable));
            if (asks)
                CHECK(none.ended_by == condition::exhausted);
            CHECK(report.stored + report.dropped == 3);
            CHECK((report.failed.ok() ? report.stored == 3 : report.failed == condition::exhausted));
            CHECK((writes ? report.dropped == 3 : report.dropped == 0));
            CHECK(fragile.staging_in_use() == 0);
            CHECK_FALSE(run(fragile.close(asio::use_awaitable)));
            how.at.reset();
            auto fresh = *cache_store_test::throwing_cache::create(store, device, options);
            CHECK(run(fresh.match(where, tokens, asio::use_awaitable)).chunks.size() == report.stored);
        }
}

TEST_CASE_FIXTURE(cache_store_test::fixture, "no manifest is written over a layer whose write threw")
{
    for (int step = 0; step < 5; ++step) {
        CAPTURE(step);
        cache_store_test::thrower how;
        how.at = cache_store_test::tier_call::write;
        how.after = step;
        how.once = true;
        cache_store_test::throwing_tier store(memory_tier(io.get_executor()), {&how});
        options.stored_as = layout::layer_objects;
        auto fragile = *cache_store_test::throwing_cache::create(store, device, options);
        const auto one = kv_fixture::tokens(G);
        const store_report report = run(fragile.store(where, one, source.pages(), {}, asio::use_awaitable));
        CHECK(report.failed == condition::exhausted);
        CHECK(report.dropped == 1);
        CHECK_FALSE(store.under().find(manifest_key({"", *scope_id(where)}, chain(one)[0])));
        CHECK_FALSE(run(fragile.close(asio::use_awaitable)));
    }
}

TEST_CASE_FIXTURE(cache_store_test::fixture,
                  "a tier that throws from a read fails the load, and gives the staging back")
{
    cache_store_test::thrower how;
    cache_store_test::throwing_tier store(memory_tier(io.get_executor()), {&how});
    auto fragile = *cache_store_test::throwing_cache::create(store, device, options);
    CHECK(run(fragile.store(where, tokens, source.pages(), {}, asio::use_awaitable)).stored == 3);
    const prefix_match found = run(fragile.match(where, tokens, asio::use_awaitable));
    how.at = cache_store_test::tier_call::read;
    how.after = 2;
    auto load = fragile.load(found, target.pages());
    const load_report report = run(load.finish(asio::use_awaitable));
    CHECK(report.failed == condition::exhausted);
    CHECK(report.usable_tokens < 3 * G);
    CHECK(fragile.staging_in_use() == 0);
    CHECK_FALSE(device.any_gate_closed());
    load = {};
    CHECK_FALSE(run(fragile.close(asio::use_awaitable)));
}

TEST_CASE_FIXTURE(cache_store_test::fixture,
                  "a store does not send what it has just found, however little is remembered")
{
    options.index_chunks = 2;
    forget();
    const auto six = kv_fixture::tokens(6 * G);
    CHECK(store(six, source).stored == 6);
    tier.clear();
    const store_report again = store(six, source);
    CHECK(again.present == 6);
    CHECK(again.stored == 0);
    CHECK(again.failed.ok());
    CHECK(tier.count(cache_test::call::write) == 0);
}

TEST_CASE_FIXTURE(cache_store_test::fixture,
                  "of a store in layer objects no more is written at once than it may")
{
    options.stored_as = layout::layer_objects;
    options.read_layouts = layout_set::only(layout::layer_objects);
    options.max_writes = 3;
    options.max_requests = 20;
    forget();
    CHECK(match(tokens).empty());
    tier.clear();
    tier.hold(cache_test::call::write);
    std::optional<store_report> report;
    start(kv.store(where, tokens, source.pages(), {}, asio::use_awaitable), report);
    CHECK(tier.waiting(cache_test::call::write) == 5);
    tier.release(cache_test::call::write);
    settle();
    REQUIRE(report);
    CHECK(report->stored == 3);
    CHECK(tier.count(cache_test::call::write) == 3 * (shape.layers + 1));
}

TEST_CASE_FIXTURE(cache_store_test::fixture,
                  "an object of another size is replaced, unless its head says that it is of another version")
{
    const auto one = kv_fixture::tokens(G + 1);
    for (const layout as : {layout::chunk_objects, layout::layer_objects, layout::segment_objects})
        for (const bool known : {true, false}) {
            CAPTURE(name(as));
            CAPTURE(known);
            tier.stored() = memory_tier(io.get_executor());
            options.stored_as = as;
            options.read_layouts = layout_set::only(as);
            forget();
            CHECK(store(one, source).stored == 1);
            const std::string key = kv_fixture::commit_of(as, where, chain(one), 0);
            std::vector<std::byte>& object = *tier.stored().find(key);
            object.resize(object.size() + 100);
            if (!known) {
                store_le(object.data() + forged::header_version, std::uint16_t{2});
                forged::reseal_header(object);
            }
            const std::vector<std::byte> before = object;
            forget();
            CHECK(match(one).empty());
            for (int turn = 0; turn < 2; ++turn) {
                const store_report report = store(one, source);
                CHECK((known ? report.failed.ok() : report.failed == errc::unknown_version));
                CHECK((report.stored == 1) == (known && turn == 0));
                CHECK((*tier.stored().find(key) == before) == !known);
            }
            forget();
            CHECK(match(one).chunks.size() == (known ? 1 : 0));
        }
}

TEST_CASE_FIXTURE(cache_store_test::fixture, "a head that cannot be read does not make an object damaged")
{
    const auto one = kv_fixture::tokens(G + 1);
    CHECK(store(one, source).stored == 1);
    const std::string key = kv_fixture::commit_of(layout::chunk_objects, where, chain(one), 0);
    tier.stored().find(key)->pop_back();
    const std::vector<std::byte> before = *tier.stored().find(key);
    for (const errc why : {errc::malformed_response, errc::throttled}) {
        forget();
        CHECK(match(one).empty());
        testing::fail_counter fuse(0, why); // the read of the head
        tier.set_fuse(&fuse);
        const store_report report = store(one, source);
        tier.set_fuse(nullptr);
        CHECK(report.failed == why);
        CHECK(*tier.stored().find(key) == before);
    }
}

TEST_CASE_FIXTURE(cache_store_test::fixture,
                  "an answer that is none of the store's says nothing of the object")
{
    CHECK(store(tokens, source).stored == 3);
    const prefix_match found = match(tokens);
    testing::fail_counter fuse(0, errc::malformed_response);
    tier.set_fuse(&fuse);
    auto load = kv.load(found, target.pages());
    const load_report report = run(load.finish(asio::use_awaitable));
    tier.set_fuse(nullptr);
    CHECK(report.failed == errc::malformed_response);
    CHECK(kv.stats().chunks_corrupt == 0);
    tier.clear();
    CHECK(match(tokens).chunks.size() == 3);
    CHECK(store(tokens, source).present == 3);
    CHECK(tier.calls().empty());
}

TEST_CASE_FIXTURE(cache_store_test::fixture,
                  "a listing that lies is an error of the match, and nothing is absent by it")
{
    cache_store_test::lying_tier liar(io.get_executor());
    options.stored_as = layout::segment_objects;
    options.read_layouts = layout_set::only(layout::segment_objects);
    auto kv2 = *cache<testing::gated_device, cache_store_test::lying_tier>::create(liar, device, options);
    SUBCASE("a key that is shorter than the prefix")
    {
        liar.answer = [](const std::string&, const std::string&) {
            return key_page{{object_entry{.key = "x", .size = 1}}, ""};
        };
    }
    SUBCASE("a key that was not asked for")
    {
        liar.answer = [](const std::string& prefix, const std::string&) {
            return key_page{{object_entry{.key = std::string(prefix.size() + 40, 'x'), .size = 1}}, ""};
        };
    }
    const prefix_match none = run(kv2.match(where, tokens, asio::use_awaitable));
    CHECK(none.empty());
    CHECK(none.ended_by == errc::malformed_response);
    CHECK(liar.lists <= 2);
    const int asked = liar.lists;
    liar.answer = nullptr;
    CHECK(run(kv2.store(where, tokens, source.pages(), {}, asio::use_awaitable)).stored == 3);
    CHECK(liar.lists > asked); // it had to ask
    CHECK_FALSE(run(kv2.close(asio::use_awaitable)));
}

TEST_CASE_FIXTURE(cache_store_test::fixture,
                  "that nobody could say which layouts a scope has is why a match is not longer")
{
    cache_store_test::lying_tier store(io.get_executor());
    options.read_layouts = layout_set();
    const auto make = [&] {
        return *cache<testing::gated_device, cache_store_test::lying_tier>::create(store, device, options);
    };
    options.stored_as = layout::layer_objects;
    auto writer = make();
    CHECK(run(writer.store(where, tokens, source.pages(), {}, asio::use_awaitable)).stored == 3);
    CHECK_FALSE(run(writer.close(asio::use_awaitable)));

    options.stored_as = layout::chunk_objects;
    auto reader = make();
    store.answer = [](const std::string&, const std::string&) {
        return result<key_page>(errc::throttled, "slow down");
    };
    for (int turn = 0; turn < 2; ++turn) {
        const prefix_match none = run(reader.match(where, tokens, asio::use_awaitable));
        CHECK(none.empty());
        CHECK(none.ended_by == errc::throttled);
    }
    store.answer = nullptr;
    const prefix_match found =
        run(reader.match(where, tokens, asio::use_awaitable)); // nothing was taken for absent
    CHECK(found.chunks.size() == 3);
    CHECK(found.ended_by.ok());
    CHECK_FALSE(run(reader.close(asio::use_awaitable)));
}

namespace cache_store_test {

using tested_context = detail::pipeline_context<testing::gated_device, testing::recording_tier>;

std::shared_ptr<tested_context> make_context(fixture& f)
{
    auto staging = staging_pool<testing::gated_device>::create(f.io.get_executor(), f.device, 64 << 10);
    return std::make_shared<tested_context>(f.io.get_executor(), f.tier, f.device, f.options,
                                            std::move(*staging));
}
load_report load(fixture& f, const std::shared_ptr<tested_context>& shared, prefix_match match)
{
    auto state = std::make_shared<detail::load_state<testing::gated_device, testing::recording_tier>>(
        shared, std::move(match), f.target.pages(), load_options(), std::nullopt);
    state->start({});
    shared->saw_latency(2ms); // a match, meanwhile
    return f.run(state->report());
}

} // namespace cache_store_test

TEST_CASE_FIXTURE(cache_store_test::fixture,
                  "a load that learnt nothing of the link leaves what is known of it")
{
    CHECK(store(tokens, source).stored == 3);
    const prefix_match found = match(tokens);
    const auto shared = cache_store_test::make_context(*this);
    shared->link = {1e9, 5ms, 2e9};
    const auto rows = [&] { return target.rows_of(3, 3 * G) == source.rows_of(3, 3 * G); };
    for (const chunk_id& id : found.chunks)
        CHECK(run(tier.remove(chunk_key({"", *scope_id(where)}, id), deadline::never())).ok());
    CHECK(cache_store_test::load(*this, shared, found).failed == condition::absent);
    CHECK(shared->link.bytes_per_second == 1e9);
    CHECK(shared->link.of_one == 2e9);
    CHECK(shared->link.latency == 2ms); // what the match saw

    forget();
    CHECK(store(tokens, source).stored == 3);
    shared->link = {1e9, 5ms, 2e9};
    CHECK(cache_store_test::load(*this, shared, found).failed.ok());
    CHECK(rows());
    CHECK(shared->link.bytes_per_second != 1e9); // it has learnt

    CHECK(shared->link.latency == 2ms); // this tier does not let it be seen when answers begin

    shared->link.latency = {};
    for (const duration took : {3ms, 2ms, 4ms})
        shared->saw_latency(took);
    CHECK(shared->link.latency == 2250us); // the best there is, and slowly more
    shared->learn({1e9, 7ms, 2e9}, true);
    shared->saw_latency(2ms); // loads know better
    CHECK(shared->link.latency == 7ms);
    shared->learn({1e9, 1ms, 2e9}, false);
    CHECK(shared->link.latency == 7ms);
}

TEST_CASE_FIXTURE(cache_store_test::fixture,
                  "what is known of scopes is forgotten when its time is up, or there are too many")
{
    constexpr std::size_t most = cache_store_test::tested_context::most_censuses;
    const auto shared = cache_store_test::make_context(*this);
    const auto scope_of = [](unsigned n) {
        digest out;
        store_le(out.bytes.data(), n);
        return out;
    };
    for (unsigned n = 0; n < 100; ++n)
        shared->census_of(scope_of(n))->until = time.now() + 10s;
    CHECK(shared->censuses.size() == 100);
    const auto held = shared->census_of(scope_of(7));
    time.advance(10s);
    shared->census_of(scope_of(1000))->until = time.now() + 10s;
    CHECK(shared->censuses.size() == 2); // and the one that somebody has
    CHECK(shared->census_of(scope_of(7)) == held);
    for (unsigned n = 0; n < 2 * most; ++n)
        shared->census_of(scope_of(5000 + n))->until = time_point::max();
    CHECK(shared->censuses.size() <= most + 1);
}
