// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <contract/io_subjects.hpp>

#include <support/one_try.hpp>

#include <objectcache/s3/cached_credentials.hpp>
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/connection_pool.hpp>
#include <objectcache/s3/large_object.hpp>
#include <objectcache/s3/listing.hpp>
#include <objectcache/store/measure_costs.hpp>
#include <objectcache/store/s3_tier.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

/** The operations of s3/ as subjects of the contract: requests over real connections, to a server beside the test. */
namespace contract {

/** Outlives the context: the server, and the memory that requests borrow. */
struct s3_host {
    s3_host()
    {
        oc::testing::s3_server_options options;
        options.buckets = {"bucket"};
        options.least_part_bytes = 1;
        server.emplace(*oc::testing::s3_server::start(std::move(options)));
        for (std::size_t i = 0; i < bytes.size(); ++i)
            bytes[i] = static_cast<std::byte>(i * 31 % 251);
    }
    [[nodiscard]] bool was_sent_a_part() const
    {
        const auto log = server->log();
        return std::any_of(log.begin(), log.end(), [](const oc::testing::s3_log_entry& entry) {
            return entry.request.query.find("partNumber=") != std::string::npos;
        });
    }

    std::optional<oc::testing::s3_server> server;
    std::vector<std::byte> bytes = std::vector<std::byte>(1000);
    std::vector<std::byte> into = std::vector<std::byte>(1000);
};

/** Something that has to be asked for first, and is not given before the door opens. */
struct behind_door {
    std::shared_ptr<oc::latch> door;

    template <class T>
    static asio::awaitable<oc::result<T>> ask(std::shared_ptr<oc::latch> closed, T what)
    {
        const oc::error_code ec = co_await closed->wait();
        if (ec)
            co_return oc::result<T>(oc::errc::cancelled);
        co_return what;
    }
};

/** What it waits for is within: credentials, or the address of the server. */
struct s3_subject : subject {
    explicit s3_subject(environment& e)
        : subject(e)
        , host(std::make_shared<s3_host>())
        , door(std::make_shared<oc::latch>(e.executor()))
        , where(*oc::s3::endpoint::parse(host->server->endpoint_url()))
    {
        e.kept.push_back(host);
        host->server->set_clock_offset(
            std::chrono::floor<std::chrono::seconds>(e.time.date() - std::chrono::system_clock::now()));
    }
    void let_go() override { door->set(); }
    [[nodiscard]] bool asks_the_kernel() const override { return door->is_set(); }

    std::shared_ptr<s3_host> host;
    std::shared_ptr<oc::latch> door;
    oc::s3::endpoint where;
};

struct s3_request_subject : s3_subject {
    explicit s3_request_subject(environment& e)
        : s3_subject(e)
        , store(
              e.executor(), where,
              [closed = door, who = host->server->credentials()] { return behind_door::ask(closed, who); },
              support::one_try())
    {}
    void check_ended() override
    {
        CHECK(store.connections().in_use() == 0);
        CHECK(store.connections().waiting() == 0);
        const auto written = host->server->read("bucket", "written");
        CHECK((!written || *written == host->bytes)); // whole or not at all
        CHECK((host->server->pending_uploads() == 0 || !host->was_sent_a_part()));
    }
    oc::s3::client store;
};

struct client_send : s3_request_subject {
    using s3_request_subject::s3_request_subject;
    asio::awaitable<oc::status> run() override
    {
        const oc::const_byte_span body(host->bytes);
        oc::s3::call what;
        what.method = "PUT";
        what.bucket = "bucket";
        what.key = "written";
        what.body = std::span(&body, 1);
        const auto answer = co_await store.send(std::move(what));
        co_return answer.error();
    }
};

struct client_prewarm : s3_request_subject {
    using s3_request_subject::s3_request_subject;
    asio::awaitable<oc::status> run() override
    {
        std::string bucket = "bucket";
        oc::status warm = co_await store.prewarm(std::move(bucket), 2);
        CHECK((!warm.ok() || store.connections().idle() == 2));
        co_return warm;
    }
};

/** @tparam Part Bytes; the object has 1000. */
template <std::size_t Part>
struct large_get : s3_request_subject {
    explicit large_get(environment& e) : s3_request_subject(e)
    {
        REQUIRE(host->server->put("bucket", "k", host->bytes).ok());
    }
    asio::awaitable<oc::status> run() override
    {
        const oc::s3::parallel_options how{Part, 2, {}};
        const oc::byte_range all{0, 1000};
        const auto got = co_await oc::s3::get_parallel(store, "bucket", "k", all, host->into, how);
        CHECK((!got || host->into == host->bytes));
        co_return got.error();
    }
};

template <std::size_t Part>
struct large_put : s3_request_subject {
    using s3_request_subject::s3_request_subject;
    asio::awaitable<oc::status> run() override
    {
        const oc::const_byte_span all(host->bytes);
        const oc::const_byte_span parts[] = {all.first(10), all.subspan(10)};
        const oc::s3::parallel_options how{Part, 2, {}};
        const auto stored = co_await oc::s3::put_parallel(store, "bucket", "written", parts, how);
        CHECK((!stored || host->server->read("bucket", "written").ok()));
        co_return stored.error();
    }
};

/** Pages of one object, four of them; what `remove_all` leaves of them is none. */
struct below_prefix : s3_request_subject {
    explicit below_prefix(environment& e) : s3_request_subject(e)
    {
        for (const char* key : {"p/1", "p/2", "p/\x01", "p/4", "q"})
            REQUIRE(host->server->put("bucket", key, host->bytes).ok());
    }
};

struct listing_to_its_end : below_prefix {
    using below_prefix::below_prefix;
    asio::awaitable<oc::status> run() override
    {
        oc::s3::listing pages(store, "bucket", "p/", {.max_keys = 1});
        std::size_t seen = 0;
        while (const oc::s3::list_page* page = co_await pages.next())
            seen += page->objects.size();
        CHECK((!pages.outcome().ok() || seen == 4));
        co_return pages.outcome();
    }
};

struct prefix_remove_all : below_prefix {
    using below_prefix::below_prefix;
    asio::awaitable<oc::status> run() override
    {
        oc::status done = co_await oc::s3::remove_all(store, "bucket", "p/");
        const std::size_t left = host->server->objects().size();
        CHECK((done.ok() ? left == 1 : left >= 1));
        co_return done;
    }
};

/** Measured over real connections: writes, reads, reads side by side, removals. */
struct s3_store_measured : s3_request_subject {
    explicit s3_store_measured(environment& e) : s3_request_subject(e), tier(e.executor(), store, "bucket") {}
    static oc::measure_options options()
    {
        oc::measure_options how;
        how.small_reads = how.rounds = 1;
        how.parallel_reads = 2;
        how.read_bytes = 1000;
        return how;
    }
    asio::awaitable<oc::status> run() override
    {
        const oc::measure_options how = options();
        const auto costs = co_await oc::measure_costs(tier, how);
        co_return costs.error();
    }
    bool initiate(callback done) override
    {
        oc::measure_costs(tier, options(), std::move(done));
        return true;
    }
    [[nodiscard]] bool initiate_only() const override { return true; }
    // Before the door opens there is no request that could remove anything.
    [[nodiscard]] bool cancellable() const override { return door->is_set(); }
    void check_ended() override
    {
        s3_request_subject::check_ended();
        // A write that was cancelled may be carried out behind the removal.
        const auto left = host->server->objects();
        CHECK(left.size() <= 1);
        for (const auto& object : left)
            CHECK(object.key.starts_with(oc::probe_prefix));
    }
    oc::s3_tier tier;
};

struct pool_prewarm : s3_subject {
    explicit pool_prewarm(environment& e) : s3_subject(e), pool(e.executor(), where, slowly_found(*this)) {}
    static oc::s3::connection_options slowly_found(pool_prewarm& self)
    {
        using asio::ip::tcp;
        const std::vector<tcp::endpoint> at{{asio::ip::address_v4::loopback(), self.where.port}};
        oc::s3::connection_options out;
        out.resolver = [closed = self.door, at](std::string, std::uint16_t) {
            return behind_door::ask(closed, at);
        };
        return out;
    }
    asio::awaitable<oc::status> run() override
    {
        oc::status warm = co_await pool.prewarm("a.name", 3, oc::deadline::never());
        CHECK((!warm.ok() || pool.idle() == 3));
        co_return warm;
    }
    void check_ended() override
    {
        CHECK(pool.in_use() == 0);
        CHECK(pool.waiting() == 0);
    }
    oc::s3::connection_pool pool;
};

/** One of those who wait for a refresh, which goes on without them. */
struct cached_credentials_wait : subject {
    explicit cached_credentials_wait(environment& e)
        : subject(e)
        , door(std::make_shared<oc::latch>(e.executor()))
        , cache(e.executor(), [this] { return source(*this); })
    {}
    static asio::awaitable<oc::result<oc::s3::credentials>> source(cached_credentials_wait& self)
    {
        ++self.times_asked;
        return behind_door::ask(self.door, self.who);
    }
    asio::awaitable<oc::status> run() override
    {
        const auto got = co_await cache();
        CHECK((!got || *got == who));
        co_return got.error();
    }
    void let_go() override { door->set(); }
    void check_ended() override
    {
        let_go();
        env.settle();
        env.run(ask_again(*this));
        CHECK(times_asked == 1);
    }
    static asio::awaitable<void> ask_again(cached_credentials_wait& self)
    {
        const auto got = co_await self.cache();
        CHECK((got && *got == self.who));
    }
    const oc::s3::credentials who{"AK", "SK", "", {}};
    int times_asked = 0;
    std::shared_ptr<oc::latch> door;
    oc::s3::cached_credentials cache;
};

inline std::vector<entry> s3_entries()
{
    return {of<client_send>("client::send"),
            of<large_get<1000>>("get_parallel of one part"),
            of<large_get<300>>("get_parallel of four parts"),
            of<large_put<1000>>("put_parallel of one part"),
            of<large_put<400>>("put_parallel of three parts"),
            of<listing_to_its_end>("listing of four pages"),
            of<prefix_remove_all>("remove_all"),
            of<s3_store_measured>("measure_costs of S3"),
            of<client_prewarm>("client::prewarm"),
            of<pool_prewarm>("connection_pool::prewarm"),
            of<cached_credentials_wait>("cached_credentials")};
}

} // namespace contract
