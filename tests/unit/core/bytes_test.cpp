// SPDX-License-Identifier: BSL-1.0
#include <objectcache/core/bytes.hpp>

#include <doctest/doctest.h>

#include <array>

namespace bytes_test {

using namespace objectcache;

TEST_CASE("integers are stored little-endian, whatever their width")
{
    std::array<std::byte, 8> out{};
    store_le(out.data(), std::uint32_t{0x01020304});
    CHECK(out[0] == std::byte{4});
    CHECK(out[3] == std::byte{1});
    CHECK(out[4] == std::byte{0});
    store_le(out.data(), std::uint64_t{0x8182838485868788});
    CHECK(out[0] == std::byte{0x88});
    CHECK(out[7] == std::byte{0x81});
}

TEST_CASE("integers come back as they were stored, at any alignment")
{
    std::array<std::byte, 9> memory{};
    const auto round_trip = [&](auto value) {
        store_le(memory.data() + 1, value);
        return load_le<decltype(value)>(memory.data() + 1) == value;
    };
    CHECK(round_trip(std::uint8_t{0xfe}));
    CHECK(round_trip(std::uint16_t{0xfedc}));
    CHECK(round_trip(std::uint32_t{0xfedcba98}));
    CHECK(round_trip(std::uint64_t{0xfedcba9876543210}));
}

TEST_CASE("a product that does not fit 64 bits is nothing")
{
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    CHECK(checked_mul(0, most) == 0u);
    CHECK(checked_mul(most, 0) == 0u);
    CHECK(checked_mul(most, 1) == most);
    CHECK(checked_mul(1ull << 32, (1ull << 32) - 1) == most - (1ull << 32) + 1);
    CHECK_FALSE(checked_mul(1ull << 32, 1ull << 32));
    CHECK_FALSE(checked_mul(most, 2));
}

TEST_CASE("a range ends behind its last byte")
{
    CHECK(byte_range{256, 32}.end() == 288);
    CHECK(byte_range{1, 2} == byte_range{1, 2});
    CHECK_FALSE(byte_range{1, 2} == byte_range{2, 1});
}

} // namespace bytes_test
