// SPDX-License-Identifier: BSL-1.0
#include <objectcache/cuda/kv_kernels.hpp>
#include <objectcache/cuda/kv_move.hpp>

#include "nvcc_kernels.hpp"
#include "support/kv_reference.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <vector>

namespace {

using namespace objectcache;
using namespace objectcache::cuda;

#define CUDA_OK(...)                                                                                         \
    do {                                                                                                     \
        const cudaError_t error_ = (__VA_ARGS__);                                                            \
        REQUIRE_MESSAGE(error_ == cudaSuccess, #__VA_ARGS__ << ": " << cudaGetErrorString(error_));          \
    } while (false)

/** Memory of exactly the size asked for, so that compute-sanitizer sees a step beyond it. */
class buffer {
public:
    enum class where { device, pinned };

    buffer(where kind, std::size_t size) : kind_(kind), size_(size)
    {
        void* p = nullptr;
        CUDA_OK(kind == where::device ? cudaMalloc(&p, size) : cudaHostAlloc(&p, size, cudaHostAllocMapped));
        data_ = static_cast<std::byte*>(p);
    }
    buffer(where kind, const std::vector<std::byte>& bytes) : buffer(kind, bytes.size()) { write(bytes); }
    buffer(const buffer&) = delete;
    buffer& operator=(const buffer&) = delete;
    ~buffer() { kind_ == where::device ? cudaFree(data_) : cudaFreeHost(data_); }

    [[nodiscard]] std::byte* data() const { return data_; }
    void write(const std::vector<std::byte>& bytes)
    {
        CUDA_OK(cudaMemcpy(data_, bytes.data(), bytes.size(), cudaMemcpyDefault));
        CUDA_OK(cudaDeviceSynchronize()); // from ordinary memory it may still be under way, for other streams
    }
    [[nodiscard]] std::vector<std::byte> read() const
    {
        std::vector<std::byte> out(size_);
        CUDA_OK(cudaMemcpy(out.data(), data_, size_, cudaMemcpyDefault));
        return out;
    }

private:
    where kind_;
    std::size_t size_;
    std::byte* data_ = nullptr;
};

template <class T>
std::vector<std::byte> bytes_of_all(const std::vector<T>& values)
{
    std::vector<std::byte> out(values.size() * sizeof(T));
    std::memcpy(out.data(), values.data(), out.size());
    return out;
}

struct stream {
    stream() { CUDA_OK(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking)); }
    ~stream() { cudaStreamDestroy(handle); }
    cudaStream_t handle = nullptr;
};

/** A chunk's place in the payload buffer and in the sequence. */
struct chunk {
    std::size_t payload;
    layer_id layer;
    std::size_t first, tokens;
};

/** Which slices follow one another. Those of a segment do so evenly, and are then rows of few copies. */
enum class order { shuffled, as_stored };

struct random_move {
    random_move(std::mt19937& random, order of_slices) : c(kv_reference::random_pool(random))
    {
        const std::size_t S = c.geometry.slice_bytes(), G = c.geometry.tokens_per_chunk;
        const std::size_t gap = random() % 2 ? 16 - S % 16 : random() % 5;
        std::size_t at = random() % 2 ? 0 : random() % 17;
        const std::size_t begin = random() % std::min<std::size_t>(c.capacity, 5);
        for (layer_id layer = 0; layer < c.geometry.layers; ++layer)
            for (std::size_t first = begin; first < c.capacity; first += G)
                chunks.push_back({0, layer, first, std::min(G, c.capacity - first)});
        if (of_slices == order::shuffled)
            std::shuffle(chunks.begin(), chunks.end(), random);
        chunks.resize(std::min<std::size_t>(chunks.size(), 1 + random() % 250));
        for (chunk& k : chunks) {
            k.payload = at;
            at += S + gap;
        }
        payload_bytes = at;
    }

    [[nodiscard]] std::vector<kv_slice> slices(std::byte* payload) const
    {
        std::vector<kv_slice> out;
        for (const chunk& k : chunks)
            out.push_back({payload + k.payload, k.layer, k.first, k.tokens});
        return out;
    }

    kv_reference::pool_case c;
    std::vector<chunk> chunks;
    std::size_t payload_bytes = 0;
};

using mover = std::function<cudaError_t(kv_direction, const kv_pages&, const buffer& table,
                                        const std::vector<kv_slice>&, cudaStream_t)>;

/** Both ways against the reference; every byte of pool and payloads is compared, so poison around them too. */
void check(const mover& move, buffer::where payload_kind, unsigned seed, int rounds,
           order of_slices = order::shuffled)
{
    std::mt19937 random(seed);
    const stream on;
    std::size_t slices = 0;
    for (int round = 0; round < rounds; ++round) {
        const random_move m(random, of_slices);
        INFO("round " << round << ", seed " << seed << ": " << m.chunks.size() << " slices, head "
                      << m.c.geometry.head_size << " x " << bytes_of(m.c.geometry.dtype) << ", heads "
                      << m.c.geometry.kv_heads << ", block " << m.c.layout.block_tokens << ", G "
                      << m.c.geometry.tokens_per_chunk);
        auto pool = kv_reference::random_bytes(m.c.pool_bytes, random);
        auto payload = kv_reference::random_bytes(m.payload_bytes, random);
        const buffer device_pool(buffer::where::device, pool);
        buffer device_payload(payload_kind, payload);
        auto table = m.c.table;
        table.push_back(0); // not empty
        const buffer device_table(buffer::where::device, bytes_of_all(table));

        const kv_pages reference = m.c.pages(pool.data()), pages = m.c.pages(device_pool.data());
        REQUIRE(pages.validate().ok());
        for (const kv_slice& s : m.slices(payload.data()))
            kv_reference::scatter(reference, s.layer, s.first_token, s.tokens, s.payload);
        CUDA_OK(move(kv_direction::scatter, pages, device_table, m.slices(device_payload.data()), on.handle));
        CUDA_OK(cudaStreamSynchronize(on.handle));
        REQUIRE(device_pool.read() == pool);
        REQUIRE(device_payload.read() == payload);

        payload = kv_reference::random_bytes(m.payload_bytes, random);
        device_payload.write(payload);
        for (const kv_slice& s : m.slices(payload.data()))
            kv_reference::gather(reference, s.layer, s.first_token, s.tokens, s.payload);
        CUDA_OK(move(kv_direction::gather, pages, device_table, m.slices(device_payload.data()), on.handle));
        CUDA_OK(cudaStreamSynchronize(on.handle));
        REQUIRE(device_payload.read() == payload);
        REQUIRE(device_pool.read() == pool);
        slices += m.chunks.size();
    }
    MESSAGE(rounds << " geometries, " << slices << " slices, both ways");
}

template <class Kernels>
mover by(const Kernels& kernels, bool described)
{
    return [&kernels, described](kv_direction direction, const kv_pages& pages, const buffer& table,
                                 const std::vector<kv_slice>& slices, cudaStream_t on) {
        const auto* const ids = reinterpret_cast<const std::uint32_t*>(table.data());
        auto batches = kv_batches::make(pages, ids);
        REQUIRE_MESSAGE(batches.ok(), batches.error().message());
        const unsigned blocks = 1 + static_cast<unsigned>(slices.size()) % 9;
        if (!described)
            return move_with_kernels(kernels, direction, *batches, slices, blocks, on);
        std::vector<cuda::detail::kv_launch_slice> list(slices.size());
        batches->describe(slices, list.data());
        const buffer on_device(buffer::where::device, bytes_of_all(list));
        const auto batch =
            batches->batch(slices, reinterpret_cast<const cuda::detail::kv_launch_slice*>(on_device.data()));
        const cudaError_t error = kernels.launch(direction, batch, kv_batches::blocks_for(batch, blocks), on);
        return error != cudaSuccess ? error : cudaStreamSynchronize(on);
    };
}

TEST_CASE("kernels compiled by nvcc")
{
    SUBCASE("payloads on the device")
    {
        check(by(nvcc_kernels(), false), buffer::where::device, 1, 150);
    }
    SUBCASE("payloads in pinned memory")
    {
        check(by(nvcc_kernels(), false), buffer::where::pinned, 2, 100);
    }
    SUBCASE("slices described on the device")
    {
        check(by(nvcc_kernels(), true), buffer::where::device, 3, 50);
    }
}

TEST_CASE("kernels compiled by NVRTC")
{
    auto kernels = runtime_kv_kernels::make();
    REQUIRE_MESSAGE(kernels.ok(), kernels.error().message());
    const runtime_kv_kernels moved = std::move(*kernels);
    SUBCASE("payloads on the device")
    {
        check(by(moved, false), buffer::where::device, 4, 150);
    }
    SUBCASE("payloads in pinned memory")
    {
        check(by(moved, true), buffer::where::pinned, 5, 100);
    }
}

TEST_CASE("copies by the copy engine")
{
    const mover copies = [](kv_direction direction, const kv_pages& pages, const buffer&,
                            const std::vector<kv_slice>& slices,
                            cudaStream_t on) { return move_with_copies(direction, pages, slices, on); };
    SUBCASE("payloads on the device")
    {
        check(copies, buffer::where::device, 6, 40);
    }
    SUBCASE("payloads in pinned memory")
    {
        check(copies, buffer::where::pinned, 7, 40);
    }
    SUBCASE("slices one after the other, as a segment stores them")
    {
        check(copies, buffer::where::pinned, 9, 60, order::as_stored);
        check(copies, buffer::where::device, 10, 60, order::as_stored);
    }
    SUBCASE("on the default stream, which takes no batches")
    {
        check(
            [&](kv_direction direction, const kv_pages& pages, const buffer& table,
                const std::vector<kv_slice>& slices, cudaStream_t) {
                const cudaError_t error = copies(direction, pages, table, slices, nullptr);
                return error != cudaSuccess ? error : cudaStreamSynchronize(nullptr);
            },
            buffer::where::device, 8, 10);
    }
}

TEST_CASE("rows of one copy may lie in several allocations")
{
    // Every slice, and K and V of every layer, in memory of its own: allocations of one size are often equally far apart.
    constexpr std::size_t tokens = 16, slices = 8, layers = 3;
    const kv_geometry geometry{layers, 1, 64, kv_dtype::bf16, kv_form::separate, tokens};
    const std::size_t token = 64 * 2, part = slices * tokens * token;
    std::mt19937 random(11);
    std::vector<std::unique_ptr<buffer>> pools, payloads;
    std::vector<std::vector<std::byte>> expected_pools, stored;
    std::vector<kv_layer_memory> memory, reference_memory;
    for (std::size_t i = 0; i < 2 * layers; ++i) {
        expected_pools.push_back(kv_reference::random_bytes(part, random));
        pools.push_back(std::make_unique<buffer>(buffer::where::device, expected_pools.back()));
    }
    for (std::size_t l = 0; l < layers; ++l) {
        memory.push_back({pools[2 * l]->data(), pools[2 * l + 1]->data()});
        reference_memory.push_back({expected_pools[2 * l].data(), expected_pools[2 * l + 1].data()});
    }
    const auto pages = kv_pages::contiguous(geometry, memory, slices * tokens, token, token);
    const auto reference = kv_pages::contiguous(geometry, reference_memory, slices * tokens, token, token);
    std::vector<kv_slice> all;
    for (std::size_t l = 0; l < layers; ++l)
        for (std::size_t i = 0; i < slices; ++i) {
            stored.push_back(kv_reference::random_bytes(geometry.slice_bytes(), random));
            payloads.push_back(std::make_unique<buffer>(buffer::where::pinned, stored.back()));
            all.push_back({payloads.back()->data(), static_cast<layer_id>(l), i * tokens, tokens});
            kv_reference::scatter(reference, static_cast<layer_id>(l), i * tokens, tokens,
                                  stored.back().data());
        }
    const stream on;
    CUDA_OK(move_with_copies(kv_direction::scatter, pages, all, on.handle));
    CUDA_OK(cudaStreamSynchronize(on.handle));
    for (std::size_t i = 0; i < pools.size(); ++i)
        CHECK(pools[i]->read() == expected_pools[i]);
    for (const auto& one : payloads)
        one->write(std::vector<std::byte>(geometry.slice_bytes()));
    CUDA_OK(move_with_copies(kv_direction::gather, pages, all, on.handle));
    CUDA_OK(cudaStreamSynchronize(on.handle));
    for (std::size_t i = 0; i < payloads.size(); ++i)
        CHECK(payloads[i]->read() == stored[i]);
}

TEST_CASE("a launch that cannot be is reported, and the next one runs")
{
    auto kernels = runtime_kv_kernels::make();
    REQUIRE(kernels.ok());
    const stream on;
    CHECK(nvcc_kernels().launch(kv_direction::scatter, {}, 0, on.handle) != cudaSuccess);
    CHECK(kernels->launch(kv_direction::scatter, {}, 0, on.handle) != cudaSuccess);
    CUDA_OK(nvcc_kernels().launch(kv_direction::scatter, {}, 1, on.handle)); // no tiles
    CUDA_OK(kernels->launch(kv_direction::gather, {}, 1, on.handle));
    CUDA_OK(cudaStreamSynchronize(on.handle));
    (void)cudaGetLastError(); // the refused launch of the runtime leaves its error there
}

} // namespace
