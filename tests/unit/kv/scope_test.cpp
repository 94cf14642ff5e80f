// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/scope.hpp>

#include <doctest/doctest.h>

#include <set>
#include <vector>

namespace scope_test {

using namespace objectcache;

scope plain_scope()
{
    scope s;
    s.model = "meta-llama/Llama-3.1-8B";
    s.weights_revision = "d04e592";
    s.geometry = {32, 8, 128, kv_dtype::bf16, kv_form::separate, 64};
    return s;
}

TEST_CASE("a scope's id is a fixed vector (tests/data/kv/vectors.py)")
{
    CHECK(scope_id(plain_scope())->hex() ==
          "8a791c3238b03fe697df0fd718548bc6ead6d90629c4716d334675a3521cb01a");
    scope full;
    full.model = "m";
    full.weights_revision = "r";
    full.geometry = {2, 1, 4, kv_dtype::fp8_e5m2, kv_form::latent, 2};
    full.shard = {0, 1, 2, 4};
    full.config = "rope";
    full.adapter = "";
    full.tenant_salt = "salt";
    CHECK(scope_id(full)->hex() == "cb67d4badcd23faa67fa647315855ec01f8739fa81e10a290778b1c36c0227ce");
}

TEST_CASE("every field changes the id, and no two changes give the same")
{
    std::vector<scope> scopes;
    const auto variant = [&](auto change) {
        scopes.push_back(plain_scope());
        change(scopes.back());
    };
    variant([](scope&) {});
    variant([](scope& s) { s.model = "ab", s.weights_revision = "c"; });
    variant([](scope& s) { s.model = "a", s.weights_revision = "bc"; });
    variant([](scope& s) { s.geometry.layers = 31; });
    variant([](scope& s) { s.geometry.kv_heads = 4; });
    variant([](scope& s) { s.geometry.head_size = 64; });
    variant([](scope& s) { s.geometry.tokens_per_chunk = 16; });
    variant([](scope& s) { s.geometry.dtype = kv_dtype::f16; });
    variant([](scope& s) { s.geometry.kv_heads = 1; });
    variant([](scope& s) { s.geometry.kv_heads = 1, s.geometry.form = kv_form::latent; });
    variant([](scope& s) { s.shard.head_total = 16; });
    variant([](scope& s) { s.shard.head_total = 16, s.shard.first_head = 8; });
    variant([](scope& s) { s.shard.layer_total = 64; });
    variant([](scope& s) { s.shard.layer_total = 64, s.shard.first_layer = 32; });
    for (const char* text : {"", "x", "xy"}) { // absent is the first variant
        variant([&](scope& s) { s.config = text; });
        variant([&](scope& s) { s.adapter = text; });
        variant([&](scope& s) { s.tenant_salt = text; });
    }
    std::set<digest> ids;
    for (const scope& s : scopes) {
        const auto id = scope_id(s);
        REQUIRE_MESSAGE(id.ok(), id.error().message());
        CHECK(ids.insert(*id).second);
    }
}

TEST_CASE("a shard that is the whole model may say so or leave it out")
{
    scope said = plain_scope();
    said.shard = {0, 8, 0, 32};
    CHECK(*scope_id(said) == *scope_id(plain_scope()));
}

TEST_CASE("texts keep their zero bytes")
{
    scope a = plain_scope(), b = plain_scope();
    a.adapter = std::string("x\0y", 3);
    b.adapter = "x";
    CHECK(*scope_id(a) != *scope_id(b));
}

TEST_CASE("impossible scopes have no id")
{
    const auto refused = [](auto change) {
        scope s = plain_scope();
        change(s);
        CHECK(scope_id(s).error() == condition::invalid);
    };
    refused([](scope& s) { s.model.clear(); });
    refused([](scope& s) { s.weights_revision.clear(); });
    refused([](scope& s) { s.geometry.layers = 0; });
    refused([](scope& s) { s.shard.first_head = 1; });
    refused([](scope& s) { s.shard = {0, 7, 0, 0}; });
    refused([](scope& s) { s.shard = {0xffffffff, 8, 0, 0}; });
    refused([](scope& s) { s.shard = {0, 0, 1, 32}; });
    refused([](scope& s) { s.model.assign(65537, 'x'); });
    refused([](scope& s) { s.tenant_salt = std::string(65537, 'x'); });
}

} // namespace scope_test
