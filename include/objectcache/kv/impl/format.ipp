// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/detail/wide_xxh3.hpp>
#include <objectcache/kv/format.hpp>

#include <algorithm>
#include <cassert>
#include <string>
#include <string_view>

namespace objectcache {

namespace detail {

// Trailer of a record.
constexpr std::size_t trailer_checksum = 0, trailer_layer = 8, trailer_version = 12, trailer_layout = 14,
                      trailer_reserved = 15, trailer_chunk = 16, trailer_chunk_size = 16;

// Header of an object.
constexpr std::string_view header_magic = "OBJCACHE";
constexpr std::size_t header_version = 8, header_layout = 10, header_form = 11, header_dtype = 12,
                      header_reserved_a = 13, header_layers = 16, header_kv_heads = 20, header_head_size = 24,
                      header_tokens = 28, header_first_token = 32, header_chunk_count = 40,
                      header_reserved_b = 44, header_slice_bytes = 48, header_reserved_c = 56,
                      header_scope = 64, header_chunk = 96, header_previous = 128, header_reserved_d = 160,
                      header_checksum = 248;
constexpr std::uint32_t header_max_chunks = 256;

OBJECTCACHE_DECL std::uint64_t trailer_hash(std::span<const std::byte, trailer_bytes> trailer,
                                            std::uint64_t payload) noexcept
{
    return XXH3_64bits_withSeed(trailer.data() + trailer_layer, trailer_bytes - trailer_layer, payload);
}

OBJECTCACHE_DECL bool all_zero(const_byte_span bytes) noexcept
{
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

OBJECTCACHE_DECL void put_digest(std::byte* out, const digest& value) noexcept
{
    std::copy(value.bytes.begin(), value.bytes.end(), out);
}

OBJECTCACHE_DECL digest get_digest(const std::byte* in) noexcept
{
    digest out;
    std::copy_n(in, out.bytes.size(), out.bytes.begin());
    return out;
}

} // namespace detail

OBJECTCACHE_DECL std::uint64_t payload_hash(const_byte_span payload) noexcept
{
    return detail::xxh3(payload);
}

OBJECTCACHE_DECL void seal_trailer(std::span<std::byte, trailer_bytes> trailer, std::uint64_t payload,
                                   layer_id layer, const chunk_id& chunk, layout where) noexcept
{
    using namespace detail;
    store_le(trailer.data() + trailer_layer, layer);
    store_le(trailer.data() + trailer_version, format_version);
    store_le(trailer.data() + trailer_layout, static_cast<std::uint8_t>(where));
    trailer[trailer_reserved] = std::byte{0};
    std::copy_n(chunk.bytes.begin(), trailer_chunk_size, trailer.begin() + trailer_chunk);
    store_le(trailer.data() + trailer_checksum, trailer_hash(trailer, payload));
}

OBJECTCACHE_DECL void seal_slice(byte_span record, layer_id layer, const chunk_id& chunk,
                                 layout where) noexcept
{
    assert(record.size() > trailer_bytes);
    const byte_span payload = record.first(record.size() - trailer_bytes);
    seal_trailer(record.last<trailer_bytes>(), payload_hash(payload), layer, chunk, where);
}

OBJECTCACHE_DECL status verify_trailer(std::span<const std::byte, trailer_bytes> trailer,
                                       std::uint64_t payload, layer_id layer, const chunk_id& chunk,
                                       layout where)
{
    using namespace detail;
    const std::byte* const in = trailer.data();
    if (load_le<std::uint64_t>(in + trailer_checksum) != trailer_hash(trailer, payload))
        return {errc::checksum_mismatch, "slice of layer " + std::to_string(layer)};
    if (const auto version = load_le<std::uint16_t>(in + trailer_version); version != format_version)
        return {errc::unknown_version, "slice of format version " + std::to_string(version)};
    if (const auto stored = load_le<layer_id>(in + trailer_layer); stored != layer)
        return {errc::wrong_chunk,
                "slice of layer " + std::to_string(stored) + ", not " + std::to_string(layer)};
    if (const auto stored = static_cast<layout>(in[trailer_layout]); !supported(stored))
        return {errc::unknown_version, "slice of layout " + std::to_string(static_cast<unsigned>(stored))};
    else if (stored != where)
        return {errc::wrong_chunk, "slice of another layout"};
    if (trailer[trailer_reserved] != std::byte{0})
        return {errc::unknown_version, "slice with an unknown flag"};
    if (!std::equal(chunk.bytes.begin(), chunk.bytes.begin() + trailer_chunk_size, in + trailer_chunk))
        return {errc::wrong_chunk, "slice of another chunk"};
    return {};
}

OBJECTCACHE_DECL status verify_slice(const_byte_span record, layer_id layer, const chunk_id& chunk,
                                     layout where)
{
    if (record.size() <= trailer_bytes)
        return {errc::length_mismatch, "record of " + std::to_string(record.size()) + " bytes"};
    const const_byte_span payload = record.first(record.size() - trailer_bytes);
    return verify_trailer(record.last<trailer_bytes>(), payload_hash(payload), layer, chunk, where);
}

OBJECTCACHE_DECL void encode_header(std::span<std::byte, header_bytes> out,
                                    const object_header& header) noexcept
{
    using namespace detail;
    std::byte* const to = out.data();
    std::fill(out.begin(), out.end(), std::byte{0});
    std::transform(header_magic.begin(), header_magic.end(), to,
                   [](char c) { return static_cast<std::byte>(c); });
    store_le(to + header_version, format_version);
    store_le(to + header_layout, static_cast<std::uint8_t>(header.where));
    store_le(to + header_form, static_cast<std::uint8_t>(header.geometry.form));
    store_le(to + header_dtype, static_cast<std::uint8_t>(header.geometry.dtype));
    store_le(to + header_layers, header.geometry.layers);
    store_le(to + header_kv_heads, header.geometry.kv_heads);
    store_le(to + header_head_size, header.geometry.head_size);
    store_le(to + header_tokens, header.geometry.tokens_per_chunk);
    store_le(to + header_first_token, header.first_token);
    store_le(to + header_chunk_count, header.chunks);
    store_le(to + header_slice_bytes, header.geometry.slice_bytes());
    put_digest(to + header_scope, header.scope);
    put_digest(to + header_chunk, header.chunk);
    put_digest(to + header_previous, header.previous);
    store_le(to + header_checksum, payload_hash(out.first<header_checksum>()));
}

OBJECTCACHE_DECL result<object_header> decode_header(const_byte_span bytes)
{
    using namespace detail;
    if (bytes.size() < header_bytes)
        return status(errc::length_mismatch, "object header of " + std::to_string(bytes.size()) + " bytes");
    const std::byte* const in = bytes.data();
    if (!std::equal(header_magic.begin(), header_magic.end(), in,
                    [](char c, std::byte b) { return static_cast<std::byte>(c) == b; }))
        return status(errc::checksum_mismatch, "object header: not an objectcache object");
    if (load_le<std::uint64_t>(in + header_checksum) != payload_hash(bytes.first(header_checksum)))
        return status(errc::checksum_mismatch, "object header");
    if (const auto version = load_le<std::uint16_t>(in + header_version); version != format_version)
        return status(errc::unknown_version, "object of format version " + std::to_string(version));

    // Intact and of this version: what follows can only fail for an object that somebody else made.
    object_header out;
    out.where = static_cast<layout>(in[header_layout]);
    if (!supported(out.where))
        return status(errc::unknown_version,
                      "object of layout " + std::to_string(static_cast<unsigned>(out.where)));
    out.chunks = load_le<std::uint32_t>(in + header_chunk_count);
    if (out.chunks == 0 || out.chunks > (out.where == layout::segment_objects ? header_max_chunks : 1) ||
        !all_zero(bytes.subspan(header_reserved_a, header_layers - header_reserved_a)) ||
        !all_zero(bytes.subspan(header_reserved_b, header_slice_bytes - header_reserved_b)) ||
        !all_zero(bytes.subspan(header_reserved_c, header_scope - header_reserved_c)) ||
        !all_zero(bytes.subspan(header_reserved_d, header_checksum - header_reserved_d)))
        return status(errc::unknown_version, "object header uses reserved bytes");

    out.geometry.form = static_cast<kv_form>(in[header_form]);
    out.geometry.dtype = static_cast<kv_dtype>(in[header_dtype]);
    out.geometry.layers = load_le<std::uint32_t>(in + header_layers);
    out.geometry.kv_heads = load_le<std::uint32_t>(in + header_kv_heads);
    out.geometry.head_size = load_le<std::uint32_t>(in + header_head_size);
    out.geometry.tokens_per_chunk = load_le<std::uint32_t>(in + header_tokens);
    if (const status valid = out.geometry.validate(); !valid.ok())
        return status(errc::wrong_geometry, "object header: " + valid.detail());
    if (load_le<std::uint64_t>(in + header_slice_bytes) != out.geometry.slice_bytes())
        return status(errc::wrong_geometry, "object header: slice bytes contradict the geometry");
    out.first_token = load_le<std::uint64_t>(in + header_first_token);
    if (out.first_token % out.geometry.tokens_per_chunk != 0)
        return status(errc::wrong_geometry,
                      "object header: first token " + std::to_string(out.first_token) + " is inside a chunk");
    out.scope = get_digest(in + header_scope);
    out.chunk = get_digest(in + header_chunk);
    out.previous = get_digest(in + header_previous);
    return out;
}

OBJECTCACHE_DECL status match_header(const object_header& found, const object_header& expected)
{
    if (found.geometry != expected.geometry)
        return {errc::wrong_geometry, "object header"};
    const char* const other = found.scope != expected.scope               ? "scope"
                              : found.chunk != expected.chunk             ? "chunk"
                              : found.previous != expected.previous       ? "previous chunk"
                              : found.first_token != expected.first_token ? "first token"
                              : found.where != expected.where             ? "layout"
                              : found.chunks != expected.chunks           ? "number of chunks"
                                                                          : nullptr;
    return other == nullptr ? status()
                            : status(errc::wrong_chunk, std::string("object header: another ") + other);
}

} // namespace objectcache
