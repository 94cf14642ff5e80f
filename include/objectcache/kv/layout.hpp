// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace objectcache {

/** How chunks become objects. The numbers are part of the stored format. */
enum class layout : std::uint8_t {
    layer_objects = 1, ///< one object per (chunk, layer), and a manifest written last
    chunk_objects = 2, ///< one object per chunk, its layers in order behind a header; a layer is a range
    segment_objects =
        3 ///< one object per run of up to N chunks, layer-major: a layer of any part of it is one range
};

/** Whether this version reads and writes that layout. */
[[nodiscard]] constexpr bool supported(layout value) noexcept
{
    return value == layout::layer_objects || value == layout::chunk_objects ||
           value == layout::segment_objects;
}

/** "chunk_objects" and so on; empty for a number that is no layout. */
[[nodiscard]] constexpr std::string_view name(layout value) noexcept
{
    switch (value) {
    case layout::layer_objects:
        return "layer_objects";
    case layout::chunk_objects:
        return "chunk_objects";
    case layout::segment_objects:
        return "segment_objects";
    }
    return {};
}

/** Inverse of name(). */
[[nodiscard]] constexpr std::optional<layout> parse_layout(std::string_view text) noexcept
{
    for (layout value : {layout::layer_objects, layout::chunk_objects, layout::segment_objects})
        if (text == name(value))
            return value;
    return std::nullopt;
}

} // namespace objectcache
