// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/ids.hpp>
#include <objectcache/kv/geometry.hpp>
#include <objectcache/kv/layout.hpp>

#include <string>
#include <string_view>

namespace objectcache {

/** Where the objects of one scope are named:
    @code
    <prefix>oc1/<scope: 32 hex digits>/c/<chunk: 64>              a chunk object
    <prefix>oc1/<scope: 32 hex digits>/l/<chunk: 64>/<layer: 4>   a layer object, the layer in decimal digits
    <prefix>oc1/<scope: 32 hex digits>/l/<chunk: 64>/manifest     its chunk's manifest
    <prefix>oc1/<scope: 32 hex digits>/s/<chunk: 64>/<...>        a segment, see kv/segment.hpp
    @endcode
    The scope's 16 bytes only keep lists apart; a chunk's id contains all of the scope. */
struct key_space {
    std::string prefix; ///< in front of every key: empty, or for instance "team/"; see valid_key_prefix()
    digest scope;

    /** What every key of the scope begins with; ends in '/'. */
    [[nodiscard]] std::string root() const;
};

/** Longest prefix that leaves S3's 1,024 bytes enough room for every key. */
inline constexpr std::size_t max_key_prefix = 512;

/** Whether `prefix` is safe in front of keys: printable ASCII, no leading '/', no "//", no "." or ".." as a segment
    (proxies and tools rewrite those, and then the signature of a request is wrong). */
[[nodiscard]] bool valid_key_prefix(std::string_view prefix) noexcept;

[[nodiscard]] std::string chunk_key(const key_space& keys, const chunk_id& chunk);
/** @pre `layer` < kv_geometry::max_layers. */
[[nodiscard]] std::string layer_key(const key_space& keys, const chunk_id& chunk, layer_id layer);
[[nodiscard]] std::string manifest_key(const key_space& keys, const chunk_id& chunk);

/** What the keys of all objects of a layout begin with, in the scope; ends in '/'. */
[[nodiscard]] std::string layout_prefix(const key_space& keys, layout where);

/** The object that carries the record of that layer.

    @pre `where` is layout::layer_objects or layout::chunk_objects. */
[[nodiscard]] std::string record_key(const key_space& keys, layout where, const chunk_id& chunk,
                                     layer_id layer);

/** The object whose presence publishes the chunk: written last, probed first (law 1).

    @pre `where` is layout::layer_objects or layout::chunk_objects. */
[[nodiscard]] std::string commit_key(const key_space& keys, layout where, const chunk_id& chunk);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/kv/impl/object_key.ipp>
#endif
