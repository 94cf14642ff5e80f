// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace objectcache {

/** Element type of stored keys and values. The numbers are part of the stored format. */
enum class kv_dtype : std::uint8_t { f32 = 0, f16 = 1, bf16 = 2, fp8_e4m3 = 3, fp8_e5m2 = 4, int8 = 5 };

/** Bytes of one element; 0 for a number that is no kv_dtype. */
[[nodiscard]] constexpr std::uint32_t bytes_of(kv_dtype dtype) noexcept
{
    switch (dtype) {
    case kv_dtype::f32:
        return 4;
    case kv_dtype::f16:
    case kv_dtype::bf16:
        return 2;
    case kv_dtype::fp8_e4m3:
    case kv_dtype::fp8_e5m2:
    case kv_dtype::int8:
        return 1;
    }
    return 0;
}

/** "bf16" and so on, as configuration files write it; empty for a number that is no kv_dtype. */
[[nodiscard]] std::string_view name(kv_dtype dtype) noexcept;
/** Inverse of name(). */
[[nodiscard]] std::optional<kv_dtype> parse_kv_dtype(std::string_view name) noexcept;

/** What a layer keeps per token. The numbers are part of the stored format. */
enum class kv_form : std::uint8_t {
    separate = 0, ///< a K row and a V row
    latent = 1    ///< one row for both (multi-head latent attention); `kv_heads` is 1
};

[[nodiscard]] std::string_view name(kv_form form) noexcept;
[[nodiscard]] std::optional<kv_form> parse_kv_form(std::string_view name) noexcept;

/** Shape of the KV cache of one shard of one model, and the chunk size it is stored with.

    A *row* is what one token leaves in one layer: `kv_heads * head_size` elements of K, of V, or of the latent vector.
    A *slice* is one layer of one chunk in canonical order: K rows of `tokens_per_chunk` tokens, then their V rows;
    within a row head by head, within a head dimension by dimension ("NHD").

    The sizes below are exact when validate() is ok; before that they must not be asked for. */
struct kv_geometry {
    // No model comes near these. They keep every size below 2^63, a slice's in 31 bits, a layer's number in four
    // digits.
    static constexpr std::uint32_t max_layers = 4096;
    static constexpr std::uint32_t max_kv_heads = 65536;
    static constexpr std::uint32_t max_head_size = 65536;
    static constexpr std::uint32_t max_tokens_per_chunk = 65536;
    static constexpr std::uint64_t max_slice_bytes = std::uint64_t{1} << 30;

    std::uint32_t layers = 0;
    std::uint32_t kv_heads = 0; ///< of this shard
    std::uint32_t head_size =
        0; ///< elements; for `latent` the whole vector (compressed part and rotary part)
    kv_dtype dtype = kv_dtype::bf16;
    kv_form form = kv_form::separate;
    std::uint32_t tokens_per_chunk = 0; ///< G

    /** Whether the numbers, however hostile, describe a KV cache that this library can store.

        @par Errors condition::invalid, naming the member. */
    [[nodiscard]] status validate() const;

    /** Bytes that one token leaves in K (or in V, or in the latent vector) of one layer. */
    [[nodiscard]] constexpr std::uint64_t row_bytes() const noexcept
    {
        return std::uint64_t{kv_heads} * head_size * bytes_of(dtype);
    }
    /** 2 when K and V are separate, 1 for a latent vector. */
    [[nodiscard]] constexpr std::uint32_t parts() const noexcept { return form == kv_form::separate ? 2 : 1; }
    /** S: bytes of one layer of one chunk. */
    [[nodiscard]] constexpr std::uint64_t slice_bytes() const noexcept
    {
        return std::uint64_t{tokens_per_chunk} * parts() * row_bytes();
    }
    /** How many whole chunks that many tokens fill. */
    [[nodiscard]] constexpr std::size_t whole_chunks(std::size_t tokens) const noexcept
    {
        return tokens / tokens_per_chunk;
    }

    friend bool operator==(const kv_geometry&, const kv_geometry&) = default;
};

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/kv/impl/geometry.ipp>
#endif
