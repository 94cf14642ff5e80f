// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/segment.hpp>

#include <objectcache/core/sha256.hpp>
#include <objectcache/kv/hash_chain.hpp>
#include <objectcache/kv/scope.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace segment_test {

using namespace objectcache;

constexpr kv_geometry llama_8b{32, 8, 128, kv_dtype::bf16, kv_form::separate, 64};

constexpr kv_geometry with_chunks_of(std::uint32_t tokens)
{
    kv_geometry g = llama_8b;
    g.tokens_per_chunk = tokens;
    return g;
}

/** The scope of the fixed vectors. */
digest scope_of_vectors()
{
    scope s;
    s.model = "meta-llama/Llama-3.1-8B";
    s.weights_revision = "d04e592";
    s.geometry = llama_8b;
    return *scope_id(s);
}

std::vector<token_id> tokens(std::size_t n)
{
    std::vector<token_id> out(n);
    for (std::size_t i = 0; i < n; ++i)
        out[i] = static_cast<token_id>(i * 2654435761u);
    return out;
}

/** Ids of a region; those from `parts_at` on are of another sequence. */
std::vector<chunk_id> region(std::size_t chunks, std::uint32_t per_chunk = 16,
                             std::size_t parts_at = SIZE_MAX)
{
    std::vector<token_id> all = tokens(chunks * per_chunk);
    for (std::size_t i = parts_at < chunks ? parts_at * per_chunk : all.size(); i < all.size(); ++i)
        all[i] ^= 1;
    return hash_chain(scope_of_vectors(), all, per_chunk);
}

std::string text_of(const segment_name& name)
{
    const key_space keys;
    return segment_key(keys, name).substr(region_prefix(keys, name.region).size());
}

TEST_CASE("a region is 8 MiB of a layer, 4,096 tokens or 256 chunks, whichever is least")
{
    static_assert(segment_chunks(with_chunks_of(16)) == 128);
    static_assert(segment_chunks(with_chunks_of(64)) == 32);
    static_assert(segment_chunks(with_chunks_of(256)) == 8);
    static_assert(segment_chunks(with_chunks_of(2048)) == 1);
    static_assert(segment_chunks(with_chunks_of(16384)) == 1); // a slice of 64 MiB
    constexpr kv_geometry latent{61, 1, 576, kv_dtype::bf16, kv_form::latent, 64};
    static_assert(segment_chunks(latent) == 64); // by tokens
    constexpr kv_geometry tiny{2, 1, 8, kv_dtype::int8, kv_form::separate, 1};
    static_assert(segment_chunks(tiny) == 256);
    constexpr kv_geometry odd{32, 8, 128, kv_dtype::fp8_e4m3, kv_form::separate, 48};
    static_assert(segment_chunks(odd) == 64);

    std::mt19937 random(1);
    for (int round = 0; round < 2000; ++round) {
        const auto below = [&](std::uint32_t n) { return 1 + static_cast<std::uint32_t>(random() % n); };
        const kv_geometry g{below(100), below(64), below(512), kv_dtype::f32, kv_form::separate, below(5000)};
        const std::uint64_t n = segment_chunks(g);
        REQUIRE((n & (n - 1)) == 0);
        REQUIRE(n <= max_segment_chunks);
        if (n > 1) {
            REQUIRE(n * g.slice_bytes() <= segment_layer_bytes);
            REQUIRE(n * g.tokens_per_chunk <= max_segment_tokens);
        }
        const bool more = 2 * n <= max_segment_chunks && 2 * n * g.slice_bytes() <= segment_layer_bytes &&
                          2 * n * g.tokens_per_chunk <= max_segment_tokens;
        REQUIRE_FALSE(more);
    }
}

TEST_CASE("every record has its place, and a layer of any run of chunks is one range")
{
    const kv_geometry g{5, 2, 8, kv_dtype::bf16, kv_form::separate, 16};
    for (const std::uint32_t chunks : {1u, 3u, 256u}) {
        CHECK(segment_head_bytes(chunks) == 256 + 32 * chunks + 8);
        std::uint64_t next = segment_head_bytes(chunks);
        for (layer_id layer = 0; layer < g.layers; ++layer)
            for (std::uint32_t chunk = 0; chunk < chunks; ++chunk) {
                const byte_range one = segment_layer_range(g, chunks, layer, chunk, 1);
                REQUIRE(one == byte_range{next, record_bytes(g)});
                next = one.end();
                const byte_range rest = segment_layer_range(g, chunks, layer, chunk, chunks - chunk);
                REQUIRE(rest == byte_range{one.offset, (chunks - chunk) * record_bytes(g)});
            }
        CHECK(next == segment_bytes(g, chunks));
    }
}

TEST_CASE("names are fixed vectors (tests/data/kv/vectors.py)")
{
    const auto all = tokens(64 * 8);
    const auto by_64 = hash_chain(scope_of_vectors(), all, 64),
               by_16 = hash_chain(scope_of_vectors(), all, 16);
    CHECK(text_of(name_segment(llama_8b, by_64, 2, 4)) ==
          "002-004.4306f898e62ee3416718c1fc5dcc6327.ZKxG-RERLXCs");
    CHECK(text_of(name_segment(with_chunks_of(16), by_16, 5, 5)) ==
          "005-005.8c9d7d7429d4ffe159e15787cef94dd7.NY8_-2_TV");
}

TEST_CASE("keys fit S3 and every file system below it")
{
    const key_space keys{std::string(max_key_prefix, 'p'), scope_of_vectors()};
    for (const std::uint32_t per_chunk : {16u, 64u, 1u}) {
        kv_geometry g = with_chunks_of(per_chunk);
        if (per_chunk == 1)
            g.head_size = 2; // 256 chunks
        const std::uint32_t n = segment_chunks(g);
        const std::string key = segment_key(keys, name_segment(g, region(n, per_chunk), 0, n));
        CHECK(key.size() <= 1024);
        for (std::size_t begin = max_key_prefix; begin < key.size();) {
            const std::size_t end = std::min(key.find('/', begin), key.size());
            CHECK(end - begin <= 255);
            begin = end + 1;
        }
    }
}

TEST_CASE("a name says how many chunks another sequence shares, and never too many")
{
    for (const std::uint32_t per_chunk : {64u, 16u, 1u}) { // marked: every chunk, every second, every fourth
        kv_geometry g = with_chunks_of(per_chunk);
        if (per_chunk == 1)
            g.head_size = 2;
        const std::uint32_t n = segment_chunks(g), stride = (n + 63) / 64;
        CAPTURE(n);
        const auto whole = region(n, per_chunk);
        const std::pair<std::uint32_t, std::uint32_t> runs[] = {{0, n},  {0, 1},     {0, 7},
                                                                {5, 11}, {n - 1, 1}, {6, n - 6}};
        for (const auto& run : runs) {
            const std::uint32_t offset = run.first, chunks = run.second, end = offset + chunks;
            const segment_name name = name_segment(g, whole, offset, chunks);
            CHECK(shared_chunks(g, name, whole) == chunks);
            for (std::uint32_t at = 0; at < n; ++at) {
                const auto other = region(n, per_chunk, at);
                const auto shorter = std::span(whole).first(at);
                const std::uint32_t truth = at <= offset ? 0 : std::min(at - offset, chunks);
                const std::uint32_t parted = shared_chunks(g, name, other);
                const std::uint32_t ended = shared_chunks(g, name, shorter);
                for (const std::uint32_t found : {parted, ended}) {
                    REQUIRE(found <= truth);
                    REQUIRE(truth - found < stride);
                }
                if (at >= end) {
                    REQUIRE(parted == chunks);
                    REQUIRE(ended == chunks);
                }
                if (offset == 0 && at > 0)
                    REQUIRE(parted >= 1);
            }
        }
    }
}

TEST_CASE("names of another region, of another geometry, or of nothing share nothing")
{
    const auto ids = region(32, 64);
    const segment_name name = name_segment(llama_8b, ids, 0, 32);
    const auto changed = [&](auto change) {
        segment_name other = name;
        change(other);
        return shared_chunks(llama_8b, other, ids);
    };
    CHECK(changed([](segment_name&) {}) == 32);
    CHECK(changed([](segment_name& s) { s.region.bytes[31] ^= std::byte{1}; }) == 0);
    CHECK(changed([](segment_name& s) { s.chunks = 0; }) == 0);
    CHECK(changed([](segment_name& s) { s.chunks = 33; }) == 0);
    CHECK(changed([](segment_name& s) { s.offset = 1; }) == 0);
    CHECK(changed([](segment_name& s) { s.marks.pop_back(); }) == 0);
    CHECK(changed([](segment_name& s) { s.marks.clear(); }) == 0);
    for (std::size_t at = 0; at < name.marks.size();
         ++at) // the last chunk vouches for all, the marks deny it
        CHECK(changed([at](segment_name& s) { s.marks[at] = s.marks[at] == 'A' ? 'B' : 'A'; }) == 0);
    CHECK(changed([](segment_name& s) { s.last[0] ^= std::byte{1}; }) == 31);
    CHECK(shared_chunks(with_chunks_of(16), name, ids) == 0); // marks every second chunk
    CHECK(shared_chunks(llama_8b, name, {}) == 0);

    // Numbers that wrap around to something small; only every second chunk is marked, so that no marks suit them.
    const auto by_16 = region(128);
    for (const auto& [offset, chunks] : {std::pair{1u, UINT32_MAX}, {UINT32_MAX, 2u}, {UINT32_MAX, 1u}}) {
        segment_name wrapped = name_segment(with_chunks_of(16), by_16, 0, 1);
        wrapped.offset = offset, wrapped.chunks = chunks;
        CHECK(shared_chunks(with_chunks_of(16), wrapped, by_16) == 0);
    }
}

TEST_CASE("parsing is the inverse of naming, and nothing else is a name")
{
    const kv_geometry shapes[] = {llama_8b, with_chunks_of(16)};
    for (const kv_geometry& g : shapes) {
        const std::uint32_t n = segment_chunks(g);
        const auto ids = region(n, g.tokens_per_chunk);
        const std::pair<std::uint32_t, std::uint32_t> runs[] = {{0, n}, {0, 1}, {3, 4}, {n - 1, 1}};
        for (const auto& run : runs) {
            const segment_name name = name_segment(g, ids, run.first, run.second);
            const std::string text = text_of(name);
            CHECK(parse_segment_name(ids[0], text) == name);
            for (std::size_t i = 0; i <= text.size(); ++i) {
                std::vector<std::string> others = {std::string(text).insert(i, "A"),
                                                   std::string(text).insert(i, "0")};
                if (i < text.size()) {
                    others.push_back(std::string(text).erase(i, 1));
                    for (const char c : {'0', '9', 'f', 'G', '-', '.', '/', '%', '\0'}) {
                        others.push_back(text);
                        others.back()[i] = c;
                    }
                }
                for (const std::string& other : others)
                    if (const auto parsed = parse_segment_name(ids[0], other))
                        REQUIRE(text_of(*parsed) == other); // another name, but one that is written so
            }
        }
    }
    for (const char* text : {"", ".", "000-000..", "256-001.", "000-257."})
        CHECK_FALSE(parse_segment_name({}, text));
}

struct sample {
    std::vector<chunk_id> ids = hash_chain(scope_of_vectors(), tokens(64 * 8), 64);
    std::vector<std::byte> bytes = std::vector<std::byte>(segment_head_bytes(4));
    object_header header;

    sample()
    {
        header.geometry = llama_8b;
        header.first_token = 128;
        header.scope = scope_of_vectors();
        header.previous = ids[1];
        encode_segment_head(bytes, header, std::span(ids).subspan(2, 4));
    }
    /** Somebody else's: whatever is changed, the checksums are right. */
    template <class F>
    status forged(F change)
    {
        std::vector<std::byte> other = bytes;
        change(other);
        store_le(other.data() + 248, payload_hash(const_byte_span(other).first(248)));
        const auto seed = load_le<std::uint64_t>(other.data() + 248);
        store_le(other.data() + other.size() - 8,
                 XXH3_64bits_withSeed(other.data() + 256, other.size() - 264, seed));
        return decode_segment_head(other).error();
    }
};

TEST_CASE_FIXTURE(sample, "a segment's head is a fixed vector (tests/data/kv/vectors.py) and comes back")
{
    CHECK(sha256_of(bytes).hex() == "fdf1228fb1dcac130220ec856bfc82fca673e6465c648aac8b0a2a95e04c2ac9");
    const auto back = decode_segment_head(bytes);
    REQUIRE(back);
    CHECK(std::ranges::equal(back->chunks, std::span(ids).subspan(2, 4)));
    CHECK(back->header.where == layout::segment_objects);
    CHECK(back->header.chunks == 4);
    CHECK(back->header.chunk == ids[2]);
    CHECK(back->header.previous == ids[1]);
    CHECK(back->header.first_token == 128);
    bytes.resize(1000); // records follow
    CHECK(decode_segment_head(bytes).ok());
}

TEST_CASE_FIXTURE(sample, "a damaged or cut head is refused, and somebody else's for what is wrong with it")
{
    for (std::size_t i = 0; i < bytes.size(); ++i)
        for (int bit = 0; bit < 8; ++bit) {
            bytes[i] ^= static_cast<std::byte>(1 << bit);
            REQUIRE(decode_segment_head(bytes).error() == errc::checksum_mismatch);
            bytes[i] ^= static_cast<std::byte>(1 << bit);
        }
    for (std::size_t size = 0; size < bytes.size(); ++size)
        REQUIRE(decode_segment_head(const_byte_span(bytes).first(size)).error() == errc::length_mismatch);

    CHECK(forged([](auto&) {}).ok());
    CHECK(forged([](auto& b) { b[8] = std::byte{2}; }) == errc::unknown_version);
    CHECK(forged([](auto& b) { b[40] = std::byte{0}; }) == errc::unknown_version);
    CHECK(forged([](auto& b) { store_le(b.data() + 40, 257u); }) == errc::unknown_version);
    CHECK(forged([](auto& b) { store_le(b.data() + 40, 5u); }) == errc::length_mismatch);
    CHECK(forged([](auto& b) { b[10] = std::byte{2}; }) == errc::unknown_version); // one chunk has four
    CHECK(forged([](auto& b) { b[10] = std::byte{2}, b[40] = std::byte{1}; }) == errc::wrong_chunk);
    CHECK(forged([](auto& b) { b[256] ^= std::byte{1}; }) == errc::wrong_chunk);
    CHECK(forged([](auto& b) { b[44] = std::byte{1}; }) == errc::unknown_version);

    // Regions of this geometry have 32 chunks of 64 tokens.
    CHECK(forged([](auto& b) { store_le(b.data() + 32, std::uint64_t{28 * 64}); }).ok());
    CHECK(forged([](auto& b) { store_le(b.data() + 32, std::uint64_t{29 * 64}); }) == errc::wrong_geometry);
    CHECK(forged([](auto& b) { store_le(b.data() + 32, std::uint64_t{(32 + 31) * 64}); }) ==
          errc::wrong_geometry);
    CHECK(forged([](auto& b) { store_le(b.data() + 32, std::uint64_t{32 * 64}); }).ok());
    CHECK(forged([](auto& b) { store_le(b.data() + 32, ~std::uint64_t{63}); }) == errc::wrong_geometry);
}

} // namespace segment_test
