// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/detail/sha_instructions.hpp>
#include <objectcache/core/sha256.hpp>

#include <algorithm>
#include <bit>
#include <type_traits>

namespace objectcache {

namespace detail {

inline constexpr std::uint32_t sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// SHA-256 is big-endian inside, unlike every format of ours: its two helpers stay here.
constexpr std::uint32_t load_be32(const std::byte* in) noexcept
{
    return std::to_integer<std::uint32_t>(in[0]) << 24 | std::to_integer<std::uint32_t>(in[1]) << 16 |
           std::to_integer<std::uint32_t>(in[2]) << 8 | std::to_integer<std::uint32_t>(in[3]);
}

template <class T>
constexpr void store_be(std::byte* out, T value) noexcept
{
    for (std::size_t i = 0; i < sizeof(T); ++i)
        out[i] = static_cast<std::byte>(value >> (8 * (sizeof(T) - 1 - i)) & 0xff);
}

} // namespace detail

constexpr void sha256::compress(const std::byte* block) noexcept
{
    using std::rotr;
    std::uint32_t w[64]{};
    for (int i = 0; i < 16; ++i)
        w[i] = detail::load_be32(block + 4 * i);
    for (int i = 16; i < 64; ++i) {
        const std::uint32_t s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
        const std::uint32_t s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (int i = 0; i < 64; ++i) {
        const std::uint32_t s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
        const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + detail::sha256_constants[i] + w[i];
        const std::uint32_t s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
        const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    const std::uint32_t added[] = {a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < state_.size(); ++i)
        state_[i] += added[i];
}

constexpr void sha256::compress(const std::byte* blocks, std::size_t count) noexcept
{
#if OBJECTCACHE_SHA_INSTRUCTIONS
    if (!std::is_constant_evaluated() && detail::has_sha_instructions()) {
        detail::sha256_compress(state_.data(), blocks, count, detail::sha256_constants);
        return;
    }
#endif
    for (; count != 0; --count, blocks += block_bytes)
        compress(blocks);
}

constexpr void sha256::update(const_byte_span bytes) noexcept
{
    const std::size_t waiting = total_ % block_bytes;
    total_ += bytes.size();
    if (waiting != 0) {
        const std::size_t taken = std::min(block_bytes - waiting, bytes.size());
        std::copy_n(bytes.begin(), taken, block_.begin() + waiting);
        bytes = bytes.subspan(taken);
        if (waiting + taken < block_bytes)
            return;
        compress(block_.data(), 1);
    }
    if (const std::size_t whole = bytes.size() / block_bytes; whole != 0) {
        compress(bytes.data(), whole);
        bytes = bytes.subspan(whole * block_bytes);
    }
    std::copy(bytes.begin(), bytes.end(), block_.begin());
}

constexpr digest sha256::finish() noexcept
{
    const std::uint64_t bits = total_ * 8;
    // One set bit, zeros, then the length in the last 8 bytes of a block.
    std::array<std::byte, block_bytes + 8> padding{};
    padding[0] = std::byte{0x80};
    const std::size_t waiting = total_ % block_bytes;
    const std::size_t zeros_end = (waiting < block_bytes - 8 ? block_bytes : 2 * block_bytes) - 8 - waiting;
    detail::store_be(padding.data() + zeros_end, bits);
    update(const_byte_span(padding.data(), zeros_end + 8));

    digest out;
    for (std::size_t i = 0; i < state_.size(); ++i)
        detail::store_be(out.bytes.data() + 4 * i, state_[i]);
    return out;
}

} // namespace objectcache
