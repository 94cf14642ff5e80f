// SPDX-License-Identifier: BSL-1.0
// The first hit: store the KV of a prompt, match a longer one, and get the layers back one by one.
// No network and no GPU: the tier is DRAM and the device is the host. The "model" fills memory with a pattern.
#include <objectcache/objectcache.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>
#include <iostream>
#include <numeric>

namespace oc = objectcache;
namespace asio = boost::asio;

asio::awaitable<void> first_hit(asio::io_context& io)
{
    oc::kv_geometry shape{.layers = 4, .kv_heads = 2, .head_size = 64, .tokens_per_chunk = 16};
    oc::scope scope{.model = "example", .weights_revision = "1", .geometry = shape};
    std::vector<oc::token_id> prompt(100);
    std::iota(prompt.begin(), prompt.end(), 0);

    // The engine's memory: per layer, 100 rows of K and 100 of V.
    std::vector<std::vector<std::byte>> kv(8, std::vector<std::byte>(100 * shape.row_bytes()));
    std::vector<oc::kv_layer_memory> memory;
    for (std::size_t l = 0; l < 4; ++l)
        memory.push_back({kv[2 * l].data(), kv[2 * l + 1].data()});
    auto pages = oc::kv_pages::contiguous(shape, memory, 100);

    oc::host_device device;
    oc::memory_tier tier(io.get_executor());
    auto cache = oc::cache<oc::host_device, oc::memory_tier>::create(tier, device).value();

    std::ranges::fill(kv[6], std::byte{42}); // K of layer 3, "computed"
    auto stored = co_await cache.store(scope, prompt, pages);
    std::ranges::fill(kv[6], std::byte{0}); // another process would start with empty memory

    auto match = co_await cache.match(scope, prompt);
    auto load = cache.load(match, pages);
    for (oc::layer_id layer = 0; layer < 4; ++layer)
        if (auto failed = co_await load.fetch_layer(layer))
            std::cout << "layer " << layer << ": " << failed.message() << '\n';
    auto report = co_await load.finish();

    std::cout << "stored " << stored.stored << " chunks, matched " << match.tokens() << " of "
              << prompt.size() << " tokens, loaded " << report.bytes << " bytes, K of layer 3 begins with "
              << std::to_integer<int>(kv[6][0]) << '\n';
    co_await cache.close();
}

int main()
{
    asio::io_context io;
    asio::co_spawn(io, first_hit(io), asio::detached);
    io.run();
}
