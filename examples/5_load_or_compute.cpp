// SPDX-License-Identifier: BSL-1.0
// Load a prefix, compute it, or both at once: an engine that needs about as long for a token as the link does for its KV. The
// server of the test kit is behind a link of 400 Mbit/s; "computing" is waiting, and checks that the keys in front are right.
#include <objectcache/objectcache.hpp>
#include <objectcache/plan/admission.hpp>
#include <objectcache/s3.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <iostream>
#include <numeric>
#include <string>

namespace oc = objectcache;
namespace asio = boost::asio;

using kv_cache = oc::cache<oc::host_device, oc::s3_tier>;
using steady = std::chrono::steady_clock;

struct request {
    oc::scope scope;
    std::vector<oc::token_id> tokens;
};

/** What a host has: KV memory, a compute stream, and layers to launch on it. */
struct engine {
    static constexpr std::size_t room = 4096; // tokens
    static constexpr auto per_token_and_layer = std::chrono::microseconds(10);

    oc::kv_geometry shape{.layers = 8, .kv_heads = 2, .head_size = 64, .tokens_per_chunk = 16};
    std::vector<std::vector<float>> memory =
        std::vector<std::vector<float>>(16, std::vector<float>(room * 64));
    std::atomic<int> wrong = 0;
    oc::host_stream stream;

    oc::layer_id layers() const { return shape.layers; }

    oc::kv_pages kv_pages()
    {
        std::vector<oc::kv_layer_memory> where;
        for (std::size_t l = 0; l < shape.layers; ++l)
            where.push_back({reinterpret_cast<std::byte*>(memory[2 * l].data()),
                             reinterpret_cast<std::byte*>(memory[2 * l + 1].data())});
        return oc::kv_pages::contiguous(shape, std::move(where), room);
    }

    /** "Compute" one layer of tokens [first, end); the keys in front of them must be there. */
    void launch(oc::layer_id layer, std::size_t first, std::size_t end)
    {
        stream.enqueue([this, layer, first, end] {
            const auto done = steady::now() + (end - first) * per_token_and_layer;
            for (std::size_t token = 0; token < end; ++token) {
                float& key = memory[2 * layer][token * 64];
                const auto right = static_cast<float>(layer * 100000 + token);
                if (token >= first)
                    key = right;
                else if (key != right)
                    ++wrong;
            }
            while (steady::now() < done) {
            }
        });
    }
    oc::host_event record_event() { return stream.record(); }

    oc::measured_prefill time_prefill(std::size_t tokens)
    {
        const auto from = steady::now();
        for (oc::layer_id layer = 0; layer < layers(); ++layer)
            launch(layer, 0, tokens);
        stream.synchronize();
        return {0, tokens, std::chrono::duration<double>(steady::now() - from).count()};
    }
};

// [measure]
/** Once, when the host starts and nothing else runs here: what the link brings, and what computing takes. */
asio::awaitable<oc::admission_costs> measure(oc::s3_tier& tier, engine& eng)
{
    oc::admission_costs costs;
    oc::measure_options some;
    some.read_bytes = 512 << 10; // this link is slow
    auto store = co_await oc::measure_costs(tier, some);
    costs.store = store.value(); // cache_options::costs too
    costs.prefill = oc::fit_prefill(eng.time_prefill(512), eng.time_prefill(1024)).value();
    co_return costs;
}
// [measure]

// [prefill]
asio::awaitable<oc::admission> prefill(kv_cache& cache, engine& eng, request req, oc::admission_costs costs)
{
    auto match = co_await cache.match(req.scope, req.tokens);
    match.shorten(req.tokens.size() - 1); // the next token comes from something that is computed
    const std::size_t prefix = match.tokens(), end = req.tokens.size();
    auto plan = oc::admit(costs, {eng.shape, match.chunks.size(), end - prefix}).value();

    oc::load_options how;
    how.first_chunk = plan.first_chunk;                 // none: load; all: recompute
    auto load = cache.load(match, eng.kv_pages(), how); // the tail starts moving
    const std::size_t head = plan.first_chunk * eng.shape.tokens_per_chunk;
    for (oc::layer_id layer = 0; head != 0 && layer < eng.layers(); ++layer)
        eng.launch(layer, 0, head); // and the head is enqueued
    for (oc::layer_id layer = 0; layer < eng.layers(); ++layer) {
        if (co_await load.fetch_layer(layer)) // the tail's part of the layer is there
            break;
        eng.launch(layer, prefix, end); // the suffix, behind the head
        if (co_await load.compute_layer(layer, eng.record_event()))
            break;
    }
    auto report = co_await load.finish();
    for (oc::layer_id layer = 0; !report.failed.ok() && layer < eng.layers(); ++layer)
        eng.launch(layer, report.usable_tokens, end); // what did not arrive; not the head again
    co_await cache.store(req.scope, req.tokens, eng.kv_pages(), eng.record_event());
    co_return plan;
}
// [prefill]

const char* name(oc::admission_way way)
{
    return way == oc::admission_way::both ? "both" : way == oc::admission_way::load ? "load" : "recompute";
}

asio::awaitable<void> serve(asio::any_io_executor executor, oc::s3::client client)
{
    oc::s3_tier tier(executor, client, "bucket");
    oc::host_device device;
    engine eng;
    const auto costs = co_await measure(tier, eng);
    oc::cache_options options;
    options.costs = costs.store;
    auto cache = kv_cache::create(tier, device, options).value();
    request req{{.model = "example", .weights_revision = "1", .geometry = eng.shape}, {}};
    req.tokens.resize(2112);
    std::iota(req.tokens.begin(), req.tokens.end(), 0);

    auto first = co_await prefill(cache, eng, req, costs);
    std::cout << "first request:  " << name(first.way) << '\n';
    for (auto& rows : eng.memory)
        std::ranges::fill(rows, -1.0F);
    req.tokens.push_back(7); // the conversation goes on
    const auto from = steady::now();
    auto plan = co_await prefill(cache, eng, req, costs);
    const std::chrono::duration<double, std::milli> took = steady::now() - from;
    const auto ms = [](double seconds) { return std::to_string(std::lround(seconds * 1000)) + " ms"; };
    std::cout << "second request: recompute " << ms(plan.recompute_seconds) << ", load "
              << ms(plan.load_seconds) << ", both " << ms(plan.both_seconds) << "; " << name(plan.way) << ": "
              << plan.first_chunk << " of 132 chunks computed while the others came, "
              << std::lround(took.count()) << " ms, " << eng.wrong << " wrong keys\n";
    co_await cache.close();
}

int main()
{
    oc::testing::s3_server_options options;
    options.buckets = {"bucket"};
    auto server = oc::testing::s3_server::start(std::move(options)).value();
    server.set_latency(std::chrono::milliseconds(5));
    server.set_bandwidth(50'000'000, 0);
    asio::io_context io(1);
    oc::s3::client client(io.get_executor(), oc::s3::endpoint::parse(server.endpoint_url()).value(),
                          server.credentials());
    asio::co_spawn(io, serve(io.get_executor(), client), [](std::exception_ptr e) {
        if (e)
            std::rethrow_exception(e);
    });
    io.run();
}
