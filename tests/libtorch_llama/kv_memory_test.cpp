// SPDX-License-Identifier: BSL-1.0
#include "torch_support.hpp"

#include <cstring>

namespace {

using namespace torch_llama_test;

const placement cpu{};

TEST_CASE("libtorch_llama: KV in order is read in place, scattered KV is gathered, both the same")
{
    at::manual_seed(3);
    const config c = named_config("tiny");
    for (const at::Device device : devices()) {
        const placement where{device, at::kBFloat16};
        kv_memory in_order(c, where, 100, 16), apart(c, where, 100, 16, scattered(7));
        CHECK(in_order.capacity() == 112);
        CHECK(in_order.consecutive());
        CHECK(!apart.consecutive());
        for (std::size_t first : {0, 30, 31}) { // pieces that begin and end within blocks
            const std::int64_t n = first == 0 ? 30 : first == 30 ? 1 : 69;
            for (std::size_t l = 0; l < c.layers; ++l) {
                const auto options = at::TensorOptions(device).dtype(at::kBFloat16);
                const kv_memory::rows r{at::randn({n, c.kv_heads, c.head_dim}, options),
                                        at::randn({n, c.kv_heads, c.head_dim}, options)};
                in_order.write(l, first, r);
                apart.write(l, first, r);
            }
        }
        CHECK(in_order.same_bytes(apart, 100));
        CHECK(in_order.read(1, 100).k.data_ptr() == in_order.read(1, 3).k.data_ptr());
        const auto one =
            at::zeros({1, c.kv_heads, c.head_dim}, at::TensorOptions(device).dtype(at::kBFloat16));
        apart.write(c.layers - 1, 99, {apart.read(c.layers - 1, 100).k.narrow(0, 99, 1), one});
        CHECK(!in_order.same_bytes(apart, 100));
        CHECK(in_order.same_bytes(apart, 99));
    }
}

TEST_CASE("libtorch_llama: the cache is told where the rows really are")
{
    at::manual_seed(4);
    const config c = named_config("tiny");
    for (const auto& table : {std::vector<std::uint32_t>{}, scattered(5)}) {
        kv_memory kv(c, cpu, 80, 16, table);
        kv.fill(1);
        const auto pages = kv.pages(32); // a chunk is two blocks
        REQUIRE(pages.validate().ok());
        CHECK(pages.capacity_tokens() == 80);
        CHECK(pages.geometry() == kv.geometry(32));
        const kv_memory::rows expected = kv.read(2, 80);
        std::vector<std::byte> slice(kv.geometry(32).slice_bytes());
        std::size_t pieces = 0;
        pages.for_each_piece(2, 32, 32, [&](const std::byte* memory, std::size_t offset, std::size_t size) {
            std::memcpy(slice.data() + offset, memory, size);
            ++pieces;
        });
        CHECK(pieces == (table.empty() ? 2 : 4));
        const auto both = at::cat({expected.k.narrow(0, 32, 32), expected.v.narrow(0, 32, 32)});
        REQUIRE(slice.size() == both.nbytes());
        CHECK(std::memcmp(slice.data(), both.data_ptr(), slice.size()) == 0);
    }
}

TEST_CASE("libtorch_llama: the cache is told the type of the rows")
{
    const config c = named_config("tiny");
    CHECK(kv_memory(c, cpu, 1).geometry(1).dtype == objectcache::kv_dtype::f32);
    CHECK(kv_memory(c, {at::kCPU, at::kBFloat16}, 1).geometry(1).dtype == objectcache::kv_dtype::bf16);
    CHECK(kv_memory(c, {at::kCPU, at::kHalf}, 1).geometry(1).dtype == objectcache::kv_dtype::f16);
    CHECK_THROWS_WITH_AS(kv_memory(c, {at::kCPU, at::kDouble}, 1), "KV of this type cannot be stored", error);
}

TEST_CASE("libtorch_llama: block tables that cannot be are refused")
{
    const config c = named_config("tiny");
    CHECK_THROWS_WITH_AS(kv_memory(c, cpu, 33, 16, {0, 1}), "the block table has 2 blocks, the tokens need 3",
                         error);
    CHECK_THROWS_WITH_AS(kv_memory(c, cpu, 33, 16, {0, 1, 0}), "the block table names a block twice", error);
    CHECK_THROWS_AS(kv_memory(c, cpu, 0, 16), error);
    CHECK_THROWS_AS(kv_memory(c, cpu, 1, 0), error);
}

TEST_CASE("libtorch_llama: KV of two widths never has the same bytes, -0 is not 0")
{
    const config c = named_config("tiny");
    kv_memory a(c, cpu, 4), b(c, cpu, 4);
    a.fill(0);
    b.fill(0);
    CHECK(a.same_bytes(b, 4));
    b.write(1, 2, {at::full({1, c.kv_heads, c.head_dim}, -0.0F), b.read(1, 1).v});
    CHECK(!a.same_bytes(b, 4));
    CHECK(a.same_bytes(b, 2));
}

} // namespace
