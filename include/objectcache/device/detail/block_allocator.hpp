// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cassert>
#include <cstddef>
#include <iterator>
#include <map>
#include <optional>

namespace objectcache::detail {

/** Offsets of contiguous blocks inside a slab: first fit, neighbours merged when they come back. Pure bookkeeping.

    First fit over a handful of live blocks (requests in flight) is short; a ring would be shorter but blocks come back
    in the order of the network, not of the requests. */
class block_allocator {
public:
    explicit block_allocator(std::size_t capacity) : capacity_(capacity)
    {
        if (capacity != 0)
            free_.emplace(0, capacity);
    }

    /** Blocks start and end on this many bytes: a page, so that direct I/O and pinning see whole pages. */
    static constexpr std::size_t granule = 4096;

    [[nodiscard]] static constexpr std::size_t rounded(std::size_t size) noexcept
    {
        return (size + granule - 1) / granule * granule;
    }

    /** The offset of a block of at least `size` bytes, or nothing. @pre size > 0 */
    [[nodiscard]] std::optional<std::size_t> take(std::size_t size)
    {
        assert(size > 0);
        const std::size_t need = rounded(size);
        for (auto it = free_.begin(); it != free_.end(); ++it) {
            if (it->second < need)
                continue;
            const std::size_t offset = it->first, rest = it->second - need;
            it = free_.erase(it);
            if (rest != 0)
                free_.emplace_hint(it, offset + need, rest);
            used_ += need;
            return offset;
        }
        return std::nullopt;
    }

    /** Give back a block that `take(size)` returned. */
    void give(std::size_t offset, std::size_t size)
    {
        std::size_t length = rounded(size);
        assert(used_ >= length);
        used_ -= length;
        auto after = free_.lower_bound(offset);
        if (after != free_.begin()) {
            auto before = std::prev(after);
            assert(before->first + before->second <= offset);
            if (before->first + before->second == offset) {
                offset = before->first;
                length += before->second;
                after = free_.erase(before);
            }
        }
        if (after != free_.end() && offset + length == after->first) {
            length += after->second;
            after = free_.erase(after);
        }
        free_.emplace_hint(after, offset, length);
    }

    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] std::size_t used() const noexcept { return used_; }

private:
    std::size_t capacity_;
    std::size_t used_ = 0;
    std::map<std::size_t, std::size_t> free_; // offset -> size
};

} // namespace objectcache::detail
