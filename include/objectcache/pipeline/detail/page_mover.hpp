// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/device.hpp>
#include <objectcache/kv/pages.hpp>

#include <concepts>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace objectcache::detail {

/** A device that knows a better way between slices and pages than a copy for each contiguous piece.

    - `D::page_map`: the pages of one sequence, as the device wants to have them; movable.
    - `map_pages(queue, pages)`: make one, for moves in that queue.
    - `move_slices(map, slices)`: enqueue in the map's queue the copies of all slices, payload to pages in the load queue and
      pages to payload in the store queue. Payloads and pages stay valid until an event recorded after them is done. */
template <class D>
concept slice_device = device<D> && requires(D& d, typename D::page_map& map, copy_queue queue,
                                             const kv_pages& pages, std::span<const kv_slice> slices)
{
    requires std::movable<typename D::page_map>;
    {
        d.map_pages(queue, pages)
        } -> std::same_as<result<typename D::page_map>>;
    {
        d.move_slices(map, slices)
    }
    noexcept->std::same_as<error_code>;
};

/** Brings slices from staging to the engine's pages of one sequence (the load queue), or back (the store queue).

    @par Threads The pipeline's. The device outlives it. */
template <device Device>
class page_mover {
public:
    page_mover(Device& owner, copy_queue queue, const kv_pages& pages)
        : owner_(owner)
        , queue_(queue)
        , pages_(pages)
    {}

    [[nodiscard]] error_code operator()(std::span<const kv_slice> slices)
    {
        if (slices.empty())
            return {};
        if constexpr (slice_device<Device>) {
            if (!map_) {
                auto made = owner_.map_pages(queue_, pages_);
                if (!made)
                    return made.error().code();
                map_.emplace(std::move(*made));
            }
            return owner_.move_slices(*map_, slices);
        } else {
            std::vector<copy_op> ops;
            ops.reserve(slices.size() * pages_.geometry().parts());
            for (const kv_slice& s : slices)
                pages_.for_each_piece(s.layer, s.first_token, s.tokens,
                                      [&](std::byte* memory, std::size_t offset, std::size_t size) {
                                          std::byte* const payload = s.payload + offset;
                                          if (queue_ == copy_queue::load)
                                              ops.push_back({memory, payload, size});
                                          else
                                              ops.push_back({payload, memory, size});
                                      });
            return owner_.copy(queue_, ops);
        }
    }

private:
    struct nothing {};
    template <class D>
    struct map_of {
        using type = nothing;
    };
    template <slice_device D>
    struct map_of<D> {
        using type = typename D::page_map;
    };

    Device& owner_;
    copy_queue queue_;
    const kv_pages& pages_;
    std::optional<typename map_of<Device>::type> map_;
};

} // namespace objectcache::detail
