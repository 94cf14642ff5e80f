// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/object_key.hpp>

#include <support/kv_fixture.hpp>

#include <doctest/doctest.h>

namespace object_key_test {

using namespace objectcache;

using kv_fixture::counting;

const key_space keys{"team/", counting(0)};
const chunk_id chunk = counting(0xe0);
constexpr std::string_view chunk_hex = "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

TEST_CASE("keys are as documented")
{
    const std::string root = "team/oc1/000102030405060708090a0b0c0d0e0f/";
    CHECK(keys.root() == root);
    CHECK(chunk_key(keys, chunk) == root + "c/" + std::string(chunk_hex));
    CHECK(layer_key(keys, chunk, 7) == root + "l/" + std::string(chunk_hex) + "/0007");
    CHECK(layer_key(keys, chunk, 4095) == root + "l/" + std::string(chunk_hex) + "/4095");
    CHECK(manifest_key(keys, chunk) == root + "l/" + std::string(chunk_hex) + "/manifest");
}

TEST_CASE("records and commits of each layout")
{
    CHECK(layout_prefix(keys, layout::chunk_objects) == keys.root() + "c/");
    CHECK(layout_prefix(keys, layout::layer_objects) == keys.root() + "l/");
    CHECK(layout_prefix(keys, layout::segment_objects) == keys.root() + "s/");
    CHECK(record_key(keys, layout::chunk_objects, chunk, 3) == chunk_key(keys, chunk));
    CHECK(record_key(keys, layout::layer_objects, chunk, 3) == layer_key(keys, chunk, 3));
    CHECK(commit_key(keys, layout::chunk_objects, chunk) == chunk_key(keys, chunk));
    CHECK(commit_key(keys, layout::layer_objects, chunk) == manifest_key(keys, chunk));
}

TEST_CASE("prefixes that would break a signature are refused")
{
    for (const char* good : {"", "a", "a/", "a/b/", "a/b-", "x..y/", "v1.2/", "with space/"})
        CHECK_MESSAGE(valid_key_prefix(good), good);
    for (const char* bad : {"/", "/a", "a//", "a//b", "./", "../", "a/../", "a/./b", "tab\t", "caf\xc3\xa9/"})
        CHECK_FALSE_MESSAGE(valid_key_prefix(bad), bad);
    CHECK(valid_key_prefix(std::string(512, 'x')));
    CHECK_FALSE(valid_key_prefix(std::string(513, 'x')));
    const key_space longest{std::string(512, 'x'), {}};
    CHECK(manifest_key(longest, chunk).size() <= 1024);
}

} // namespace object_key_test
