// SPDX-License-Identifier: BSL-1.0
#include <objectcache/core/ids.hpp>

#include <doctest/doctest.h>

#include <unordered_set>

namespace ids_test {

using namespace objectcache;

TEST_CASE("a digest reads as 64 lower-case hex digits, first byte first")
{
    digest d;
    d.bytes[0] = std::byte{0x0f};
    d.bytes[1] = std::byte{0xa5};
    d.bytes[31] = std::byte{0xff};
    CHECK(d.hex().size() == 64);
    CHECK(d.hex().substr(0, 6) == "0fa500");
    CHECK(d.hex().substr(62) == "ff");
}

TEST_CASE("digests are ordered like their hex form and differ in any byte")
{
    std::unordered_set<digest> seen;
    digest previous;
    seen.insert(previous);
    for (std::size_t i = previous.bytes.size(); i-- > 0;) {
        digest next;
        next.bytes[i] = std::byte{1};
        CHECK(previous < next);
        CHECK(previous.hex() < next.hex());
        CHECK(seen.insert(next).second);
        previous = next;
    }
    CHECK(seen.size() == 33);
}

TEST_CASE("the hash of a digest is its first bytes")
{
    digest a, b;
    b.bytes[31] = std::byte{1};
    CHECK(std::hash<digest>()(a) == std::hash<digest>()(b));
    b.bytes[0] = std::byte{1};
    CHECK(std::hash<digest>()(a) != std::hash<digest>()(b));
}

} // namespace ids_test
