// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>

// SHA-256 by the instructions that processors have for it, found when the program runs. The names of a prompt's chunks are hashed one
// after the other before anything can be looked for, so that all of their time is in TTFT.
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define OBJECTCACHE_SHA_INSTRUCTIONS 1
#else
#define OBJECTCACHE_SHA_INSTRUCTIONS 0
#endif

namespace objectcache::detail {

#if OBJECTCACHE_SHA_INSTRUCTIONS

[[nodiscard]] inline bool find_sha_instructions() noexcept
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned sha = 1U << 29; // EBX of leaf 7
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & sha) != 0 &&
           __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSSE3) != 0 && (c & bit_SSE4_1) != 0;
}
[[nodiscard]] inline bool has_sha_instructions() noexcept
{
    static const bool found = find_sha_instructions(); // asking takes longer than a block
    return found;
}

#define OBJECTCACHE_SHA_TARGET gnu::target("sha,sse4.1,ssse3"), gnu::always_inline

[[nodiscard, OBJECTCACHE_SHA_TARGET]] inline __m128i sha256_words(const std::byte* at) noexcept
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)), big_endian);
}

/** Words t ... t + 3 of the message schedule, of the 16 before them. */
[[nodiscard, OBJECTCACHE_SHA_TARGET]] inline __m128i sha256_next(__m128i w16, __m128i w12, __m128i w8,
                                                                 __m128i w4) noexcept
{
    const __m128i w7 = _mm_alignr_epi8(w4, w8, 4);
    return _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w16, w12), w7), w4);
}

/** Four rounds. */
[[OBJECTCACHE_SHA_TARGET]] inline void sha256_rounds(__m128i& abef, __m128i& cdgh, __m128i words,
                                                     const std::uint32_t* constants) noexcept
{
    const __m128i keyed = _mm_add_epi32(words, _mm_loadu_si128(reinterpret_cast<const __m128i*>(constants)));
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0e));
}

/** @pre has_sha_instructions()
    @param state a ... h
    @param blocks `count` times 64 bytes
    @param constants the 64 of FIPS 180-4 */
[[gnu::target("sha,sse4.1,ssse3")]] inline void sha256_compress(std::uint32_t* state, const std::byte* blocks,
                                                                std::size_t count,
                                                                const std::uint32_t* constants) noexcept
{
    auto* const halves = reinterpret_cast<__m128i*>(state);
    const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(halves), 0xb1);
    const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(halves + 1), 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    for (; count != 0; --count, blocks += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w0 = sha256_words(blocks), w1 = sha256_words(blocks + 16), w2 = sha256_words(blocks + 32),
                w3 = sha256_words(blocks + 48);
        for (const std::uint32_t* k = constants;; k += 16) {
            sha256_rounds(abef, cdgh, w0, k);
            sha256_rounds(abef, cdgh, w1, k + 4);
            sha256_rounds(abef, cdgh, w2, k + 8);
            sha256_rounds(abef, cdgh, w3, k + 12);
            if (k == constants + 48)
                break;
            w0 = sha256_next(w0, w1, w2, w3);
            w1 = sha256_next(w1, w2, w3, w0);
            w2 = sha256_next(w2, w3, w0, w1);
            w3 = sha256_next(w3, w0, w1, w2);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128(halves, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(halves + 1, _mm_alignr_epi8(dchg, feba, 8));
}

#undef OBJECTCACHE_SHA_TARGET

#endif

} // namespace objectcache::detail
