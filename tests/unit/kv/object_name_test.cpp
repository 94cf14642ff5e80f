// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/object_name.hpp>

#include <objectcache/kv/hash_chain.hpp>

#include <support/kv_fixture.hpp>

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

namespace object_name_test {

using namespace objectcache;

using kv_fixture::counting;

const key_space keys{"team/", counting(0)};
const std::string scope_hex = keys.scope.hex().substr(0, 32);
const chunk_id chunk = counting(0xe0);

segment_name segment(std::uint32_t offset, std::uint32_t chunks)
{
    std::vector<chunk_id> region;
    for (unsigned i = 0; i < offset + chunks; ++i)
        region.push_back(counting(i * 3));
    return name_segment(kv_fixture::geometry(), region, offset, chunks);
}

object_name named(object_kind kind, layer_id layer = 0)
{
    return {kind, scope_hex, chunk, layer, {}};
}
object_name named(const segment_name& s)
{
    return {object_kind::segment, scope_hex, s.region, 0, s};
}

TEST_CASE("parsing is the inverse of naming")
{
    for (const std::string prefix : {"", "p", "a/b/", "oc1/", "oc1/x-"}) {
        const key_space space{prefix, keys.scope};
        CHECK(parse_object_key(prefix, chunk_key(space, chunk)) == named(object_kind::chunk));
        CHECK(parse_object_key(prefix, manifest_key(space, chunk)) == named(object_kind::manifest));
        for (const layer_id layer : {0u, 9u, 10u, 999u, 4095u})
            CHECK(parse_object_key(prefix, layer_key(space, chunk, layer)) ==
                  named(object_kind::layer, layer));
        for (const auto& [offset, chunks] : {std::pair{0u, 1u}, {0u, 256u}, {255u, 1u}, {7u, 100u}}) {
            const segment_name s = segment(offset, chunks);
            CHECK(parse_object_key(prefix, segment_key(space, s)) == named(s));
        }
        for (const std::string& key : {chunk_key(space, chunk), manifest_key(space, chunk)})
            CHECK(key_version(prefix, key) == 1u);
    }
    CHECK(named(object_kind::chunk).where() == layout::chunk_objects);
    CHECK(named(object_kind::layer).where() == layout::layer_objects);
    CHECK(named(object_kind::manifest).where() == layout::layer_objects);
    CHECK(named(segment(0, 1)).where() == layout::segment_objects);
}

std::vector<std::string> one_of_each()
{
    return {chunk_key(keys, chunk), layer_key(keys, chunk, 12), manifest_key(keys, chunk),
            segment_key(keys, segment(3, 5))};
}

TEST_CASE("a key with any one character cut, added or changed has no second meaning")
{
    for (const std::string& key : one_of_each()) {
        CAPTURE(key);
        REQUIRE(parse_object_key("team/", key));
        const bool is_segment = key.find("/s/") != key.npos;
        for (std::size_t i = 0; i < key.size(); ++i) {
            CHECK_FALSE(parse_object_key("team/", key.substr(0, i)));
            for (const char other : {'/', 'A', 'F', 'g', '~', '\0'}) {
                std::string changed = key;
                changed[i] = other;
                // A mark may be any of base64url's digits.
                if (changed != key && !(is_segment && i > key.rfind('.') && std::isalnum(other)))
                    CHECK_FALSE(parse_object_key("team/", changed));
            }
        }
        CHECK_FALSE(parse_object_key("team/", key + "0"));
        CHECK_FALSE(parse_object_key("team/", key + "/"));
        CHECK_FALSE(parse_object_key("teams/", key));
        CHECK_FALSE(parse_object_key(key + key, key));
    }
    const std::string layer = layer_key(keys, chunk, 0);
    CHECK_FALSE(parse_object_key("team/", layer.substr(0, layer.size() - 4) + "4096"));
    CHECK_FALSE(parse_object_key("team/", layer.substr(0, layer.size() - 4) + "+001"));
}

TEST_CASE("whatever is parsed is named the same again, however a key was mangled")
{
    std::mt19937 random(7);
    const std::string alphabet("0123456789abcdefz-._/Alcsmnity\xff\0", 32);
    std::size_t parsed = 0;
    for (int round = 0; round < 40'000; ++round) {
        auto all = one_of_each();
        std::string key = all[random() % all.size()];
        for (unsigned n = random() % 3; n > 0; --n) {
            const std::size_t at = random() % key.size();
            switch (random() % 3) {
            case 0:
                key[at] = alphabet[random() % alphabet.size()];
                break;
            case 1:
                key.erase(at, 1 + random() % 5);
                break;
            default:
                key.insert(at, 1, alphabet[random() % alphabet.size()]);
            }
        }
        const auto name = parse_object_key("team/", key);
        if (!name)
            continue;
        ++parsed;
        key_space again{"team/", {}};
        for (std::size_t i = 0; i < 16; ++i)
            again.scope.bytes[i] =
                static_cast<std::byte>(std::stoul(name->scope.substr(2 * i, 2), nullptr, 16));
        CHECK(key == (name->kind == object_kind::chunk      ? chunk_key(again, name->chunk)
                      : name->kind == object_kind::layer    ? layer_key(again, name->chunk, name->layer)
                      : name->kind == object_kind::manifest ? manifest_key(again, name->chunk)
                                                            : segment_key(again, name->segment)));
    }
    CHECK(parsed > 10'000);
}

TEST_CASE("versions are told from what is not ours")
{
    CHECK(key_version("p/", "p/oc1/anything") == 1u);
    CHECK(key_version("", "oc2/") == 2u);
    CHECK(key_version("", "oc65535/x/y") == 65535u);
    for (const char* other : {"", "oc", "oc/", "oc1", "oc01/", "oc0/", "oc1x/", "ocx/", "oc-1/", "OC1/",
                              "xoc1/", "oc123456/", "p/oc1/"})
        CHECK_FALSE_MESSAGE(key_version("", other), other);
}

struct stored {
    scope of = kv_fixture::scope();
    digest id = *scope_id(of);
    key_space space{"", id};
    std::vector<chunk_id> chain = hash_chain(id, kv_fixture::tokens(16 * 24), 16);

    [[nodiscard]] object_header header(layout where, std::size_t first) const
    {
        return kv_fixture::header(where, of.geometry, id, chain, first);
    }
    [[nodiscard]] segment_head head(std::uint32_t first, std::uint32_t n) const
    {
        segment_head out{header(layout::segment_objects, first), {}};
        out.header.chunks = n;
        out.chunks.assign(chain.begin() + first, chain.begin() + first + n);
        return out;
    }
    [[nodiscard]] object_name segment(std::uint32_t first, std::uint32_t n) const
    {
        return *parse_object_key("", segment_key(space, name_segment(of.geometry, chain, first, n)));
    }
};

TEST_CASE("a header suits only the name and the size that it was written with")
{
    const stored s;
    const kv_geometry& g = s.of.geometry;
    const object_name c = *parse_object_key("", chunk_key(s.space, s.chain[2]));
    const object_name m = *parse_object_key("", manifest_key(s.space, s.chain[2]));
    const object_header of_chunk = s.header(layout::chunk_objects, 2),
                        of_manifest = s.header(layout::layer_objects, 2);
    const std::uint64_t size = object_bytes(layout::chunk_objects, g);
    CHECK(match_name(c, size, of_chunk).ok());
    CHECK(match_name(m, header_bytes, of_manifest).ok());
    CHECK(match_name(c, size - 1, of_chunk) == errc::length_mismatch);
    CHECK(match_name(m, header_bytes + 1, of_manifest) == errc::length_mismatch);
    CHECK(match_name(c, size, of_manifest) == errc::wrong_chunk);
    CHECK(match_name(m, header_bytes, of_chunk) == errc::wrong_chunk);
    CHECK(match_name(c, size, s.header(layout::chunk_objects, 3)) == errc::wrong_chunk);
    object_header other = of_chunk;
    other.scope.bytes[0] ^= std::byte{1};
    CHECK(match_name(c, size, other) == errc::wrong_chunk);
}

TEST_CASE("a segment's head suits only its name")
{
    const stored s;
    const auto bytes = [&](std::uint32_t n) { return segment_bytes(s.of.geometry, n); };
    for (const auto& [first, n] : {std::pair{0u, 1u}, {0u, 20u}, {5u, 3u}}) {
        CHECK(match_name(s.segment(first, n), bytes(n), s.head(first, n)).ok());
        CHECK(match_name(s.segment(first, n), bytes(n) - 1, s.head(first, n)) == errc::length_mismatch);
        CHECK(match_name(s.segment(first, n), bytes(n + 1), s.head(first, n)) == errc::length_mismatch);
        CHECK(match_name(s.segment(first, n), bytes(n), s.head(first + 1, n)) == errc::wrong_chunk);
    }
    const object_name honest = s.segment(5, 3);
    const auto refused = [&](auto change) {
        object_name name = honest;
        segment_head head = s.head(5, 3);
        change(name, head);
        CHECK(match_name(name, bytes(name.segment.chunks), head) == errc::wrong_chunk);
    };
    refused([](object_name& name, segment_head&) { name.segment.last[0] ^= std::byte{1}; });
    refused([](object_name& name, segment_head&) {
        name.segment.marks[0] = name.segment.marks[0] == 'A' ? 'B' : 'A';
    });
    refused([](object_name& name, segment_head&) { ++name.segment.chunks; });
    refused([](object_name& name, segment_head&) { ++name.segment.offset; });
    refused([](object_name&, segment_head& head) { head.chunks[2].bytes[3] ^= std::byte{1}; });
    refused([](object_name&, segment_head& head) { head.header.where = layout::chunk_objects; });
    object_name elsewhere = s.segment(0, 3);
    elsewhere.chunk.bytes[0] ^= std::byte{1};
    CHECK(match_name(elsewhere, bytes(3), s.head(0, 3)) == errc::wrong_chunk);
    // It would go on in the next region.
    const std::uint32_t per_region = segment_chunks(s.of.geometry);
    segment_head beyond = s.head(0, 2);
    beyond.header.first_token = std::uint64_t{16} * (per_region - 1);
    object_name last = honest;
    last.segment.offset = per_region - 1;
    last.segment.chunks = 2;
    CHECK(match_name(last, bytes(2), beyond) == errc::wrong_chunk);
}

} // namespace object_name_test
