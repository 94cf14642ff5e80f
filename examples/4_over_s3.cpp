// SPDX-License-Identifier: BSL-1.0
// A cache over S3: what an engine makes once, when it starts. With AWS_ENDPOINT_URL (or AWS_REGION) and credentials in the
// environment it uses that store and the bucket given as argument; without, a server of the test kit in this process.
#include <objectcache/objectcache.hpp>
#include <objectcache/s3.hpp>
#include <objectcache/s3/default_credentials_provider.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <cstdlib>
#include <iostream>
#include <numeric>
#include <optional>

namespace oc = objectcache;
namespace asio = boost::asio;

// [make]
/** What a host makes once; each member leans on those before it. */
struct kv_in_s3 {
    asio::any_io_executor executor;
    std::string bucket;
    oc::s3::endpoint where = oc::s3::endpoint::from_env().value(); // AWS_ENDPOINT_URL, AWS_REGION
    oc::s3::client client{executor, where,
                          oc::s3::default_credentials_provider(executor),   // as the AWS tools find them
                          oc::s3::client_options::from_env(where).value()}; // proxy, certificates
    oc::s3_tier tier{executor, client, bucket};
    oc::host_device device; // on a GPU: oc::cuda::device
    oc::cache<oc::host_device, oc::s3_tier> cache =
        oc::cache<oc::host_device, oc::s3_tier>::create(tier, device).value();
};
// [make]

asio::awaitable<void> serve(kv_in_s3& store)
{
    auto& cache = store.cache;
    oc::kv_geometry shape{.layers = 4, .kv_heads = 2, .head_size = 64, .tokens_per_chunk = 16};
    oc::scope scope{.model = "example", .weights_revision = "1", .geometry = shape};
    std::vector<oc::token_id> prompt(100);
    std::iota(prompt.begin(), prompt.end(), 0);
    std::vector<std::byte> kv(8 * 100 * shape.row_bytes(), std::byte{42});
    std::vector<oc::kv_layer_memory> memory;
    for (std::size_t l = 0; l < 8; l += 2)
        memory.push_back({&kv[l * 100 * shape.row_bytes()], &kv[(l + 1) * 100 * shape.row_bytes()]});
    auto pages = oc::kv_pages::contiguous(shape, memory, 100);

    auto stored = co_await cache.store(scope, prompt, pages);
    auto match = co_await cache.match(scope, prompt);
    auto load = cache.load(match, pages);
    auto report = co_await load.finish();
    std::cout << "stored " << stored.stored << " chunks in " << stored.requests << " requests, loaded "
              << report.usable_tokens << " tokens in " << report.requests << " from " << store.where.host
              << '\n';
    if (!stored.failed.ok() || !report.failed.ok())
        std::cout << stored.failed.message() << '\n' << report.failed.message() << '\n';
    co_await cache.close();
}

int main(int argc, char** argv)
{
    std::optional<oc::testing::s3_server> server;
    if (std::getenv("AWS_ENDPOINT_URL") == nullptr && std::getenv("AWS_REGION") == nullptr) {
        oc::testing::s3_server_options options;
        options.buckets = {"bucket"};
        server.emplace(oc::testing::s3_server::start(std::move(options)).value());
        ::setenv("AWS_ENDPOINT_URL", server->endpoint_url().c_str(), 1);
        ::setenv("AWS_ACCESS_KEY_ID", server->credentials().access_key_id.c_str(), 1);
        ::setenv("AWS_SECRET_ACCESS_KEY", server->credentials().secret_access_key.c_str(), 1);
    }
    asio::io_context io(1);
    kv_in_s3 store{io.get_executor(), argc > 1 ? argv[1] : "bucket"};
    asio::co_spawn(io, serve(store), [](std::exception_ptr e) {
        if (e)
            std::rethrow_exception(e);
    });
    io.run();
}
