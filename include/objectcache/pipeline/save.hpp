// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>

#include <cstddef>
#include <cstdint>

namespace objectcache {

/** How a store went. Storing is best effort: nothing of it is an error for the request that computed the KV. */
struct store_report {
    status failed;              ///< why the first chunk that is missing was not stored; ok when all are
    std::size_t stored = 0;     ///< chunks written and acknowledged
    std::size_t merged = 0;     ///< chunks that were stored before, written again in a larger segment
    std::size_t present = 0;    ///< chunks known to be stored before
    std::size_t dropped = 0;    ///< chunks given up
    std::uint64_t bytes = 0;    ///< bytes of the objects written
    std::uint64_t requests = 0; ///< writes, uploads and their parts
};

} // namespace objectcache
