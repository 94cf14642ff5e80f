// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/device.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/kv/pages.hpp>
#include <objectcache/pipeline/match.hpp>
#include <objectcache/plan/load_plan.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace objectcache::detail {

/** The records that one request of a load brought, as they lie in staging. */
class received {
public:
    received(const prefix_match& match, const load_fetch& fetch, byte_span bytes)
        : match_(match)
        , fetch_(fetch)
        , bytes_(bytes)
    {}

    /** `intact`: how many chunks, from the first on, are what they should be in all layers. The reason is that of the
        chunk behind them. */
    [[nodiscard]] status verify(std::uint32_t& intact) const
    {
        const layout where = match_.runs[fetch_.run].place.where;
        status out;
        intact = fetch_.chunks;
        for (std::uint32_t layer = 0; layer < fetch_.layers; ++layer)
            for (std::uint32_t chunk = 0; chunk < intact; ++chunk) {
                const status s = verify_slice(record(layer, chunk), fetch_.first_layer + layer,
                                              match_.chunks[fetch_.chunk + chunk], where);
                if (s.ok())
                    continue;
                intact = chunk;
                out = status(s.code(), "chunk " + std::to_string(fetch_.chunk + chunk) + ", layer " +
                                           std::to_string(fetch_.first_layer + layer));
            }
        return out;
    }

    /** The copies that bring the first `chunks` chunks into the engine's memory. */
    [[nodiscard]] std::vector<copy_op> copies(const kv_pages& pages, std::uint32_t chunks) const
    {
        const std::size_t tokens = match_.geometry.tokens_per_chunk;
        std::vector<copy_op> out;
        for (std::uint32_t layer = 0; layer < fetch_.layers; ++layer)
            for (std::uint32_t chunk = 0; chunk < chunks; ++chunk) {
                std::byte* const from = record(layer, chunk).data();
                pages.for_each_piece(fetch_.first_layer + layer, (fetch_.chunk + chunk) * tokens, tokens,
                                     [&](std::byte* memory, std::size_t offset, std::size_t size) {
                                         out.push_back({memory, from + offset, size});
                                     });
            }
        return out;
    }

private:
    [[nodiscard]] byte_span record(std::uint32_t layer, std::uint32_t chunk) const
    {
        const auto size = static_cast<std::size_t>(record_bytes(match_.geometry));
        return bytes_.subspan((std::size_t{layer} * fetch_.chunks + chunk) * size, size);
    }

    const prefix_match& match_;
    const load_fetch& fetch_;
    byte_span bytes_;
};

} // namespace objectcache::detail
