// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace objectcache {

/** When things happened to one layer of a load; `time_point{}` where they did not. */
struct layer_timing {
    time_point requested; ///< its first read was sent
    time_point
        ready; ///< the device was seen to have all of it: up to half a millisecond late if only a gate waits for it
    time_point waited_from; ///< the engine first asked for it
    time_point waited_to;   ///< and got it
    time_point computed;    ///< its compute was seen done

    /** Time the engine stood still for this layer. */
    [[nodiscard]] duration stall() const noexcept { return waited_to - waited_from; }
};

/** How a load went. */
struct load_report {
    /** The first failure; ok when every layer arrived, and every compute that was waited for (`compute_layer`) was seen done.
        Unless it is ok, tokens from `usable_tokens` on must be computed again before they are stored. */
    status failed;
    std::size_t usable_tokens =
        0; ///< whose KV is on the device in every layer; in front of `first_chunk` the engine's
    std::uint64_t requests = 0;       ///< reads sent
    std::uint64_t bytes = 0;          ///< bytes read and verified
    std::vector<layer_timing> layers; ///< of the last pass, in layer order
};

} // namespace objectcache
