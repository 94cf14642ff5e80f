// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/large_object.hpp>
#include <objectcache/testing/manual_clock.hpp>
#include <objectcache/testing/run_coroutine.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <support/one_try.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace large_object_test {

using namespace objectcache;
using namespace objectcache::s3;
using testing::s3_fault;
using testing::s3_request;
using testing::s3_server;

inline std::vector<std::byte> pattern(std::size_t size, unsigned seed = 1)
{
    std::vector<std::byte> out(size);
    for (std::byte& b : out)
        b = static_cast<std::byte>((seed = seed * 1664525u + 1013904223u) >> 24);
    return out;
}

/** A client, and a server that takes the smallest parts. */
struct world {
    explicit world(testing::s3_server_options how = {.least_part_bytes = 1},
                   client_options options = support::one_try())
        : server(start(std::move(how)))
        , store(io.get_executor(), *endpoint::parse(server.endpoint_url()), server.credentials(),
                std::move(options))
    {
        server.set_clock_offset(
            std::chrono::floor<std::chrono::seconds>(time.date() - std::chrono::system_clock::now()));
    }
    static s3_server start(testing::s3_server_options how)
    {
        how.buckets = {"bucket"};
        auto server = s3_server::start(std::move(how));
        REQUIRE_MESSAGE(server.ok(), server.error().message());
        return std::move(*server);
    }

    template <class T>
    T run(asio::awaitable<T> operation)
    {
        std::optional<T> out;
        start(std::move(operation), out);
        REQUIRE(run_until([&] { return out.has_value(); }));
        CHECK(store.connections().in_use() == 0);
        return std::move(*out);
    }
    /** Begin it, to be seen to later. */
    template <class T>
    void start(asio::awaitable<T> operation, std::optional<T>& out)
    {
        // Not before the coroutine is over: the next one takes the slot.
        auto value = std::make_shared<std::optional<T>>();
        const auto body = [](asio::awaitable<T> inner, std::optional<T>& to) -> asio::awaitable<void> {
            co_await asio::this_coro::throw_if_cancelled(false);
            to.emplace(co_await std::move(inner));
        };
        asio::co_spawn(io, body(std::move(operation), *value),
                       asio::bind_cancellation_slot(cancel.slot(), [value, &out](std::exception_ptr failure) {
                           CHECK_FALSE(failure);
                           out = std::move(*value);
                       }));
    }
    /** What the responder has counted is seen at once. */
    void respond(testing::s3_responder how)
    {
        server.set_responder([this, how = std::move(how)](const s3_request& r) {
            const s3_fault out = how(r);
            asio::post(io, [] {});
            return out;
        });
    }
    template <class Done>
    bool run_until(Done done)
    {
        return testing::run_until(io, done);
    }
    result<stored_result> put(std::string key, const std::vector<std::byte>& data, parallel_options how)
    {
        const const_byte_span whole(data);
        return run(put_parallel(store, "bucket", std::move(key), std::span(&whole, 1), how));
    }

    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    asio::cancellation_signal cancel;
    s3_server server;
    client store;
};

inline bool has(const std::string& text, std::string_view what)
{
    return text.find(what) != text.npos;
}

} // namespace large_object_test
