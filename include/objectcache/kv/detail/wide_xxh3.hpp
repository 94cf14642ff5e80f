// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/kv/detail/xxh3.hpp>

#include <cstddef>
#include <cstdint>

// xxHash picks its vector instructions when a program is compiled, and a program for any x86-64 gets SSE2. With AVX2, found when the
// program runs, XXH3 of a slice takes two thirds of the time. xxHash's own dispatcher (xxh_x86dispatch) does that too, but is compiled
// into its library, and of that a program that embeds these headers need not have the same version, or any.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__AVX2__)
#include <immintrin.h>
#define OBJECTCACHE_WIDE_XXH3 1
#else
#define OBJECTCACHE_WIDE_XXH3 0
#endif

namespace objectcache::detail {

#if OBJECTCACHE_WIDE_XXH3

/** The lengths from which on XXH3 works in stripes. */
inline constexpr std::size_t wide_xxh3_least = 241;

[[nodiscard]] inline bool has_wide_xxh3() noexcept
{
    return __builtin_cpu_supports("avx2");
}

[[nodiscard, gnu::target("avx2")]] inline __m256i load_256(const void* at) noexcept
{
    return _mm256_loadu_si256(static_cast<const __m256i*>(at));
}

[[nodiscard, gnu::target("avx2")]] inline __m256i accumulated(__m256i sum, __m256i data, __m256i key) noexcept
{
    const __m256i keyed = _mm256_xor_si256(data, key);
    const __m256i product = _mm256_mul_epu32(keyed, _mm256_srli_epi64(keyed, 32));
    const __m256i swapped = _mm256_shuffle_epi32(data, _MM_SHUFFLE(1, 0, 3, 2));
    return _mm256_add_epi64(sum, _mm256_add_epi64(product, swapped));
}

[[nodiscard, gnu::target("avx2")]] inline __m256i scrambled(__m256i sum, __m256i key) noexcept
{
    const __m256i prime = _mm256_set1_epi32(static_cast<int>(0x9E3779B1u));
    const __m256i mixed = _mm256_xor_si256(_mm256_xor_si256(sum, _mm256_srli_epi64(sum, 47)), key);
    const __m256i high = _mm256_mul_epu32(_mm256_srli_epi64(mixed, 32), prime);
    return _mm256_add_epi64(_mm256_mul_epu32(mixed, prime), _mm256_slli_epi64(high, 32));
}

/** XXH3_64bits as its specification has it (xxHash, doc/xxhash_spec.md), for `has_wide_xxh3()`.

    @pre `bytes` is at least `wide_xxh3_least` long. */
[[nodiscard, gnu::target("avx2")]] inline std::uint64_t wide_xxh3(const_byte_span bytes) noexcept
{
    constexpr std::size_t stripe = 64, stripes_in_block = 16, block = stripe * stripes_in_block;
    constexpr std::size_t key_step = 8, half = 32; // bytes
    constexpr std::uint64_t prime_64_1 = 0x9E3779B185EBCA87;
    alignas(half)
        std::uint64_t sums[8] = {0xC2B2AE3D,         prime_64_1, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                                 0x85EBCA77C2B2AE63, 0x85EBCA77, 0x27D4EB2F165667C5, 0x9E3779B1};
    const auto* const secret = reinterpret_cast<const std::byte*>(XXH3_kSecret);
    __m256i low = load_256(sums);
    __m256i high = load_256(sums + 4);
    const std::byte* at = bytes.data();
    const std::size_t before_last =
        bytes.size() - 1; // the last stripe ends with the last byte, and always is one
    for (std::size_t left = before_last / block; left != 0; --left) {
        // Of all sixteen at once g++ 12 makes spills to the stack.
#pragma GCC unroll 4
        for (std::size_t i = 0; i < stripes_in_block; ++i, at += stripe) {
            low = accumulated(low, load_256(at), load_256(secret + i * key_step));
            high = accumulated(high, load_256(at + half), load_256(secret + i * key_step + half));
        }
        low = scrambled(low, load_256(secret + 128));
        high = scrambled(high, load_256(secret + 128 + half));
    }
    for (std::size_t i = 0; i < before_last % block / stripe; ++i, at += stripe) {
        low = accumulated(low, load_256(at), load_256(secret + i * key_step));
        high = accumulated(high, load_256(at + half), load_256(secret + i * key_step + half));
    }
    at = bytes.data() + bytes.size() - stripe;
    low = accumulated(low, load_256(at), load_256(secret + 121));
    high = accumulated(high, load_256(at + half), load_256(secret + 121 + half));
    _mm256_store_si256(reinterpret_cast<__m256i*>(sums), low);
    _mm256_store_si256(reinterpret_cast<__m256i*>(sums + 4), high);
    return XXH3_mergeAccs(sums, XXH3_kSecret + 11, bytes.size() * prime_64_1);
}

#endif

/** XXH3_64bits, with the instructions that the processor has. */
[[nodiscard]] inline std::uint64_t xxh3(const_byte_span bytes) noexcept
{
#if OBJECTCACHE_WIDE_XXH3
    if (bytes.size() >= wide_xxh3_least && has_wide_xxh3())
        return wide_xxh3(bytes);
#endif
    return XXH3_64bits(bytes.data(), bytes.size());
}

} // namespace objectcache::detail
