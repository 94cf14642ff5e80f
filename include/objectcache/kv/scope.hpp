// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/ids.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/kv/geometry.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace objectcache {

/** The part of the model that one process keeps: a range of KV heads (tensor parallel) of a range of layers (pipeline
    parallel). The ranges begin here; their lengths are the geometry's `kv_heads` and `layers`. */
struct kv_shard {
    std::uint32_t first_head = 0;
    std::uint32_t head_total = 0; ///< KV heads of the whole model; 0 means just the geometry's
    std::uint32_t first_layer = 0;
    std::uint32_t layer_total = 0; ///< layers of the whole model; 0 means just the geometry's

    friend bool operator==(const kv_shard&, const kv_shard&) = default;
};

/** Everything beside tokens that must match before KV may be reused: two sequences share KV only within one scope.

    Texts are compared byte by byte. Where one is optional, absent and empty are different scopes. */
struct scope {
    std::string model;            ///< required, for instance "meta-llama/Llama-3.1-8B"
    std::string weights_revision; ///< required: a commit or digest of the very weights, never "latest"
    kv_geometry geometry;
    kv_shard shard{};
    /** Whatever else changes KV: rotary scaling, scales of a quantized KV, the attention's numerics. A digest, or
        text. */
    std::optional<std::string> config{};
    std::optional<std::string> adapter{}; ///< a LoRA adapter and its revision
    std::optional<std::string>
        tenant_salt{}; ///< keeps tenants from sharing, and probing for, each other's prefixes

    friend bool operator==(const scope&, const scope&) = default;
};

/** Identity of a scope: SHA-256 over its fields, each with a tag and a length (docs/format.md), so that no two scopes
    have the same bytes. The same in every process and on every machine; the root of every hash chain.

    @par Errors condition::invalid: geometry or shard is impossible, a required text is empty, a text is over 64 KiB. */
[[nodiscard]] result<digest> scope_id(const scope& value);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/kv/impl/scope.ipp>
#endif
