// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/geometry.hpp>

#include <doctest/doctest.h>

namespace geometry_test {

using namespace objectcache;

constexpr kv_geometry llama_8b{32, 8, 128, kv_dtype::bf16, kv_form::separate, 64};

TEST_CASE("sizes of known models")
{
    static_assert(llama_8b.row_bytes() == 2048);
    static_assert(llama_8b.slice_bytes() ==
                  256 * 1024); // 28,672 slices of 256 KiB at 57,344 tokens: design, section 6
    static_assert(llama_8b.whole_chunks(57344) * llama_8b.layers == 28672);
    constexpr kv_geometry deepseek{61, 1, 576, kv_dtype::bf16, kv_form::latent, 64};
    static_assert(deepseek.slice_bytes() == 64 * 576 * 2);
    CHECK(llama_8b.validate().ok());
    CHECK(deepseek.validate().ok());
    CHECK(llama_8b.whole_chunks(63) == 0);
    CHECK(llama_8b.whole_chunks(128) == 2);
}

TEST_CASE("names and numbers of types are inverse to each other")
{
    int known = 0;
    for (int number = 0; number < 256; ++number) {
        const auto dtype = static_cast<kv_dtype>(number);
        CHECK((bytes_of(dtype) == 0) == name(dtype).empty());
        if (!name(dtype).empty()) {
            CHECK(parse_kv_dtype(name(dtype)) == dtype);
            ++known;
        }
        if (const auto form = static_cast<kv_form>(number); !name(form).empty())
            CHECK(parse_kv_form(name(form)) == form);
    }
    CHECK(known == 6);
    CHECK_FALSE(parse_kv_dtype("BF16"));
    CHECK_FALSE(parse_kv_dtype(""));
    CHECK_FALSE(parse_kv_form(""));
}

TEST_CASE("hostile geometries are refused, each for its own member")
{
    const auto refused = [](auto change, const char* member) {
        kv_geometry g = llama_8b;
        change(g);
        const status s = g.validate();
        CHECK(s == condition::invalid);
        CHECK_MESSAGE(s.detail().find(member) != std::string::npos, s.detail());
    };
    for (const std::uint32_t bad : {0u, 65537u, 0xffffffffu}) {
        refused([&](kv_geometry& g) { g.layers = bad; }, "layers");
        refused([&](kv_geometry& g) { g.kv_heads = bad; }, "kv_heads");
        refused([&](kv_geometry& g) { g.head_size = bad; }, "head_size");
        refused([&](kv_geometry& g) { g.tokens_per_chunk = bad; }, "tokens_per_chunk");
    }
    refused([](kv_geometry& g) { g.layers = 4097; }, "layers");
    refused([](kv_geometry& g) { g.dtype = static_cast<kv_dtype>(6); }, "dtype");
    refused([](kv_geometry& g) { g.form = static_cast<kv_form>(2); }, "form");
    refused([](kv_geometry& g) { g.form = kv_form::latent; }, "head");
    refused([](kv_geometry& g) { g.kv_heads = g.head_size = g.tokens_per_chunk = 65536; }, "slice");
}

TEST_CASE("a slice may be 2^30 bytes long and not a row longer")
{
    kv_geometry g{4096, 64, 1024, kv_dtype::bf16, kv_form::separate, 4096};
    CHECK(g.slice_bytes() == kv_geometry::max_slice_bytes);
    CHECK(g.validate().ok());
    ++g.tokens_per_chunk;
    CHECK_FALSE(g.validate().ok());
}

} // namespace geometry_test
