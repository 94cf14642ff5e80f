// SPDX-License-Identifier: BSL-1.0
#include <objectcache/cache.hpp>

#include <objectcache/testing/gated_device.hpp>
#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/recording_tier.hpp>

#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>
#include <support/kv_fixture.hpp>
#include <support/run.hpp>

#include <algorithm>
#include <map>
#include <set>

using namespace objectcache;

// What the cache does with segments: which objects, which requests, what is shared.
namespace cache_segments_test {

using call = testing::recording_tier::call;
using tested_cache = cache<testing::gated_device, testing::recording_tier>;

/** Chunks of 512 tokens, of which 8 make a region. */
kv_geometry shape_of_eight()
{
    kv_geometry g = kv_fixture::geometry(3);
    g.tokens_per_chunk = 512;
    return g;
}

struct fixture {
    static constexpr std::size_t G = 512, N = 8;

    kv_geometry shape = shape_of_eight();
    scope where = kv_fixture::scope(shape);
    testing::gated_device device;
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    testing::recording_tier tier{io.get_executor()};
    cache_options options;
    tested_cache kv = make();

    fixture() { REQUIRE(segment_chunks(shape) == N); }

    tested_cache make() { return *tested_cache::create(tier, device, options); }
    void forget() { kv = make(); }
    template <class T>
    T run(asio::awaitable<T> work)
    {
        return support::run(io, std::move(work));
    }
    /** KV that depends on the token and its layer, so that sequences share what they should share. */
    void fill(kv_fixture::memory& memory, const std::vector<token_id>& tokens)
    {
        const std::size_t row = shape.row_bytes();
        for (layer_id layer = 0; layer < shape.layers; ++layer)
            for (std::size_t t = 0; t < tokens.size(); ++t)
                for (std::size_t b = 0; b < row; ++b) {
                    const auto value = tokens[t] * 31 + layer * 7 + b;
                    memory.k(layer)[t * row + b] = static_cast<std::byte>(value);
                    memory.v(layer)[t * row + b] = static_cast<std::byte>(value >> 3);
                }
    }
    store_report store(const std::vector<token_id>& tokens)
    {
        kv_fixture::memory source(shape, tokens.size());
        fill(source, tokens);
        return run(kv.store(where, tokens, source.pages(), {}, asio::use_awaitable));
    }
    prefix_match match(std::vector<token_id> tokens)
    {
        tokens.push_back(0); // the one that is always computed
        return run(kv.match(where, tokens, asio::use_awaitable));
    }
    load_report load(const std::vector<token_id>& tokens, load_options how = {})
    {
        prefix_match found = match(tokens);
        kv_fixture::memory target(shape, tokens.size() + 1), expected(shape, tokens.size() + 1);
        target.clear();
        fill(expected, tokens);
        tier.clear();
        const load_report out = run(loaded(kv.load(found, target.pages(), how)));
        for (layer_id layer = 0; layer < shape.layers; ++layer)
            CHECK(target.rows_of(layer, out.usable_tokens) == expected.rows_of(layer, out.usable_tokens));
        return out;
    }
    static asio::awaitable<load_report> loaded(tested_cache::load_type load)
    {
        load_report out = co_await load.finish();
        co_return out;
    }
    /** All keys of the store. */
    std::vector<std::string> keys()
    {
        const auto page = run(tier.stored().list("", "", 10000, deadline::never()));
        std::vector<std::string> out;
        for (const object_entry& object : page->objects)
            out.push_back(object.key);
        return out;
    }
    static std::vector<token_id> sequence(std::size_t chunks, token_id salt = 0)
    {
        return kv_fixture::tokens(chunks * G, 100 + salt);
    }
    /** `common` chunks of one sequence, then others. */
    static std::vector<token_id> branch(std::size_t common, std::size_t chunks, token_id salt)
    {
        std::vector<token_id> out = sequence(chunks);
        for (std::size_t i = common * G; i < out.size(); ++i)
            out[i] += 1000000 * (salt + 1);
        return out;
    }
};

} // namespace cache_segments_test

using segments_fixture = cache_segments_test::fixture;
using cache_segments_test::call;
using cache_segments_test::tested_cache;

TEST_CASE_FIXTURE(segments_fixture,
                  "a sequence is a segment per region, each byte written once and nothing read back")
{
    const auto tokens = sequence(19);
    const auto report = store(tokens);
    CHECK(report.failed.ok());
    CHECK(report.stored == 19);
    CHECK(report.merged == 0);
    CHECK(report.bytes == 2 * segment_bytes(shape, 8) + segment_bytes(shape, 3));
    CHECK(keys().size() == 3);
    CHECK(tier.count(call::read) == 0);
    CHECK(store(tokens).requests == 0);

    forget();
    const auto again = store(tokens); // another process, which asks first
    CHECK(again.present == 19);
    CHECK(again.requests == 0);
    CHECK(keys().size() == 3);
}

TEST_CASE_FIXTURE(segments_fixture, "a layer costs a request per segment, whatever is read of it")
{
    CHECK(store(sequence(19)).failed.ok());
    options.coalesce_bytes = 1;
    for (const std::size_t chunks : {19u, 18u, 16u, 11u, 8u, 3u}) {
        CAPTURE(chunks);
        forget();
        const auto report = load(sequence(chunks));
        CHECK(report.failed.ok());
        CHECK(report.usable_tokens == chunks * G);
        CHECK(report.requests == shape.layers * ((chunks + N - 1) / N));
        CHECK(report.bytes == chunks * shape.layers * record_bytes(shape));
    }
    const load_options whole{duration::zero(), 1, false};
    CHECK(load(sequence(19), whole).requests <= shape.layers * 3);
}

TEST_CASE_FIXTURE(segments_fixture, "a cold match of any length is two rounds, a warm one none")
{
    CHECK(store(sequence(100)).failed.ok());
    for (const std::size_t chunks : {100u, 96u, 50u, 4u, 1u}) {
        forget();
        tier.clear();
        CHECK(match(sequence(chunks)).chunks.size() == chunks);
        CHECK(tier.count(call::stat) + tier.count(call::list) <= chunks / N + 2 + 2);
        tier.clear();
        CHECK(match(sequence(chunks)).chunks.size() == chunks);
        CHECK(tier.calls().empty());
        // Once it is known that the scope has no other layout, only segments are asked for.
        CHECK(match(branch(0, 90, 5)).empty());
        CHECK(tier.count(call::stat) == 90 / N);
        CHECK(tier.count(call::list) <= 2);
    }
}

TEST_CASE_FIXTURE(segments_fixture,
                  "sequences that branch off inside a region share what they have in common")
{
    CHECK(store(sequence(16)).stored == 16);
    const auto other = branch(11, 20, 1);
    CHECK(match(other).chunks.size() == 11);
    const auto report = store(other);
    CHECK(report.stored == 9);
    CHECK(report.present == 11);
    CHECK(report.merged == 0); // the common part is the first one's, and is not written again
    CHECK(report.bytes == segment_bytes(shape, 5) + segment_bytes(shape, 4));
    forget();
    CHECK(match(other).chunks.size() == 20);
    CHECK(load(other).usable_tokens == 20 * G);
    CHECK(load(sequence(16)).usable_tokens == 16 * G);
    // A third one shares with the second.
    CHECK(match(branch(11, 13, 1)).chunks.size() == 13);
    CHECK(match(branch(9, 13, 2)).chunks.size() == 9);
}

TEST_CASE_FIXTURE(segments_fixture, "a sequence that grows is merged, and can be read at every length")
{
    std::size_t written = 0;
    for (std::size_t chunks = 1; chunks <= 20; ++chunks) {
        const auto report = store(sequence(chunks));
        CHECK(report.failed.ok());
        CHECK(report.stored == 1);
        written += report.stored + report.merged;
        forget();
        const auto found = match(sequence(chunks));
        CHECK(found.chunks.size() == chunks);
        CHECK(found.runs.size() <= chunks / N + 3);
        CHECK(load(sequence(chunks)).usable_tokens == chunks * G);
    }
    CHECK(written <= 20 * 4);
    // What was merged stays until somebody collects it; it is not read any more.
    CHECK(match(sequence(16)).runs.size() == 2);

    options.merge_segments = false;
    forget();
    for (std::size_t chunks = 21; chunks <= 24; ++chunks) {
        const auto report = store(sequence(chunks));
        CHECK(report.merged == 0);
        CHECK(report.bytes == segment_bytes(shape, 1));
    }
    forget();
    CHECK(match(sequence(24)).chunks.size() == 24);
    CHECK(load(sequence(24)).usable_tokens == 24 * G);
}

TEST_CASE_FIXTURE(segments_fixture,
                  "a stem that many sequences go on from is copied once, whoever writes them")
{
    CHECK(store(sequence(2)).stored == 2);
    std::vector<tested_cache> processes;
    for (token_id salt = 0; salt < 6; ++salt) {
        processes.push_back(make());
        std::swap(kv, processes.back());
        CHECK(match(branch(2, 2, salt)).chunks.size() == 2); // all of them know the stem before any goes on
        std::swap(kv, processes.back());
    }
    for (token_id salt = 0; salt < 6; ++salt) {
        CAPTURE(salt);
        std::swap(kv, processes[salt]);
        const auto tokens = branch(2, 5, salt);
        CHECK(match(tokens).chunks.size() == 2);
        const auto report = store(tokens);
        CHECK(report.stored == 3);
        CHECK(report.merged == (salt == 0 ? 2 : 0));
        forget();
        CHECK(load(tokens).usable_tokens == 5 * G);
    }
}

TEST_CASE_FIXTURE(segments_fixture, "what branches off between two marks is found by who did not store it")
{
    shape = kv_fixture::geometry(2);
    where = kv_fixture::scope(shape);
    REQUIRE(segment_mark_stride(segment_chunks(shape)) == 4);
    const auto of = [](std::size_t common, std::size_t chunks, token_id salt) {
        auto tokens = kv_fixture::tokens(chunks * 16);
        for (std::size_t i = common * 16; i < tokens.size(); ++i)
            tokens[i] += 100000 * salt;
        return tokens;
    };
    CHECK(store(of(30, 30, 0)).stored == 30);
    for (const std::size_t common : {14, 15, 16, 17}) {
        CAPTURE(common);
        // This process knows exactly how much of what it has just written the next one shares.
        const auto tokens = of(common, 26, static_cast<token_id>(common));
        const auto report = store(tokens);
        CHECK(report.present == common);
        CHECK(report.stored == 26 - common);
        CHECK(report.merged == common % 4);
        tested_cache other = make();
        std::swap(kv, other);
        CHECK(match(tokens).chunks.size() == 26);
        CHECK(load(tokens).usable_tokens == 26 * 16);
        std::swap(kv, other);
    }
}

TEST_CASE_FIXTURE(segments_fixture, "a prefix that is stored in several layouts is read as one")
{
    options.stored_as = layout::chunk_objects;
    forget();
    CHECK(store(sequence(3)).stored == 3);
    options.stored_as = layout::layer_objects;
    forget();
    CHECK(store(sequence(6)).stored == 3);
    options.stored_as = std::nullopt;
    forget();
    CHECK(options.layout_for(shape) == layout::segment_objects);
    const auto report = store(sequence(20));
    CHECK(report.present == 6);
    CHECK(report.stored == 14);
    for (const auto writes : {std::optional<layout>(), std::optional(layout::chunk_objects),
                              std::optional(layout::layer_objects)}) {
        options.stored_as = writes;
        forget();
        const auto found = match(sequence(20));
        CHECK(found.chunks.size() == 20);
        CHECK(found.runs.size() == 5);
        CHECK(load(sequence(20)).usable_tokens == 20 * G);
        CHECK(store(sequence(20)).requests == 0);
        CHECK(match(sequence(20)).runs.size() == 5);
    }
    options.read_layouts = layout_set::only(layout::chunk_objects);
    options.stored_as = layout::chunk_objects;
    forget();
    CHECK(match(sequence(20)).chunks.size() == 3);
}

TEST_CASE_FIXTURE(segments_fixture, "a damaged segment costs what lies behind the damage, and is replaced")
{
    const auto tokens = sequence(12);
    CHECK(store(tokens).failed.ok());
    const auto chain = hash_chain(*scope_id(where), tokens, G);
    const auto at = kv_fixture::place_of(layout::segment_objects, where, chain, 5, 1);
    tier.stored().find(at.key)->at(at.offset + 9) ^= std::byte{4};
    const auto report = load(tokens);
    CHECK(report.failed == errc::checksum_mismatch);
    CHECK(report.failed.message().find("chunk 5, layer 1") != std::string::npos);
    CHECK(report.usable_tokens == 5 * G); // the chunks before it in the same segment are used
    CHECK(kv.stats().chunks_corrupt == 1);
    CHECK(match(tokens).empty());
    const auto again = store(tokens);
    CHECK(again.stored == 8);
    CHECK(load(tokens).usable_tokens == 12 * G);
    CHECK(keys().size() == 2);
}

TEST_CASE_FIXTURE(segments_fixture, "a segment that is gone is a miss, and is stored again")
{
    const auto tokens = sequence(12);
    CHECK(store(tokens).failed.ok());
    CHECK(match(tokens).chunks.size() == 12);
    for (const std::string& key : keys())
        CHECK(run(tier.remove(key, deadline::never())).ok());
    const auto report = load(tokens);
    CHECK(report.failed == condition::absent);
    CHECK(report.usable_tokens == 0);
    CHECK(match(tokens).empty());
    // What lies behind is still believed in, until it is missed too.
    CHECK(store(tokens).stored == 8);
    CHECK(load(tokens).usable_tokens == 8 * G);
    CHECK(store(tokens).stored == 4);
    CHECK(load(tokens).usable_tokens == 12 * G);
}

TEST_CASE_FIXTURE(segments_fixture, "large segments are uploaded in parts, in order, and are the same bytes")
{
    const auto tokens = sequence(20);
    CHECK(store(tokens).failed.ok());
    std::map<std::string, std::vector<std::byte>> whole;
    for (const std::string& key : keys())
        whole[key] = *tier.stored().find(key);
    for (const std::string& key : keys())
        CHECK(run(tier.remove(key, deadline::never())).ok());
    options.part_bytes = 70000; // three records
    forget();
    tier.clear();
    const auto report = store(tokens);
    CHECK(report.failed.ok());
    CHECK(tier.count(call::write) == 0);
    CHECK(tier.count(call::begin_upload) == 3);
    CHECK(tier.count(call::upload_part) == 8 + 8 + 4);
    CHECK(report.requests == tier.count(call::upload_part) + 6);
    CHECK(tier.stored().uploads() == 0);
    for (const std::string& key : keys())
        CHECK(*tier.stored().find(key) == whole[key]);
    std::vector<std::string> ended;
    for (const auto& entry : tier.calls())
        if (entry.what == call::complete_upload)
            ended.push_back(entry.key);
    const auto chain = hash_chain(*scope_id(where), tokens, G);
    REQUIRE(ended.size() == 3);
    for (std::size_t i = 0; i < 3; ++i)
        CHECK(ended[i] == kv_fixture::commit_of(layout::segment_objects, where, chain, i * N));
}

TEST_CASE_FIXTURE(segments_fixture, "when an upload fails nothing behind it is published")
{
    options.part_bytes = 70000;
    forget();
    for (const std::size_t step : {0u, 3u, 20u, 31u, 33u, 45u}) {
        CAPTURE(step);
        const auto tokens = branch(0, 24, static_cast<token_id>(step));
        CHECK(match(tokens).empty());
        testing::fail_counter fuse(step, errc::throttled);
        tier.set_fuse(&fuse);
        const auto report = store(tokens);
        tier.set_fuse(nullptr);
        CHECK(fuse.fired());
        CHECK_FALSE(report.failed.ok());
        CHECK(report.stored + report.dropped == 24);
        CHECK(report.stored % N == 0);
        forget();
        const auto found = match(tokens);
        CHECK(found.chunks.size() >= report.stored);
        CHECK(load(tokens).usable_tokens == found.tokens());
        CHECK(store(tokens).failed.ok());
        CHECK(match(tokens).chunks.size() == 24);
    }
    CHECK(kv.staging_in_use() == 0);
}
