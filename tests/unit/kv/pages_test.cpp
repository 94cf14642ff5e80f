// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/pages.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace pages_test {

using namespace objectcache;

struct piece {
    std::byte* memory;
    std::size_t offset, size;
    friend bool operator==(const piece&, const piece&) = default;
};

std::vector<piece> pieces(const kv_pages& pages, layer_id layer, std::size_t first, std::size_t tokens)
{
    std::vector<piece> out;
    pages.for_each_piece(layer, first, tokens, [&](std::byte* memory, std::size_t offset, std::size_t size) {
        out.push_back({memory, offset, size});
    });
    return out;
}

/** Addresses are only compared, never used. */
std::byte* at(std::uintptr_t address)
{
    return reinterpret_cast<std::byte*>(address);
}

constexpr kv_geometry small{2, 2, 4, kv_dtype::f16, kv_form::separate, 4}; // rows of 16 bytes, slices of 128
constexpr kv_geometry latent{2, 1, 8, kv_dtype::f16, kv_form::latent, 4};  // rows of 16 bytes, slices of 64

TEST_CASE("contiguous memory gives one piece for K and one for V")
{
    const auto pages = kv_pages::contiguous(small, {{at(1000), at(2000)}, {at(3000), at(4000)}}, 10);
    REQUIRE(pages.validate().ok());
    CHECK(pages.capacity_tokens() == 10);
    CHECK(pieces(pages, 1, 4, 4) == std::vector<piece>{{at(3064), 0, 64}, {at(4064), 64, 64}});
    CHECK(pieces(pages, 0, 8, 2) == std::vector<piece>{{at(1128), 0, 32}, {at(2128), 64, 32}});
}

TEST_CASE("memory in canonical order is one piece")
{
    const auto pages = kv_pages::contiguous(small, {{at(1000), at(1064)}, {at(2000), at(2064)}}, 4);
    CHECK(pieces(pages, 0, 0, 4) == std::vector<piece>{{at(1000), 0, 128}});
    CHECK(pieces(pages, 0, 0, 3).size() == 2);
}

TEST_CASE("a latent form has no V")
{
    const auto pages = kv_pages::contiguous(latent, {{at(1000)}, {at(2000)}}, 8);
    REQUIRE(pages.validate().ok());
    CHECK(pieces(pages, 1, 4, 4) == std::vector<piece>{{at(2064), 0, 64}});
}

TEST_CASE("rows with gaps are pieces of their own")
{
    const auto pages = kv_pages::contiguous(latent, {{at(1000)}, {at(9000)}}, 8, 20);
    REQUIRE(pages.validate().ok());
    CHECK(pieces(pages, 0, 1, 3) ==
          std::vector<piece>{{at(1020), 0, 16}, {at(1040), 16, 16}, {at(1060), 32, 16}});
}

TEST_CASE("neighbouring blocks are merged, others are not")
{
    // Blocks of 2 tokens, 32 bytes each, without gaps: 5 and 6 are neighbours, 6 and 2 are not.
    const auto pages = kv_pages::paged(latent, {{at(1000)}, {at(9000)}}, 2, {5, 6, 2, 3});
    REQUIRE(pages.validate().ok());
    CHECK(pages.capacity_tokens() == 8);
    CHECK(pieces(pages, 0, 0, 4) == std::vector<piece>{{at(1160), 0, 64}});
    CHECK(pieces(pages, 0, 2, 4) == std::vector<piece>{{at(1192), 0, 32}, {at(1064), 32, 32}});
    CHECK(pieces(pages, 0, 1, 2) == std::vector<piece>{{at(1176), 0, 32}});
}

TEST_CASE("K and V interleaved in one block are found through the block stride")
{
    // A block of 4 tokens: 64 bytes of K, then 64 of V.
    const auto pages = kv_pages::paged(small, {{at(1000), at(1064)}, {at(9000), at(9064)}}, 4, {3, 1}, 128);
    REQUIRE(pages.validate().ok());
    CHECK(pieces(pages, 0, 0, 4) == std::vector<piece>{{at(1384), 0, 128}});
    CHECK(pieces(pages, 0, 2, 4) ==
          std::vector<piece>{{at(1416), 0, 32}, {at(1128), 32, 32}, {at(1480), 64, 32}, {at(1192), 96, 32}});
}

TEST_CASE("heads outside tokens are pieces of their own, one head is a row")
{
    // A block of 4 tokens, heads of 8 bytes: 32 bytes of head 0, then 32 of head 1.
    const auto pages =
        kv_pages::paged(small, {{at(1000), at(5000)}, {at(9000), at(9500)}}, 4, {3, 1}, 0, 8, 32);
    REQUIRE(pages.validate().ok());
    CHECK(pages.block_stride() == 64);
    CHECK_FALSE(pages.whole_rows());
    CHECK(pieces(pages, 0, 1, 2) == std::vector<piece>{{at(1200), 0, 8},
                                                       {at(1232), 8, 8},
                                                       {at(1208), 16, 8},
                                                       {at(1240), 24, 8},
                                                       {at(5200), 64, 8},
                                                       {at(5232), 72, 8},
                                                       {at(5208), 80, 8},
                                                       {at(5240), 88, 8}});
    const auto one = kv_pages::paged(latent, {{at(1000)}, {at(9000)}}, 4, {3, 1}, 0, 0, 64);
    CHECK(pieces(one, 0, 0, 4) == std::vector<piece>{{at(1192), 0, 64}});
}

TEST_CASE("layers share slots when the host says so")
{
    kv_geometry g = latent;
    g.layers = 5;
    auto pages = kv_pages::contiguous(g, {{at(1000)}, {at(2000)}}, 4).layer_slots(2);
    REQUIRE(pages.validate().ok());
    CHECK(pages.layer_slots() == 2);
    for (layer_id layer = 0; layer < 5; ++layer)
        CHECK(pieces(pages, layer, 0, 4) == std::vector<piece>{{at(layer % 2 == 0 ? 1000 : 2000), 0, 64}});
    CHECK_FALSE(kv_pages::contiguous(g, {{at(1000)}, {at(2000)}}, 4).validate().ok());
}

TEST_CASE("contradictions are refused")
{
    using memory = std::vector<kv_layer_memory>;
    const memory two{{at(1000), at(2000)}, {at(3000), at(4000)}};
    const auto refused = [](const kv_pages& pages, const char* why) {
        const status s = pages.validate();
        CHECK(s == condition::invalid);
        CHECK_MESSAGE(s.detail().find(why) != std::string::npos, s.detail());
    };
    refused(kv_pages(), "layers");
    refused(kv_pages::contiguous({}, two, 4), "layers");
    refused(kv_pages::contiguous(small, memory(3, two[0]), 4), "number of layers");
    refused(kv_pages::contiguous(small, two, 4).layer_slots(1), "number of layers");
    refused(kv_pages::contiguous(small, memory(3, two[0]), 4).layer_slots(3), "slots");
    refused(kv_pages::contiguous(small, {}, 4).layer_slots(0), "slots");
    refused(kv_pages::contiguous(small, memory(2, {at(1000), nullptr}), 4), "null");
    refused(kv_pages::contiguous(small, memory(2, {nullptr, at(1000)}), 4), "null");
    refused(kv_pages::contiguous(latent, memory(2, {at(1000), at(2000)}), 4), "null");
    refused(kv_pages::contiguous(small, two, 4, 15), "stride");
    refused(kv_pages::contiguous(small, two, SIZE_MAX), "capacity");
    refused(kv_pages::contiguous(small, two, 4, SIZE_MAX / 2), "tokens overflows");
    refused(kv_pages::paged(small, two, 0, {1}), "no token");
    refused(kv_pages::paged(small, two, 4, {1}, 63), "block stride");
    refused(kv_pages::paged(small, two, 4, {1}, 0, SIZE_MAX / 2), "tokens overflows");
    refused(kv_pages::paged(small, two, 4, {0xffffffff}, SIZE_MAX / 1024), "blocks overflows");
    CHECK(kv_pages::paged(small, two, 4, {}).validate().ok());
    CHECK(kv_pages::paged(small, two, 4, {}).capacity_tokens() == 0);
}

TEST_CASE("random maps: pieces are the rows that the formula gives, in order, and none could be merged")
{
    std::mt19937 random(3);
    const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
    for (int round = 0; round < 300; ++round) {
        kv_geometry g{3, 1 + below(3), 1 + below(5), kv_dtype::f32, kv_form::separate, 1 + below(9)};
        if (below(3) == 0)
            g.form = kv_form::latent, g.kv_heads = 1;
        const std::size_t row = g.row_bytes(), stride = row + (below(2)) * 8;
        const std::uint32_t block_tokens = 1 + below(6);
        const std::size_t block_stride = block_tokens * stride + (below(2)) * 24;
        std::vector<std::uint32_t> table(1 + below(12));
        std::iota(table.begin(), table.end(), below(4));
        if (below(2))
            std::shuffle(table.begin(), table.end(), random);
        const bool paged = below(2);
        std::vector<kv_layer_memory> memory;
        for (std::uintptr_t l = 0; l < 3; ++l)
            memory.push_back(
                {at(1000000 * (l + 1)), g.form == kv_form::latent ? nullptr : at(10000000 * (l + 1))});
        const auto pages = paged ? kv_pages::paged(g, memory, block_tokens, table, block_stride, stride)
                                 : kv_pages::contiguous(g, memory, table.size() * block_tokens, stride);
        REQUIRE(pages.validate().ok());

        const std::size_t tokens =
            std::min<std::size_t>(1 + random() % g.tokens_per_chunk, pages.capacity_tokens());
        const std::size_t first = random() % (pages.capacity_tokens() - tokens + 1);
        const layer_id layer = below(3);
        std::vector<piece> rows;
        for (std::uint32_t part = 0; part < g.parts(); ++part)
            for (std::size_t t = 0; t < tokens; ++t) {
                const std::size_t token = first + t;
                const std::size_t where =
                    paged ? table[token / block_tokens] * block_stride + token % block_tokens * stride
                          : token * stride;
                rows.push_back({(part == 0 ? memory[layer].k : memory[layer].v) + where,
                                (part * g.tokens_per_chunk + t) * row, row});
            }
        std::vector<piece> merged;
        for (const piece& r : rows)
            if (!merged.empty() && merged.back().memory + merged.back().size == r.memory &&
                merged.back().offset + merged.back().size == r.offset)
                merged.back().size += r.size;
            else
                merged.push_back(r);
        REQUIRE(pieces(pages, layer, first, tokens) == merged);
    }
}

} // namespace pages_test
