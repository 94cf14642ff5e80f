// SPDX-License-Identifier: BSL-1.0
// The S3 client alone, against the server of the test kit: no network, no account.
#include <objectcache/s3/large_object.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <iostream>
#include <vector>

namespace oc = objectcache;
namespace asio = boost::asio;

// [use]
asio::awaitable<oc::status> there_and_back(oc::s3::client store)
{
    const std::vector<std::byte> data(std::size_t(24) << 20, std::byte{42});
    const oc::const_byte_span parts[] = {oc::const_byte_span(data).first(100),
                                         oc::const_byte_span(data).subspan(100)};

    // Three parts of a multipart upload, side by side; what fails is tried again, and aborted if that does not help.
    oc::s3::parallel_options parallel{.part_bytes = std::size_t(8) << 20};
    auto stored = co_await oc::s3::put_parallel(store, "bucket", "large", parts, parallel);
    if (!stored)
        co_return stored.error();

    // A range, received into the memory where it shall be, in at most 200 ms.
    std::vector<std::byte> into(65536);
    const auto now = std::chrono::steady_clock::now();
    const oc::s3::get_options soon{oc::deadline(now + std::chrono::milliseconds(200))};
    auto range = co_await store.get("bucket", "large", {1 << 20, into.size()}, into, soon);
    if (!range)
        co_return range.error();
    std::cout << "read " << std::ranges::count(into, std::byte{42}) << " of " << range->size << " bytes\n";

    // Errors are values; conditions are what programs ask, the message is for people.
    auto nothing = co_await store.head("bucket", "nothing");
    if (nothing.error() == oc::condition::absent)
        std::cout << nothing.error().message() << '\n';

    const oc::s3::put_options only_if_new{.until = {}, .if_none_match = true};
    auto again = co_await store.put("bucket", "large", parts, only_if_new);
    co_return again == oc::errc::already_exists ? oc::status() : again;
}
// [use]

int main()
{
    oc::testing::s3_server_options options;
    options.buckets = {"bucket"};
    const auto server = oc::testing::s3_server::start(std::move(options)).value();

    asio::io_context io(1);
    oc::s3::client store(io.get_executor(), oc::s3::endpoint::parse(server.endpoint_url()).value(),
                         server.credentials());
    asio::co_spawn(io, there_and_back(store), [](std::exception_ptr, oc::status how_it_went) {
        std::cout << (how_it_went.ok() ? "done" : how_it_went.message()) << '\n';
    });
    io.run();
}
