// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/device/device.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace objectcache::cuda::detail {

/** Copies of one size whose sources and destinations are each equally far apart: what a copy engine takes as one
    two-dimensional copy. */
struct copy_rows {
    std::byte* destination = nullptr;
    const std::byte* source = nullptr;
    std::size_t width = 0, rows = 0;
    std::size_t destination_pitch = 0, source_pitch = 0;
};

/** From so many rows on, one call for all of them is worth it. */
inline constexpr std::size_t least_rows = 4;
/** Of cudaMemcpy2DAsync (cudaDeviceProp::memPitch). */
inline constexpr std::size_t most_pitch = std::numeric_limits<int>::max();

/** The leading operations that are rows of one copy; at least the first of them. Pure.

    @pre `ops` is not empty */
[[nodiscard]] inline copy_rows leading_rows(std::span<const copy_op> ops) noexcept
{
    const auto distance = [](const std::byte* from, const std::byte* to) { // need not be of one object
        return reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from);
    };
    const copy_op& first = ops.front();
    copy_rows out{first.destination, first.source, first.size, 1, first.size, first.size};
    if (ops.size() < 2 || ops[1].size != first.size)
        return out;
    const std::size_t to = distance(first.destination, ops[1].destination);
    const std::size_t from = distance(first.source, ops[1].source);
    if (to < first.size || from < first.size || to > most_pitch || from > most_pitch)
        return out; // backwards is a very large distance
    out.destination_pitch = to;
    out.source_pitch = from;
    while (out.rows < ops.size() && ops[out.rows].size == first.size &&
           distance(first.destination, ops[out.rows].destination) == out.rows * to &&
           distance(first.source, ops[out.rows].source) == out.rows * from)
        ++out.rows;
    return out;
}

/** Hand all operations on, each once: `rows(copy_rows, operations)` for those that are rows of one copy, `others(operations)`
    for the stretches between, until one of them returns what is not 0. */
template <class Rows, class Others>
auto for_each_stretch(std::span<const copy_op> ops, Rows&& rows, Others&& others)
{
    decltype(others(ops)) error{};
    std::size_t single = 0; // leading operations that are not handed on yet, and no rows
    while (single < ops.size()) {
        const copy_rows r = leading_rows(ops.subspan(single));
        if (r.rows < least_rows) {
            ++single;
            continue;
        }
        if (single != 0)
            error = others(ops.first(single));
        if (error == decltype(error){})
            error = rows(r, ops.subspan(single, r.rows));
        if (error != decltype(error){})
            return error;
        ops = ops.subspan(single + r.rows);
        single = 0;
    }
    return ops.empty() ? error : others(ops);
}

} // namespace objectcache::cuda::detail
