// SPDX-License-Identifier: BSL-1.0
#include <cuda/gpu.hpp>
#include <cuda/kernels.hpp>
#include <cuda/nvcc_kernels.hpp>

#include <objectcache/cache.hpp>
#include <objectcache/kv/engine_layout.hpp>
#include <objectcache/store/s3_tier.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <support/kv_fixture.hpp>
#include <support/run.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>

using namespace objectcache;

// The whole way: from the memory of a device to S3, and back layer by layer behind gates.
namespace cuda_cache_test {

using kv_cache = cache<cuda::device, s3_tier>;

/** KV of one sequence on the device, paged, with the blocks in no order. */
struct paged_kv {
    paged_kv(const kv_geometry& g, std::size_t capacity, std::uint32_t block_tokens)
        : shape(g)
        , block(block_tokens)
        , blocks(capacity / block_tokens + 3)
        , memory(g.layers * 2 * blocks * block_tokens * g.row_bytes())
    {
        table.resize(capacity / block_tokens + 1);
        std::iota(table.begin(), table.end(), 1U);
        for (std::size_t i = table.size() - 1; i > 0; --i)
            std::swap(table[i], table[i * 7919 % (i + 1)]);
    }
    [[nodiscard]] std::size_t layer_bytes() const { return blocks * block * shape.row_bytes(); }
    [[nodiscard]] kv_pages pages() const
    {
        std::vector<kv_layer_memory> layers(shape.layers);
        for (std::size_t l = 0; l < layers.size(); ++l)
            layers[l] = {memory.data() + 2 * l * layer_bytes(), memory.data() + (2 * l + 1) * layer_bytes()};
        return kv_pages::paged(shape, std::move(layers), block, table);
    }
    void fill() const
    {
        std::vector<std::byte> bytes(memory.span().size());
        std::uint32_t x = 4711;
        for (std::byte& b : bytes)
            b = static_cast<std::byte>((x = x * 1664525 + 1013904223) >> 24);
        memory.write(bytes);
    }
    /** The rows of `tokens` tokens of every layer, in order, and whether anything outside of them is not `outside`. */
    [[nodiscard]] std::vector<std::byte> rows(std::size_t tokens, std::optional<std::byte> outside = {}) const
    {
        const std::vector<std::byte> bytes = memory.read();
        std::vector<bool> inside(bytes.size());
        std::vector<std::byte> out;
        const std::size_t row = shape.row_bytes();
        for (std::size_t plane = 0; plane < shape.layers * 2; ++plane)
            for (std::size_t t = 0; t < tokens; ++t) {
                const std::size_t at = plane * layer_bytes() + (table[t / block] * block + t % block) * row;
                out.insert(out.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                           bytes.begin() + static_cast<std::ptrdiff_t>(at + row));
                std::fill_n(inside.begin() + static_cast<std::ptrdiff_t>(at), row, true);
            }
        std::size_t foreign = 0;
        for (std::size_t i = 0; i < bytes.size(); ++i)
            foreign += outside && !inside[i] && bytes[i] != *outside;
        CHECK(foreign == 0);
        return out;
    }

    kv_geometry shape;
    std::uint32_t block;
    std::size_t blocks;
    gpu::memory memory;
    std::vector<std::uint32_t> table;
};

testing::s3_server server()
{
    testing::s3_server_options how;
    how.buckets = {"kv-test"};
    auto made = testing::s3_server::start(how);
    REQUIRE(made.ok());
    return std::move(*made);
}

struct side {
    side(const testing::s3_server& from, cuda::device& device, layout where)
        : tier(io.get_executor(),
               s3::client(io.get_executor(), *s3::endpoint::parse(from.endpoint_url()), from.credentials()),
               "kv-test")
        , kv(*kv_cache::create(tier, device, options(where)))
    {}
    static cache_options options(layout where)
    {
        cache_options o;
        o.stored_as = where;
        o.staging_bytes = 16 << 20;
        return o;
    }
    asio::io_context io{1};
    s3_tier tier;
    kv_cache kv;
};

asio::awaitable<store_report> store(kv_cache& kv, const scope& where, const std::vector<token_id>& tokens,
                                    kv_pages from, cuda::event after)
{
    store_report report = co_await kv.store(where, tokens, std::move(from), std::move(after));
    co_return report;
}

/** An engine that enqueues all its layers at once: each copies its KV aside, behind the layer's gate. */
asio::awaitable<load_report> load_gated(kv_cache& kv, const scope& where, const std::vector<token_id>& tokens,
                                        const paged_kv& into, const gpu::memory& aside, cuda::stream& engine,
                                        bool graph)
{
    prefix_match found = co_await kv.match(where, tokens);
    CHECK(found.tokens() == tokens.size() / 64 * 64);
    auto load = kv.load(found, into.pages());
    const auto enqueue = [&] {
        for (layer_id l = 0; l < into.shape.layers; ++l) {
            CHECK_FALSE(load.gate(l, engine));
            gpu::ok(cudaMemcpyAsync(aside.data() + 2 * l * into.layer_bytes(),
                                    into.memory.data() + 2 * l * into.layer_bytes(), 2 * into.layer_bytes(),
                                    cudaMemcpyDeviceToDevice, engine.native()));
        }
    };
    if (graph) {
        cudaGraph_t g{};
        cudaGraphExec_t ready{};
        gpu::ok(cudaStreamBeginCapture(engine.native(), cudaStreamCaptureModeGlobal));
        enqueue();
        gpu::ok(cudaStreamEndCapture(engine.native(), &g));
        gpu::ok(cudaGraphInstantiate(&ready, g, 0));
        gpu::ok(cudaGraphLaunch(ready, engine.native()));
    } else {
        enqueue();
    }
    load_report report = co_await load.finish();
    CHECK_FALSE(engine.synchronize());
    co_return report;
}

asio::awaitable<load_report> load_layers(kv_cache& kv, const scope& where,
                                         const std::vector<token_id>& tokens, const paged_kv& into,
                                         cuda::device& device, cuda::stream& engine)
{
    prefix_match found = co_await kv.match(where, tokens);
    auto load = kv.load(found, into.pages());
    auto launch = [&](layer_id) {
        cuda_test::launch_spin(engine.native(), 200);
        return device.record(engine);
    };
    const error_code ec = co_await run_layers(load, into.shape.layers, launch);
    CHECK_FALSE(ec);
    load_report report = co_await load.finish();
    co_return report;
}

TEST_CASE("from device memory to S3 and back, every layout, every way to wait, byte for byte")
{
    kv_geometry shape = kv_fixture::geometry(6);
    shape.kv_heads = 4;
    shape.head_size = 64;
    shape.tokens_per_chunk = 64;
    const scope where = kv_fixture::scope(shape);
    const auto tokens = kv_fixture::tokens(1000);
    constexpr std::size_t whole = 960;
    auto shop = server();
    for (const bool words : {true, false}) {
        const auto device = gpu::device(words);
        auto engine = gpu::stream();
        for (const layout how : {layout::segment_objects, layout::chunk_objects, layout::layer_objects})
            for (const std::uint32_t block : {16U, 64U, 100U}) {
                CAPTURE(words);
                CAPTURE(static_cast<int>(how));
                CAPTURE(block);
                scope mine = where;
                mine.config =
                    std::to_string(words) + std::to_string(static_cast<int>(how)) + std::to_string(block);
                const paged_kv from(shape, tokens.size(), block);
                from.fill();
                const auto right = from.rows(whole);
                {
                    side writer(shop, *device, how);
                    cuda_test::launch_spin(engine.native(), 500);
                    const auto stored = support::run(
                        writer.io, store(writer.kv, mine, tokens, from.pages(), device->record(engine)));
                    INFO(stored.failed.message());
                    REQUIRE(stored.failed.ok());
                    CHECK(stored.stored == whole / 64);
                }
                for (const int way : {0, 1, 2}) {
                    if (way == 1 && !words)
                        continue; // host functions wait once
                    CAPTURE(way);
                    side reader(shop, *device, how);
                    const paged_kv into(shape, tokens.size(), block), aside(shape, tokens.size(), block);
                    into.memory.fill(0xee);
                    aside.memory.fill(0xee);
                    const auto report =
                        way == 2 ? support::run(reader.io,
                                                load_layers(reader.kv, mine, tokens, into, *device, engine))
                                 : support::run(reader.io, load_gated(reader.kv, mine, tokens, into,
                                                                      aside.memory, engine, way == 1));
                    INFO(report.failed.message());
                    CHECK(report.failed.ok());
                    CHECK(report.usable_tokens == whole);
                    CHECK(into.rows(whole, std::byte{0xee}) == right);
                    if (way != 2)
                        CHECK(aside.rows(whole, std::byte{0xee}) ==
                              right); // each gate opened behind its copies
                    CHECK(reader.kv.staging_in_use() == 0);
                }
            }
    }
}

/** A pool of blocks as some engine lays it out, one tensor for each layer. */
struct pool {
    pool(const kv_geometry& g, engine_layout how, std::size_t tokens)
        : shape(g)
        , layout(how)
        , blocks(tokens / how.block_tokens + 3)
        , memory(g.layers * tensor_bytes())
        , table(tokens / how.block_tokens)
    {
        std::iota(table.begin(), table.end(), 1U);
        for (std::size_t i = table.size() - 1; i > 0; --i)
            std::swap(table[i], table[i * 7919 % (i + 1)]);
    }
    [[nodiscard]] bool parts_outside() const { return layout.v_offset >= layout.block_stride; }
    [[nodiscard]] std::size_t tensor_bytes() const
    {
        return blocks * layout.block_stride + (parts_outside() ? layout.v_offset : 0);
    }
    [[nodiscard]] kv_pages pages() const
    {
        std::vector<kv_layer_memory> layers;
        for (std::size_t l = 0; l < shape.layers; ++l)
            layers.push_back(layout.memory(memory.data() + l * tensor_bytes()));
        return layout.pages(shape, std::move(layers), table);
    }
    std::vector<std::byte> fill() const
    {
        std::vector<std::byte> bytes(memory.span().size());
        std::uint32_t x = 4711;
        for (std::byte& b : bytes)
            b = static_cast<std::byte>((x = x * 1664525 + 1013904223) >> 24);
        memory.write(bytes);
        return bytes;
    }
    /** What this pool holds if `outside` was everywhere, and then the blocks of the sequence came from a pool of `bytes`. */
    [[nodiscard]] std::vector<std::byte> expected(const std::vector<std::byte>& bytes,
                                                  std::byte outside) const
    {
        std::vector<std::byte> out(bytes.size(), outside);
        for (std::size_t l = 0; l < shape.layers; ++l)
            for (const std::uint32_t block : table)
                for (std::size_t part = 0; part <= std::size_t{parts_outside()}; ++part) {
                    const std::size_t at =
                        l * tensor_bytes() + part * layout.v_offset + block * layout.block_stride;
                    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), layout.block_stride,
                                out.begin() + static_cast<std::ptrdiff_t>(at));
                }
        return out;
    }

    kv_geometry shape;
    engine_layout layout;
    std::size_t blocks;
    gpu::memory memory;
    std::vector<std::uint32_t> table;
};

TEST_CASE("every engine's pages to S3 and back by kernels, each layer behind its gate")
{
    kv_geometry heads = kv_fixture::geometry(5);
    heads.kv_heads = 4;
    heads.head_size = 64;
    heads.tokens_per_chunk = 64;
    kv_geometry latent = heads; // MLA
    latent.kv_heads = 1;
    latent.head_size = 576;
    latent.form = kv_form::latent;
    const auto tokens = kv_fixture::tokens(1001);
    constexpr std::size_t whole = 960, blocks = whole / 16 + 3;
    struct engine_case {
        const char* name;
        kv_geometry shape;
        engine_layout layout;
    };
    const engine_case cases[] = {
        {"NHD, parts outside", heads, engine_layout::nhd(heads, 16).parts_outside(blocks)},
        {"NHD, parts inside", heads, engine_layout::nhd(heads, 16).parts_inside()},
        {"HND, parts outside", heads, engine_layout::hnd(heads, 16).parts_outside(blocks)},
        {"HND, parts inside", heads, engine_layout::hnd(heads, 16).parts_inside()},
        {"packed", heads, engine_layout::packed(heads, 16)},
        {"MLA", latent, engine_layout::nhd(latent, 16)},
    };
    auto shop = server();
    const auto device = gpu::device();
    const auto ready = device->use_kernels(nvcc_kernels());
    INFO(ready.message());
    REQUIRE(ready.ok());
    auto engine = gpu::stream();
    for (const engine_case& c : cases) {
        CAPTURE(c.name);
        scope where = kv_fixture::scope(c.shape);
        where.config = c.name;
        const pool from(c.shape, c.layout, whole), into(c.shape, c.layout, whole);
        const auto bytes = from.fill();
        into.memory.fill(0xee);
        const auto map = device->map_pages(copy_queue::load, into.pages());
        REQUIRE(map.ok());
        CHECK(map->by_kernels());
        {
            side writer(shop, *device, layout::segment_objects);
            cuda_test::launch_spin(engine.native(), 500);
            const std::vector<token_id> stored_tokens(tokens.begin(), tokens.begin() + whole);
            const auto stored = support::run(
                writer.io, store(writer.kv, where, stored_tokens, from.pages(), device->record(engine)));
            INFO(stored.failed.message());
            REQUIRE(stored.failed.ok());
            CHECK(stored.stored == whole / 64);
        }
        side reader(shop, *device, layout::segment_objects);
        const gpu::memory aside(into.memory.span().size());
        const auto load = [&]() -> asio::awaitable<load_report> {
            prefix_match found = co_await reader.kv.match(where, tokens);
            CHECK(found.tokens() == whole);
            auto under_way = reader.kv.load(found, into.pages());
            for (layer_id l = 0; l < c.shape.layers; ++l) {
                CHECK_FALSE(under_way.gate(l, engine));
                gpu::ok(cudaMemcpyAsync(aside.data() + l * into.tensor_bytes(),
                                        into.memory.data() + l * into.tensor_bytes(), into.tensor_bytes(),
                                        cudaMemcpyDeviceToDevice, engine.native()));
            }
            load_report report = co_await under_way.finish();
            CHECK_FALSE(engine.synchronize());
            co_return report;
        };
        const auto report = support::run(reader.io, load());
        INFO(report.failed.message());
        CHECK(report.failed.ok());
        CHECK(report.usable_tokens == whole);
        const auto right = into.expected(bytes, std::byte{0xee});
        CHECK(into.memory.read() == right);
        CHECK(aside.read() == right);
        CHECK(reader.kv.staging_in_use() == 0);
    }
}

TEST_CASE("what has come is on the device while the rest of its request is not even sent")
{
    kv_geometry shape = kv_fixture::geometry(2);
    shape.kv_heads = 8;
    shape.head_size = 128;
    shape.tokens_per_chunk = 64;
    const scope where = kv_fixture::scope(shape);
    const auto tokens = kv_fixture::tokens(2049); // 8 MiB for each layer
    auto shop = server();
    const auto device = gpu::device();
    auto engine = gpu::stream();
    const paged_kv from(shape, tokens.size(), 16), into(shape, tokens.size(), 16);
    from.fill();
    const auto right = from.rows(2048);
    into.memory.fill(0xee);
    {
        side writer(shop, *device, layout::segment_objects);
        const auto stored = support::run(writer.io, store(writer.kv, where, tokens, from.pages(), {}));
        INFO(stored.failed.message());
        REQUIRE(stored.failed.ok());
    }
    // Of each range its last eighth never comes.
    shop.set_responder([](const testing::s3_request& r) {
        unsigned long long first = 0, last = 0;
        if (std::sscanf(r.range.c_str(), "bytes=%llu-%llu", &first, &last) != 2)
            return testing::s3_fault();
        return testing::s3_fault::stall(testing::s3_fault::point::response_body, (last + 1 - first) / 8 * 7);
    });
    side reader(shop, *device, layout::segment_objects);
    const std::size_t row = shape.row_bytes();
    const auto arrived = [&] { // bytes of the first layer
        const std::vector<std::byte> now = into.rows(2048);
        std::size_t out = 0;
        for (std::size_t at = 0; at < now.size() / 2; at += row)
            if (std::equal(now.begin() + static_cast<std::ptrdiff_t>(at),
                           now.begin() + static_cast<std::ptrdiff_t>(at + row),
                           right.begin() + static_cast<std::ptrdiff_t>(at)))
                out += row;
        return out;
    };
    const auto watch = [&]() -> asio::awaitable<bool> {
        prefix_match found = co_await reader.kv.match(where, tokens);
        CHECK(found.tokens() == 2048);
        auto load = reader.kv.load(found, into.pages());
        CHECK_FALSE(load.gate(0, engine));
        std::size_t most = 0;
        for (const auto begun = std::chrono::steady_clock::now();
             most < (1U << 20) && std::chrono::steady_clock::now() - begun < std::chrono::seconds(20);
             most = arrived())
            co_await asio::post(reader.io, asio::use_awaitable);
        CHECK(most >= 1U << 20);
        CHECK(most < right.size() / 2);
        CHECK(cudaStreamQuery(engine.native()) == cudaErrorNotReady); // but the gate is closed
        (void)cudaGetLastError();
        load.cancel();
        load_report report = co_await load.finish();
        CHECK(report.failed == condition::cancelled);
        co_return true;
    };
    CHECK(support::run(reader.io, watch()));
    CHECK_FALSE(engine.synchronize());
    CHECK(reader.kv.staging_in_use() == 0);
}

TEST_CASE("a load that is destroyed under way opens its gates and gives its staging back")
{
    kv_geometry shape = kv_fixture::geometry(6);
    shape.kv_heads = 4;
    shape.head_size = 64;
    shape.tokens_per_chunk = 64;
    const scope where = kv_fixture::scope(shape);
    const auto tokens = kv_fixture::tokens(1000);
    auto shop = server();
    const auto device = gpu::device();
    auto engine = gpu::stream();
    const paged_kv from(shape, tokens.size(), 16), into(shape, tokens.size(), 16);
    from.fill();
    {
        side writer(shop, *device, layout::segment_objects);
        const auto stored = support::run(writer.io, store(writer.kv, where, tokens, from.pages(), {}));
        REQUIRE(stored.failed.ok());
    }
    // The store answers nothing any more but the match.
    shop.set_responder([](const testing::s3_request& r) {
        return r.range.empty() ? testing::s3_fault()
                               : testing::s3_fault::stall(testing::s3_fault::point::response_head);
    });
    side reader(shop, *device, layout::segment_objects);
    const auto begun = support::run(reader.io,
                                    [](kv_cache& kv, const scope& s, const std::vector<token_id>& t,
                                       const paged_kv& to, cuda::stream& e) -> asio::awaitable<int> {
                                        prefix_match found = co_await kv.match(s, t);
                                        auto load = kv.load(found, to.pages());
                                        for (layer_id l = 0; l < to.shape.layers; ++l)
                                            CHECK_FALSE(load.gate(l, e));
                                        CHECK(cudaStreamQuery(e.native()) == cudaErrorNotReady);
                                        (void)cudaGetLastError();
                                        load.cancel();
                                        load_report report = co_await load.finish();
                                        CHECK(report.failed == condition::cancelled);
                                        co_return 1;
                                    }(reader.kv, where, tokens, into, engine));
    CHECK(begun == 1);
    CHECK_FALSE(engine.synchronize());
    CHECK(reader.kv.staging_in_use() == 0);
}

} // namespace cuda_cache_test
