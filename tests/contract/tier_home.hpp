// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <contract/harness.hpp>

#include <support/one_try.hpp>

#include <objectcache/io/reactor.hpp>
#include <objectcache/store/memory_tier.hpp>
#include <objectcache/store/s3_tier.hpp>
#include <objectcache/store/spread_tier.hpp>
#include <objectcache/testing/recording_tier.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include <array>
#include <string>

/** Every tier behind one door: what the rest of a test needs not know is how it is set up. */
namespace contract {

template <class Tier>
struct tier_home {
    explicit tier_home(environment& e) : tier(e.executor()) {}
    /** That were begun and have not ended. */
    [[nodiscard]] std::size_t uploads()
    {
        if constexpr (std::is_same_v<Tier, oc::testing::recording_tier>)
            return tier.stored().uploads();
        else
            return tier.uploads();
    }
    Tier tier;
};

/** A bucket of a server that runs beside the test; the requests are real HTTP. */
template <>
struct tier_home<oc::s3_tier> {
    explicit tier_home(environment& e, oc::s3::client_options options = {})
        : server(*oc::testing::s3_server::start(settings()))
        , tier(e.executor(),
               oc::s3::client(e.executor(), *oc::s3::endpoint::parse(server.endpoint_url()),
                              server.credentials(), support::one_try(std::move(options))),
               "bucket")
    {}
    static oc::testing::s3_server_options settings()
    {
        oc::testing::s3_server_options o;
        o.buckets = {"bucket"};
        o.least_part_bytes = 1;
        return o;
    }
    [[nodiscard]] std::size_t uploads() const { return server.pending_uploads(); }
    oc::testing::s3_server server;
    oc::s3_tier tier;
};

/** The same bucket, reached over two threads. */
template <>
struct tier_home<oc::spread_tier<oc::s3_tier>> {
    struct way {
        explicit way(const oc::testing::s3_server& to)
            : tier(thread.get_executor(),
                   oc::s3::client(thread.get_executor(), *oc::s3::endpoint::parse(to.endpoint_url()),
                                  to.credentials(), support::one_try({})),
                   "bucket")
        {}
        ~way() { thread.stop(); }
        oc::reactor_thread thread;
        oc::s3_tier tier;
    };
    explicit tier_home(environment& e)
        : server(*oc::testing::s3_server::start(tier_home<oc::s3_tier>::settings()))
        , tier(e.executor(), ways_to())
    {}
    [[nodiscard]] std::array<oc::s3_tier*, 2> ways_to() { return {&one.tier, &other.tier}; }
    [[nodiscard]] std::size_t uploads() const { return server.pending_uploads(); }
    oc::testing::s3_server server;
    way one{server}, other{server};
    oc::spread_tier<oc::s3_tier> tier;
};

/** A thread that is not the caller's, for a tier that keeps uploads to itself. */
template <>
struct tier_home<oc::spread_tier<oc::memory_tier>> {
    explicit tier_home(environment& e) : tier(e.executor(), std::array<oc::memory_tier*, 1>{&inner}) {}
    ~tier_home() { thread.stop(); }
    [[nodiscard]] std::size_t uploads()
    {
        const auto count = [this] { return inner.uploads(); };
        return asio::post(thread.get_executor(), asio::use_future(count)).get();
    }
    oc::reactor_thread thread;
    oc::memory_tier inner{thread.get_executor()};
    oc::spread_tier<oc::memory_tier> tier;
};

/** The calls of a tier, with arguments that live in the caller. */
template <class Tier>
struct calls {
    static asio::awaitable<oc::status> read(Tier& tier, std::string key, oc::byte_range range,
                                            std::vector<std::byte>& into,
                                            oc::deadline until = oc::deadline::never())
    {
        oc::status s = co_await tier.read(std::move(key), range, oc::byte_span(into), until);
        co_return s;
    }
    static asio::awaitable<oc::status> write(Tier& tier, std::string key, const std::vector<std::byte>& bytes,
                                             oc::if_exists mode, oc::deadline until = oc::deadline::never())
    {
        // In two parts, as a header and a body are.
        const oc::const_byte_span all(bytes);
        const std::size_t half = bytes.size() / 2;
        const oc::const_byte_span parts[] = {all.first(half), all.subspan(half)};
        oc::status s = co_await tier.write(std::move(key), parts, mode, until);
        co_return s;
    }
    static asio::awaitable<oc::result<oc::object_stat>> stat(Tier& tier, std::string key,
                                                             oc::deadline until = oc::deadline::never())
    {
        oc::result<oc::object_stat> r = co_await tier.stat(std::move(key), until);
        co_return r;
    }
    static asio::awaitable<oc::status> remove(Tier& tier, std::string key,
                                              oc::deadline until = oc::deadline::never())
    {
        oc::status s = co_await tier.remove(std::move(key), until);
        co_return s;
    }
    static asio::awaitable<oc::result<oc::key_page>> list(Tier& tier, std::string prefix,
                                                          std::string continuation, std::size_t most,
                                                          oc::deadline until = oc::deadline::never())
    {
        oc::result<oc::key_page> r =
            co_await tier.list(std::move(prefix), std::move(continuation), most, until);
        co_return r;
    }
    static asio::awaitable<oc::result<std::string>> begin_upload(Tier& tier, std::string key,
                                                                 oc::deadline until = oc::deadline::never())
    {
        oc::result<std::string> r = co_await tier.begin_upload(std::move(key), until);
        co_return r;
    }
    static asio::awaitable<oc::result<std::string>> upload_part(Tier& tier, std::string key, std::string id,
                                                                std::uint32_t number,
                                                                const std::vector<std::byte>& bytes,
                                                                oc::deadline until = oc::deadline::never())
    {
        const oc::const_byte_span all(bytes);
        const std::size_t half = bytes.size() / 2;
        const oc::const_byte_span parts[] = {all.first(half), all.subspan(half)};
        oc::result<std::string> r =
            co_await tier.upload_part(std::move(key), std::move(id), number, parts, until);
        co_return r;
    }
    static asio::awaitable<oc::status> complete_upload(Tier& tier, std::string key, std::string id,
                                                       const std::vector<std::string>& tags,
                                                       oc::if_exists mode,
                                                       oc::deadline until = oc::deadline::never())
    {
        oc::status s = co_await tier.complete_upload(std::move(key), std::move(id), tags, mode, until);
        co_return s;
    }
    static asio::awaitable<oc::status> abort_upload(Tier& tier, std::string key, std::string id,
                                                    oc::deadline until = oc::deadline::never())
    {
        oc::status s = co_await tier.abort_upload(std::move(key), std::move(id), until);
        co_return s;
    }
    /** All of an upload, up to the first failure. `id` is set as soon as it is known. */
    static asio::awaitable<oc::status> upload(Tier& tier, std::string key,
                                              const std::vector<std::vector<std::byte>>& parts,
                                              oc::if_exists mode, std::string& id)
    {
        const auto begun = co_await begin_upload(tier, key);
        if (!begun)
            co_return begun.error();
        id = *begun;
        std::vector<std::string> tags;
        for (const std::vector<std::byte>& part : parts) {
            const auto number = static_cast<std::uint32_t>(tags.size() + 1);
            const auto tag = co_await upload_part(tier, key, id, number, part);
            if (!tag)
                co_return tag.error();
            tags.push_back(*tag);
        }
        oc::status s = co_await complete_upload(tier, key, id, tags, mode);
        co_return s;
    }
};

/** Run a call of a tier to its end. */
template <class T>
T await(environment& env, asio::awaitable<T> work)
{
    std::optional<T> out;
    const auto body = [](asio::awaitable<T> inner, std::optional<T>& to) -> asio::awaitable<void> {
        to.emplace(co_await std::move(inner));
    };
    env.run(body(std::move(work), out));
    return std::move(*out);
}

inline std::vector<std::byte> some_bytes(std::size_t n, unsigned seed = 1)
{
    std::vector<std::byte> out(n);
    for (std::size_t i = 0; i < n; ++i)
        out[i] = static_cast<std::byte>((i * 31 + seed) & 0xff);
    return out;
}

} // namespace contract
