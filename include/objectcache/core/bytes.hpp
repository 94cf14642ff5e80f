// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

namespace objectcache {

using byte_span = std::span<std::byte>;
using const_byte_span = std::span<const std::byte>;

/** Bytes [offset, offset + size) of an object. */
struct byte_range {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;

    [[nodiscard]] constexpr std::uint64_t end() const noexcept { return offset + size; }
    friend bool operator==(const byte_range&, const byte_range&) = default;
};

/** Write `value` little-endian at `out`, whatever the machine's own order. Formats and hashes use only this. */
template <std::unsigned_integral T>
constexpr void store_le(std::byte* out, T value) noexcept
{
    for (std::size_t i = 0; i < sizeof(T); ++i)
        out[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
}

template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_le(const std::byte* in) noexcept
{
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
        value = static_cast<T>(value |
                               static_cast<T>(static_cast<T>(std::to_integer<unsigned>(in[i])) << (8 * i)));
    return value;
}

/** a * b, or nothing if that does not fit: sizes that come from outside are multiplied with this. */
[[nodiscard]] constexpr std::optional<std::uint64_t> checked_mul(std::uint64_t a, std::uint64_t b) noexcept
{
    if (a != 0 && b > std::numeric_limits<std::uint64_t>::max() / a)
        return std::nullopt;
    return a * b;
}

} // namespace objectcache
