// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/core/sha256.hpp>
#include <objectcache/kv/scope.hpp>

#include <array>
#include <string_view>
#include <utility>

namespace objectcache {

namespace detail {

inline constexpr std::string_view scope_domain = "objectcache scope";
inline constexpr std::uint16_t scope_version = 1;
inline constexpr std::size_t max_scope_text = 65536;

enum class scope_tag : std::uint8_t {
    model = 1,
    weights_revision = 2,
    geometry = 3,
    shard = 4,
    config = 5,
    adapter = 6,
    tenant_salt = 7
};

/** Hashes fields as tag, length, bytes. */
class scope_hasher {
public:
    scope_hasher() noexcept
    {
        std::array<std::byte, 2> version{};
        store_le(version.data(), scope_version);
        hash_.update(std::as_bytes(std::span(scope_domain.data(), scope_domain.size())));
        hash_.update(version);
    }
    void field(scope_tag tag, const_byte_span bytes) noexcept
    {
        std::array<std::byte, 5> head{static_cast<std::byte>(tag)};
        store_le(head.data() + 1, static_cast<std::uint32_t>(bytes.size()));
        hash_.update(head);
        hash_.update(bytes);
    }
    void field(scope_tag tag, std::string_view text) noexcept
    {
        field(tag, std::as_bytes(std::span(text.data(), text.size())));
    }
    [[nodiscard]] digest finish() noexcept { return hash_.finish(); }

private:
    sha256 hash_;
};

/** Whether [first, first + count) is within a total, of which 0 means count. */
constexpr bool shard_range_valid(std::uint32_t first, std::uint32_t count, std::uint32_t total) noexcept
{
    const std::uint64_t all = total == 0 ? count : total;
    return std::uint64_t{first} + count <= all;
}

} // namespace detail

OBJECTCACHE_DECL result<digest> scope_id(const scope& value)
{
    using detail::scope_tag;
    const kv_geometry& geometry = value.geometry;
    const kv_shard& shard = value.shard;
    if (const status valid = geometry.validate(); !valid.ok())
        return valid;
    if (!detail::shard_range_valid(shard.first_head, geometry.kv_heads, shard.head_total) ||
        !detail::shard_range_valid(shard.first_layer, geometry.layers, shard.layer_total))
        return status(errc::invalid_argument, "scope: the shard is not within the model");
    if (value.model.empty() || value.weights_revision.empty())
        return status(errc::invalid_argument, "scope: model and weights_revision are required");

    std::array<std::byte, 18> shape{};
    store_le(shape.data(), geometry.layers);
    store_le(shape.data() + 4, geometry.kv_heads);
    store_le(shape.data() + 8, geometry.head_size);
    store_le(shape.data() + 12, geometry.tokens_per_chunk);
    store_le(shape.data() + 16, static_cast<std::uint8_t>(geometry.dtype));
    store_le(shape.data() + 17, static_cast<std::uint8_t>(geometry.form));
    std::array<std::byte, 16> part{};
    store_le(part.data(), shard.first_head);
    store_le(part.data() + 4, shard.head_total == 0 ? geometry.kv_heads : shard.head_total);
    store_le(part.data() + 8, shard.first_layer);
    store_le(part.data() + 12, shard.layer_total == 0 ? geometry.layers : shard.layer_total);

    const std::pair<scope_tag, const std::optional<std::string>&> optional_texts[] = {
        {scope_tag::config, value.config},
        {scope_tag::adapter, value.adapter},
        {scope_tag::tenant_salt, value.tenant_salt}};
    bool too_long =
        value.model.size() > detail::max_scope_text || value.weights_revision.size() > detail::max_scope_text;
    for (const auto& [tag, text] : optional_texts)
        too_long = too_long || (text && text->size() > detail::max_scope_text);
    if (too_long)
        return status(errc::invalid_argument, "scope: a text is over 64 KiB");

    detail::scope_hasher hash;
    hash.field(scope_tag::model, value.model);
    hash.field(scope_tag::weights_revision, value.weights_revision);
    hash.field(scope_tag::geometry, shape);
    hash.field(scope_tag::shard, part);
    for (const auto& [tag, text] : optional_texts)
        if (text)
            hash.field(tag, *text);
    return hash.finish();
}

} // namespace objectcache
