// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/object_key.hpp>

#include <algorithm>
#include <cassert>
#include <optional>

namespace objectcache {

namespace detail {

inline constexpr std::string_view key_version = "oc1/";
inline constexpr std::size_t key_scope_digits = 32, key_chunk_digits = 64, key_layer_digits = 4;

/** The value of a lower-case hex digit, or -1: one object has one name. */
constexpr int hex_digit(char c) noexcept
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

OBJECTCACHE_DECL std::optional<digest> parse_digest(std::string_view hex) noexcept
{
    digest out;
    if (hex.size() != 2 * out.bytes.size())
        return std::nullopt;
    for (std::size_t i = 0; i < out.bytes.size(); ++i) {
        const int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return std::nullopt;
        out.bytes[i] = static_cast<std::byte>(high << 4 | low);
    }
    return out;
}

/** Takes text off the front of a key. */
class key_reader {
public:
    explicit key_reader(std::string_view key) noexcept : rest_(key) {}

    [[nodiscard]] bool skip(std::string_view expected) noexcept
    {
        if (!rest_.starts_with(expected))
            return false;
        rest_.remove_prefix(expected.size());
        return true;
    }
    /** The next `size` characters, or fewer at the end. */
    [[nodiscard]] std::string_view take(std::size_t size) noexcept
    {
        const std::string_view out = rest_.substr(0, size);
        rest_.remove_prefix(out.size());
        return out;
    }
    [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

private:
    std::string_view rest_;
};

} // namespace detail

OBJECTCACHE_DECL std::string key_space::root() const
{
    std::string out = prefix;
    out += detail::key_version;
    out += scope.hex().substr(0, detail::key_scope_digits);
    out += '/';
    return out;
}

OBJECTCACHE_DECL bool valid_key_prefix(std::string_view prefix) noexcept
{
    if (prefix.size() > max_key_prefix)
        return false;
    if (!std::all_of(prefix.begin(), prefix.end(), [](char c) { return c >= ' ' && c <= '~'; }))
        return false;
    // What follows the last '/' runs into the key's own first segment, and is whole only together with it.
    for (std::size_t slash; (slash = prefix.find('/')) != std::string_view::npos;
         prefix.remove_prefix(slash + 1)) {
        const std::string_view segment = prefix.substr(0, slash);
        if (segment.empty() || segment == "." || segment == "..")
            return false;
    }
    return true;
}

OBJECTCACHE_DECL std::string chunk_key(const key_space& keys, const chunk_id& chunk)
{
    return keys.root() + "c/" + chunk.hex();
}

OBJECTCACHE_DECL std::string layer_key(const key_space& keys, const chunk_id& chunk, layer_id layer)
{
    assert(layer < kv_geometry::max_layers);
    const std::string digits = std::to_string(layer);
    return keys.root() + "l/" + chunk.hex() + '/' +
           std::string(detail::key_layer_digits - std::min(digits.size(), detail::key_layer_digits), '0') +
           digits;
}

OBJECTCACHE_DECL std::string manifest_key(const key_space& keys, const chunk_id& chunk)
{
    return keys.root() + "l/" + chunk.hex() + "/manifest";
}

OBJECTCACHE_DECL std::string layout_prefix(const key_space& keys, layout where)
{
    return keys.root() + (where == layout::layer_objects   ? "l/"
                          : where == layout::chunk_objects ? "c/"
                                                           : "s/");
}

OBJECTCACHE_DECL std::string record_key(const key_space& keys, layout where, const chunk_id& chunk,
                                        layer_id layer)
{
    assert(where == layout::layer_objects || where == layout::chunk_objects);
    return where == layout::layer_objects ? layer_key(keys, chunk, layer) : chunk_key(keys, chunk);
}

OBJECTCACHE_DECL std::string commit_key(const key_space& keys, layout where, const chunk_id& chunk)
{
    assert(where == layout::layer_objects || where == layout::chunk_objects);
    return where == layout::layer_objects ? manifest_key(keys, chunk) : chunk_key(keys, chunk);
}

} // namespace objectcache
