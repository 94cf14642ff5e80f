// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace objectcache::cuda {

enum class kv_direction {
    scatter, ///< slices to the engine's pages
    gather   ///< pages to slices
};

} // namespace objectcache::cuda

// The kernels between slices and page pools: one source for nvcc, for NVRTC (as text), and for the host compiler, which
// needs the parameter blocks and runs the device functions in the unit tests.
//
// A source that is code and text at once is the argument of a macro: the preprocessor passes it on and also quotes it. So
// there is nothing to generate or to install beside the headers, and the two cannot differ. The price: no directives in
// it, no macros of others (the text keeps their names), and one line number for all of it.

#if defined(__CUDACC__)
#define OBJECTCACHE_KV_DEVICE __device__ __forceinline__
#define OBJECTCACHE_KV_UNROLL _Pragma("unroll")
#define OBJECTCACHE_KV_IF_NVCC(...) __VA_ARGS__
#else
#define OBJECTCACHE_KV_DEVICE inline
#define OBJECTCACHE_KV_UNROLL
#define OBJECTCACHE_KV_IF_NVCC(...)
#endif
#define OBJECTCACHE_KV_TEXT(name, text)                                                                      \
    namespace objectcache::cuda::detail {                                                                    \
    inline constexpr char name[] = text;                                                                     \
    }
#define OBJECTCACHE_KV_CODE(name, ...) __VA_ARGS__ OBJECTCACHE_KV_TEXT(name, #__VA_ARGS__)
#define OBJECTCACHE_KV_NVCC_CODE(name, ...)                                                                  \
    OBJECTCACHE_KV_IF_NVCC(__VA_ARGS__) OBJECTCACHE_KV_TEXT(name, #__VA_ARGS__)

// What stands before the text where NVRTC compiles it.
OBJECTCACHE_KV_TEXT(kv_prelude_text, "#define OBJECTCACHE_KV_DEVICE __device__ __forceinline__\n"
                                     "#define OBJECTCACHE_KV_UNROLL _Pragma(\"unroll\")\n")

// clang-format off
OBJECTCACHE_KV_CODE(kv_device_text,

namespace objectcache::cuda::detail {

/* n / value without a division, for n < 2^31: n * magic >> shift. */
struct kv_divisor {
    unsigned value;
    unsigned magic;
    unsigned shift;
};

OBJECTCACHE_KV_DEVICE unsigned quotient(unsigned n, const kv_divisor& d)
{
    return static_cast<unsigned>(static_cast<unsigned long long>(n) * d.magic >> d.shift);
}

/* The memory of all slices of a batch. Bytes of tokens, rows and blocks are those of one part (K, or V) in a slice. */
struct kv_launch_layout {
    const unsigned* block_table; /* null: blocks in order */
    unsigned long long block_stride;
    unsigned long long token_stride;
    unsigned long long head_stride;
    kv_divisor block;     /* bytes of a block's tokens in a slice */
    kv_divisor row;       /* bytes of a token */
    kv_divisor head;      /* bytes of a head */
    unsigned part_bytes;  /* from K to V in a slice */
    unsigned parts;
    unsigned levels;      /* 1: a block is contiguous in memory; 2: only a row; 3: only a head */
    unsigned alignment;   /* of everything beside base addresses: the bits that are set in any of it */
};

struct kv_launch_slice {
    unsigned char* payload;
    unsigned char* k;
    unsigned char* v;
    unsigned first_block; /* index into the block table */
    unsigned skip;        /* bytes of the tokens of that block before the slice's first */
    unsigned bytes;       /* of the slice's tokens, per part */
    unsigned unused;
};

constexpr unsigned kv_lanes = 32;
constexpr unsigned kv_unroll = 4;
constexpr unsigned kv_tile_bytes = 2048; /* of a part; what a warp moves at a time: one round of 16 bytes */
constexpr unsigned kv_threads = 512;     /* of a block */
constexpr unsigned kv_slices_by_value = 98; /* what 4 KB of parameters hold */

struct kv_launch_batch {
    kv_launch_layout where;
    const kv_launch_slice* slices = nullptr; /* by value */
    unsigned tiles;
    kv_divisor tiles_of_part;
    kv_launch_slice by_value[kv_slices_by_value];
};
static_assert(sizeof(kv_launch_batch) <= 4096);

/* Where byte `at` of a part of the slice lies, from the base of K or V on. */
OBJECTCACHE_KV_DEVICE unsigned long long kv_position(const kv_launch_layout& w, const kv_launch_slice& s, unsigned at)
{
    unsigned rest = s.skip + at;
    const unsigned block = quotient(rest, w.block);
    rest -= block * w.block.value;
    const unsigned index = s.first_block + block;
    unsigned long long out = (w.block_table ? w.block_table[index] : index) * w.block_stride;
    if (w.levels >= 2) {
        const unsigned token = quotient(rest, w.row);
        rest -= token * w.row.value;
        out += token * w.token_stride;
    }
    if (w.levels >= 3) {
        const unsigned head = quotient(rest, w.head);
        rest -= head * w.head.value;
        out += head * w.head_stride;
    }
    return out + rest;
}

template <unsigned Bytes> struct kv_vector;
template <> struct kv_vector<16> { struct alignas(16) type { unsigned a; unsigned b; unsigned c; unsigned d; }; };
template <> struct kv_vector<8> { struct alignas(8) type { unsigned a; unsigned b; }; };
template <> struct kv_vector<4> { using type = unsigned; };
template <> struct kv_vector<2> { using type = unsigned short; };
template <> struct kv_vector<1> { using type = unsigned char; };

/* A lane's share of [begin, end) of a part. Loads first, then stores: what is in flight hides the latency, of PCIe too. */
template <bool Scatter, unsigned Width>
OBJECTCACHE_KV_DEVICE void kv_move_range(const kv_launch_layout& w, const kv_launch_slice& s, unsigned char* payload,
                                         unsigned char* memory, unsigned begin, unsigned end, unsigned lane)
{
    using vector = typename kv_vector<Width>::type;
    for (unsigned first = begin + lane * Width; first < end; first += kv_lanes * Width * kv_unroll) {
        vector value[kv_unroll];
        unsigned char* to[kv_unroll];
        OBJECTCACHE_KV_UNROLL
        for (unsigned i = 0; i < kv_unroll; ++i) {
            const unsigned at = first + i * kv_lanes * Width;
            if (at < end) {
                unsigned char* const place = memory + kv_position(w, s, at);
                value[i] = *reinterpret_cast<const vector*>(Scatter ? payload + at : place);
                to[i] = Scatter ? place : payload + at;
            }
        }
        OBJECTCACHE_KV_UNROLL
        for (unsigned i = 0; i < kv_unroll; ++i)
            if (first + i * kv_lanes * Width < end)
                *reinterpret_cast<vector*>(to[i]) = value[i];
    }
}

template <bool Scatter>
OBJECTCACHE_KV_DEVICE void kv_move(const kv_launch_batch& b, unsigned warp, unsigned warps, unsigned lane)
{
    for (unsigned tile = warp; tile < b.tiles; tile += warps) {
        const unsigned number = quotient(tile, b.tiles_of_part);
        const unsigned slice = b.where.parts == 2 ? number / 2 : number;
        const unsigned part = b.where.parts == 2 ? number % 2 : 0;
        const kv_launch_slice s = b.slices ? b.slices[slice] : b.by_value[slice];
        const unsigned begin = (tile - number * b.tiles_of_part.value) * kv_tile_bytes;
        const unsigned end = s.bytes < begin + kv_tile_bytes ? s.bytes : begin + kv_tile_bytes;
        unsigned char* const payload = s.payload + static_cast<unsigned long long>(part) * b.where.part_bytes;
        unsigned char* const memory = part == 0 ? s.k : s.v;
        const unsigned set = b.where.alignment | static_cast<unsigned>(reinterpret_cast<unsigned long long>(payload)) |
                             static_cast<unsigned>(reinterpret_cast<unsigned long long>(memory));
        if ((set & 15) == 0)
            kv_move_range<Scatter, 16>(b.where, s, payload, memory, begin, end, lane);
        else if ((set & 7) == 0)
            kv_move_range<Scatter, 8>(b.where, s, payload, memory, begin, end, lane);
        else if ((set & 3) == 0)
            kv_move_range<Scatter, 4>(b.where, s, payload, memory, begin, end, lane);
        else if ((set & 1) == 0)
            kv_move_range<Scatter, 2>(b.where, s, payload, memory, begin, end, lane);
        else
            kv_move_range<Scatter, 1>(b.where, s, payload, memory, begin, end, lane);
    }
}

} /* namespace objectcache::cuda::detail */
)

OBJECTCACHE_KV_NVCC_CODE(kv_kernel_text,

namespace objectcache::cuda::detail {

template <bool Scatter>
__global__ void __launch_bounds__(kv_threads, 2) kv_kernel(const __grid_constant__ kv_launch_batch b)
{
    kv_move<Scatter>(b, (blockIdx.x * blockDim.x + threadIdx.x) / kv_lanes, gridDim.x * blockDim.x / kv_lanes,
                     threadIdx.x % kv_lanes);
}

} /* namespace objectcache::cuda::detail */
)
// clang-format on

#undef OBJECTCACHE_KV_NVCC_CODE
#undef OBJECTCACHE_KV_CODE
#undef OBJECTCACHE_KV_TEXT
#undef OBJECTCACHE_KV_IF_NVCC
#undef OBJECTCACHE_KV_UNROLL
#undef OBJECTCACHE_KV_DEVICE
