// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/segment.hpp>

#include <algorithm>
#include <cassert>

namespace objectcache {

namespace detail {

inline constexpr std::string_view base64url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
inline constexpr std::uint32_t mark_digits = 3, max_marks = 64;
static_assert(segment_mark_stride(max_segment_chunks) * max_marks == max_segment_chunks);
inline constexpr std::size_t key_count_digits = 3, key_last_digits = 32;

/** Places of the region that are marked, before `place`: those behind which a whole number of strides lies. */
constexpr std::uint32_t marks_before(std::uint32_t place, std::uint32_t stride) noexcept
{
    return place / stride;
}

/** The digits stand for bytes that no other part of the format shows: not those of `last` and of trailers. */
OBJECTCACHE_DECL std::array<char, mark_digits> mark_of(const chunk_id& chunk) noexcept
{
    const std::uint32_t bits = std::to_integer<std::uint32_t>(chunk.bytes[16]) << 16 |
                               std::to_integer<std::uint32_t>(chunk.bytes[17]) << 8 |
                               std::to_integer<std::uint32_t>(chunk.bytes[18]);
    return {base64url[bits >> 18 & 63], base64url[bits >> 12 & 63], base64url[bits >> 6 & 63]};
}

OBJECTCACHE_DECL bool is_last(const segment_name& name, const chunk_id& chunk) noexcept
{
    return std::equal(name.last.begin(), name.last.end(), chunk.bytes.begin());
}

/** `text` is just that many decimal digits. */
OBJECTCACHE_DECL std::optional<std::uint32_t> parse_digits(std::string_view text, std::size_t digits) noexcept
{
    if (text.size() != digits)
        return std::nullopt;
    std::uint32_t out = 0;
    for (char c : text) {
        if (c < '0' || c > '9')
            return std::nullopt;
        out = out * 10 + static_cast<std::uint32_t>(c - '0');
    }
    return out;
}

OBJECTCACHE_DECL std::string padded(std::uint32_t value, std::size_t digits)
{
    const std::string text = std::to_string(value);
    return std::string(digits - std::min(digits, text.size()), '0') + text;
}

OBJECTCACHE_DECL std::uint64_t hash_of_ids(const_byte_span head, std::size_t ids) noexcept
{
    const auto seed = load_le<std::uint64_t>(head.data() + header_checksum);
    return XXH3_64bits_withSeed(head.data() + header_bytes, ids * sizeof(chunk_id::bytes), seed);
}

/** Whether both have the same marks for the places that both name, with one of the strides that suit them. */
OBJECTCACHE_DECL bool marks_agree(const segment_name& larger, const segment_name& smaller) noexcept
{
    for (const std::uint32_t stride : {1u, 2u, 4u}) {
        const auto marks = [stride](std::uint32_t from, std::uint32_t to) -> std::size_t {
            return mark_digits * (marks_before(to, stride) - marks_before(from, stride));
        };
        if (larger.marks.size() == marks(larger.offset, larger.end()) &&
            smaller.marks.size() == marks(smaller.offset, smaller.end()) &&
            std::string_view(larger.marks)
                    .substr(marks(larger.offset, smaller.offset), smaller.marks.size()) == smaller.marks)
            return true;
    }
    return false;
}

} // namespace detail

OBJECTCACHE_DECL segment_name name_segment(const kv_geometry& geometry, std::span<const chunk_id> region,
                                           std::uint32_t offset, std::uint32_t chunks)
{
    assert(chunks > 0 && offset + chunks <= region.size() && offset + chunks <= segment_chunks(geometry));
    segment_name out;
    out.region = region.front();
    out.offset = offset;
    out.chunks = chunks;
    std::copy_n(region[out.end() - 1].bytes.begin(), out.last.size(), out.last.begin());
    const std::uint32_t stride = segment_mark_stride(segment_chunks(geometry));
    for (std::uint32_t m = detail::marks_before(offset, stride); m < detail::marks_before(out.end(), stride);
         ++m) {
        const auto digits = detail::mark_of(region[m * stride + stride - 1]);
        out.marks.append(digits.data(), digits.size());
    }
    return out;
}

OBJECTCACHE_DECL std::uint32_t shared_chunks(const kv_geometry& geometry, const segment_name& name,
                                             std::span<const chunk_id> region) noexcept
{
    const std::uint32_t per_region = segment_chunks(geometry), stride = segment_mark_stride(per_region);
    // Each number by itself as well: together they may wrap around.
    if (region.empty() || region.front() != name.region || name.chunks == 0 || name.chunks > per_region ||
        name.offset >= per_region || name.end() > per_region || name.offset >= region.size())
        return 0;
    const std::uint32_t first = detail::marks_before(name.offset, stride);
    if (name.marks.size() != detail::mark_digits * (detail::marks_before(name.end(), stride) - first))
        return 0;
    const bool whole = name.end() <= region.size() && detail::is_last(name, region[name.end() - 1]);
    // Otherwise it goes on where the sequence ends, or another way: the last chunk is known to be another one, or missing.
    const std::size_t known = std::min<std::size_t>(region.size(), whole ? name.end() : name.end() - 1);
    std::uint32_t shared_until = 0;
    bool agree = true;
    for (std::uint32_t m = first; agree && (m + 1) * stride <= known; ++m) {
        const auto digits = detail::mark_of(region[m * stride + stride - 1]);
        const std::string_view mark =
            std::string_view(name.marks).substr((m - first) * detail::mark_digits, detail::mark_digits);
        agree = mark == std::string_view(digits.data(), digits.size());
        if (agree)
            shared_until = (m + 1) * stride;
    }
    // If the last chunk is ours all others are: nobody names a segment so whose marks say something else.
    if (whole)
        return agree ? name.chunks : 0;
    // The name of the region vouches for its first chunk.
    if (name.offset == 0)
        shared_until = std::max(shared_until, std::uint32_t{1});
    return shared_until > name.offset ? shared_until - name.offset : 0;
}

OBJECTCACHE_DECL std::string region_prefix(const key_space& keys, const chunk_id& region)
{
    return keys.root() + "s/" + region.hex() + '/';
}

OBJECTCACHE_DECL std::string segment_key(const key_space& keys, const segment_name& name)
{
    digest last;
    std::copy(name.last.begin(), name.last.end(), last.bytes.begin());
    std::string out = region_prefix(keys, name.region);
    out += detail::padded(name.offset, detail::key_count_digits);
    out += '-';
    out += detail::padded(name.chunks, detail::key_count_digits);
    out += '.';
    out += last.hex().substr(0, detail::key_last_digits);
    out += '.';
    out += name.marks;
    return out;
}

OBJECTCACHE_DECL std::optional<segment_name> parse_segment_name(const chunk_id& region, std::string_view text)
{
    detail::key_reader reader(text);
    segment_name out;
    out.region = region;
    const auto offset = detail::parse_digits(reader.take(detail::key_count_digits), detail::key_count_digits);
    if (!offset || !reader.skip("-"))
        return std::nullopt;
    const auto chunks = detail::parse_digits(reader.take(detail::key_count_digits), detail::key_count_digits);
    if (!chunks || *chunks == 0 || *offset + *chunks > max_segment_chunks || !reader.skip("."))
        return std::nullopt;
    out.offset = *offset;
    out.chunks = *chunks;
    const std::string_view last = reader.take(detail::key_last_digits);
    if (last.size() != detail::key_last_digits)
        return std::nullopt;
    for (std::size_t i = 0; i < out.last.size(); ++i) {
        const int high = detail::hex_digit(last[2 * i]), low = detail::hex_digit(last[2 * i + 1]);
        if (high < 0 || low < 0)
            return std::nullopt;
        out.last[i] = static_cast<std::byte>(high << 4 | low);
    }
    if (!reader.skip("."))
        return std::nullopt;
    const std::string_view marks = reader.rest();
    // Which of the strides it is only the geometry tells.
    bool suits = false;
    for (const std::uint32_t stride : {1u, 2u, 4u})
        suits = suits || (out.end() <= stride * detail::max_marks &&
                          marks.size() == detail::mark_digits * (detail::marks_before(out.end(), stride) -
                                                                 detail::marks_before(out.offset, stride)));
    if (!suits || marks.find_first_not_of(detail::base64url) != marks.npos)
        return std::nullopt;
    out.marks = marks;
    return out;
}

OBJECTCACHE_DECL containment contains(const segment_name& larger, const segment_name& smaller) noexcept
{
    if (larger.region != smaller.region || larger.chunks <= smaller.chunks ||
        larger.offset > smaller.offset || larger.end() < smaller.end() ||
        !detail::marks_agree(larger, smaller))
        return containment::no;
    if (larger.end() != smaller.end())
        return containment::perhaps;
    return larger.last == smaller.last ? containment::yes : containment::no;
}

OBJECTCACHE_DECL bool contains(const segment_head& larger, std::uint32_t offset,
                               const segment_name& smaller) noexcept
{
    return smaller.chunks > 0 && smaller.offset >= offset && smaller.end() - offset <= larger.chunks.size() &&
           detail::is_last(smaller, larger.chunks[smaller.end() - offset - 1]);
}

OBJECTCACHE_DECL void encode_segment_head(byte_span out, object_header header,
                                          std::span<const chunk_id> ids) noexcept
{
    assert(!ids.empty() && ids.size() <= max_segment_chunks &&
           out.size() == segment_head_bytes(static_cast<std::uint32_t>(ids.size())));
    header.where = layout::segment_objects;
    header.chunks = static_cast<std::uint32_t>(ids.size());
    header.chunk = ids.front();
    encode_header(out.first<header_bytes>(), header);
    std::byte* to = out.data() + header_bytes;
    for (const chunk_id& id : ids)
        to = std::copy(id.bytes.begin(), id.bytes.end(), to);
    store_le(to, detail::hash_of_ids(out, ids.size()));
}

OBJECTCACHE_DECL result<segment_head> decode_segment_head(const_byte_span bytes)
{
    auto header = decode_header(bytes);
    if (!header)
        return header.error();
    if (header->where != layout::segment_objects)
        return status(errc::wrong_chunk, "not a segment");
    const std::uint32_t n = header->chunks, per_region = segment_chunks(header->geometry);
    if (header->first_token / header->geometry.tokens_per_chunk % per_region + n > per_region)
        return status(errc::wrong_geometry, "a segment goes past the end of its region");
    if (bytes.size() < segment_head_bytes(n))
        return status(errc::length_mismatch, "segment head of " + std::to_string(bytes.size()) + " bytes");
    const std::byte* from = bytes.data() + header_bytes;
    segment_head out{*header, {}};
    for (std::uint32_t i = 0; i < n; ++i, from += sizeof(chunk_id::bytes))
        out.chunks.push_back(detail::get_digest(from));
    if (load_le<std::uint64_t>(from) != detail::hash_of_ids(bytes, n))
        return status(errc::checksum_mismatch, "ids of a segment");
    if (out.chunks.front() != out.header.chunk)
        return status(errc::wrong_chunk, "ids of a segment contradict its header");
    return out;
}

} // namespace objectcache
