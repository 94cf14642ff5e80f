// SPDX-License-Identifier: BSL-1.0
#include <objectcache/cache.hpp>

#include <doctest/doctest.h>
#include <support/cache_fixture.hpp>

#include <algorithm>
#include <cstring>
#include <optional>

using namespace objectcache;
using namespace std::chrono_literals;

// Loads of which the engine computes the first chunks itself (load_options::first_chunk).
namespace cache_first_chunk_test {

constexpr layout layouts[] = {layout::chunk_objects, layout::layer_objects, layout::segment_objects};

/** Seven chunks are stored, in two goes: as segments they are two, of three and of four chunks. */
struct fixture : cache_test::fixture {
    static constexpr std::size_t chunks = 7, first_go = 3;

    std::vector<token_id> tokens = kv_fixture::tokens(chunks * G + 1);
    kv_fixture::memory source{shape, tokens.size()}, target{shape, tokens.size()};
    std::uint64_t record = record_bytes(shape);

    explicit fixture(layout where_stored = layout::chunk_objects)
    {
        source.fill();
        options.stored_as = where_stored;
        options.read_layouts = layout_set::only(where_stored);
        options.merge_segments = false;
        forget();
    }

    prefix_match matched()
    {
        const std::vector<token_id> begin(tokens.begin(), tokens.begin() + first_go * G);
        CHECK(store(begin, source).stored == first_go);
        CHECK(store(tokens, source).stored == chunks - first_go);
        prefix_match found = match(tokens);
        CHECK(found.tokens() == chunks * G);
        tier.clear();
        target.clear();
        return found;
    }
    load_report end(cache_test::tested_load& load) { return run(load.finish(asio::use_awaitable)); }
    error_code fetch(cache_test::tested_load& load, layer_id layer, std::uint32_t pass = 0)
    {
        return run(load.fetch_layer(layer, pass)(asio::use_awaitable));
    }

    /** Chunks [first, end) of a slot are as in `layer` of the source, or as they were before. */
    static bool same(kv_fixture::memory& is, std::size_t slot, kv_fixture::memory& should, std::size_t layer,
                     std::size_t first, std::size_t end)
    {
        const std::size_t chunk = G * is.shape.row_bytes(), at = first * chunk, size = (end - first) * chunk;
        return std::memcmp(is.k(slot) + at, should.k(layer) + at, size) == 0 &&
               std::memcmp(is.v(slot) + at, should.v(layer) + at, size) == 0;
    }
    static bool untouched(kv_fixture::memory& is, std::size_t slot, std::size_t first, std::size_t end)
    {
        kv_fixture::memory clear(is.shape, is.rows);
        clear.clear();
        return same(is, slot, clear, 0, first, end);
    }
    /** As if another process had stored it: where one record lies. */
    [[nodiscard]] std::byte& byte_of(std::size_t chunk, layer_id layer)
    {
        const auto ids = chain(tokens);
        const bool second = *options.stored_as == layout::segment_objects && chunk >= first_go;
        if (!second) {
            const std::vector<chunk_id> begin(ids.begin(),
                                              ids.begin() + (*options.stored_as == layout::segment_objects
                                                                 ? std::ptrdiff_t{first_go}
                                                                 : chunks));
            const auto place = kv_fixture::place_of(*options.stored_as, where, begin, chunk, layer);
            return (*tier.stored().find(place.key))[place.offset + 100];
        }
        const key_space keys{options.key_prefix, *scope_id(where)};
        const std::string key = segment_key(keys, name_segment(shape, ids, first_go, chunks - first_go));
        const byte_range range = segment_layer_range(shape, chunks - first_go, layer,
                                                     static_cast<std::uint32_t>(chunk - first_go), 1);
        return (*tier.stored().find(key))[static_cast<std::size_t>(range.offset) + 100];
    }
    void damage(std::size_t chunk, layer_id layer) { byte_of(chunk, layer) ^= std::byte{8}; }
    [[nodiscard]] std::uint64_t bytes_asked_for() const
    {
        std::uint64_t out = 0;
        for (const auto& each : tier.calls())
            out += each.range.size;
        return out;
    }
};

} // namespace cache_first_chunk_test

using first_chunk_fixture = cache_first_chunk_test::fixture;

TEST_CASE("of chunks that the engine computes nothing is read, checked or written")
{
    for (const layout as : cache_first_chunk_test::layouts)
        for (const bool layer_by_layer : {true, false})
            for (std::size_t first = 0; first <= first_chunk_fixture::chunks; ++first) {
                CAPTURE(name(as));
                CAPTURE(layer_by_layer);
                CAPTURE(first);
                first_chunk_fixture f(as);
                const prefix_match found = f.matched();
                for (std::size_t chunk = 0; chunk < first; ++chunk) // what is not read may be anything
                    for (layer_id l = 0; l < 4; ++l)
                        f.damage(chunk, l);
                load_options how;
                how.first_chunk = first;
                how.layer_by_layer = layer_by_layer;
                auto load = f.kv.load(found, f.target.pages(), how);
                CHECK(load.tokens() == f.chunks * f.G);
                for (layer_id l = 0; l < 4; ++l) {
                    CHECK_FALSE(f.fetch(load, l));
                    CHECK(f.same(f.target, l, f.source, l, first, f.chunks));
                    CHECK(f.untouched(f.target, l, 0, first));
                }
                const load_report report = f.end(load);
                CHECK(report.failed.ok());
                CHECK(report.usable_tokens == f.chunks * f.G);
                // Each record behind it was needed, so none in front of it is among as many bytes.
                CHECK(report.bytes == (f.chunks - first) * 4 * f.record);
                CHECK(f.bytes_asked_for() == report.bytes);
                CHECK(f.tier.calls().size() == report.requests);
                CHECK_FALSE(f.device.any_gate_closed());
                CHECK(f.kv.stats().chunks_corrupt == 0);
                if (as == layout::segment_objects && layer_by_layer && first % 3 != 0 && first < 7) // a part
                    CHECK(report.requests == (first < 3 ? 4 + 3 : 4));
            }
}

TEST_CASE("a chunk that fails behind those that are computed ends the usable tokens there")
{
    for (const layout as : cache_first_chunk_test::layouts)
        for (const std::size_t first : {1, 2, 3, 5})
            for (std::size_t broken = first; broken < first_chunk_fixture::chunks; ++broken) {
                CAPTURE(name(as));
                CAPTURE(first);
                CAPTURE(broken);
                first_chunk_fixture f(as);
                const prefix_match found = f.matched();
                f.damage(first - 1, 0); // is not looked at
                f.damage(broken, 2);
                load_options how;
                how.first_chunk = first;
                auto load = f.kv.load(found, f.target.pages(), how);
                const load_report report = f.end(load);
                CHECK(report.failed == errc::checksum_mismatch);
                CHECK(report.usable_tokens == broken * f.G);
                CHECK(load.usable_tokens() == broken * f.G);
                CHECK(f.fetch(load, 2) == condition::corrupt);
                CHECK_FALSE(f.fetch(load, 0));
                for (layer_id l = 0; l < 4; ++l) {
                    CHECK(f.same(f.target, l, f.source, l, first, broken));
                    CHECK(f.untouched(f.target, l, 0, first));
                }
                CHECK_FALSE(f.device.any_gate_closed());
                CHECK(f.kv.stats().chunks_corrupt == 1);
                // What was found out is known: whatever lies in the damaged object is not matched again.
                const std::size_t left = as != layout::segment_objects ? broken : broken < 3 ? 0 : 3;
                CHECK(f.match(f.tokens).tokens() == left * f.G);
            }
}

TEST_CASE("a load that ends early leaves what is computed usable")
{
    for (const layout as : cache_first_chunk_test::layouts) {
        CAPTURE(name(as));
        first_chunk_fixture f(as);
        const prefix_match found = f.matched();
        f.tier.hold_reads();
        load_options how;
        how.first_chunk = 2;
        how.timeout = 3s;
        auto load = f.kv.load(found, f.target.pages(), how);
        std::optional<load_report> report;
        f.start(load.finish(asio::use_awaitable), report);
        CHECK(f.tier.reads_waiting() > 0);
        CHECK(load.usable_tokens() == 7 * f.G); // as far as is known
        condition why = condition::cancelled;
        SUBCASE("cancelled")
        {
            load.cancel();
        }
        SUBCASE("its time is up")
        {
            why = condition::timeout;
            f.time.advance(3s);
        }
        f.settle();
        REQUIRE(report);
        CHECK(report->failed == why);
        CHECK(report->usable_tokens == 2 * f.G);
        for (layer_id l = 0; l < 4; ++l) {
            CHECK(f.fetch(load, l) == why);
            CHECK(f.untouched(f.target, l, 0, 7));
        }
        CHECK_FALSE(f.device.any_gate_closed());
        CHECK(f.kv.staging_in_use() == 0);
        f.tier.release_reads();
    }
}

TEST_CASE_FIXTURE(first_chunk_fixture,
                  "where everything is computed nothing is read, and all gates open at once")
{
    const prefix_match found = matched();
    load_options how;
    how.first_chunk = chunks;
    how.passes = 2;
    testing::gated_device::stream stream;
    auto row = device.make_gates(8);
    auto load = kv.load(found, target.pages(), how, row);
    CHECK_FALSE(load.gate(3, &stream, 1));
    std::optional<load_report> report;
    start(load.finish(asio::use_awaitable), report);
    REQUIRE(report);
    CHECK(report->failed.ok());
    CHECK(report->usable_tokens == chunks * G);
    CHECK(report->requests == 0);
    CHECK(tier.calls().empty());
    for (std::size_t i = 0; i < 8; ++i)
        CHECK(row.open(i));
    for (layer_id l = 0; l < 4; ++l) {
        CHECK_FALSE(fetch(load, l, 0));
        CHECK_FALSE(fetch(load, l, 1));
        CHECK_FALSE(load.wait_layer(l, 1));
        CHECK(untouched(target, l, 0, chunks));
    }
    load.cancel(); // comes too late
    settle();
    CHECK(load.usable_tokens() == chunks * G);
}

TEST_CASE_FIXTURE(first_chunk_fixture, "more chunks than were matched cannot be computed in front of a load")
{
    const prefix_match found = matched();
    const auto check_refused = [&](const prefix_match& what, std::size_t first, const char* detail) {
        load_options how;
        how.first_chunk = first;
        auto load = kv.load(what, target.pages(), how);
        const load_report report = end(load);
        CHECK(report.failed == condition::invalid);
        CHECK(report.failed.detail() == detail);
        CHECK(report.usable_tokens == 0);
        CHECK(fetch(load, 0) == condition::invalid);
        CHECK(tier.calls().empty());
        CHECK_FALSE(device.any_gate_closed());
    };
    check_refused(found, 8, "first_chunk: 8 of 7 matched chunks");
    check_refused(found, ~std::size_t{0},
                  ("first_chunk: " + std::to_string(~std::size_t{0}) + " of 7 matched chunks").c_str());
    check_refused({}, 1, "first_chunk: 1 of 0 matched chunks");
    // And in a load that is refused for another reason, the head counts for nothing.
    load_options how;
    how.first_chunk = 3;
    kv_fixture::memory small(shape, 3 * G);
    auto load = kv.load(found, small.pages(), how);
    CHECK(end(load).failed == condition::invalid);
    CHECK(load.usable_tokens() == 0);
}

TEST_CASE("chunks that are computed, layers that are near, memory for a few layers, and several passes")
{
    for (const layout as : cache_first_chunk_test::layouts)
        for (const std::size_t slots : {1, 2, 4})
            for (const layer_id near : {0U, 1U, 4U}) {
                CAPTURE(name(as));
                CAPTURE(slots);
                CAPTURE(near);
                constexpr std::size_t first = 2;
                first_chunk_fixture f(as);
                const prefix_match found = f.matched();
                kv_fixture::memory ring(f.shape, f.tokens.size(), slots);
                ring.clear();
                load_options how;
                how.passes = 3;
                how.first_layer = near;
                how.first_chunk = first;
                auto load = f.kv.load(found, ring.pages(), how);
                for (std::uint32_t pass = 0; pass < 3; ++pass)
                    for (layer_id l = 0; l < 4; ++l) {
                        CHECK_FALSE(f.fetch(load, l, pass));
                        if (l < near)
                            continue;
                        f.settle(); // what does not wait for this layer's compute happens now
                        CHECK(f.same(ring, l % slots, f.source, l, first, f.chunks));
                        CHECK_FALSE(f.run(load.compute_layer(l, {}, pass)(asio::use_awaitable)));
                    }
                const load_report report = f.end(load);
                CHECK(report.failed.ok());
                CHECK(report.usable_tokens == f.chunks * f.G);
                CHECK(report.bytes == 3 * (f.chunks - first) * (4 - near) * f.record);
                CHECK(f.bytes_asked_for() == report.bytes);
                for (std::size_t slot = 0; slot < slots; ++slot)
                    CHECK(f.untouched(ring, slot, 0, first));
            }
}
