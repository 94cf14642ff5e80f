// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/impl/object_key.ipp>
#include <objectcache/kv/impl/segment.ipp>
#include <objectcache/kv/object_name.hpp>

#include <algorithm>

namespace objectcache {

namespace detail {

OBJECTCACHE_DECL std::optional<layer_id> parse_layer(std::string_view text) noexcept
{
    const auto out = parse_digits(text, key_layer_digits);
    return out && *out < kv_geometry::max_layers ? out : std::nullopt;
}

/** What is under the scope's root, into `out`. */
OBJECTCACHE_DECL bool parse_below_scope(key_reader reader, object_name& out)
{
    const char kind = reader.rest().empty() ? '\0' : reader.rest().front();
    if (!reader.skip("c/") && !reader.skip("l/") && !reader.skip("s/"))
        return false;
    const auto chunk = parse_digest(reader.take(key_chunk_digits));
    if (!chunk)
        return false;
    out.chunk = *chunk;
    if (kind == 'c')
        return reader.rest().empty();
    if (!reader.skip("/"))
        return false;
    if (kind == 's') {
        auto segment = parse_segment_name(*chunk, reader.rest());
        if (!segment)
            return false;
        out.kind = object_kind::segment;
        out.segment = std::move(*segment);
        return true;
    }
    if (reader.rest() == "manifest") {
        out.kind = object_kind::manifest;
        return true;
    }
    const auto layer = parse_layer(reader.rest());
    if (!layer)
        return false;
    out.kind = object_kind::layer;
    out.layer = *layer;
    return true;
}

} // namespace detail

OBJECTCACHE_DECL std::optional<object_name> parse_object_key(std::string_view prefix, std::string_view key)
{
    detail::key_reader reader(key);
    if (!reader.skip(prefix) || !reader.skip(detail::key_version))
        return std::nullopt;
    object_name out;
    out.scope = reader.take(detail::key_scope_digits);
    if (out.scope.size() != detail::key_scope_digits ||
        !std::all_of(out.scope.begin(), out.scope.end(), [](char c) { return detail::hex_digit(c) >= 0; }) ||
        !reader.skip("/") || !detail::parse_below_scope(reader, out))
        return std::nullopt;
    return out;
}

OBJECTCACHE_DECL std::optional<std::uint32_t> key_version(std::string_view prefix, std::string_view key)
{
    detail::key_reader reader(key);
    if (!reader.skip(prefix) || !reader.skip("oc"))
        return std::nullopt;
    constexpr std::size_t most_digits = 5; // a version is a u16
    const std::string_view digits = reader.take(std::min(reader.rest().find('/'), most_digits));
    const auto version = detail::parse_digits(digits, digits.size());
    if (digits.empty() || digits.front() == '0' || !version || !reader.skip("/"))
        return std::nullopt;
    return version;
}

OBJECTCACHE_DECL status match_name(const object_name& name, std::uint64_t size, const object_header& header)
{
    if (header.scope.hex().substr(0, detail::key_scope_digits) != name.scope)
        return {errc::wrong_chunk, "its header is of another scope"};
    if (header.where != name.where())
        return {errc::wrong_chunk, "its header is of another layout"};
    const kv_geometry& geometry = header.geometry;
    std::uint64_t expected = header_bytes;
    if (name.kind == object_kind::segment) {
        const std::uint64_t chunk = header.first_token / geometry.tokens_per_chunk;
        if (header.chunks != name.segment.chunks || chunk % segment_chunks(geometry) != name.segment.offset)
            return {errc::wrong_chunk, "its header is of another part of the region"};
        if (name.segment.offset == 0 && header.chunk != name.chunk)
            return {errc::wrong_chunk, "its header is of another region"};
        expected = segment_bytes(geometry, name.segment.chunks);
    } else {
        if (header.chunk != name.chunk)
            return {errc::wrong_chunk, "its header is of another chunk"};
        if (name.kind == object_kind::chunk)
            expected = object_bytes(layout::chunk_objects, geometry);
    }
    if (size != expected)
        return {errc::length_mismatch,
                "it has " + std::to_string(size) + " bytes instead of " + std::to_string(expected)};
    return {};
}

OBJECTCACHE_DECL status match_name(const object_name& name, std::uint64_t size, const segment_head& head)
{
    if (status header = match_name(name, size, head.header); !header.ok())
        return header;
    // Ids of the region in front of it are not in the segment, nor in its name.
    std::vector<chunk_id> region(name.segment.offset);
    region.insert(region.end(), head.chunks.begin(), head.chunks.end());
    if (region.size() > segment_chunks(head.header.geometry))
        return {errc::wrong_chunk, "it goes on behind the end of its region"};
    segment_name implied =
        name_segment(head.header.geometry, region, name.segment.offset, name.segment.chunks);
    implied.region = name.chunk;
    if (implied != name.segment)
        return {errc::wrong_chunk, "its name does not follow from its chunks"};
    return {};
}

} // namespace objectcache
