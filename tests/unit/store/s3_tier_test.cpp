// SPDX-License-Identifier: BSL-1.0
#include <objectcache/store/s3_tier.hpp>

#include <objectcache/testing/run_coroutine.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <support/one_try.hpp>
#include <support/run.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

// What every tier does is in tests/contract; here is what only this one has.
namespace s3_tier_test {

using namespace objectcache;

inline std::vector<std::string> keys_of(const key_page& page)
{
    std::vector<std::string> out;
    for (const object_entry& object : page.objects)
        out.push_back(object.key);
    return out;
}

TEST_CASE("s3_tier: a key prefix keeps tenants of one bucket apart")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        testing::s3_server_options options;
        options.buckets = {"shared"};
        const auto server = testing::s3_server::start(std::move(options));
        REQUIRE(server);
        const s3::client client(io.get_executor(), *s3::endpoint::parse(server->endpoint_url()),
                                server->credentials());
        s3_tier one(io.get_executor(), client, "shared", "one/");
        s3_tier other(io.get_executor(), client, "shared", "one/more+ /");
        s3_tier whole(io.get_executor(), client, "shared");
        const std::vector<std::byte> data(100, std::byte{7});
        const const_byte_span part(data);
        for (const char* key : {"a/1", "a/2", "b"}) {
            const status written =
                co_await one.write(key, std::span(&part, 1), if_exists::keep, deadline::never());
            CHECK(written.ok());
        }
        const auto seen = co_await other.stat("a/1", deadline::never());
        CHECK(seen.error() == condition::absent);
        const status beside =
            co_await other.write("a/1", std::span(&part, 1), if_exists::keep, deadline::never());
        CHECK(beside.ok());
        const auto under = co_await one.list("a/", "", 10, deadline::never());
        REQUIRE(under);
        CHECK(s3_tier_test::keys_of(*under) == std::vector<std::string>{"a/1", "a/2"});
        const auto all = co_await whole.list("", "", 10, deadline::never());
        REQUIRE(all);
        CHECK(s3_tier_test::keys_of(*all) ==
              std::vector<std::string>{"one/a/1", "one/a/2", "one/b", "one/more+ /a/1"});
        std::vector<std::byte> into(10);
        const status read = co_await one.read("b", {50, 10}, into, deadline::never());
        CHECK(read.ok());
        CHECK(std::count(into.begin(), into.end(), std::byte{7}) == 10);
        const status removed = co_await one.remove("a/1", deadline::never());
        CHECK(removed.ok());
        const auto still = co_await other.stat("a/1", deadline::never());
        CHECK(still.ok());
    };
    asio::io_context io;
    CHECK(testing::run_coroutine(io, body(io)));
}

TEST_CASE("s3_tier: a large read is several requests")
{
    const auto body = [](asio::io_context& io) -> asio::awaitable<void> {
        testing::s3_server_options options;
        options.buckets = {"shared"};
        auto server = testing::s3_server::start(std::move(options));
        REQUIRE(server);
        std::vector<std::string> ranges;
        server->set_responder([&](const testing::s3_request& request) {
            ranges.push_back(request.range);
            return testing::s3_fault();
        });
        s3_tier tier(io.get_executor(),
                     s3::client(io.get_executor(), *s3::endpoint::parse(server->endpoint_url()),
                                server->credentials()),
                     "shared");
        std::vector<std::byte> data((std::size_t(20) << 20) + 10);
        for (std::size_t i = 0; i < data.size(); ++i)
            data[i] = static_cast<std::byte>(i * 2654435761u >> 24);
        const const_byte_span part(data);
        const status written =
            co_await tier.write("k", std::span(&part, 1), if_exists::replace, deadline::never());
        REQUIRE(written.ok());
        ranges.clear();
        std::vector<std::byte> into(data.size() - 10);
        const status read = co_await tier.read("k", {10, into.size()}, into, deadline::never());
        CHECK(read.ok());
        CHECK(std::equal(into.begin(), into.end(), data.begin() + 10));
        std::sort(ranges.begin(), ranges.end());
        CHECK(ranges == std::vector<std::string>{"bytes=10-8388617", "bytes=16777226-20971529",
                                                 "bytes=8388618-16777225"});
        server->set_responder(nullptr);
    };
    asio::io_context io;
    CHECK(testing::run_coroutine(io, body(io)));
}

/** A bucket, and what is asked of it: "POST uploads=", "PUT", "DELETE" ... */
struct uploads_world {
    explicit uploads_world(s3::client_options options = {})
        : server(start())
        , tier(io.get_executor(),
               s3::client(io.get_executor(), *s3::endpoint::parse(server.endpoint_url()),
                          server.credentials(), std::move(options)),
               "shared", "kv/")
    {}
    static testing::s3_server start()
    {
        testing::s3_server_options options;
        options.buckets = {"shared"};
        options.least_part_bytes = 1;
        auto server = testing::s3_server::start(std::move(options));
        REQUIRE(server);
        return std::move(*server);
    }
    struct begun {
        std::string id;
        std::vector<std::string> tags;
    };
    /** An upload that wants nothing but its end. */
    begun upload(std::string key, std::vector<std::vector<std::byte>> parts)
    {
        begun out;
        const auto id = support::run(io, tier.begin_upload(key, deadline::never()));
        REQUIRE_MESSAGE(id.ok(), id.error().message());
        out.id = *id;
        for (const auto& bytes : parts) {
            const const_byte_span part(bytes);
            const auto number = static_cast<std::uint32_t>(out.tags.size() + 1);
            const auto tag =
                support::run(io, tier.upload_part(key, *id, number, std::span(&part, 1), deadline::never()));
            REQUIRE_MESSAGE(tag.ok(), tag.error().message());
            out.tags.push_back(*tag);
        }
        server.clear_log();
        return out;
    }
    status complete(std::string key, const begun& what, if_exists mode)
    {
        return support::run(io, tier.complete_upload(key, what.id, what.tags, mode, deadline::never()));
    }
    std::string requests()
    {
        std::string out;
        for (const auto& entry : server.log())
            out += (out.empty() ? "" : " ") + entry.request.method + std::to_string(entry.status);
        return out;
    }

    asio::io_context io;
    testing::s3_server server;
    s3_tier tier;
};

const std::vector<std::vector<std::byte>> two_parts{std::vector<std::byte>(300, std::byte{1}),
                                                    std::vector<std::byte>(20, std::byte{2})};

TEST_CASE("s3_tier: an upload goes under the key prefix, with checksums where the client sends them")
{
    for (const auto kind :
         {s3::checksum::none, s3::checksum::crc32c, s3::checksum::sha256, s3::checksum::crc64nvme}) {
        CAPTURE(static_cast<int>(kind));
        s3::client_options options = support::one_try();
        options.upload_checksum = kind;
        uploads_world w(options);
        const auto what = w.upload("a b", two_parts);
        CHECK(w.server.objects().empty());
        const status done = w.complete("a b", what, if_exists::keep);
        CHECK_MESSAGE(done.ok(), done.message());
        CHECK(w.requests() == "POST200");
        const auto stored = w.server.read("shared", "kv/a b");
        REQUIRE(stored.ok());
        CHECK(stored->size() == 320);
        CHECK(std::count(stored->begin(), stored->end(), std::byte{2}) == 20);
    }
}

TEST_CASE("s3_tier: the end of an upload that must keep what is there is conditional")
{
    uploads_world w(support::one_try());
    const auto first = w.upload("k", two_parts), second = w.upload("k", {two_parts[0]}),
               third = w.upload("k", {two_parts[1]});
    CHECK(w.complete("k", first, if_exists::keep).ok());
    CHECK(w.complete("k", second, if_exists::keep).ok());
    CHECK(w.requests() == "POST200 POST412 HEAD200 DELETE204");
    CHECK(w.server.read("shared", "kv/k")->size() == 320);
    CHECK(w.complete("k", third, if_exists::replace).ok());
    CHECK(w.server.read("shared", "kv/k")->size() == 20);
    CHECK(w.server.pending_uploads() == 0);
}

TEST_CASE("s3_tier: that the upload of an object which is there cannot be thrown away is no failure")
{
    uploads_world w(support::one_try());
    const auto first = w.upload("k", two_parts), second = w.upload("k", two_parts);
    CHECK(w.complete("k", first, if_exists::keep).ok());
    w.server.set_responder([](const testing::s3_request& r) {
        return r.method == "DELETE" ? testing::s3_fault::error(500, "InternalError") : testing::s3_fault();
    });
    CHECK(w.complete("k", second, if_exists::keep).ok());
    CHECK(w.server.pending_uploads() == 1);
    w.server.set_responder(nullptr);
}

TEST_CASE("s3_tier: a store that refuses conditions is asked before")
{
    uploads_world w(support::one_try());
    const auto first = w.upload("k", two_parts), second = w.upload("k", two_parts),
               third = w.upload("other", two_parts);
    std::atomic<int> refused = 0;
    w.server.set_responder([&](const testing::s3_request& r) {
        return r.method == "POST" && refused++ == 0 ? testing::s3_fault::error(501, "NotImplemented")
                                                    : testing::s3_fault();
    });
    CHECK(w.complete("k", first, if_exists::keep).ok());
    CHECK(w.requests() == "POST501 HEAD404 POST200");
    w.server.clear_log();
    CHECK(w.complete("k", second, if_exists::keep).ok()); // it is remembered
    CHECK(w.requests() == "HEAD200 HEAD200 DELETE204");
    w.server.clear_log();
    CHECK(w.complete("other", third, if_exists::replace).ok());
    CHECK(w.requests() == "POST200");
    CHECK(w.server.pending_uploads() == 0);
    w.server.set_responder(nullptr);
}

TEST_CASE("s3_tier: that an object is there is not believed before it was seen")
{
    for (const bool emulates : {true, false}) {
        s3::client_options options = support::one_try();
        options.emulate_if_none_match = emulates;
        uploads_world w(options);
        const auto what = w.upload("k", two_parts);
        std::atomic<int> refused = 0;
        w.server.set_responder([&](const testing::s3_request& r) { // as Swift, whether there is one or not
            return r.method == "POST" && refused++ == 0 ? testing::s3_fault::error(412, "InvalidRequest")
                                                        : testing::s3_fault();
        });
        const status done = w.complete("k", what, if_exists::keep);
        CHECK(done.ok() == emulates);
        CHECK((emulates || done == condition::unavailable));
        CHECK(w.requests() == (emulates ? "POST412 HEAD404 POST200" : "POST412 HEAD404"));
        CHECK(w.server.read("shared", "kv/k").ok() == emulates);
        CHECK(w.server.pending_uploads() == (emulates ? 0 : 1));
        w.server.set_responder(nullptr);
    }
}

TEST_CASE("s3_tier: an end of an upload whose answer was lost is not a lost object")
{
    for (const auto mode : {if_exists::keep, if_exists::replace}) {
        s3::client_options options;
        options.retry.base_delay = std::chrono::milliseconds(1);
        uploads_world w(options);
        const auto what = w.upload("k", two_parts);
        std::atomic<int> lost = 0;
        w.server.set_responder([&](const testing::s3_request& r) {
            return r.method == "POST" && lost++ == 0
                       ? testing::s3_fault::drop(testing::s3_fault::point::response_head)
                       : testing::s3_fault();
        });
        const status done = w.complete("k", what, mode);
        CHECK_MESSAGE(done.ok(), done.message());
        CHECK(lost > 1);
        CHECK(w.server.read("shared", "kv/k")->size() == 320);
        CHECK(w.server.pending_uploads() == 0);
        w.server.set_responder(nullptr);
    }
}

TEST_CASE("s3_tier: what cannot be the end of an upload is not sent")
{
    uploads_world w(support::one_try());
    const auto what = w.upload("k", two_parts);
    for (auto bad :
         {uploads_world::begun{what.id, {}}, uploads_world::begun{what.id, {"no_tag"}},
          uploads_world::begun{"", what.tags},
          uploads_world::begun{what.id, std::vector<std::string>(most_parts_per_object + 1, what.tags[0])}})
        CHECK(w.complete("k", bad, if_exists::keep) == condition::invalid);
    CHECK(w.requests() == "");
    CHECK(w.complete("k", what, if_exists::keep).ok());
}

} // namespace s3_tier_test
