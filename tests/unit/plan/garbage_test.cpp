// SPDX-License-Identifier: BSL-1.0
#include <objectcache/plan/garbage.hpp>

#include <objectcache/kv/hash_chain.hpp>

#include <support/kv_fixture.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <malloc.h>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace garbage_test {

using namespace objectcache;
using time_point = std::chrono::system_clock::time_point;

const time_point now = std::chrono::sys_days(std::chrono::year(2030) / 1 / 1);
const time_point old = now - std::chrono::hours(2), limit = now - std::chrono::hours(1);

/** A listing under construction, and the verdict on each key. */
struct bucket {
    std::string prefix = "p/";
    std::map<std::string, listed_object> objects;
    std::map<std::string, segment_head> heads;

    void add(const std::string& key, time_point at = old, std::uint64_t size = 100)
    {
        objects[key] = {key, size, at};
    }
    [[nodiscard]] std::vector<judged_group> groups(bool read_heads = true, std::size_t* reads = nullptr) const
    {
        std::vector<judged_group> out;
        garbage_planner planner(prefix, limit);
        const auto take = [&](std::optional<judged_group> group) {
            if (!group)
                return;
            if (read_heads) {
                supersession open(*group, limit);
                while (const auto i = open.next()) {
                    const auto found = heads.find(group->objects[*i].object.key);
                    open.report(*i, found == heads.end() ? result<segment_head>(errc::not_found)
                                                         : result<segment_head>(found->second));
                    if (reads)
                        ++*reads;
                }
            }
            out.push_back(std::move(*group));
        };
        for (const auto& [key, object] : objects) {
            auto done = planner.feed(object);
            REQUIRE(done.ok());
            take(std::move(*done));
        }
        take(planner.finish());
        return out;
    }
    [[nodiscard]] std::map<std::string, verdict> judge(bool read_heads = true,
                                                       std::size_t* reads = nullptr) const
    {
        std::map<std::string, verdict> out;
        for (const judged_group& g : groups(read_heads, reads))
            for (const judged_object& o : g.objects) {
                CHECK(o.object.key.starts_with(g.prefix));
                CHECK(out.emplace(o.object.key, o.what).second);
            }
        CHECK(out.size() == objects.size());
        return out;
    }
};

struct model {
    scope of = kv_fixture::scope();
    digest id = *scope_id(of);
    key_space keys{"p/", id};
    std::vector<chunk_id> chain = chain_of(64);

    /** Another sequence from chunk `parts_at` on. */
    [[nodiscard]] std::vector<chunk_id> chain_of(std::size_t chunks, std::size_t parts_at = SIZE_MAX,
                                                 token_id other = 1) const
    {
        auto tokens = kv_fixture::tokens(chunks * 16);
        for (std::size_t i = std::min(parts_at, chunks) * 16; i < tokens.size(); ++i)
            tokens[i] += other << 20;
        return hash_chain(id, tokens, 16);
    }
    std::string add_segment(bucket& b, std::span<const chunk_id> region, std::uint32_t offset,
                            std::uint32_t n, time_point at = old) const
    {
        const std::string key = segment_key(keys, name_segment(of.geometry, region, offset, n));
        b.add(key, at, segment_bytes(of.geometry, n));
        segment_head head;
        head.header.where = layout::segment_objects;
        head.header.geometry = of.geometry;
        head.header.scope = id;
        head.header.first_token = std::uint64_t{offset} * 16;
        head.header.chunks = n;
        head.header.chunk = region[offset];
        head.chunks.assign(region.begin() + offset, region.begin() + offset + n);
        b.heads[key] = head;
        return key;
    }
    void add_layers(bucket& b, std::size_t chunk, std::initializer_list<layer_id> layers,
                    time_point at = old) const
    {
        for (const layer_id l : layers)
            b.add(layer_key(keys, chain[chunk], l), at);
    }
};

TEST_CASE("layers without a manifest are orphans, once all of them are old")
{
    const model m;
    bucket b;
    m.add_layers(b, 0, {0, 1, 2});
    m.add_layers(b, 1, {0, 1, 2, 3});
    b.add(manifest_key(m.keys, m.chain[1]));
    m.add_layers(b, 2, {0, 2});
    m.add_layers(b, 2, {1}, now);
    m.add_layers(b, 3, {3}, limit);
    m.add_layers(b, 4, {3}, limit + std::chrono::seconds(1));
    m.add_layers(b, 5, {0}, time_point::max());
    auto got = b.judge();
    const auto all = [&](std::size_t chunk, verdict what) {
        for (const auto& entry : got) // no binding: clang 14 lets no lambda see one
            if (entry.first.find(m.chain[chunk].hex()) != entry.first.npos)
                CHECK_MESSAGE(entry.second == what, entry.first);
    };
    all(0, verdict::orphan);
    all(1, verdict::keep);
    all(2, verdict::young);
    all(3, verdict::orphan);
    all(4, verdict::young);
    all(5, verdict::young);
    // Not even where everything is old: a store that gives no times.
    garbage_planner no_times("p/", time_point::max());
    CHECK(no_times.feed({layer_key(m.keys, m.chain[5], 0), 1}).ok());
    CHECK(no_times.finish()->objects[0].what == verdict::young);
}

TEST_CASE("a manifest with a hole in its layers is broken, its layers stay until it is gone")
{
    const model m;
    const auto with = [&](std::initializer_list<layer_id> layers, time_point manifest) {
        bucket b;
        m.add_layers(b, 0, layers);
        const std::string key = manifest_key(m.keys, m.chain[0]);
        b.add(key, manifest);
        auto got = b.judge();
        const verdict out = got[key];
        got.erase(key);
        for (const auto& [layer, what] : got)
            CHECK(what == verdict::keep);
        return out;
    };
    CHECK(with({0, 1, 2}, old) == verdict::keep);
    CHECK(with({0}, old) == verdict::keep); // how many there should be only the manifest says
    CHECK(with({}, old) == verdict::broken);
    CHECK(with({1}, old) == verdict::broken);
    CHECK(with({0, 2}, old) == verdict::broken);
    CHECK(with({}, now) == verdict::young);
    CHECK(with({0, 2}, time_point::max()) == verdict::young);
}

TEST_CASE("what is not ours is counted and does not part what belongs together")
{
    const model m;
    bucket b;
    const std::string folder = m.keys.root() + "l/" + m.chain[0].hex() + "/";
    m.add_layers(b, 0, {0, 1});
    b.add(manifest_key(m.keys, m.chain[0]));
    for (const std::string& key : {folder + "0000.bak", folder + "foo", folder + "0001/x", folder + "zzz"})
        b.add(key);
    b.add("p/oc2/anything");
    b.add("p/oc1/anything");
    b.add("other");
    b.add("p/oc1");
    auto got = b.judge();
    CHECK(got[layer_key(m.keys, m.chain[0], 0)] == verdict::keep);
    CHECK(got[layer_key(m.keys, m.chain[0], 1)] == verdict::keep);
    CHECK(got[manifest_key(m.keys, m.chain[0])] == verdict::keep);
    CHECK(got["p/oc2/anything"] == verdict::other_version);
    for (const std::string& key : {folder + "0000.bak", folder + "foo", folder + "0001/x", folder + "zzz",
                                   std::string("p/oc1/anything"), std::string("other"), std::string("p/oc1")})
        CHECK(got[key] == verdict::foreign);
}

TEST_CASE("a listing that is not in order is refused")
{
    const model m;
    for (const char* second : {"p/a", "p/b"}) {
        garbage_planner planner("p/", limit);
        CHECK(planner.feed({"p/b", 1, old}).ok());
        CHECK(planner.feed({second, 1, old}).error() == errc::malformed_response);
    }
}

TEST_CASE("a segment is superseded by a larger one of the same sequence")
{
    const model m;
    const auto other = m.chain_of(64, 10);
    struct row {
        const char* what;
        std::uint32_t larger_offset, larger_n, smaller_offset, smaller_n;
        bool same_sequence;
        verdict by_name, by_head;
    };
    const std::vector<row> rows{
        {"the whole region", 0, 64, 0, 20, true, verdict::undecided, verdict::superseded},
        {"it goes on, and parts before", 0, 64, 0, 20, false, verdict::keep, verdict::keep},
        {"same end", 0, 20, 5, 15, true, verdict::superseded, verdict::superseded},
        {"same end, other sequence", 0, 20, 5, 15, false, verdict::keep, verdict::keep},
        {"in the midst", 4, 20, 6, 3, true, verdict::undecided, verdict::superseded},
        {"overlapping only", 0, 20, 5, 19, true, verdict::keep, verdict::keep},
        {"begins later", 5, 20, 0, 10, true, verdict::keep, verdict::keep},
        {"parts behind it", 0, 30, 0, 10, false, verdict::undecided, verdict::superseded},
    };
    for (const row& r : rows) {
        CAPTURE(r.what);
        bucket b;
        m.add_segment(b, r.same_sequence ? m.chain : other, r.larger_offset, r.larger_n);
        const std::string key = m.add_segment(b, m.chain, r.smaller_offset, r.smaller_n);
        CHECK(b.judge(false)[key] == r.by_name);
        CHECK(b.judge(true)[key] == r.by_head);
    }
}

TEST_CASE("a segment stays if the larger one is young, cut short, or is not what its name says")
{
    const model m;
    for (const bool same_end : {true, false}) {
        const auto judged = [&](auto change) {
            bucket b;
            const std::string larger = m.add_segment(b, m.chain, 0, 20);
            const std::string smaller = m.add_segment(b, m.chain, 2, same_end ? 18 : 10);
            change(b, larger, smaller);
            return b.judge()[smaller];
        };
        using text = const std::string&;
        CHECK(judged([](bucket&, text, text) {}) == verdict::superseded);
        const verdict too_young = same_end ? verdict::young : verdict::keep;
        CHECK(judged([](bucket& b, text l, text) { b.objects[l].modified = now; }) == too_young);
        CHECK(judged([](bucket& b, text, text s) { b.objects[s].modified = now; }) == too_young);
        CHECK(judged([](bucket& b, text l, text) { b.objects[l].size -= 1; }) == verdict::keep);
        CHECK(judged([](bucket& b, text l, text) { b.objects[l].size -= 20 * 8; }) == verdict::keep);
        CHECK(judged([](bucket& b, text, text s) { b.objects[s].size = 0; }) == verdict::keep);
        if (same_end)
            continue;
        CHECK(judged([](bucket& b, text l, text) { b.heads.erase(l); }) == verdict::keep);
        CHECK(judged([](bucket& b, text l, text) { b.heads[l].chunks[11].bytes[0] ^= std::byte{1}; }) ==
              verdict::keep);
        CHECK(judged([](bucket& b, text l, text) { b.heads[l].header.scope.bytes[0] ^= std::byte{1}; }) ==
              verdict::keep);
    }
}

TEST_CASE("a region that grew in steps needs one head")
{
    const model m;
    bucket b;
    for (std::uint32_t n = 1; n <= 64; ++n)
        m.add_segment(b, m.chain, 0, n);
    std::size_t reads = 0;
    const auto got = b.judge(true, &reads);
    CHECK(reads == 1);
    CHECK(std::count_if(got.begin(), got.end(), [](auto& o) { return o.second == verdict::keep; }) == 1);
}

// The same by brute force: from the chunks themselves, and from the set of all keys.
TEST_CASE("property: verdicts are those of an oracle that knows every chunk")
{
    std::mt19937 random(20301);
    const auto below = [&](std::size_t n) { return static_cast<std::uint32_t>(random() % n); };
    std::map<verdict, std::size_t> seen;
    for (int round = 0; round < 300; ++round) {
        model m;
        if (round % 3 == 1) { // regions of 128 and 256 chunks: not every chunk has a mark
            m.of.geometry.kv_heads = 1, m.of.geometry.head_size = 2, m.of.geometry.tokens_per_chunk = 16;
            REQUIRE(segment_chunks(m.of.geometry) == 256);
        }
        const std::uint32_t per_region = std::min(segment_chunks(m.of.geometry), 100u);
        std::vector<std::vector<chunk_id>> sequences;
        for (token_id i = 0; i < 4; ++i)
            sequences.push_back(m.chain_of(per_region, below(per_region), i));
        bucket b;
        struct stored {
            std::string key;
            std::uint32_t offset;
            std::vector<chunk_id> chunks;
            bool is_old, whole;
        };
        std::vector<stored> segments;
        for (int i = 0; i < 14; ++i) {
            const auto& s = sequences[below(sequences.size())];
            const std::uint32_t offset = below(3) == 0 ? below(per_region) : 0,
                                n = 1 + below(per_region - offset);
            const bool is_old = below(5) != 0, whole = below(10) != 0;
            const std::string key = m.add_segment(b, s, offset, n, is_old ? old : now);
            if (!whole)
                b.objects[key].size -= 1 + below(n);
            std::erase_if(segments, [&](const stored& t) { return t.key == key; });
            segments.push_back({key, offset, {s.begin() + offset, s.begin() + offset + n}, is_old, whole});
        }
        std::map<std::string, verdict> expected;
        for (std::size_t c = 0; c < 6; ++c) {
            const auto& id = m.chain[c];
            std::map<layer_id, bool> layers;
            for (unsigned i = below(5); i > 0; --i)
                layers[below(4)] = below(6) != 0;
            for (const auto& [l, is_old] : layers)
                b.add(layer_key(m.keys, id, l), is_old ? old : now);
            const bool published = below(2) == 0, manifest_old = below(4) != 0;
            const bool all_old = std::all_of(layers.begin(), layers.end(), [](auto& l) { return l.second; });
            for (const auto& l : layers)
                expected[layer_key(m.keys, id, l.first)] = published ? verdict::keep
                                                           : all_old ? verdict::orphan
                                                                     : verdict::young;
            bool hole = layers.empty();
            for (layer_id l = 0; !layers.empty() && l < layers.rbegin()->first; ++l)
                hole = hole || !layers.contains(l);
            if (published) {
                b.add(manifest_key(m.keys, id), manifest_old ? old : now);
                expected[manifest_key(m.keys, id)] = !hole          ? verdict::keep
                                                     : manifest_old ? verdict::broken
                                                                    : verdict::young;
            }
            if (below(3) == 0) {
                b.add(chunk_key(m.keys, id));
                expected[chunk_key(m.keys, id)] = verdict::keep;
            }
        }
        for (const stored& s : segments) {
            verdict& v = expected[s.key];
            for (const stored& l : segments) {
                if (l.chunks.size() <= s.chunks.size() || l.offset > s.offset ||
                    l.offset + l.chunks.size() < s.offset + s.chunks.size() || !l.whole || !s.whole ||
                    !std::equal(s.chunks.begin(), s.chunks.end(), l.chunks.begin() + (s.offset - l.offset)))
                    continue;
                const bool same_end = l.offset + l.chunks.size() == s.offset + s.chunks.size();
                if (l.is_old && s.is_old)
                    v = verdict::superseded;
                else if (same_end && v == verdict::keep)
                    v = verdict::young; // of others only a head would tell, and the young need none
            }
        }
        const auto got = b.judge();
        for (const auto& entry : expected) {
            const verdict found = got.at(entry.first);
            CHECK_MESSAGE(found == entry.second,
                          entry.first << ": " << name(found) << ", not " << name(entry.second));
            ++seen[entry.second];
        }
        // Nothing that is superseded was the last to hold its chunk.
        for (const stored& s : segments)
            for (std::size_t i = 0; i < s.chunks.size() && got.at(s.key) == verdict::superseded; ++i)
                CHECK(std::any_of(segments.begin(), segments.end(), [&](const stored& l) {
                    return got.at(l.key) == verdict::keep && l.offset <= s.offset + i &&
                           s.offset + i - l.offset < l.chunks.size() &&
                           l.chunks[s.offset + i - l.offset] == s.chunks[i];
                }));
    }
    for (const verdict v :
         {verdict::keep, verdict::superseded, verdict::orphan, verdict::broken, verdict::young})
        CHECK_MESSAGE(seen[v] > 50, name(v));
}

TEST_CASE("a million keys, and regions of any number of segments, in the memory of one group")
{
    const model m;
    garbage_planner planner("p/", limit);
    std::size_t fed = 0, judged = 0, largest = 0, most_memory = 0;
    const std::size_t before = mallinfo2().uordblks;
    const auto take = [&](const std::optional<judged_group>& group) {
        if (group) {
            judged += group->objects.size();
            largest = std::max(largest, group->objects.size());
        }
    };
    const auto feed = [&](std::string key) {
        auto done = planner.feed({std::move(key), 1, old});
        REQUIRE(done.ok());
        take(*done);
        if (++fed % 100 == 0)
            most_memory = std::max(most_memory, static_cast<std::size_t>(mallinfo2().uordblks) - before);
    };
    chunk_id id;
    const auto number = [&](std::uint32_t n) {
        for (std::size_t i = 0; i < 4; ++i)
            id.bytes[i] = static_cast<std::byte>(n >> (24 - 8 * i));
        return id;
    };
    for (std::uint32_t i = 0; i < 100'000; ++i)
        feed(chunk_key(m.keys, number(i)));
    for (std::uint32_t i = 0; i < 30'000; ++i) {
        for (layer_id l = 0; l < 31; ++l)
            feed(layer_key(m.keys, number(i), l));
        feed(manifest_key(m.keys, id));
    }
    CHECK(largest == 32);
    segment_name s;
    s.region = number(7);
    s.chunks = 1;
    s.marks = "AAA";
    for (std::uint32_t i = 0; i < 10'000; ++i) { // of one region
        for (std::size_t b = 0; b < 4; ++b)
            s.last[b] = static_cast<std::byte>(i >> (24 - 8 * b));
        feed(segment_key(m.keys, s));
    }
    take(planner.finish());
    CHECK(fed > 1'000'000);
    CHECK(judged == fed);
    CHECK(largest == garbage_planner::most_segments);
    MESSAGE("at most " << most_memory << " bytes in use"); // 0 under sanitizers, which do not count
    CHECK(most_memory < 8 << 20);
}

} // namespace garbage_test
