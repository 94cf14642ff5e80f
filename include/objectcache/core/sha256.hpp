// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/ids.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace objectcache {

/** SHA-256 (FIPS 180-4) of bytes that arrive in pieces.

    Our own, so that the names of chunks can be computed, and tested, in programs without OpenSSL; requests are signed
    with OpenSSL's. It hashes public data (tokens, names), never keys: no effort is made to hide timing or to wipe
    memory.

    @par Threads One at a time. A value: a copy continues on its own.
    @par Cost On a 2020s core about 3 ns per byte, a fraction of it with instructions for SHA-256 (x86-64). */
class sha256 {
public:
    constexpr void update(const_byte_span bytes) noexcept;
    /** Digest of all bytes so far. The object is spent: assign a new one to hash again. */
    [[nodiscard]] constexpr digest finish() noexcept;

private:
    static constexpr std::size_t block_bytes = 64;

    constexpr void compress(const std::byte* block) noexcept;
    constexpr void compress(const std::byte* blocks, std::size_t count) noexcept;

    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::byte, block_bytes> block_{}; // the first total_ % block_bytes of them wait for the rest
    std::uint64_t total_ = 0;                    // bytes; their number in bits must fit 64 bits
};

[[nodiscard]] constexpr digest sha256_of(const_byte_span bytes) noexcept
{
    sha256 hash;
    hash.update(bytes);
    return hash.finish();
}

} // namespace objectcache

#include <objectcache/core/impl/sha256.ipp>
