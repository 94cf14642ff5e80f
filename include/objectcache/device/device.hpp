// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/result.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <utility>

namespace objectcache {

/** `size` bytes between staging and the memory of the device; the ranges do not overlap. */
struct copy_op {
    std::byte* destination = nullptr;
    const std::byte* source = nullptr;
    std::size_t size = 0;
};

enum class event_state { pending, done, failed };

/** The two queues of copies that a device runs beside the engine's compute. Copies of one queue happen in order. */
enum class copy_queue { load, store };

/** What the pipeline asks of a device: asynchronous copies, events, gates, and staging memory they can reach.

    Nothing here blocks the calling thread or throws, except `allocate_staging`, which is called once and may be slow,
    and `free_staging`, which waits for the copies enqueued so far: they may still touch the block.

    - `D::event`: copyable handle; marks a point in a queue. A default constructed one stands for "no work": it is done.
    - `D::stream_ref`: the engine's compute stream, as gates need it. Copyable, non-owning.
    - `D::gates`: a row of closed gates, one per layer, `size()` of them; movable. Destroying it while a stream still waits
      is allowed: the device keeps the memory until that stream has passed.
    - `copy(queue, ops)`: enqueue copies. Sources and destinations stay valid until an event recorded after them is done.
    - `record(queue)`: an event behind everything enqueued so far.
    - `query(event)`: has the device got there? Never blocks.
    - `open_gate(gates, i)`: enqueue, behind the load queue's copies, the opening of gate i: **by the device**, so the
      host is not on the way of the data.
    - `force_gate(gates, i)`: open it from the host at once, whatever the queue is doing.
    - `wait_gate(gates, i, stream)`: enqueue on the engine's stream a wait for gate i.

    @par Threads `copy`, `record`, `open_gate`: the pipeline's thread. `query`, `wait_gate`: any thread. */
template <class D>
concept device = requires(D& d, std::span<const copy_op> ops, copy_queue queue,
                          const typename D::event& event, typename D::gates& gates,
                          typename D::stream_ref stream, std::size_t n, byte_span block)
{
    requires std::copyable<typename D::event> && std::default_initializable<typename D::event>;
    requires std::copyable<typename D::stream_ref>;
    requires std::movable<typename D::gates>;
    {
        std::as_const(gates).size()
        } -> std::convertible_to<std::size_t>;
    {
        d.allocate_staging(n)
        } -> std::same_as<result<byte_span>>;
    {
        d.free_staging(block)
    }
    noexcept;
    {
        d.copy(queue, ops)
    }
    noexcept->std::same_as<error_code>;
    {
        d.record(queue)
    }
    noexcept->std::same_as<typename D::event>;
    {
        d.query(event)
    }
    noexcept->std::same_as<event_state>;
    {
        d.make_gates(n)
        } -> std::same_as<typename D::gates>;
    {
        d.open_gate(gates, n)
    }
    noexcept->std::same_as<error_code>;
    {
        d.force_gate(gates, n)
    }
    noexcept;
    {
        d.wait_gate(gates, n, stream)
    }
    noexcept->std::same_as<error_code>;
};

} // namespace objectcache
