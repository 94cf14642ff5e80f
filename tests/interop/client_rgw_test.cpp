// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/large_object.hpp>
#include <objectcache/s3/listing.hpp>
#include <objectcache/store/s3_tier.hpp>

#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/detached.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

using namespace objectcache;
using namespace objectcache::s3;

// The client against a server that we have not written: Ceph's gateway, started by `rgw.sh run`. Every case leaves its
// objects behind, under names of its own; the server does not outlive the program.
namespace client_rgw_test {

std::string env(const char* name)
{
    const char* value = std::getenv(name);
    REQUIRE_MESSAGE(value, name << " is not set: run this by `rgw.sh run`");
    return value;
}

client_options trusting()
{
    client_options out;
    out.connections.ca_file = env("RGW_CA");
    return out;
}

/** A case is run twice: in the clear and over TLS. */
const std::array transports{"RGW_URL", "RGW_TLS_URL"};

/** Runs `body(client&, bucket)`, a coroutine function, over every transport; a bucket for each. */
template <class Body>
void over_every_transport(Body body, client_options options = trusting())
{
    for (const char* transport : transports) {
        CAPTURE(transport);
        asio::io_context io;
        const auto where = endpoint::parse(env(transport));
        const auto who = credentials::from_env();
        REQUIRE(where);
        REQUIRE(who);
        client c(io.get_executor(), *where, *who, options);
        std::string bucket = where->tls ? "over-tls" : "in-the-clear";
        REQUIRE(testing::run_coroutine(io, body(c, bucket), std::chrono::minutes(2)));
        CHECK(c.connections().in_use() == 0);
    }
}

std::vector<std::byte> pattern(std::size_t size, unsigned seed = 1)
{
    std::vector<std::byte> out(size);
    for (std::byte& b : out)
        b = static_cast<std::byte>((seed = seed * 1664525u + 1013904223u) >> 24);
    return out;
}

asio::awaitable<void> make_bucket(client& c, std::string bucket)
{
    const status made = co_await c.create_bucket(bucket);
    REQUIRE_MESSAGE((made.ok() || made == errc::already_exists), made.message());
}

asio::awaitable<void> put(client& c, std::string bucket, std::string key, const std::vector<std::byte>& data)
{
    const const_byte_span whole(data);
    const status stored = co_await c.put(bucket, key, std::span(&whole, 1));
    REQUIRE_MESSAGE(stored.ok(), stored.message());
}

/** All keys that begin with `prefix`, from pages of at most `max_keys`. */
asio::awaitable<std::vector<std::string>> list_all(client& c, std::string bucket, std::string prefix,
                                                   std::uint32_t max_keys)
{
    std::vector<std::string> keys;
    list_options how;
    how.max_keys = max_keys;
    listing pages(c, bucket, prefix, how);
    while (const list_page* page = co_await pages.next()) {
        CHECK(page->objects.size() <= max_keys);
        for (const list_entry& entry : page->objects)
            keys.push_back(entry.key);
    }
    REQUIRE_MESSAGE(pages.outcome().ok(), pages.outcome().message());
    co_return keys;
}

/** What objects may be called, and what clients trip over. */
std::vector<std::string> odd_keys()
{
    std::vector<std::string> keys{"plain",
                                  "a b",
                                  " leading and trailing ",
                                  "a+b",
                                  "100%",
                                  "%41%2F%zz",
                                  "a//b",
                                  "a///",
                                  "/leading",
                                  "trailing/",
                                  "a/./b",
                                  "a/../b",
                                  "...",
                                  "_underscore",
                                  "x'()*!$,:;@[]{}|\\^`~_-.",
                                  "?uploads&key=value#part",
                                  "<&>\"'&amp;",
                                  "tab\tand\nnewline",
                                  "\xc3\xbc\xe1\x88\xb4\xf0\x9f\x98\x80",
                                  "u\xcc\x88 is not \xc3\xbc"};
    keys.push_back(std::string(1024, 'k'));
    std::string of_escapes;
    while (of_escapes.size() < 1022)
        of_escapes += "\xe1\x88\xb4";
    keys.push_back(of_escapes + "+");
    return keys;
}

asio::awaitable<void> every_operation(client& c, std::string bucket)
{
    co_await make_bucket(c, bucket);
    const std::vector<std::byte> data = pattern(100000);
    const const_byte_span whole(data);
    const const_byte_span parts[] = {whole.first(1), whole.subspan(1, 70000), {}, whole.subspan(70001)};
    for (const std::string& odd : odd_keys()) {
        const std::string key = odd.size() < 1000 ? "odd/" + odd : odd;
        CAPTURE(key);
        const status stored = co_await c.put(bucket, key, parts);
        REQUIRE_MESSAGE(stored.ok(), stored.message());

        std::vector<std::byte> all(data.size() + 10);
        const auto got = co_await c.get(bucket, key, all);
        REQUIRE_MESSAGE(got.ok(), got.error().message());
        CHECK(got->size == data.size());
        CHECK(std::equal(data.begin(), data.end(), all.begin()));
        CHECK(std::all_of(all.end() - 10, all.end(), [](std::byte b) { return b == std::byte(0); }));

        std::vector<std::byte> some(5000);
        const auto part = co_await c.get(bucket, key, {69000, some.size()}, some);
        REQUIRE_MESSAGE(part.ok(), part.error().message());
        CHECK(part->size == data.size());
        CHECK(std::equal(some.begin(), some.end(), data.begin() + 69000));

        const auto info = co_await c.head(bucket, key);
        REQUIRE_MESSAGE(info.ok(), info.error().message());
        CHECK(info->size == data.size());
        CHECK(info->etag == got->etag);
        CHECK(info->etag.size() == 34); // MD5 in hexadecimal and quotes
        CHECK_FALSE(info->last_modified.empty());

        const auto page = co_await c.list(bucket, key);
        REQUIRE_MESSAGE(page.ok(), page.error().message());
        REQUIRE_FALSE(page->objects.empty());
        CHECK(page->objects.front().key == key);
        CHECK(page->objects.front().size == data.size());
        CHECK(page->objects.front().etag == info->etag);
    }

    std::vector<std::string> expected;
    for (const std::string& odd : odd_keys())
        expected.push_back(odd.size() < 1000 ? "odd/" + odd : odd);
    std::sort(expected.begin(), expected.end());
    for (const std::uint32_t page_size : {1000u, 7u, 1u}) {
        const std::vector<std::string> listed = co_await list_all(c, bucket, "", page_size);
        CHECK(listed == expected);
    }
    for (const std::string& key : expected) {
        CAPTURE(key);
        const status removed = co_await c.remove(bucket, key);
        CHECK_MESSAGE(removed.ok(), removed.message());
        const auto gone = co_await c.head(bucket, key);
        CHECK(gone.error() == condition::absent);
        const status again = co_await c.remove(bucket, key);
        CHECK_MESSAGE(again.ok(), again.message());
    }
    const std::vector<std::string> left = co_await list_all(c, bucket, "", 1000);
    CHECK(left.empty());
}

TEST_CASE("rgw: every operation, with keys of all kinds")
{
    over_every_transport(every_operation);
}

asio::awaitable<void> ranges(client& c, std::string bucket)
{
    co_await make_bucket(c, bucket);
    const std::vector<std::byte> data = pattern(9 << 20); // more than two of RGW's own 4 MiB pieces
    const std::uint64_t size = data.size();
    co_await put(c, bucket, "ranges", data);
    const byte_range inside[] = {
        {0, 1},        {size - 1, 1}, {0, size}, {(4 << 20) - 1, 2}, {(4 << 20) - 1, (4 << 20) + 2},
        {1, size - 1}, {12345, 65536}};
    for (const byte_range& range : inside) {
        CAPTURE(range.offset);
        CAPTURE(range.size);
        std::vector<std::byte> back(range.size);
        const auto got = co_await c.get(bucket, "ranges", range, back);
        REQUIRE_MESSAGE(got.ok(), got.error().message());
        CHECK(got->size == size);
        CHECK(std::equal(back.begin(), back.end(), data.begin() + static_cast<std::ptrdiff_t>(range.offset)));
    }
    const byte_range outside[] = {{size - 1, 2}, {size, 1}, {size + 100, 1000}, {0, size + 1}};
    for (const byte_range& range : outside) {
        CAPTURE(range.offset);
        CAPTURE(range.size);
        std::vector<std::byte> back(range.size);
        const auto got = co_await c.get(bucket, "ranges", range, back);
        CHECK(got.code() == errc::length_mismatch);
    }
    std::vector<std::byte> small(size - 1);
    const auto too_large = co_await c.get(bucket, "ranges", small);
    CHECK(too_large.code() == errc::length_mismatch);

    co_await put(c, bucket, "empty", {});
    std::vector<std::byte> none(1);
    const auto empty = co_await c.get(bucket, "empty", none);
    REQUIRE_MESSAGE(empty.ok(), empty.error().message());
    CHECK(empty->size == 0);
    const auto first = co_await c.get(bucket, "empty", {0, 1}, none);
    CHECK(first.code() == errc::length_mismatch);
    const auto info = co_await c.head(bucket, "empty");
    REQUIRE_MESSAGE(info.ok(), info.error().message());
    CHECK(info->size == 0);
}

TEST_CASE("rgw: ranges up to the last byte, and past it")
{
    over_every_transport(ranges);
}

struct race {
    std::array<status, 8> outcomes;
    std::size_t over = 0;
};

asio::awaitable<void> compete(client& c, std::string bucket, std::string key, std::size_t size,
                              std::size_t who, race& r)
{
    const std::vector<std::byte> data = pattern(size, static_cast<unsigned>(who));
    const const_byte_span whole(data);
    put_options options;
    options.if_none_match = true;
    r.outcomes[who] = co_await c.put(bucket, key, std::span(&whole, 1), options);
    ++r.over;
}

asio::awaitable<void> winner_is_stored(client& c, std::string bucket, std::string key, std::size_t size,
                                       std::size_t who)
{
    std::vector<std::byte> back(size);
    const auto got = co_await c.get(bucket, key, {0, size}, back);
    REQUIRE_MESSAGE(got.ok(), got.error().message());
    CHECK(got->size == size);
    CHECK(back == pattern(size, static_cast<unsigned>(who)));
}

TEST_CASE("rgw: of eight writers of one name, one wins and the others learn it")
{
    for (const char* transport : transports) {
        CAPTURE(transport);
        asio::io_context io;
        client c(io.get_executor(), *endpoint::parse(env(transport)), *credentials::from_env(), trusting());
        for (int round = 0; round < 8; ++round) {
            const std::string key = std::string(transport) + "/race/" + std::to_string(round);
            const std::size_t size = round % 4 == 3 ? 5 << 20 : 100;
            race r;
            for (std::size_t who = 0; who < r.outcomes.size(); ++who)
                asio::co_spawn(io, compete(c, env("RGW_BUCKET"), key, size, who, r), asio::detached);
            REQUIRE(testing::run_until(
                io, [&] { return r.over == r.outcomes.size(); }, std::chrono::minutes(1)));
            std::size_t winner = r.outcomes.size();
            for (std::size_t who = 0; who < r.outcomes.size(); ++who) {
                if (r.outcomes[who].ok()) {
                    CHECK(winner == r.outcomes.size());
                    winner = who;
                } else {
                    CHECK_MESSAGE(r.outcomes[who] == errc::already_exists, r.outcomes[who].message());
                }
            }
            REQUIRE(winner < r.outcomes.size());
            CHECK(testing::run_coroutine(io, winner_is_stored(c, env("RGW_BUCKET"), key, size, winner)));
        }
    }
}

std::string numbered(std::size_t i)
{
    return "many/" + std::to_string(10000 + i) + (i % 3 == 0 ? " +%" : i % 3 == 1 ? "/\xe1\x88\xb4" : "");
}

/** Works off what is left of the numbers. */
asio::awaitable<void> put_numbered(client& c, std::string bucket, std::size_t& next, std::size_t end,
                                   std::size_t& over)
{
    while (next < end) {
        const std::string key = numbered(next++);
        co_await put(c, bucket, key, {});
    }
    ++over;
}

asio::awaitable<void> list_numbered(client& c, std::string bucket, std::size_t count)
{
    std::vector<std::string> expected;
    for (std::size_t i = 0; i < count; ++i)
        expected.push_back(numbered(i));
    const auto first = co_await c.list(bucket, "many/");
    REQUIRE_MESSAGE(first.ok(), first.error().message());
    CHECK(first->objects.size() == 1000);
    CHECK_FALSE(first->continuation.empty());
    for (const std::uint32_t page_size : {1000u, 333u}) {
        const std::vector<std::string> listed = co_await list_all(c, bucket, "many/", page_size);
        CHECK(listed == expected);
    }
    const std::vector<std::string> ten = co_await list_all(c, bucket, "many/1000", 1000);
    CHECK(ten == std::vector<std::string>(expected.begin(), expected.begin() + 10));
    const std::vector<std::string> none = co_await list_all(c, bucket, "much/", 1000);
    CHECK(none.empty());
}

TEST_CASE("rgw: a listing of more than a page")
{
    constexpr std::size_t count = 1111;
    asio::io_context io;
    client c(io.get_executor(), *endpoint::parse(env("RGW_URL")), *credentials::from_env());
    std::size_t next = 0, over = 0;
    for (std::size_t i = 0; i < 16; ++i)
        asio::co_spawn(io, put_numbered(c, env("RGW_BUCKET"), next, count, over), asio::detached);
    REQUIRE(testing::run_until(
        io, [&] { return over == 16; }, std::chrono::minutes(2)));
    CHECK(testing::run_coroutine(io, list_numbered(c, env("RGW_BUCKET"), count), std::chrono::minutes(1)));
}

struct ranged_gets {
    std::vector<std::byte> back;
    std::size_t next = 0; ///< offset
    std::size_t over = 0;
};

asio::awaitable<void> get_parts(client& c, std::string bucket, std::string key, std::size_t part,
                                ranged_gets& job)
{
    while (job.next < job.back.size()) {
        const byte_range range{job.next, std::min(part, job.back.size() - job.next)};
        job.next += range.size;
        const auto got =
            co_await c.get(bucket, key, range, byte_span(job.back).subspan(range.offset, range.size));
        CHECK_MESSAGE(got.ok(), got.error().message());
    }
    ++job.over;
}

asio::awaitable<void> put_and_get_whole(client& c, std::string bucket, const std::vector<std::byte>& data)
{
    co_await make_bucket(c, bucket);
    co_await put(c, bucket, "large", data);
    std::vector<std::byte> back(data.size());
    const auto got = co_await c.get(bucket, "large", back);
    REQUIRE_MESSAGE(got.ok(), got.error().message());
    CHECK(got->size == data.size());
    CHECK(back == data);
}

TEST_CASE("rgw: 64 MiB at once, and as ranges over eight connections")
{
    const std::vector<std::byte> data = pattern(64 << 20);
    for (const char* transport : transports) {
        CAPTURE(transport);
        asio::io_context io;
        client_options options = trusting();
        options.connections.max_connections = 8;
        options.request_timeout = std::chrono::minutes(2);
        client c(io.get_executor(), *endpoint::parse(env(transport)), *credentials::from_env(), options);
        const std::string bucket = "large";
        REQUIRE(testing::run_coroutine(io, put_and_get_whole(c, bucket, data), std::chrono::minutes(3)));
        ranged_gets job;
        job.back.resize(data.size());
        for (std::size_t i = 0; i < 16; ++i)
            asio::co_spawn(io, get_parts(c, bucket, "large", 1000003, job), asio::detached);
        REQUIRE(testing::run_until(
            io, [&] { return job.over == 16; }, std::chrono::minutes(2)));
        CHECK(job.back == data);
        CHECK(c.connections().idle() <= 8);
    }
}

asio::awaitable<void> is_refused(client& c, std::string why)
{
    const std::string bucket = env("RGW_BUCKET");
    std::vector<std::byte> buffer(1);
    const status stored = co_await c.put(bucket, "refused", {});
    const auto got = co_await c.get(bucket, "refused", buffer);
    const auto ranged = co_await c.get(bucket, "refused", {0, 1}, buffer);
    const auto info = co_await c.head(bucket, "refused");
    const auto page = co_await c.list(bucket, "");
    const status removed = co_await c.remove(bucket, "refused");
    for (const status& s : {stored, got.error(), ranged.error(), info.error(), page.error(), removed}) {
        CAPTURE(s.message());
        CHECK(s == condition::denied);
    }
    for (const status& s :
         {stored, got.error(), ranged.error(), page.error(), removed}) // HEAD has no body to say it in
        CHECK_MESSAGE(s.detail().find(why) != std::string::npos, s.message());
}

TEST_CASE("rgw: an upload in parts, a read in parts, a copy, unfinished uploads, a bulk delete")
{
    over_every_transport([](client& c, std::string bucket) -> asio::awaitable<void> {
        co_await make_bucket(c, bucket);
        const auto data = pattern((std::size_t(11) << 20) + 3);
        const const_byte_span whole(data);
        const const_byte_span pieces[] = {whole.first(7), whole.subspan(7)};
        std::size_t told = 0;
        parallel_options how;
        how.part_bytes = std::size_t(5) << 20;
        how.progress = [&](std::size_t bytes) { told += bytes; };
        const std::string key = "large/a b+c%\xc3\xbc";
        const auto stored = co_await put_parallel(c, bucket, key, pieces, how);
        REQUIRE_MESSAGE(stored.ok(), stored.error().message());
        CHECK(std::exchange(told, 0) == data.size());
        const auto copied = co_await copy_object(c, bucket, key, bucket, "large/copy", deadline());
        REQUIRE_MESSAGE(copied.ok(), copied.error().message());
        std::vector<std::byte> into(data.size());
        const auto got = co_await get_parallel(c, bucket, "large/copy", into, how);
        REQUIRE_MESSAGE(got.ok(), got.error().message());
        CHECK(into == data);
        CHECK(told == data.size());

        const auto id = co_await begin_upload(c, bucket, "large/begun", deadline());
        REQUIRE(id);
        const upload_page none;
        const auto pending = co_await list_uploads(c, bucket, "large/", none, deadline());
        REQUIRE(pending);
        REQUIRE(pending->uploads.size() == 1);
        CHECK(pending->uploads[0].upload_id == *id);
        const status aborted = co_await abort_upload(c, bucket, "large/begun", *id, deadline());
        CHECK(aborted.ok());

        const std::vector<std::string> keys{key, "large/copy", "large/never"};
        const auto kept = co_await remove_objects(c, bucket, keys, deadline());
        REQUIRE_MESSAGE(kept.ok(), kept.error().message());
        CHECK(kept->empty());
        const auto gone = co_await c.head(bucket, key);
        CHECK(gone.error() == condition::absent);

        const auto one = pattern(1);
        for (const std::string& odd : odd_keys())
            if (odd.size() < 1000)
                co_await put(c, bucket, "all/" + odd, one);
        const status removed = co_await remove_all(c, bucket, "all/");
        CHECK_MESSAGE(removed.ok(), removed.message());
        const auto left = co_await list_all(c, bucket, "all/", 1000);
        CHECK(left.empty());
    });
}

asio::awaitable<void> send_parts(s3_tier& tier, std::string key, const std::vector<std::byte>& data,
                                 std::string& id, std::vector<std::string>& tags)
{
    const auto begun = co_await tier.begin_upload(key, deadline::never());
    REQUIRE_MESSAGE(begun.ok(), begun.error().message());
    id = *begun;
    const std::size_t size = tier.least_part();
    for (std::size_t at = 0; at < data.size(); at += size) {
        const auto part = const_byte_span(data).subspan(at, std::min(size, data.size() - at));
        const const_byte_span pieces[] = {part.first(1), part.subspan(1)};
        const auto number = static_cast<std::uint32_t>(tags.size() + 1);
        const auto tag = co_await tier.upload_part(key, id, number, pieces, deadline::never());
        REQUIRE_MESSAGE(tag.ok(), tag.error().message());
        tags.push_back(*tag);
    }
}

asio::awaitable<void> upload_through_tier(client& c, std::string bucket)
{
    co_await make_bucket(c, bucket);
    const std::string prefix = "tier/", key = "a segment";
    s3_tier tier(co_await asio::this_coro::executor, c, bucket, prefix);
    const auto data = pattern(3 * tier.least_part());
    std::string first, second, third;
    std::vector<std::string> first_tags, second_tags, third_tags;
    co_await send_parts(tier, key, data, first, first_tags);
    co_await send_parts(tier, key, data, second, second_tags);
    co_await send_parts(tier, key, data, third, third_tags);
    const auto before = co_await tier.stat(key, deadline::never());
    CHECK(before.error() == condition::absent);
    // Whether it heeds the condition or not: both succeed, and neither upload is left.
    for (const auto mode : {if_exists::keep, if_exists::keep, if_exists::replace}) {
        const status done = co_await tier.complete_upload(key, first, first_tags, mode, deadline::never());
        CHECK_MESSAGE(done.ok(), done.message());
    }
    const status again =
        co_await tier.complete_upload(key, second, second_tags, if_exists::keep, deadline::never());
    CHECK_MESSAGE(again.ok(), again.message());
    const status aborted = co_await tier.abort_upload(key, third, deadline::never());
    CHECK_MESSAGE(aborted.ok(), aborted.message());
    const status twice = co_await tier.abort_upload(key, third, deadline::never());
    CHECK_MESSAGE(twice.ok(), twice.message());
    const upload_page start;
    const auto left = co_await list_uploads(c, bucket, prefix, start, deadline());
    REQUIRE(left);
    CHECK(left->uploads.empty());
    std::vector<std::byte> into(data.size());
    const status read = co_await tier.read(key, {0, into.size()}, into, deadline::never());
    CHECK_MESSAGE(read.ok(), read.message());
    CHECK(into == data);
}

TEST_CASE("rgw: an object in parts through a tier")
{
    asio::io_context io;
    client c(io.get_executor(), *endpoint::parse(env("RGW_URL")), *credentials::from_env());
    CHECK(testing::run_coroutine(io, upload_through_tier(c, "tiers"), std::chrono::minutes(2)));
    CHECK(c.connections().in_use() == 0);
}

TEST_CASE("rgw: a body that is signed piece by piece")
{
    client_options options = trusting();
    options.signing = payload_signing::chunks;
    over_every_transport(
        [](client& c, std::string bucket) -> asio::awaitable<void> {
            co_await make_bucket(c, bucket);
            const auto data = pattern(300'001);
            co_await put(c, bucket, "chunks", data);
            std::vector<std::byte> into(data.size());
            const auto got = co_await c.get(bucket, "chunks", into);
            REQUIRE_MESSAGE(got.ok(), got.error().message());
            CHECK(into == data);
        },
        options);
}

TEST_CASE("rgw: wrong keys are told apart and refused")
{
    for (const char* transport : transports) {
        CAPTURE(transport);
        asio::io_context io;
        const endpoint where = *endpoint::parse(env(transport));
        credentials bad = *credentials::from_env();
        bad.secret_access_key += "x";
        client wrong_secret(io.get_executor(), where, bad, trusting());
        CHECK(testing::run_coroutine(io, is_refused(wrong_secret, "403 SignatureDoesNotMatch")));
        bad.access_key_id = "nobody";
        client wrong_name(io.get_executor(), where, bad, trusting());
        CHECK(testing::run_coroutine(io, is_refused(wrong_name, "403 InvalidAccessKeyId")));
        client anonymous(io.get_executor(), where, credentials::anonymous(), trusting());
        CHECK(testing::run_coroutine(io, is_refused(anonymous, "403 AccessDenied")));
    }
}

asio::awaitable<void> store_and_find(client& c)
{
    const std::string bucket = env("RGW_BUCKET");
    const std::vector<std::byte> data = pattern(1000);
    co_await put(c, bucket, "found", data);
    const auto info = co_await c.head(bucket, "found");
    REQUIRE_MESSAGE(info.ok(), info.error().message());
    CHECK(info->size == data.size());
}

TEST_CASE("rgw: any region will do, as it has none")
{
    asio::io_context io;
    for (const char* region : {"us-east-1", "eu-west-1", "default"}) {
        CAPTURE(region);
        client c(io.get_executor(), *endpoint::parse(env("RGW_URL"), region), *credentials::from_env());
        CHECK(testing::run_coroutine(io, store_and_find(c)));
    }
}

TEST_CASE("rgw: the bucket as a host name, over TLS")
{
    asio::io_context io;
    endpoint where = *endpoint::parse(env("RGW_TLS_URL"));
    where.host = "localhost";
    where.style = addressing::virtual_host;
    client c(io.get_executor(), where, *credentials::from_env(), trusting());
    REQUIRE(where.is_virtual_host(env("RGW_BUCKET")));
    CHECK(testing::run_coroutine(io, store_and_find(c)));
}

asio::awaitable<void> nothing_there(client& c, std::string)
{
    std::vector<std::byte> buffer(1);
    for (const std::string& bucket : {env("RGW_BUCKET"), std::string("no-such-bucket")}) {
        CAPTURE(bucket);
        const auto got = co_await c.get(bucket, "absent", buffer);
        CHECK(got.error() == condition::absent);
        const auto ranged = co_await c.get(bucket, "absent", {0, 1}, buffer);
        CHECK(ranged.error() == condition::absent);
        const auto info = co_await c.head(bucket, "absent");
        CHECK(info.error() == condition::absent);
    }
    const auto page = co_await c.list("no-such-bucket", "");
    CHECK(page.error() == condition::absent);
    CHECK(page.error().detail().find("404 NoSuchBucket") != std::string::npos);
    const status stored = co_await c.put("no-such-bucket", "k", {});
    CHECK(stored == condition::absent);
    const status removed = co_await c.remove("no-such-bucket", "k");
    CHECK(removed == condition::absent);

    const std::string existing = env("RGW_BUCKET");
    const std::string long_key(1025, 'k');
    const status too_long = co_await c.put(existing, long_key, {});
    CHECK_FALSE(too_long.ok());
    CHECK_MESSAGE(too_long.detail().find("400 ") != std::string::npos, too_long.message());
}

TEST_CASE("rgw: unknown buckets, unknown objects, impossible names")
{
    over_every_transport(nothing_there);
}

asio::awaitable<void> head_fails(client& c, status& outcome)
{
    const auto info = co_await c.head("interop", "k");
    outcome = info.error();
}

TEST_CASE("rgw: a certificate that nobody vouches for, one for another name, and none at all")
{
    asio::io_context io;
    status outcome;
    client unknown_authority(io.get_executor(), *endpoint::parse(env("RGW_TLS_URL")),
                             *credentials::from_env());
    CHECK(testing::run_coroutine(io, head_fails(unknown_authority, outcome)));
    CHECK_MESSAGE(outcome == errc::tls_failed, outcome.message());

    endpoint elsewhere = *endpoint::parse(env("RGW_TLS_URL"));
    elsewhere.host = "another.localhost";
    client wrong_name(io.get_executor(), elsewhere, *credentials::from_env(), trusting());
    CHECK(testing::run_coroutine(io, head_fails(wrong_name, outcome)));
    CHECK_MESSAGE(outcome == errc::tls_failed, outcome.message());
    CHECK_MESSAGE(outcome.detail().find("another.localhost") != std::string::npos, outcome.message());

    endpoint plain = elsewhere;
    plain.port = endpoint::parse(env("RGW_URL"))->port;
    client no_tls(io.get_executor(), plain, *credentials::from_env(), trusting());
    CHECK(testing::run_coroutine(io, head_fails(no_tls, outcome)));
    CHECK_MESSAGE(outcome == condition::unavailable, outcome.message());
}

struct storm {
    std::size_t next = 0;
    std::size_t stored = 0;
    std::size_t throttled = 0;
    std::size_t over = 0;
    std::string other; ///< what else happened
};

asio::awaitable<void> put_into_storm(client& c, const std::vector<std::byte>& data, std::size_t count,
                                     storm& s)
{
    const std::string bucket = env("RGW_BUCKET");
    const const_byte_span whole(data);
    while (s.next < count) {
        const std::string key = "storm/" + std::to_string(s.next++);
        const status done = co_await c.put(bucket, key, std::span(&whole, 1));
        if (done.ok())
            ++s.stored;
        else if (done == errc::throttled)
            ++s.throttled;
        else
            s.other = done.message();
    }
    ++s.over;
}

asio::awaitable<void> count_listed(client& c, std::string prefix, std::size_t& count)
{
    const std::string bucket = env("RGW_BUCKET");
    const std::vector<std::string> keys = co_await list_all(c, bucket, prefix, 1000);
    count = keys.size();
}

// Of a gateway that was told to carry out no more than four requests at a time, see CMakeLists.txt.
TEST_CASE("throttled rgw: more requests than it likes end well or with that reason" * doctest::skip())
{
    constexpr std::size_t count = 300, callers = 48;
    asio::io_context io;
    client c(io.get_executor(), *endpoint::parse(env("RGW_URL")), *credentials::from_env());
    const std::vector<std::byte> data = pattern(300000);
    storm s;
    for (std::size_t i = 0; i < callers; ++i)
        asio::co_spawn(io, put_into_storm(c, data, count, s), asio::detached);
    REQUIRE(testing::run_until(
        io, [&] { return s.over == callers; }, std::chrono::minutes(2)));
    MESSAGE(s.stored << " stored, " << s.throttled << " refused");
    CHECK_MESSAGE(s.other.empty(), s.other);
    CHECK(s.stored > 0);
    CHECK(s.stored + s.throttled == count);
    std::size_t listed = 0;
    REQUIRE(testing::run_coroutine(io, count_listed(c, "storm/", listed)));
    CHECK(listed == s.stored); // a refusal means that nothing was stored
}

} // namespace client_rgw_test
