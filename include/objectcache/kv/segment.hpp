// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/ids.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/kv/geometry.hpp>
#include <objectcache/kv/object_key.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/** @file
    Objects of layout::segment_objects, byte by byte in docs/format.md.

    A sequence is cut into *regions* of segment_chunks() chunks, counted from its start. A *segment* is a run of consecutive
    chunks of one region in one object: all of the region, or what a sequence that ends or branches off inside it left.
    Its records lie layer-major, chunk-minor, so that one layer of any run of its chunks is one contiguous range.

    Every segment of a region is named under the id of the region's first chunk, which all sequences that share anything
    of the region know; and a segment's name says enough of its chunks for a reader to see, without opening it, how many
    of them are those of its own sequence. So one listing finds whatever there is to share. */

namespace objectcache {

/** Most chunks of a region. */
inline constexpr std::uint32_t max_segment_chunks = 256;
/** What one layer of a whole region comes to at most, bytes: large enough to hide a request, small enough to be read
    by several connections side by side. */
inline constexpr std::uint64_t segment_layer_bytes = std::uint64_t{8} << 20;
/** Most tokens of a region: what a sequence that ends inside one may have to write again when it grows. */
inline constexpr std::uint32_t max_segment_tokens = 4096;

/** N: the chunks of a region. The largest power of two within the three limits above, at least 1. A function of the
    geometry alone, so that every process cuts a sequence alike: part of the stored format.

    @pre `geometry` is valid, here and below. */
[[nodiscard]] constexpr std::uint32_t segment_chunks(const kv_geometry& geometry) noexcept
{
    std::uint32_t n = 1;
    while (2 * n <= max_segment_chunks && 2 * n * geometry.slice_bytes() <= segment_layer_bytes &&
           std::uint64_t{2} * n * geometry.tokens_per_chunk <= max_segment_tokens)
        n *= 2;
    return n;
}

/** Every how many chunks of a region a segment's name tells what they are (segment_name::marks); for `per_region` =
    segment_chunks(). */
[[nodiscard]] constexpr std::uint32_t segment_mark_stride(std::uint32_t per_region) noexcept
{
    return (per_region + 63) / 64;
}

/** Bytes in front of the first record of a segment of `chunks` chunks: header, ids of the chunks, their checksum. */
[[nodiscard]] constexpr std::uint64_t segment_head_bytes(std::uint32_t chunks) noexcept
{
    return header_bytes + std::uint64_t{32} * chunks + 8;
}

[[nodiscard]] constexpr std::uint64_t segment_bytes(const kv_geometry& geometry,
                                                    std::uint32_t chunks) noexcept
{
    return segment_head_bytes(chunks) + geometry.layers * chunks * record_bytes(geometry);
}

/** Where the records of one layer of `count` chunks, from the segment's chunk `first` on, lie in a segment of `chunks`. */
[[nodiscard]] constexpr byte_range segment_layer_range(const kv_geometry& geometry, std::uint32_t chunks,
                                                       layer_id layer, std::uint32_t first,
                                                       std::uint32_t count) noexcept
{
    return {segment_head_bytes(chunks) + (std::uint64_t{layer} * chunks + first) * record_bytes(geometry),
            count * record_bytes(geometry)};
}

/** What the name of a segment says. */
struct segment_name {
    chunk_id region;          ///< id of the first chunk of the region
    std::uint32_t offset = 0; ///< of the segment's first chunk in the region
    std::uint32_t chunks = 0; ///< in the segment
    std::array<std::byte, 16>
        last{}; ///< first half of the id of its last chunk: with the above, its identity
    /** Three base64url digits for every chunk (every second, fourth in regions of over 64, 128), from its id: enough to see
        where another sequence branches off. A mark that agrees by chance, once in 2^18, makes a miss when it is read. */
    std::string marks;

    [[nodiscard]] std::uint32_t end() const noexcept { return offset + chunks; }
    friend bool operator==(const segment_name&, const segment_name&) = default;
};

/** The name of the segment that holds the chunks [offset, offset + chunks) of a region.

    @param region ids of the region's chunks from its first on, at least up to the segment's last
    @pre 0 < `chunks`, `offset + chunks` <= min(region.size(), segment_chunks(geometry)). */
[[nodiscard]] segment_name name_segment(const kv_geometry& geometry, std::span<const chunk_id> region,
                                        std::uint32_t offset, std::uint32_t chunks);

/** How many of the segment's chunks, from its first on, are chunks of the sequence whose region has these ids; 0 also
    for a segment of another region, or one whose name does not suit the geometry or contradicts itself.

    Exact when it is all of the segment; where the sequences part, possibly up to three chunks too few (see
    segment_name::marks). */
[[nodiscard]] std::uint32_t shared_chunks(const kv_geometry& geometry, const segment_name& name,
                                          std::span<const chunk_id> region) noexcept;

/** What the keys of all segments of a region begin with; ends in '/'. */
[[nodiscard]] std::string region_prefix(const key_space& keys, const chunk_id& region);

/** `<region_prefix><offset: 3 digits>-<chunks: 3>.<last: 32 hex digits>.<marks>`. No component is over 255 bytes. */
[[nodiscard]] std::string segment_key(const key_space& keys, const segment_name& name);

/** Inverse of the part of segment_key() behind the region's prefix: nothing for what it would not have made. */
[[nodiscard]] std::optional<segment_name> parse_segment_name(const chunk_id& region, std::string_view text);

/** Whether a segment holds all chunks of another one, of the same region and scope. */
enum class containment { no, perhaps, yes };

/** By their names alone; never of one that has not more chunks. `yes` where both end with the same chunk, `perhaps` where the larger
    one goes on behind it and the marks allow that it is the same sequence: then the larger one's head tells. */
[[nodiscard]] containment contains(const segment_name& larger, const segment_name& smaller) noexcept;

/** Write header and ids, segment_head_bytes(ids.size()) bytes.

    @param header of the segment's first chunk; `where` and `chunks` are set here
    @pre `out` has that size. */
void encode_segment_head(byte_span out, object_header header, std::span<const chunk_id> ids) noexcept;

/** What a segment says of itself. */
struct segment_head {
    object_header header;
    std::vector<chunk_id> chunks;
};

/** Read the head from bytes of any origin; bytes behind it are ignored.

    @par Errors As decode_header(); errc::wrong_chunk: not of a segment, or its ids contradict its header;
         errc::wrong_geometry also for more chunks than are left of the region. */
[[nodiscard]] result<segment_head> decode_segment_head(const_byte_span bytes);

/** Whether a segment with that head, whose first chunk is at `offset` in the region, holds all chunks of `smaller`: exact,
    because a chunk's id says all that comes before it. */
[[nodiscard]] bool contains(const segment_head& larger, std::uint32_t offset,
                            const segment_name& smaller) noexcept;

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/kv/impl/segment.ipp>
#endif
