// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/plan/load_plan.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace objectcache::detail {

/** Who has to be computed before the memory of a layer is free, where the engine keeps memory for only some layers
    (kv_pages::layer_slots). Layers are numbered through all passes. Pure. */
struct layer_slots {
    layer_id layers = 0;
    std::uint32_t passes = 1;
    std::size_t slots = 0;
    layer_id first = 0; ///< those below it are near: none of this memory is theirs

    [[nodiscard]] bool reused() const noexcept
    {
        return first < layers && slots < std::size_t{layers - first} * passes;
    }

    /** The layer that had this layer's slot before it. Slots are taken by `layer % slots` anew in every pass, so that
        where the layers are no multiple of the slots, it may be the very layer before. */
    [[nodiscard]] std::optional<std::size_t> user_before(layer_id layer, std::uint32_t pass) const noexcept
    {
        const std::size_t begin = std::size_t{pass} * layers;
        if (layer >= first + slots)
            return begin + layer - slots;
        if (pass == 0)
            return std::nullopt;
        return begin - layers + layer + (layers - 1 - layer) / slots * slots;
    }

    /** The last of those whose memory `fetch` takes: layers compute in order. None: the memory is free. */
    [[nodiscard]] std::optional<std::size_t> user_before(const load_fetch& fetch,
                                                         std::uint32_t pass) const noexcept
    {
        std::optional<std::size_t> user;
        if (reused())
            for (layer_id l = fetch.first_layer; l < fetch.first_layer + fetch.layers; ++l)
                user = std::max(user, user_before(l, pass));
        return user;
    }
};

} // namespace objectcache::detail
