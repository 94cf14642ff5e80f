// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/latch.hpp>
#include <objectcache/pipeline/load_report.hpp>

#include <cstddef>

namespace objectcache::detail {

/** Where one layer of a load stands. */
struct layer_state {
    layer_state(const asio::any_io_executor& ex, std::size_t parts)
        : ready(ex)
        , computed(ex)
        , to_enqueue(parts)
        , to_end(parts)
    {}
    /** All its copies are enqueued, and the host has to see their end: somebody waits for it, or a gate that the device does
        not open. */
    [[nodiscard]] bool to_be_seen() const noexcept { return to_enqueue == 0 && (awaited || !gate_open); }

    latch ready, computed;
    std::size_t to_enqueue; // parts whose copies are not enqueued yet
    std::size_t to_end;     // parts that have not ended
    error_code failed;
    bool gate_open = false;
    bool awaited = false;   // somebody on the host stands still until it is ready
    bool announced = false; // guarded by the load's mutex, as `failed` is once set
    layer_timing timing;
};

} // namespace objectcache::detail
