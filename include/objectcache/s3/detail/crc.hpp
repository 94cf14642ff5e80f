// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>

// CRCs as most protocols use them: bits reflected, register and result inverted. Each by tables, which needs nothing, and by
// the instructions of x86-64. The latter are compiled whatever the options of the build, and called where the processor
// has them.
#if defined(__x86_64__) && defined(__GNUC__)
#define OBJECTCACHE_CRC_X86 1
#include <immintrin.h>
#else
#define OBJECTCACHE_CRC_X86 0
#endif

namespace objectcache::s3::detail {

// In a reflected register of n bits, bit i is the coefficient of x^(n-1-i): the top bit is x^0, a shift right multiplies by
// x. A polynomial is written without its leading term.
inline constexpr std::uint32_t crc32c_polynomial = 0x82f63b78;
inline constexpr std::uint64_t crc64nvme_polynomial = 0x9a6c9329ac4bc9b5;

/** a times b modulo the polynomial. */
template <std::unsigned_integral T>
[[nodiscard]] constexpr T multiply(T polynomial, T a, T b) noexcept
{
    T out = 0;
    for (T bit = T(1) << (std::numeric_limits<T>::digits - 1); bit != 0; bit >>= 1) {
        if (a & bit)
            out ^= b;
        b = static_cast<T>(b >> 1 ^ (b & 1 ? polynomial : T(0)));
    }
    return out;
}

/** x^n modulo the polynomial: what a register is multiplied with to move it n bits on. */
template <std::unsigned_integral T>
[[nodiscard]] constexpr T power_of_x(T polynomial, std::uint64_t n) noexcept
{
    T out = T(1) << (std::numeric_limits<T>::digits - 1); // x^0
    for (T square = out >> 1; n != 0; n >>= 1, square = multiply(polynomial, square, square))
        if (n & 1)
            out = multiply(polynomial, out, square);
    return out;
}

/** The CRC of two texts, one behind the other, from theirs. The inversions at begin and end cancel out. */
template <std::unsigned_integral T>
[[nodiscard]] constexpr T joined_crc(T polynomial, T first, T second, std::uint64_t second_bytes) noexcept
{
    return multiply(polynomial, first, power_of_x(polynomial, 8 * second_bytes)) ^ second;
}

// ---- tables: eight bytes a step (M. Kounavis, F. Berry: "A Systematic Approach to Building High Performance,
// Software-based, CRC Generators")

template <std::unsigned_integral T>
using crc_tables = std::array<std::array<T, 256>, 8>;

template <std::unsigned_integral T>
[[nodiscard]] constexpr crc_tables<T> make_crc_tables(T polynomial) noexcept
{
    crc_tables<T> out{};
    for (std::size_t i = 0; i < 256; ++i) {
        T value = static_cast<T>(i);
        for (int bit = 0; bit < 8; ++bit)
            value = static_cast<T>(value >> 1 ^ (value & 1 ? polynomial : T(0)));
        out[0][i] = value;
    }
    for (std::size_t ahead = 1; ahead < 8; ++ahead)
        for (std::size_t i = 0; i < 256; ++i)
            out[ahead][i] = static_cast<T>(out[ahead - 1][i] >> 8 ^ out[0][out[ahead - 1][i] & 0xff]);
    return out;
}

inline constexpr crc_tables<std::uint32_t> crc32c_tables = make_crc_tables(crc32c_polynomial);
inline constexpr crc_tables<std::uint64_t> crc64nvme_tables = make_crc_tables(crc64nvme_polynomial);

/** The register after `bytes`; neither inverted before nor after. */
template <std::unsigned_integral T>
[[nodiscard]] constexpr T crc_by_table(const crc_tables<T>& tables, T crc, const_byte_span bytes) noexcept
{
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= 8; left -= 8, at += 8) {
        const std::uint64_t word = load_le<std::uint64_t>(at) ^ crc;
        crc = 0;
        for (unsigned i = 0; i < 8; ++i)
            crc ^= tables[7 - i][word >> (8 * i) & 0xff];
    }
    for (; left != 0; --left, ++at)
        crc = static_cast<T>(crc >> 8 ^ tables[0][(crc ^ std::to_integer<unsigned>(*at)) & 0xff]);
    return crc;
}

#if OBJECTCACHE_CRC_X86

[[nodiscard]] inline bool has_crc_instructions() noexcept
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

[[nodiscard]] inline std::uint64_t load_word(const std::byte* at) noexcept
{
    std::uint64_t out;
    __builtin_memcpy(&out, at, sizeof out);
    return out;
}

/** Three runs of `Run` bytes side by side, as long as there are any: the crc32 instruction takes three cycles but starts
    every cycle. `bytes` loses what was taken. */
template <std::size_t Run>
[[nodiscard, gnu::target("sse4.2,pclmul")]] inline std::uint32_t
crc32c_three_runs(std::uint32_t crc, const_byte_span& bytes) noexcept
{
    static_assert(Run % 8 == 0);
    // To move a register n bits on, multiply it by x^n. Of that the crc32 instruction, which reduces the product, does
    // x^32, and the carry-less product of reflected numbers x^1.
    constexpr std::uint32_t by_one_run = power_of_x(crc32c_polynomial, 8 * Run - 33);
    constexpr std::uint32_t by_two_runs = power_of_x(crc32c_polynomial, 2 * 8 * Run - 33);
    const __m128i factors = _mm_set_epi64x(by_one_run, by_two_runs);

    std::uint64_t first = crc;
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= 3 * Run; left -= 3 * Run, at += 3 * Run) {
        std::uint64_t second = 0;
        std::uint64_t third = 0;
        for (std::size_t i = 0; i < Run; i += 8) {
            first = _mm_crc32_u64(first, load_word(at + i));
            second = _mm_crc32_u64(second, load_word(at + Run + i));
            third = _mm_crc32_u64(third, load_word(at + 2 * Run + i));
        }
        const __m128i moved = _mm_xor_si128(
            _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(first)), factors, 0x00),
            _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(second)), factors, 0x10));
        first = _mm_crc32_u64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(moved))) ^ third;
    }
    bytes = {at, left};
    return static_cast<std::uint32_t>(first);
}

[[nodiscard, gnu::target("sse4.2,pclmul")]] inline std::uint32_t
crc32c_by_instruction(std::uint32_t crc, const_byte_span bytes) noexcept
{
    crc = crc32c_three_runs<2048>(crc, bytes);
    crc = crc32c_three_runs<128>(crc, bytes);
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint64_t wide = crc;
    for (; left >= 8; left -= 8, at += 8)
        wide = _mm_crc32_u64(wide, load_word(at));
    crc = static_cast<std::uint32_t>(wide);
    for (; left != 0; --left, ++at)
        crc = _mm_crc32_u8(crc, std::to_integer<unsigned char>(*at));
    return crc;
}

[[nodiscard, gnu::target("sse4.2,pclmul")]] inline __m128i load_128(const void* at) noexcept
{
    return _mm_loadu_si128(static_cast<const __m128i*>(at));
}

/** Moves a 128-bit remainder on by as many bits as `factors` stand for, and adds what lies there. */
[[nodiscard, gnu::target("sse4.2,pclmul")]] inline __m128i fold(__m128i remainder, __m128i factors,
                                                                __m128i there) noexcept
{
    const __m128i high = _mm_clmulepi64_si128(remainder, factors, 0x00);
    const __m128i low = _mm_clmulepi64_si128(remainder, factors, 0x11);
    return _mm_xor_si128(_mm_xor_si128(high, low), there);
}

/** Four remainders of 128 bits side by side, folded over 64 bytes a step (V. Gopal and others: "Fast CRC Computation for
    Generic Polynomials Using PCLMULQDQ Instruction"). */
[[nodiscard, gnu::target("sse4.2,pclmul")]] inline std::uint64_t
crc64nvme_by_instruction(std::uint64_t crc, const_byte_span bytes) noexcept
{
    constexpr std::size_t width = 64;
    if (bytes.size() < 2 * width)
        return crc_by_table(crc64nvme_tables, crc, bytes);
    // By x^n: the lower half of a remainder holds the higher powers, 64 above the other's; the product of reflected numbers
    // has one factor of x already.
    constexpr auto factors = [](std::uint64_t bits) {
        return std::array{power_of_x(crc64nvme_polynomial, bits + 63),
                          power_of_x(crc64nvme_polynomial, bits - 1)};
    };
    constexpr auto by_width_factors = factors(8 * width);
    constexpr auto by_one_factors = factors(128);
    const __m128i by_width = load_128(by_width_factors.data());
    const __m128i by_one = load_128(by_one_factors.data());

    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    __m128i a = _mm_xor_si128(load_128(at), _mm_cvtsi64_si128(static_cast<long long>(crc)));
    __m128i b = load_128(at + 16);
    __m128i c = load_128(at + 32);
    __m128i d = load_128(at + 48);
    for (at += width, left -= width; left >= width; at += width, left -= width) {
        a = fold(a, by_width, load_128(at));
        b = fold(b, by_width, load_128(at + 16));
        c = fold(c, by_width, load_128(at + 32));
        d = fold(d, by_width, load_128(at + 48));
    }
    a = fold(fold(fold(a, by_one, b), by_one, c), by_one, d);
    for (; left >= 16; at += 16, left -= 16)
        a = fold(a, by_one, load_128(at));
    // What is left is a message of 16 bytes with the same remainder, and the tail.
    std::array<std::byte, 16> rest;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(rest.data()), a);
    crc = crc_by_table(crc64nvme_tables, std::uint64_t(0), const_byte_span(rest));
    return crc_by_table(crc64nvme_tables, crc, const_byte_span(at, left));
}

#endif

[[nodiscard]] inline std::uint32_t update_crc32c(std::uint32_t crc, const_byte_span bytes) noexcept
{
#if OBJECTCACHE_CRC_X86
    if (has_crc_instructions())
        return ~crc32c_by_instruction(~crc, bytes);
#endif
    return ~crc_by_table(crc32c_tables, ~crc, bytes);
}

[[nodiscard]] inline std::uint64_t update_crc64nvme(std::uint64_t crc, const_byte_span bytes) noexcept
{
#if OBJECTCACHE_CRC_X86
    if (has_crc_instructions())
        return ~crc64nvme_by_instruction(~crc, bytes);
#endif
    return ~crc_by_table(crc64nvme_tables, ~crc, bytes);
}

} // namespace objectcache::s3::detail
