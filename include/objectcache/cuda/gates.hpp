// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cuda/detail/word_pool.hpp>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace objectcache::cuda {

/** A row of layer gates: for each layer a word in pinned memory that the engine's streams wait for and the copy stream
    writes. Made by `device::make_gates`.

    The waits may be captured in a graph. It waits for the same words at every replay, so it needs a row that outlives it,
    which the engine gives to each load (`cache::load`) and closes between replays (`device::close_gates`). Where host
    functions wait instead (`device_options::memory_operations`), capturing one is `condition::invalid`: it waits once.

    @par Lifetime Copies share the row. A wait that is enqueued keeps nothing alive: a closed gate that nobody will open
         must be forced before the last copy goes. */
class gates {
public:
    gates() = default;
    [[nodiscard]] std::size_t size() const noexcept { return row_ ? row_->words.size() : 0; }

private:
    friend class device;
    struct row {
        std::vector<std::shared_ptr<detail::word_pool::word>> words;
        std::vector<bool> enqueued; // the device was told to open it
    };
    std::shared_ptr<row> row_;
};

} // namespace objectcache::cuda
