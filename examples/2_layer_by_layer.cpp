// SPDX-License-Identifier: BSL-1.0
// The embedding program of the README, around an engine that only counts: its layers take a millisecond each on a compute
// stream of their own, and check that the keys they read are the ones that were stored.
#include <objectcache/objectcache.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <atomic>
#include <chrono>
#include <iostream>
#include <numeric>

namespace oc = objectcache;
namespace asio = boost::asio;

using kv_cache = oc::cache<oc::host_device, oc::memory_tier>;

struct request {
    oc::scope scope;
    std::vector<oc::token_id> tokens;
};

/** What a host has: KV memory, a compute stream, and layers to launch on it. */
struct engine {
    oc::kv_geometry shape{.layers = 8, .kv_heads = 2, .head_size = 64, .tokens_per_chunk = 16};
    std::vector<std::vector<float>> memory = std::vector<std::vector<float>>(16, std::vector<float>(65536));
    std::atomic<int> wrong = 0, layers_run = 0;
    oc::host_stream stream;

    oc::layer_id layers() const { return shape.layers; }

    oc::kv_pages kv_pages(const request&)
    {
        std::vector<oc::kv_layer_memory> where;
        for (std::size_t l = 0; l < shape.layers; ++l)
            where.push_back({reinterpret_cast<std::byte*>(memory[2 * l].data()),
                             reinterpret_cast<std::byte*>(memory[2 * l + 1].data())});
        return oc::kv_pages::contiguous(shape, std::move(where), 1024);
    }

    /** "Compute" one layer of the tokens behind `cached`: the cached keys must be there, the others are made here. */
    void launch(const request& req, oc::layer_id layer, std::size_t cached)
    {
        stream.enqueue([this, layer, cached, n = req.tokens.size()] {
            const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
            for (std::size_t token = 0; token < n; ++token) {
                float& key = memory[2 * layer][token * 64];
                const float expected = static_cast<float>(layer * 100000 + token);
                if (token >= cached)
                    key = expected;
                else if (key != expected)
                    ++wrong;
            }
            while (std::chrono::steady_clock::now() < until) {
            }
            ++layers_run;
        });
    }
    oc::host_event record_event() { return stream.record(); }
};

// [embed]
asio::awaitable<std::size_t> prefill(kv_cache& cache, engine& eng, request req)
{
    auto match = co_await cache.match(req.scope, req.tokens); // the longest stored prefix
    auto load = cache.load(match, eng.kv_pages(req));         // its bytes start moving

    for (oc::layer_id layer = 0; layer < eng.layers(); ++layer) {
        if (co_await load.fetch_layer(layer))                       // this layer's KV is on the device
            break;                                                  // or lost: see below
        eng.launch(req, layer, match.tokens());                     // enqueues, does not block
        if (co_await load.compute_layer(layer, eng.record_event())) // the scheduler awaits the event
            break;
    }
    auto report = co_await load.finish();
    for (oc::layer_id layer = 0; !report.failed.ok() && layer < eng.layers(); ++layer)
        eng.launch(req, layer, report.usable_tokens); // recompute what did not arrive
    co_await cache.store(req.scope, req.tokens, eng.kv_pages(req), eng.record_event());
    co_return report.usable_tokens;
}
// [embed]

asio::awaitable<void> serve(asio::io_context& io)
{
    engine eng;
    oc::host_device device;
    oc::memory_tier tier(io.get_executor());
    auto cache = kv_cache::create(tier, device).value();
    request req{{.model = "example", .weights_revision = "1", .geometry = eng.shape}, {}};
    req.tokens.resize(500);
    std::iota(req.tokens.begin(), req.tokens.end(), 0);

    std::cout << "first request:  " << co_await prefill(cache, eng, req) << " tokens from the cache\n";
    for (auto& rows : eng.memory)
        std::ranges::fill(rows, -1.0F);
    req.tokens.push_back(7); // the conversation goes on
    std::cout << "second request: " << co_await prefill(cache, eng, req) << " tokens from the cache, "
              << eng.layers_run << " layers computed, " << eng.wrong << " wrong keys\n";
    co_await cache.close();
}

int main()
{
    asio::io_context io;
    asio::co_spawn(io, serve(io), asio::detached);
    io.run();
}
