// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/ids.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/kv/layout.hpp>
#include <objectcache/kv/object_key.hpp>
#include <objectcache/kv/segment.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/** @file
    Keys read backwards, for tools that list a bucket: what an object must be, by its name alone. */

namespace objectcache {

/** What an object is. */
enum class object_kind { chunk, layer, manifest, segment };

/** "chunk" and so on. */
[[nodiscard]] constexpr std::string_view name(object_kind kind) noexcept
{
    switch (kind) {
    case object_kind::chunk:
        return "chunk";
    case object_kind::layer:
        return "layer";
    case object_kind::manifest:
        return "manifest";
    case object_kind::segment:
        return "segment";
    }
    return {};
}

/** What a key says. */
struct object_name {
    object_kind kind = object_kind::chunk;
    std::string scope;      ///< 32 hex digits: the first 16 bytes of the scope's id
    chunk_id chunk;         ///< of a segment the first chunk of its region
    layer_id layer = 0;     ///< for object_kind::layer
    segment_name segment{}; ///< for object_kind::segment

    [[nodiscard]] layout where() const noexcept
    {
        return kind == object_kind::chunk     ? layout::chunk_objects
               : kind == object_kind::segment ? layout::segment_objects
                                              : layout::layer_objects;
    }
    friend bool operator==(const object_name&, const object_name&) = default;
};

/** Inverse of chunk_key(), layer_key(), manifest_key() and segment_key(): nothing for any key that they would not have
    made. */
[[nodiscard]] std::optional<object_name> parse_object_key(std::string_view prefix, std::string_view key);

/** The format version under which a key lies, this one or another; nothing for keys that no version makes. */
[[nodiscard]] std::optional<std::uint32_t> key_version(std::string_view prefix, std::string_view key);

/** Whether an object with this header may have this name and size: for a chunk, a manifest or, by its first 256 bytes alone, a
    segment.

    @par Errors errc::wrong_chunk (another scope, chunk, layout or place), errc::length_mismatch (too short or too long for
    its geometry). Both are condition::corrupt.
    @pre `name` is not of a layer, which has no header; `header` came from decode_header(). */
[[nodiscard]] status match_name(const object_name& name, std::uint64_t size, const object_header& header);

/** The same for a segment and all of its head: also its last chunk, its marks and, where it holds it, its region. */
[[nodiscard]] status match_name(const object_name& name, std::uint64_t size, const segment_head& head);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/kv/impl/object_name.ipp>
#endif
