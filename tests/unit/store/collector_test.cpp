// SPDX-License-Identifier: BSL-1.0
#include <objectcache/store/collector.hpp>

#include <objectcache/kv/hash_chain.hpp>
#include <objectcache/s3/large_object.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <support/forged.hpp>
#include <support/kv_fixture.hpp>
#include <support/run.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <string>
#include <vector>

// Which object is garbage is tested in unit/plan/garbage_test.cpp; here is what is done about it, beside others.
namespace collector_test {

using namespace objectcache;

/** A bucket of a server whose clock is two hours ahead of what it was told, so that all of it is old. */
struct world {
    scope of = kv_fixture::scope();
    digest id = *scope_id(of);
    key_space keys{"p/", id};
    std::vector<chunk_id> chain = hash_chain(id, kv_fixture::tokens(16 * 64), 16);
    testing::s3_server server = start();
    asio::io_context io;
    s3::client store{io.get_executor(), *s3::endpoint::parse(server.endpoint_url()), server.credentials()};
    std::vector<garbage> told;
    collector_options how;

    world()
    {
        how.remove = true;
        how.settle = {};
        how.on_garbage = [this](const garbage& g) { told.push_back(g); };
    }
    static testing::s3_server start()
    {
        testing::s3_server_options options;
        options.buckets = {"bucket"};
        return std::move(*testing::s3_server::start(std::move(options)));
    }
    void grow_old() { server.set_clock_offset(std::chrono::hours(2)); }

    void put(const std::string& key, std::vector<std::byte> bytes)
    {
        REQUIRE(server.put("bucket", key, bytes).ok());
    }
    void put(const std::string& key) { put(key, std::vector<std::byte>(100)); }
    void put_layers(std::size_t chunk)
    {
        for (layer_id l = 0; l < of.geometry.layers; ++l)
            put(layer_key(keys, chain[chunk], l));
    }
    void put_manifest(std::size_t chunk)
    {
        object_header h;
        h.where = layout::layer_objects;
        h.geometry = of.geometry;
        h.first_token = chunk * 16;
        h.scope = id;
        h.chunk = chain[chunk];
        std::vector<std::byte> bytes(header_bytes);
        encode_header(std::span(bytes).first<header_bytes>(), h);
        put(manifest_key(keys, chain[chunk]), bytes);
    }
    std::string put_segment(std::uint32_t offset, std::uint32_t n)
    {
        object_header h;
        h.geometry = of.geometry;
        h.first_token = std::uint64_t{offset} * 16;
        h.scope = id;
        std::vector<std::byte> bytes(static_cast<std::size_t>(segment_bytes(of.geometry, n)));
        encode_segment_head(byte_span(bytes).first(static_cast<std::size_t>(segment_head_bytes(n))), h,
                            std::span(chain).subspan(offset, n));
        const std::string key = segment_key(keys, name_segment(of.geometry, chain, offset, n));
        put(key, bytes);
        return key;
    }
    [[nodiscard]] std::set<std::string> there() const
    {
        std::set<std::string> out;
        for (const auto& o : server.objects())
            out.insert(o.key);
        return out;
    }
    [[nodiscard]] std::size_t layers_of(std::size_t chunk) const
    {
        std::size_t n = 0;
        for (layer_id l = 0; l < of.geometry.layers; ++l)
            n += there().contains(layer_key(keys, chain[chunk], l));
        return n;
    }
    [[nodiscard]] bool published(std::size_t chunk) const
    {
        return there().contains(manifest_key(keys, chain[chunk]));
    }
    collector_report collect() { return support::run(io, collect_garbage(store, "bucket", "p/", how)); }
};

/** One of everything. */
struct full_world : world {
    std::set<std::string> live, dead;
    std::string upload_id;

    full_world()
    {
        const auto all = [&] { return there(); };
        put_layers(0);
        put_manifest(0);
        put(chunk_key(keys, chain[1]));
        put("p/oc1/not/ours");
        put("p/oc2/later");
        put("other");
        put_segment(0, 64);
        live = all();
        put_layers(2);
        put_segment(0, 20);
        put_segment(5, 59);
        put(manifest_key(keys, chain[3]));
        put(layer_key(keys, chain[4], 3));
        for (const std::string& key : all())
            if (!live.contains(key))
                dead.insert(key);
        for (const char* key : {"foreign", "p/foreign"})
            REQUIRE(support::run(io, s3::begin_upload(store, "bucket", key, {})).ok());
        upload_id = *support::run(io, s3::begin_upload(store, "bucket", chunk_key(keys, chain[9]), {}));
    }
};

TEST_CASE("a dry run tells everything and touches nothing")
{
    full_world w;
    w.grow_old();
    w.how.remove = false;
    const auto before = w.there();
    const collector_report r = w.collect();
    CHECK_MESSAGE(r.failed.ok(), r.failed.message());
    CHECK(w.there() == before);
    CHECK(w.server.pending_uploads() == 3);
    std::set<std::string> told;
    for (const garbage& g : w.told) {
        CHECK_FALSE(g.removed);
        if (g.why != "upload")
            told.insert(g.key);
    }
    CHECK(told == w.dead);
    CHECK(r.of(verdict::orphan).objects == 5);
    CHECK(r.of(verdict::superseded).objects == 2);
    CHECK(r.of(verdict::broken).objects == 1);
    CHECK(r.of(verdict::other_version).objects == 1);
    CHECK(r.of(verdict::foreign).objects == 1); // "other" does not lie under the prefix
    CHECK(r.of(verdict::keep).objects == 7);
    CHECK(r.of(verdict::undecided).objects == 0);
    CHECK(r.uploads == 1);
    CHECK(r.removed.objects == 0);
}

TEST_CASE("what is garbage goes, everything else stays")
{
    full_world w;
    w.grow_old();
    const collector_report r = w.collect();
    CHECK_MESSAGE(r.failed.ok(), r.failed.message());
    CHECK(w.there() == w.live);
    CHECK(r.removed.objects == w.dead.size());
    CHECK(r.uploads_aborted == 1);
    CHECK(w.server.pending_uploads() == 2);
    for (const garbage& g : w.told)
        CHECK(g.removed);
    const collector_report again = w.collect();
    CHECK(again.removed.objects == 0);
    CHECK(again.failures == 0);
}

TEST_CASE("nothing younger than the grace is touched, by the store's clock and not by ours")
{
    full_world w; // ours and the store's agree: everything is new
    const auto before = w.there();
    collector_report r = w.collect();
    CHECK(r.of(verdict::young).objects == 7); // the head of the whole region is not even read
    CHECK(r.removed.objects == 0);
    CHECK(r.uploads == 0);
    CHECK(w.there() == before);
    CHECK(w.server.pending_uploads() == 3);
    w.grow_old(); // only the store's has moved
    w.how.grace = std::chrono::hours(3);
    CHECK(w.collect().removed.objects == 0);
    w.how.grace = std::chrono::hours(1);
    CHECK(w.collect().removed.objects == w.dead.size());
}

TEST_CASE("only the scope that was asked for")
{
    full_world w;
    w.grow_old();
    w.how.scope = std::string(32, '0');
    CHECK(w.collect().removed.objects == 0);
    w.how.scope = w.id.hex().substr(0, 32);
    CHECK(w.collect().removed.objects == w.dead.size());
}

// The other process acts in `on_progress`, which comes between the listing of a group and its removal, and in `on_garbage`,
// which comes right after the removal.
TEST_CASE("a writer that publishes between the listing and the removal keeps its chunk")
{
    world w;
    w.put_layers(0);
    w.put_layers(1);
    w.grow_old();
    w.how.on_progress = [&](std::uint64_t judged) {
        if (judged == w.of.geometry.layers) // the first group: listed, not yet removed
            w.put_manifest(0);
    };
    const collector_report r = w.collect();
    CHECK_MESSAGE(r.failed.ok(), r.failed.message());
    CHECK(w.published(0));
    CHECK(w.layers_of(0) == w.of.geometry.layers);
    CHECK(w.layers_of(1) == 0);
    CHECK(r.spared == 1);
    CHECK(r.retracted == 0);
}

TEST_CASE("a writer that begins between the listing and the removal keeps its layers")
{
    world w;
    w.put_layers(0);
    w.grow_old();
    w.how.on_progress = [&](std::uint64_t) {
        w.put(layer_key(w.keys, w.chain[0], 1));
    }; // written anew: young
    const collector_report r = w.collect();
    CHECK(w.layers_of(0) == w.of.geometry.layers);
    CHECK(r.spared == 1);
    CHECK(r.removed.objects == 0);
}

TEST_CASE("a manifest that is published while its layers are removed is taken back after the settling time")
{
    world w;
    w.put_layers(0);
    w.put_layers(1);
    w.put_layers(2);
    w.grow_old();
    w.how.settle = std::chrono::milliseconds(50);
    std::map<std::size_t, bool> done;
    std::chrono::steady_clock::time_point removed;
    w.how.on_garbage = [&](const garbage& g) {
        w.told.push_back(g);
        for (const std::size_t chunk : {std::size_t{0}, std::size_t{1}})
            if (g.removed && g.why == "orphan" && g.key == layer_key(w.keys, w.chain[chunk], 0) &&
                !done[chunk]) {
                // This writer found the layers in place; the other one wrote all of them once more.
                done[chunk] = true;
                if (chunk == 1)
                    w.put_layers(chunk);
                w.put_manifest(chunk);
                removed = std::chrono::steady_clock::now();
            }
    };
    const collector_report r = w.collect();
    CHECK(std::chrono::steady_clock::now() - removed >= std::chrono::milliseconds(45));
    CHECK_MESSAGE(r.failed.ok(), r.failed.message());
    CHECK(done.size() == 2);
    CHECK_FALSE(w.published(0));
    CHECK(w.published(1));
    CHECK(w.layers_of(1) == w.of.geometry.layers);
    CHECK_FALSE(w.published(2));
    CHECK(r.retracted == 1);
    CHECK(r.unsettled == 0);
}

TEST_CASE("a manifest of an unknown version that was published meanwhile is left alone, however large it is")
{
    for (const bool known : {false, true}) {
        CAPTURE(known);
        world w;
        w.put_layers(0);
        w.grow_old();
        w.how.on_garbage = [&](const garbage& g) {
            if (g.key != layer_key(w.keys, w.chain[0], 3))
                return;
            object_header h;
            h.where = layout::layer_objects;
            h.geometry = w.of.geometry;
            h.scope = w.id;
            h.chunk = w.chain[0];
            std::vector<std::byte> bytes(header_bytes + 100);
            encode_header(std::span(bytes).first<header_bytes>(), h);
            if (!known)
                store_le(bytes.data() + forged::header_version, std::uint16_t{2});
            forged::reseal_header(bytes);
            w.put(manifest_key(w.keys, w.chain[0]), bytes);
        };
        const collector_report r = w.collect();
        CHECK_MESSAGE(r.failed.ok(), r.failed.message());
        CHECK(w.published(0) == !known);
        CHECK(r.retracted == (known ? 1 : 0));
        CHECK(r.spared == (known ? 0 : 1));
        CHECK(r.unsettled == 0);
    }
}

TEST_CASE("a collector that dies while it settles leaves what the next one mends")
{
    world w;
    w.put_layers(0);
    w.grow_old();
    w.how.settle = std::chrono::hours(1);
    asio::cancellation_signal stop;
    w.how.on_garbage = [&](const garbage& g) {
        if (g.key == layer_key(w.keys, w.chain[0], 3)) {
            w.put_manifest(0);
            asio::post(w.io, [&] { stop.emit(asio::cancellation_type::terminal); });
        }
    };
    std::optional<collector_report> r;
    asio::co_spawn(w.io, collect_garbage(w.store, "bucket", "p/", w.how),
                   asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e, collector_report out) {
                       CHECK_FALSE(e);
                       r = std::move(out);
                   }));
    w.io.restart();
    w.io.run();
    REQUIRE(r);
    CHECK(r->unsettled == 1);
    CHECK(w.published(0)); // it lies
    w.how.on_garbage = nullptr;
    CHECK(w.collect().of(verdict::young).objects == 1);
    w.server.set_clock_offset(std::chrono::hours(4));
    CHECK(w.collect().of(verdict::broken).objects == 1);
    CHECK_FALSE(w.published(0));
}

TEST_CASE("what cannot be removed is told and counted, and the rest is removed")
{
    full_world w;
    w.grow_old();
    w.server.set_responder([](const testing::s3_request& r) {
        const bool bulk = r.method == "POST" && r.query.find("delete") != r.query.npos;
        return bulk ? testing::s3_fault::error(403, "AccessDenied") : testing::s3_fault();
    });
    const collector_report r = w.collect();
    CHECK(r.failed == condition::denied);
    CHECK(r.removed.objects == 0);
    CHECK(r.uploads_aborted == 1);
    std::size_t refused = 0;
    for (const garbage& g : w.told)
        if (g.why != "upload") {
            CHECK(g.failed == condition::denied);
            ++refused;
        }
    CHECK(refused == w.dead.size());
    CHECK(r.failures == w.dead.size());
}

TEST_CASE("a listing that fails ends it, and nothing is said of what was not listed")
{
    full_world w;
    w.grow_old();
    w.server.set_responder([](const testing::s3_request& r) {
        const bool list = r.method == "GET" && r.key.empty();
        return list ? testing::s3_fault::error(403, "AccessDenied") : testing::s3_fault();
    });
    const auto before = w.there();
    const collector_report r = w.collect();
    CHECK(r.failed == condition::denied);
    CHECK(w.there() == before);
    CHECK(w.told.empty());
}

TEST_CASE("cancelled at any request, it ends, and a second collection finishes the work")
{
    for (std::uint64_t stop_at = 1; stop_at < 16; ++stop_at) {
        full_world w;
        w.grow_old();
        w.how.parallel = 2;
        asio::cancellation_signal stop;
        std::atomic<std::uint64_t> asked = 0;
        w.server.set_responder([&](const testing::s3_request&) {
            if (++asked == stop_at)
                asio::post(w.io, [&] { stop.emit(asio::cancellation_type::terminal); });
            return testing::s3_fault();
        });
        std::optional<collector_report> r;
        asio::co_spawn(
            w.io, collect_garbage(w.store, "bucket", "p/", w.how),
            asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e, collector_report out) {
                CHECK_FALSE(e);
                r = std::move(out);
            }));
        w.io.restart();
        w.io.run();
        REQUIRE(r);
        CHECK(asked > 0);
        w.server.set_responder(nullptr);
        for (const std::string& key : w.live)
            CHECK(w.there().contains(key));
        CHECK(w.collect().failures == 0);
        CHECK(w.there() == w.live);
    }
}

TEST_CASE("more segments than one request removes, and more layers than one page lists")
{
    world w;
    for (std::uint32_t offset = 0; offset < 63; ++offset)
        w.put_segment(offset, 64 - offset);
    w.of.geometry.layers = 1500;
    w.put_layers(0);
    w.grow_old();
    w.how.grace = {};
    const collector_report r = w.collect();
    CHECK_MESSAGE(r.failed.ok(), r.failed.message());
    CHECK(r.of(verdict::orphan).objects == 1500);
    CHECK(r.removed.objects == 1500 + 62);
    CHECK(w.there().size() == 1);
}

} // namespace collector_test
