// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

namespace objectcache {

/** A vocabulary index, as the model's tokenizer produces it. Hashed and stored as little-endian u32. */
using token_id = std::uint32_t;

/** A decoder layer, 0 being the first that computes. */
using layer_id = std::uint32_t;

/** A SHA-256 digest: the identity of a scope or of a chunk. Ordered and hashable; `hex()` is its form in object keys. */
struct digest {
    std::array<std::byte, 32> bytes{};

    friend auto operator<=>(const digest&, const digest&) = default;
    /** 64 lower-case hex digits. */
    [[nodiscard]] std::string hex() const
    {
        constexpr char digits[] = "0123456789abcdef";
        std::string out(2 * bytes.size(), '0');
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            out[2 * i] = digits[std::to_integer<unsigned>(bytes[i]) >> 4];
            out[2 * i + 1] = digits[std::to_integer<unsigned>(bytes[i]) & 15];
        }
        return out;
    }
};

/** Identity of a chunk *and of everything before it*: H(i) = SHA-256(H(i-1), tokens of chunk i). */
using chunk_id = digest;

} // namespace objectcache

template <>
struct std::hash<objectcache::digest> {
    std::size_t operator()(const objectcache::digest& d) const noexcept
    {
        std::size_t out = 0; // the digest is uniform already: its first bytes are the hash
        for (std::size_t i = 0; i < sizeof out; ++i)
            out = out << 8 | std::to_integer<std::size_t>(d.bytes[i]);
        return out;
    }
};
