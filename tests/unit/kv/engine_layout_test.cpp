// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/engine_layout.hpp>

#include "support/kv_reference.hpp"

#include <doctest/doctest.h>

#include <functional>

namespace engine_layout_test {

using namespace objectcache;

constexpr std::uint32_t H = 3, D = 5, B = 4, N = 6; // heads, dimensions, tokens of a block, blocks
constexpr kv_geometry separate{1, H, D, kv_dtype::f16, kv_form::separate, 7};
constexpr kv_geometry latent{1, 1, D, kv_dtype::f16, kv_form::latent, 7};

struct place {
    std::size_t part, block, token, head;
};

/** Whether the pages put each head where the tensor's shape says: `index` is in heads (D elements). */
void check_shape(const kv_geometry& g, const engine_layout& layout,
                 const std::function<std::size_t(const place&)>& index)
{
    std::vector<std::byte> tensor(2 * N * B * H * D * 2);
    const std::vector<std::uint32_t> table{4, 0, 5, 2};
    const kv_pages pages = layout.pages(g, {layout.memory(tensor.data())}, table);
    REQUIRE_MESSAGE(pages.validate().ok(), pages.validate().message());
    const std::size_t first = 2, tokens = 7, head = D * 2;
    std::vector<std::byte*> where(std::size_t{g.parts()} * tokens * g.kv_heads * head);
    pages.for_each_piece(0, first, tokens, [&](std::byte* memory, std::size_t offset, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i)
            where[offset + i] = memory + i;
    });
    std::size_t offset = 0;
    for (std::size_t part = 0; part < g.parts(); ++part)
        for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t h = 0; h < g.kv_heads; ++h)
                for (std::size_t i = 0; i < head; ++i, ++offset) {
                    const place p{part, table[(first + t) / B], (first + t) % B, h};
                    REQUIRE(where[offset] == tensor.data() + index(p) * head + i);
                }
}

TEST_CASE("named layouts are the shapes of the engines' tensors")
{
    const auto nhd = engine_layout::nhd(separate, B), hnd = engine_layout::hnd(separate, B);
    SUBCASE("[2, blocks, block, heads, dim]")
    {
        check_shape(separate, nhd.parts_outside(N),
                    [](const place& p) { return ((p.part * N + p.block) * B + p.token) * H + p.head; });
    }
    SUBCASE("[blocks, 2, block, heads, dim]")
    {
        check_shape(separate, nhd.parts_inside(),
                    [](const place& p) { return ((p.block * 2 + p.part) * B + p.token) * H + p.head; });
    }
    SUBCASE("[2, blocks, heads, block, dim]")
    {
        check_shape(separate, hnd.parts_outside(N),
                    [](const place& p) { return ((p.part * N + p.block) * H + p.head) * B + p.token; });
    }
    SUBCASE("[blocks, 2, heads, block, dim]")
    {
        check_shape(separate, hnd.parts_inside(),
                    [](const place& p) { return ((p.block * 2 + p.part) * H + p.head) * B + p.token; });
    }
    SUBCASE("[blocks, heads, block, 2 * dim]")
    {
        check_shape(separate, engine_layout::packed(separate, B),
                    [](const place& p) { return ((p.block * H + p.head) * B + p.token) * 2 + p.part; });
    }
    SUBCASE("[blocks, block, latent]")
    {
        check_shape(latent, engine_layout::nhd(latent, B),
                    [](const place& p) { return p.block * B + p.token; });
        CHECK(engine_layout::hnd(latent, B).pages(latent, {{nullptr, nullptr}}, {}).whole_rows());
    }
    SUBCASE("tensors of their own")
    {
        std::vector<std::byte> k(N * B * H * D * 2), v(k.size());
        const kv_pages pages = nhd.pages(separate, {{k.data(), v.data()}}, {2});
        REQUIRE(pages.validate().ok());
        std::vector<std::byte*> at;
        pages.for_each_piece(0, 1, 2,
                             [&](std::byte* memory, std::size_t, std::size_t) { at.push_back(memory); });
        CHECK(at == std::vector<std::byte*>{k.data() + (2 * B + 1) * H * D * 2,
                                            v.data() + (2 * B + 1) * H * D * 2});
    }
}

TEST_CASE("the pool of all layers of vLLM with heads outermost: [blocks, heads, layers, 2, block, dim]")
{
    constexpr std::size_t L = 2, unit = D * 2;
    kv_geometry g = separate;
    g.layers = L;
    engine_layout layout;
    layout.block_tokens = B;
    layout.token_stride = unit;
    layout.head_stride = L * 2 * B * unit;
    layout.block_stride = H * layout.head_stride;
    layout.v_offset = B * unit;
    std::vector<std::byte> pool(N * layout.block_stride);
    const kv_pages pages =
        layout.pages(g, {layout.memory(pool.data()), layout.memory(pool.data() + 2 * B * unit)}, {3, 1});
    REQUIRE(pages.validate().ok());
    std::size_t pieces = 0;
    pages.for_each_piece(1, 3, 1, [&](std::byte* memory, std::size_t offset, std::size_t size) {
        const std::size_t part = pieces / H, h = pieces % H;
        CHECK(offset == (part * 7 * H + h) * unit);
        CHECK(size == unit);
        CHECK(memory == pool.data() + ((((3 * H + h) * L + 1) * 2 + part) * B + 3) * unit);
        ++pieces;
    });
    CHECK(pieces == 2 * H);
}

TEST_CASE("strides that make elements share addresses are refused")
{
    std::byte k{}, v{};
    const auto check = [&](engine_layout layout, const char* why) {
        const status s = layout.pages(separate, {{&k, &v}}, {1}).validate();
        if (why == nullptr) {
            CHECK_MESSAGE(s.ok(), s.message());
            return;
        }
        CHECK(s == condition::invalid);
        CHECK_MESSAGE(s.detail().find(why) != std::string::npos, s.detail());
    };
    engine_layout l = engine_layout::hnd(separate, B);
    check(l, nullptr);
    l.head_stride -= 2;
    check(l, "head stride");
    l = engine_layout::hnd(separate, B);
    l.block_stride -= 2;
    check(l, "block stride");
    l = engine_layout::nhd(separate, B);
    l.token_stride -= 2;
    check(l, "token stride");
    l = engine_layout::nhd(separate, B);
    l.head_stride = 9;
    check(l, "head stride");
    l.head_stride = SIZE_MAX / 2;
    check(l, "heads overflow");
    // Heads outside blocks are a nesting like any other.
    l = {B, B * 10, 10, N * B * 10, 0};
    check(l, nullptr);
    check(engine_layout::nhd(separate, 0xffffffff), nullptr);
    check(engine_layout::nhd({1, 65536, 65536, kv_dtype::f32, kv_form::separate, 1}, 0xffffffff),
          "tokens overflows");
}

TEST_CASE("random layouts: pieces and rectangles are the bytes of the formula")
{
    std::mt19937 random(11);
    for (int round = 0; round < 400; ++round) {
        const kv_reference::pool_case c = kv_reference::random_pool(random);
        auto expected = kv_reference::random_bytes(c.pool_bytes, random);
        auto pieces = expected, rectangles = expected;
        const kv_pages pages = c.pages(expected.data());
        REQUIRE_MESSAGE(pages.validate().ok(), pages.validate().message());
        const auto slice = kv_reference::random_bytes(c.geometry.slice_bytes(), random);
        const auto [first, tokens] = kv_reference::random_tokens(c, random);
        const layer_id layer = random() % 2;

        kv_reference::scatter(pages, layer, first, tokens, slice.data());
        std::size_t bytes = 0, area = 0;
        c.pages(pieces.data())
            .for_each_piece(layer, first, tokens,
                            [&](std::byte* memory, std::size_t offset, std::size_t size) {
                                std::memcpy(memory, slice.data() + offset, size);
                                bytes += size;
                            });
        c.pages(rectangles.data()).for_each_rectangle(layer, first, tokens, [&](const kv_rectangle& r) {
            for (std::size_t i = 0; i < r.rows; ++i)
                std::memcpy(r.memory + i * r.memory_pitch, slice.data() + r.offset + i * r.slice_pitch,
                            r.width);
            area += r.rows * r.width;
        });
        REQUIRE(pieces == expected);
        REQUIRE(rectangles == expected);
        const std::size_t whole = tokens * c.geometry.row_bytes() * c.geometry.parts();
        REQUIRE(bytes == whole); // nothing twice
        REQUIRE(area == whole);

        std::vector<std::byte> back(slice.size()), want(slice.size());
        kv_reference::gather(pages, layer, first, tokens, back.data());
        for (std::size_t part = 0; part < c.geometry.parts(); ++part) {
            const std::size_t row = c.geometry.row_bytes(), at = part * c.geometry.tokens_per_chunk * row;
            std::memcpy(want.data() + at, slice.data() + at, tokens * row);
        }
        REQUIRE(back == want);
    }
}

} // namespace engine_layout_test
