// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/ids.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/cuda/detail/kv_kernel_source.hpp>
#include <objectcache/kv/pages.hpp>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

/** @file
    From descriptions to what the kernels are launched with. Includes nothing of CUDA. */
namespace objectcache::cuda {

/** Bytes that lie in one piece both in a slice and in the pages, if no two blocks happen to be neighbours. */
[[nodiscard]] inline std::size_t contiguous_run(const kv_pages& pages) noexcept
{
    const kv_geometry& g = pages.geometry();
    const std::size_t row = static_cast<std::size_t>(g.row_bytes());
    if (!pages.whole_rows())
        return pages.head_bytes();
    if (pages.token_stride() != row)
        return row;
    const std::size_t chunk = g.tokens_per_chunk;
    return row * (pages.block_tokens() == 0 ? chunk : std::min(pages.block_tokens(), chunk));
}

/** From this run on the copy engine is the better way: measured on an H200 (bench/kv_kernels), runs of 32 KiB are copied to
    the device at 21 to 30 GB/s with one call of 0.2 ms for 8 MiB, and at 52 with two of 3 us where they are equally far
    apart; kernels reach 47 with a call of 5 us, but on SMs that attention has filled they wait for their turn, and the
    layer behind them too. */
inline constexpr std::size_t copy_engine_run = 32 * 1024;

/** Whether copies by the copy engine (cuda/kv_move.hpp) are the better way for this layout. */
[[nodiscard]] inline bool prefers_copy_engine(const kv_pages& pages,
                                              std::size_t least = copy_engine_run) noexcept
{
    return contiguous_run(pages) >= least;
}

/** Makes the parameters of the kernels for the pages of one sequence.

    @code
    auto batches = kv_batches::make(pages, block_table_on_device);
    error = move_with_kernels(kernels, kv_direction::scatter, *batches, slices, 8, stream);     // cuda/kv_move.hpp
    @endcode

    @par Lifetime The block table on the device, the payloads and the engine's memory outlive the kernels.
    @par Threads Const calls are safe. */
class kv_batches {
public:
    /** @param block_table the same ids as pages.block_table(), where the device can read them: device memory, or pinned
               memory that is mapped, which costs each warp a turn over the bus. Not looked at for contiguous pages.
        @par Errors condition::invalid: `pages` is invalid or has blocks of a gigabyte; `block_table` is null. */
    [[nodiscard]] static result<kv_batches> make(kv_pages pages, const std::uint32_t* block_table)
    {
        if (status s = pages.validate(); !s.ok())
            return s;
        const kv_geometry g = pages.geometry();
        const bool paged = pages.block_tokens() != 0;
        if (paged && block_table == nullptr)
            return {errc::invalid_argument, "KV kernels: no block table on the device"};
        // Contiguous memory is blocks of a token, in order.
        const std::uint64_t row = g.row_bytes(), block_tokens = paged ? pages.block_tokens() : 1;
        if (block_tokens > most_bytes / row || g.tokens_per_chunk > most_bytes / row)
            return {errc::invalid_argument, "KV kernels: a block or a chunk holds more than a gigabyte"};

        detail::kv_launch_layout w{};
        w.block_table = paged ? block_table : nullptr;
        w.block_stride = paged ? pages.block_stride() : pages.token_stride();
        w.token_stride = pages.token_stride();
        w.head_stride = pages.head_stride();
        w.block = divisor(static_cast<unsigned>(block_tokens * row));
        w.row = divisor(static_cast<unsigned>(row));
        w.head = divisor(static_cast<unsigned>(pages.head_bytes()));
        w.part_bytes = static_cast<unsigned>(g.tokens_per_chunk * row);
        w.parts = g.parts();
        w.levels = !pages.whole_rows() ? 3 : paged && pages.token_stride() != row ? 2 : 1;
        std::uint64_t set =
            w.block_stride | row; // whole rows, so whatever of them comes before is aligned as they are
        if (w.levels >= 2)
            set |= w.token_stride;
        if (w.levels >= 3)
            set |= pages.head_bytes() | w.head_stride;
        w.alignment = static_cast<unsigned>(set & 0xff);
        return kv_batches(std::move(pages), w);
    }

    /** How many slices a launch takes without memory of its own. */
    static constexpr std::size_t by_value = detail::kv_slices_by_value;

    /** A launch's parameters, the slices among them.

        @pre 0 < slices.size() <= by_value; each slice lies within the pages' capacity and has a token. */
    [[nodiscard]] detail::kv_launch_batch batch(std::span<const kv_slice> slices) const noexcept
    {
        assert(slices.size() <= by_value);
        detail::kv_launch_batch out;
        describe(slices, out.by_value);
        finish(out, slices);
        return out;
    }

    /** The parameters of a launch of any number of slices, which `on_device` describes, in the device's memory.

        @param on_device holds what describe() writes for the same slices
        @pre slices.size() * slice_bytes < 2^42 */
    [[nodiscard]] detail::kv_launch_batch batch(std::span<const kv_slice> slices,
                                                const detail::kv_launch_slice* on_device) const noexcept
    {
        detail::kv_launch_batch out;
        out.slices = on_device;
        finish(out, slices);
        return out;
    }

    /** What batch() with memory of the device wants there: slices.size() entries, to be copied by the caller. */
    void describe(std::span<const kv_slice> slices, detail::kv_launch_slice* out) const noexcept
    {
        const auto device = [](std::byte* p) { return reinterpret_cast<unsigned char*>(p); };
        const std::size_t row = where_.row.value;
        const std::size_t block_tokens = std::max<std::size_t>(pages_.block_tokens(), 1);
        for (const kv_slice& s : slices) {
            assert(s.layer < pages_.geometry().layers && s.tokens > 0);
            assert(s.tokens <= pages_.geometry().tokens_per_chunk);
            assert(s.first_token <= pages_.capacity_tokens() &&
                   s.tokens <= pages_.capacity_tokens() - s.first_token);
            const kv_layer_memory& memory = pages_.memory(s.layer);
            *out++ = {device(s.payload),
                      device(memory.k),
                      device(memory.v),
                      static_cast<unsigned>(s.first_token / block_tokens),
                      static_cast<unsigned>(s.first_token % block_tokens * row),
                      static_cast<unsigned>(s.tokens * row),
                      0};
        }
    }

    /** Call `f(const detail::kv_launch_batch&, unsigned blocks)` for each launch that the slices take, until it returns
        an error (what is not 0).

        @param blocks of `kv_threads` threads, at most; two fit on an SM. Fewer when there is not work for so many. */
    template <class F>
    auto for_each_launch(std::span<const kv_slice> slices, unsigned blocks, F&& f) const
    {
        decltype(f(batch(slices), blocks)) error{};
        while (!slices.empty() && error == decltype(error){}) {
            const std::size_t n = std::min(slices.size(), by_value);
            const detail::kv_launch_batch b = batch(slices.first(n));
            error = f(b, blocks_for(b, blocks));
            slices = slices.subspan(n);
        }
        return error;
    }

    [[nodiscard]] static unsigned blocks_for(const detail::kv_launch_batch& b, unsigned most) noexcept
    {
        constexpr unsigned warps = detail::kv_threads / detail::kv_lanes;
        return std::clamp((b.tiles + warps - 1) / warps, 1u, std::max(most, 1u));
    }

private:
    // Twice this is what fits in a divisor's operand: the tokens of a slice, behind others of its first block.
    static constexpr std::uint64_t most_bytes = std::uint64_t{1} << 30;

    kv_batches(kv_pages pages, const detail::kv_launch_layout& where) noexcept
        : pages_(std::move(pages))
        , where_(where)
    {}

    /** @pre 0 < value < 2^31. Then magic * value = 2^shift + e with e < 2^(shift - 31), which is exact for all n < 2^31. */
    [[nodiscard]] static detail::kv_divisor divisor(unsigned value) noexcept
    {
        const unsigned shift = 31 + static_cast<unsigned>(std::bit_width(value - 1));
        return {value, static_cast<unsigned>(((std::uint64_t{1} << shift) + value - 1) / value), shift};
    }

    void finish(detail::kv_launch_batch& out, std::span<const kv_slice> slices) const noexcept
    {
        std::size_t most = 1;
        for (const kv_slice& s : slices)
            most = std::max(most, s.tokens);
        const std::size_t tiles =
            (most * where_.row.value + detail::kv_tile_bytes - 1) / detail::kv_tile_bytes;
        assert(tiles * slices.size() * where_.parts < std::size_t{1} << 31);
        out.where = where_;
        out.tiles_of_part = divisor(static_cast<unsigned>(tiles));
        out.tiles = static_cast<unsigned>(tiles * slices.size() * where_.parts);
    }

    kv_pages pages_;
    detail::kv_launch_layout where_;
};

} // namespace objectcache::cuda
