// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/kv/segment.hpp>

#include <cstddef>
#include <cstdint>

/** Stored bytes as somebody makes them who knows the format: whatever they say, their checksums are right. */
namespace forged {

namespace oc = objectcache;

// Where things lie, once more from docs/format.md.
inline constexpr std::size_t trailer_layer = 8, trailer_version = 12, trailer_layout = 14, trailer_zero = 15,
                             trailer_chunk = 16;
inline constexpr std::size_t header_version = 8, header_layout = 10, header_form = 11, header_layers = 16,
                             header_kv_heads = 20, header_first_token = 32, header_chunks = 40,
                             header_zero = 44, header_slice = 48, header_scope = 64, header_chunk = 96,
                             header_previous = 128, header_checksum = 248;

/** The trailer of a record. */
inline oc::byte_span trailer_of(oc::byte_span record)
{
    return record.last(oc::trailer_bytes);
}

/** Make the checksum of a record right. */
inline void reseal(oc::byte_span record)
{
    const oc::byte_span trailer = trailer_of(record);
    const std::uint64_t seed = oc::payload_hash(record.first(record.size() - oc::trailer_bytes));
    oc::store_le(trailer.data(), XXH3_64bits_withSeed(trailer.data() + trailer_layer,
                                                      oc::trailer_bytes - trailer_layer, seed));
}

/** Make the checksum of the header right that an object begins with. */
inline void reseal_header(oc::byte_span object)
{
    oc::store_le(object.data() + header_checksum, oc::payload_hash(object.first(header_checksum)));
}

/** The same of the head of a segment of `chunks`, ids included. */
inline void reseal_head(oc::byte_span object, std::uint32_t chunks)
{
    reseal_header(object);
    const auto seed = oc::load_le<std::uint64_t>(object.data() + header_checksum);
    oc::store_le(object.data() + oc::segment_head_bytes(chunks) - 8,
                 XXH3_64bits_withSeed(object.data() + oc::header_bytes, std::size_t{32} * chunks, seed));
}

} // namespace forged
