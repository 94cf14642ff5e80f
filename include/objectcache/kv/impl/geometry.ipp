// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/kv/geometry.hpp>

#include <string>

namespace objectcache {

OBJECTCACHE_DECL std::string_view name(kv_dtype dtype) noexcept
{
    switch (dtype) {
    case kv_dtype::f32:
        return "f32";
    case kv_dtype::f16:
        return "f16";
    case kv_dtype::bf16:
        return "bf16";
    case kv_dtype::fp8_e4m3:
        return "fp8_e4m3";
    case kv_dtype::fp8_e5m2:
        return "fp8_e5m2";
    case kv_dtype::int8:
        return "int8";
    }
    return {};
}

OBJECTCACHE_DECL std::optional<kv_dtype> parse_kv_dtype(std::string_view text) noexcept
{
    for (kv_dtype dtype : {kv_dtype::f32, kv_dtype::f16, kv_dtype::bf16, kv_dtype::fp8_e4m3,
                           kv_dtype::fp8_e5m2, kv_dtype::int8})
        if (text == name(dtype))
            return dtype;
    return std::nullopt;
}

OBJECTCACHE_DECL std::string_view name(kv_form form) noexcept
{
    switch (form) {
    case kv_form::separate:
        return "separate";
    case kv_form::latent:
        return "latent";
    }
    return {};
}

OBJECTCACHE_DECL std::optional<kv_form> parse_kv_form(std::string_view text) noexcept
{
    for (kv_form form : {kv_form::separate, kv_form::latent})
        if (text == name(form))
            return form;
    return std::nullopt;
}

OBJECTCACHE_DECL status kv_geometry::validate() const
{
    const struct {
        const char* name;
        std::uint32_t value, most;
    } counts[] = {{"layers", layers, max_layers},
                  {"kv_heads", kv_heads, max_kv_heads},
                  {"head_size", head_size, max_head_size},
                  {"tokens_per_chunk", tokens_per_chunk, max_tokens_per_chunk}};
    for (const auto& count : counts)
        if (count.value == 0 || count.value > count.most)
            return {errc::invalid_argument, std::string("KV geometry: ") + count.name + " is " +
                                                std::to_string(count.value) + ", not 1.." +
                                                std::to_string(count.most)};
    if (bytes_of(dtype) == 0)
        return {errc::invalid_argument, "KV geometry: dtype " + std::to_string(static_cast<unsigned>(dtype))};
    if (name(form).empty())
        return {errc::invalid_argument, "KV geometry: form " + std::to_string(static_cast<unsigned>(form))};
    if (form == kv_form::latent && kv_heads != 1)
        return {errc::invalid_argument,
                "KV geometry: a latent form has one head, not " + std::to_string(kv_heads)};
    // At most 2^16 * 2 * 2^16 * 2^16 * 2^2 = 2^51: no overflow can hide from this comparison.
    if (slice_bytes() > max_slice_bytes)
        return {errc::invalid_argument, "KV geometry: a slice of " + std::to_string(slice_bytes()) +
                                            " bytes is over " + std::to_string(max_slice_bytes)};
    return {};
}

} // namespace objectcache
