// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/ids.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/kv/detail/xxh3.hpp>
#include <objectcache/kv/geometry.hpp>
#include <objectcache/kv/layout.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

/** @file
    The bytes of stored objects, table by table in docs/format.md. All numbers are little-endian.

    A *record* is a slice and 32 bytes of trailer that say what it is and prove it: whoever reads whole records out of
    any part of any object can verify them without another request. */

namespace objectcache {

/** Version that this library writes, and the only one it reads. */
inline constexpr std::uint16_t format_version = 1;
inline constexpr std::size_t trailer_bytes = 32;
inline constexpr std::size_t header_bytes = 256;

/** Bytes of a slice with its trailer. @pre `geometry` is valid, here and below. */
[[nodiscard]] constexpr std::uint64_t record_bytes(const kv_geometry& geometry) noexcept
{
    return geometry.slice_bytes() + trailer_bytes;
}

/** Bytes of the object that carries layer records of one chunk: the whole chunk, or one layer. Those of segments are in
    kv/segment.hpp.

    @pre `value` is not layout::segment_objects. */
[[nodiscard]] constexpr std::uint64_t object_bytes(layout value, const kv_geometry& geometry) noexcept
{
    return value == layout::chunk_objects ? header_bytes + geometry.layers * record_bytes(geometry)
                                          : record_bytes(geometry);
}

/** Where the records of consecutive layers lie in an object of layout::chunk_objects. */
[[nodiscard]] constexpr byte_range chunk_layer_range(const kv_geometry& geometry, layer_id first_layer,
                                                     std::uint32_t layer_count) noexcept
{
    return {header_bytes + first_layer * record_bytes(geometry), layer_count * record_bytes(geometry)};
}

/** XXH3 of a payload that arrives in pieces, so that verification costs no second pass over memory.

    Its state is on the heap: it is aligned to 64 bytes, which the frame of a coroutine need not be. Keep one and
    reset it.

    @par Threads One at a time. */
class payload_hasher {
public:
    payload_hasher() : state_(std::make_unique<XXH3_state_t>()) { reset(); }

    void reset() noexcept { XXH3_64bits_reset(state_.get()); }
    void update(const_byte_span bytes) noexcept
    {
        XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
    }
    /** Of all bytes since reset(); more may follow. */
    [[nodiscard]] std::uint64_t value() const noexcept { return XXH3_64bits_digest(state_.get()); }

private:
    std::unique_ptr<XXH3_state_t> state_;
};

/** What payload_hasher gives for the same bytes in one piece. */
[[nodiscard]] std::uint64_t payload_hash(const_byte_span payload) noexcept;

/** Write the trailer behind the slice that `record` begins with.

    @pre `record` is record_bytes(geometry) long. */
void seal_slice(byte_span record, layer_id layer, const chunk_id& chunk, layout where) noexcept;

/** The same for a slice that lies elsewhere and was hashed already: only the 32 bytes of the trailer are written. */
void seal_trailer(std::span<std::byte, trailer_bytes> trailer, std::uint64_t payload_hash, layer_id layer,
                  const chunk_id& chunk, layout where) noexcept;

/** Whether `record` is intact and is that layer of that chunk (and so of that scope, which a chunk's id contains).

    Damage is told first: nothing else in a damaged record can be believed. The rule of the checksum is the same in
    every version of the format, so an unknown version is not mistaken for damage.

    @par Errors errc::length_mismatch (shorter than a trailer), errc::checksum_mismatch, errc::unknown_version,
    errc::wrong_chunk (another chunk, layer or layout). All are condition::corrupt.
    @par Cost One pass over the record. */
[[nodiscard]] status verify_slice(const_byte_span record, layer_id layer, const chunk_id& chunk,
                                  layout where);

/** The same for a slice whose hash is known, from payload_hasher. */
[[nodiscard]] status verify_trailer(std::span<const std::byte, trailer_bytes> trailer,
                                    std::uint64_t payload_hash, layer_id layer, const chunk_id& chunk,
                                    layout where);

/** The first 256 bytes of an object of layout::chunk_objects or layout::segment_objects, and the whole manifest of
    layout::layer_objects.

    The reader of a known chunk needs none of it; it is there for tools, for repair, and for the reader who wants the
    reason of a mismatch. It carries no time and no writer: storing a chunk twice stores the same bytes. */
struct object_header {
    layout where = layout::chunk_objects;
    kv_geometry geometry;
    std::uint64_t first_token = 0; ///< position in the sequence; a multiple of tokens_per_chunk
    std::uint32_t chunks = 1; ///< in the object; more than one only in a segment, whose first `chunk` is then
    digest scope;
    chunk_id chunk;
    chunk_id previous; ///< the chunk before; the scope for the first chunk

    friend bool operator==(const object_header&, const object_header&) = default;
};

/** @pre `header.geometry` is valid. */
void encode_header(std::span<std::byte, header_bytes> out, const object_header& header) noexcept;

/** Read a header from bytes of any origin.

    @par Errors errc::length_mismatch (under 256 bytes), errc::checksum_mismatch (not one of our objects, or damaged),
    errc::unknown_version (also: a layout, or a use of reserved bytes, that this version does not know),
    errc::wrong_geometry (numbers that are no KV geometry, or contradict each other). All are condition::corrupt. */
[[nodiscard]] result<object_header> decode_header(const_byte_span bytes);

/** Whether a decoded header is the one that was expected.

    @par Errors errc::wrong_geometry, errc::wrong_chunk; the detail names the member. */
[[nodiscard]] status match_header(const object_header& found, const object_header& expected);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/kv/impl/format.ipp>
#endif
