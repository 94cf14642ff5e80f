// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/hash_chain.hpp>

#include <objectcache/kv/scope.hpp>

#include <doctest/doctest.h>

#include <random>

namespace hash_chain_test {

using namespace objectcache;

std::vector<token_id> some_tokens(std::size_t count)
{
    std::vector<token_id> out(count);
    for (std::size_t i = 0; i < count; ++i)
        out[i] = static_cast<token_id>(i * 2654435761u);
    return out;
}

TEST_CASE("a hash chain is a fixed vector (tests/data/kv/vectors.py)")
{
    scope s;
    s.model = "meta-llama/Llama-3.1-8B";
    s.weights_revision = "d04e592";
    s.geometry = {32, 8, 128, kv_dtype::bf16, kv_form::separate, 64};
    const auto tokens = some_tokens(200);
    const auto ids = hash_chain(*scope_id(s), tokens, 64);
    REQUIRE(ids.size() == 3);
    CHECK(ids[0].hex() == "394978125b15b22a41fba81a19d387449c5b5dc3414b016e1bdbaf0e97afd40f");
    CHECK(ids[1].hex() == "7eae08e9c5511493295bd012c586ab80bf42c0baf3d48acc7914baf1d8f7ca9e");
    CHECK(ids[2].hex() == "5e5f2781eb8cb3351fc1967af78cd8aa64ac41fd00868cd810f9a124fd187ee4");
}

TEST_CASE("only full chunks have ids")
{
    const auto tokens = some_tokens(33);
    CHECK(hash_chain({}, std::span(tokens).first(0), 16).empty());
    CHECK(hash_chain({}, std::span(tokens).first(15), 16).empty());
    CHECK(hash_chain({}, std::span(tokens).first(16), 16).size() == 1);
    CHECK(hash_chain({}, tokens, 16).size() == 2);
    CHECK(hash_chain({}, tokens, 1).size() == 33);
}

TEST_CASE("a token changes its chunk's id and all later ones, and no earlier one")
{
    auto tokens = some_tokens(64);
    const auto before = hash_chain({}, tokens, 16);
    tokens[20] ^= 0x80000000;
    const auto after = hash_chain({}, tokens, 16);
    CHECK(before[0] == after[0]);
    for (std::size_t i = 1; i < before.size(); ++i)
        CHECK(before[i] != after[i]);
    digest other_scope;
    other_scope.bytes[31] = std::byte{1};
    CHECK(hash_chain(other_scope, tokens, 16)[0] != after[0]);
}

TEST_CASE("a chain grows to the same ids however the tokens are cut")
{
    std::mt19937 random(7);
    const auto tokens = some_tokens(1000);
    for (const std::uint32_t per_chunk : {1u, 3u, 16u, 64u, 100u, 999u, 1001u}) {
        const auto whole = hash_chain({}, tokens, per_chunk);
        hash_chain_builder builder({}, per_chunk);
        for (std::span<const token_id> rest = tokens; !rest.empty();) {
            const std::size_t cut = std::min<std::size_t>(random() % 130, rest.size());
            builder.extend(rest.first(cut));
            rest = rest.subspan(cut);
            CHECK(builder.tokens() == tokens.size() - rest.size());
            CHECK(builder.ids().size() == builder.tokens() / per_chunk);
        }
        CHECK(builder.ids() == whole);
    }
}

} // namespace hash_chain_test
