// SPDX-License-Identifier: BSL-1.0
//
// What a device that fails looks like. A program of its own: the context is lost, and with it the process's use of the GPU.
#include <cuda/gpu.hpp>
#include <cuda/kernels.hpp>

#include <objectcache/cache.hpp>
#include <objectcache/store/memory_tier.hpp>

#include <support/kv_fixture.hpp>
#include <support/run.hpp>

#include <thread>

using namespace objectcache;

TEST_CASE("a device that fails: events fail, loads end with condition::device, nothing hangs")
{
    asio::io_context io;
    memory_tier store(io.get_executor());
    const auto device = gpu::device();
    auto engine = gpu::stream();
    const kv_geometry shape = kv_fixture::geometry();
    const scope where = kv_fixture::scope(shape);
    const auto tokens = kv_fixture::tokens(100);
    const std::size_t part = tokens.size() * shape.row_bytes();
    const gpu::memory kv(shape.layers * 2 * part);
    kv.fill(7);
    std::vector<kv_layer_memory> layers(shape.layers);
    for (std::size_t l = 0; l < layers.size(); ++l)
        layers[l] = {kv.data() + 2 * l * part, kv.data() + (2 * l + 1) * part};
    const kv_pages pages = kv_pages::contiguous(shape, layers, tokens.size());
    cache_options options;
    options.staging_bytes = 4 << 20;
    options.load_timeout = std::chrono::seconds(5);
    using kv_cache = cache<cuda::device, memory_tier>;
    auto kv_store = kv_cache::create(store, *device, options);
    REQUIRE(kv_store.ok());

    const auto stored = support::run(io,
                                     [](kv_cache& c, const scope& s, const std::vector<token_id>& t,
                                        kv_pages p) -> asio::awaitable<store_report> {
                                         store_report r = co_await c.store(s, t, std::move(p));
                                         co_return r;
                                     }(*kv_store, where, tokens, pages));
    REQUIRE(stored.failed.ok());

    const auto before = device->record(engine);
    CHECK_FALSE(engine.synchronize());
    cuda_test::launch_trap(engine.native());
    const auto behind = device->record(engine);
    const auto queued = device->record(copy_queue::load);
    while (device->query(behind) == event_state::pending || device->query(queued) == event_state::pending)
        std::this_thread::yield();
    CHECK(device->query(before) == event_state::done);
    CHECK(device->query(behind) == event_state::failed);

    const auto report = support::run(io,
                                     [](kv_cache& c, const scope& s, const std::vector<token_id>& t,
                                        kv_pages p) -> asio::awaitable<load_report> {
                                         prefix_match m = co_await c.match(s, t);
                                         CHECK(m.tokens() == 96);
                                         auto load = c.load(m, std::move(p));
                                         const error_code layer = co_await load.fetch_layer(0);
                                         CHECK(layer == condition::device);
                                         load_report r = co_await load.finish();
                                         co_return r;
                                     }(*kv_store, where, tokens, pages));
    CHECK(report.failed == condition::device);
    CHECK(report.usable_tokens == 0);
    CHECK(kv_store->staging_in_use() == 0);
}
