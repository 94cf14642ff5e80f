// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/large_object.hpp>

#include <unit/s3/large_object_fixture.hpp>
#include <unit/s3/scripted_peer.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>

// Reads and writes in parts, side by side.
namespace large_object_test {

using namespace std::chrono_literals;
using peer_test::page;
using peer_test::part;
using peer_test::scripted_peer;

/** Which part a request uploads; 0: none. */
unsigned part_number(const s3_request& r)
{
    const auto at = r.query.find("partNumber=");
    return r.method == "PUT" && at != r.query.npos
               ? static_cast<unsigned>(std::stoul(r.query.substr(at + 11)))
               : 0;
}

bool completes(const s3_request& r)
{
    return r.method == "POST" && has(r.query, "uploadId=");
}

/** A server's thread waits at it until the test opens it. */
class gate {
public:
    explicit gate(asio::io_context& io) : io_(io) {}
    ~gate() { open(); }
    void open()
    {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    void wait()
    {
        reached = true;
        asio::post(io_, [] {});
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return open_; });
    }
    std::atomic<bool> reached = false;

private:
    asio::io_context& io_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
};

TEST_CASE("get_parallel: any range in parts of any size, each with one request")
{
    world w;
    const auto data = pattern(1000);
    REQUIRE(w.server.put("bucket", "k", data).ok());
    const std::vector<byte_range> ranges{{0, 1},    {999, 1},   {0, 100},  {0, 101}, {0, 300},
                                         {37, 250}, {500, 500}, {0, 1000}, {901, 99}};
    for (const byte_range& range : ranges)
        for (const std::size_t part_bytes : {100, 1000, 1 << 30})
            for (const unsigned parallel : {0, 1, 4, 64}) {
                CAPTURE(range.offset);
                CAPTURE(range.size);
                CAPTURE(part_bytes);
                CAPTURE(parallel);
                w.server.clear_log();
                std::vector<std::byte> into(range.size + 2, std::byte{0x5a});
                const byte_span destination = byte_span(into).subspan(1, range.size);
                std::size_t told = 0;
                const parallel_options how{.part_bytes = part_bytes,
                                           .parallel = parallel,
                                           .until = {},
                                           .progress = [&](std::size_t bytes) { told += bytes; }};
                const auto got = w.run(get_parallel(w.store, "bucket", "k", range, destination, how));
                REQUIRE_MESSAGE(got.ok(), got.error().message());
                CHECK(told == range.size);
                CHECK(got->size == 1000);
                CHECK(got->etag == '"' + w.server.objects()[0].etag + '"');
                CHECK(std::equal(destination.begin(), destination.end(),
                                 data.begin() + static_cast<std::ptrdiff_t>(range.offset)));
                CHECK(into.front() == std::byte{0x5a});
                CHECK(into.back() == std::byte{0x5a});
                CHECK(w.server.log().size() == (range.size + part_bytes - 1) / part_bytes);
            }
}

TEST_CASE("get_parallel: as many requests at once as were asked for")
{
    const auto data = pattern(1000);
    for (const unsigned parallel : {1, 4}) {
        world w;
        REQUIRE(w.server.put("bucket", "k", data).ok());
        std::vector<std::byte> into(1000);
        const auto got = w.run(
            get_parallel(w.store, "bucket", "k", {0, 1000}, into, {.part_bytes = 100, .parallel = parallel}));
        CHECK(got);
        CHECK(w.server.stats().connections == parallel);
    }
}

TEST_CASE("get_parallel: what cannot be asked is not asked")
{
    world w;
    std::vector<std::byte> into(10);
    const auto get = [&](std::string key, byte_range range, std::size_t size, std::size_t part_bytes) {
        return w.run(get_parallel(w.store, "bucket", std::move(key), range, byte_span(into).first(size),
                                  {.part_bytes = part_bytes}));
    };
    CHECK(get("k", {0, 0}, 0, 10).error() == condition::invalid);
    CHECK(get("k", {0, 9}, 10, 10).error() == condition::invalid);
    CHECK(get("k", {0, 10}, 10, 0).error() == condition::invalid);
    CHECK(get("k", {~std::uint64_t(0) - 4, 10}, 10, 5).error() == condition::invalid);
    CHECK(get("", {0, 10}, 10, 5).error() == condition::invalid);
    CHECK(w.server.stats().requests == 0);
    CHECK(get("k", {0, 10}, 10, 5).error() == condition::absent);
}

TEST_CASE("get_parallel: an object that ends before the range does")
{
    world w;
    REQUIRE(w.server.put("bucket", "k", pattern(250)).ok());
    for (const std::uint64_t size : {251, 300, 1000}) // within a part, and parts that begin beyond the end
        for (const unsigned parallel : {1, 4}) {
            CAPTURE(size);
            CAPTURE(parallel);
            std::vector<std::byte> into(size);
            const auto got = w.run(get_parallel(w.store, "bucket", "k", {0, size}, into,
                                                {.part_bytes = 100, .parallel = parallel}));
            CHECK(got.code() == errc::length_mismatch);
        }
}

TEST_CASE("get_parallel: a whole object is of the size that was said, or none")
{
    world w;
    const auto data = pattern(250);
    REQUIRE(w.server.put("bucket", "k", data).ok());
    REQUIRE(w.server.put("bucket", "nothing", {}).ok());
    const auto get = [&](std::string key, byte_span into, std::size_t part_bytes) {
        return w.run(get_parallel(w.store, "bucket", std::move(key), into, {.part_bytes = part_bytes}));
    };
    for (const std::size_t part_bytes : {100, 250, 1000}) {
        CAPTURE(part_bytes);
        std::vector<std::byte> into(250);
        const auto got = get("k", into, part_bytes);
        REQUIRE_MESSAGE(got.ok(), got.error().message());
        CHECK(got->size == 250);
        CHECK(into == data);
        const auto nothing = get("nothing", {}, part_bytes);
        REQUIRE_MESSAGE(nothing.ok(), nothing.error().message());
        CHECK(nothing->size == 0);
        for (const std::size_t size : {0, 1, 100, 249, 251, 300, 1000}) {
            CAPTURE(size);
            std::vector<std::byte> other(size);
            CHECK(get("k", other, part_bytes).code() == errc::length_mismatch);
        }
        CHECK(get("absent", {}, part_bytes).error() == condition::absent);
        CHECK(get("absent", into, part_bytes).error() == condition::absent);
    }
    std::vector<std::byte> shorter(249);
    CHECK(has(get("k", shorter, 100).error().detail(), "GET of k: it has 250 bytes, not 249"));
}

TEST_CASE("get_parallel: an object that is replaced while it is read is never a mixture")
{
    SUBCASE("between two parts")
    {
        world w;
        gate second(w.io);
        REQUIRE(w.server.put("bucket", "k", pattern(300, 1)).ok());
        w.respond([&](const s3_request& r) {
            if (r.range == "bytes=100-199")
                second.wait();
            return s3_fault();
        });
        std::vector<std::byte> into(300);
        std::optional<result<object_info>> got;
        w.start(get_parallel(w.store, "bucket", "k", {0, 300}, into, {.part_bytes = 100, .parallel = 1}),
                got);
        REQUIRE(w.run_until([&] { return second.reached.load(); }));
        REQUIRE(w.server.put("bucket", "k", pattern(300, 2)).ok());
        second.open();
        REQUIRE(w.run_until([&] { return got.has_value(); }));
        CHECK(got->code() == errc::checksum_mismatch);
        CHECK(has(got->error().detail(), "replaced while it was read"));
    }
    const auto read_two = [](const std::string& first, const std::string& second) {
        asio::io_context io;
        scripted_peer peer(io, {{{first}, {second}}});
        client c(io.get_executor(), *endpoint::parse(peer.url()), credentials::anonymous(),
                 support::one_try());
        std::vector<std::byte> into(20);
        std::optional<result<object_info>> got;
        const auto body = [&]() -> asio::awaitable<void> {
            const parallel_options how{.part_bytes = 10, .parallel = 1};
            got = co_await get_parallel(c, "b", "k", {0, 20}, into, how);
        };
        REQUIRE(testing::run_coroutine(io, body()));
        return std::move(*got);
    };
    const std::string half = "0123456789";
    const auto anonymous = [&](const char* range) {
        return page("206 Partial Content\r\nContent-Range: bytes " + std::string(range) + "/20", half);
    };
    SUBCASE("the same ETag and size")
    {
        CHECK(read_two(part(0, half, "20"), part(10, half, "20")));
    }
    SUBCASE("another size")
    {
        CHECK(read_two(part(0, half, "20"), part(10, half, "21")).code() == errc::checksum_mismatch);
    }
    SUBCASE("a store that does not say of which object a part is")
    {
        CHECK(read_two(anonymous("0-9"), anonymous("10-19")).code() == errc::malformed_response);
        CHECK(read_two(part(0, half, "20"), anonymous("10-19")).code() == errc::malformed_response);
    }
}

TEST_CASE("get_parallel: the first part that fails for good ends the others, and is what is told")
{
    world w;
    REQUIRE(w.server.put("bucket", "k", pattern(1000)).ok());
    w.respond([](const s3_request& r) {
        return r.range == "bytes=300-399" ? s3_fault::error(403, "AccessDenied")
                                          : s3_fault::stall(s3_fault::point::response_body, 50);
    });
    std::vector<std::byte> into(1000);
    const auto got =
        w.run(get_parallel(w.store, "bucket", "k", {0, 1000}, into, {.part_bytes = 100, .parallel = 4}));
    CHECK(got.error() == condition::denied);
    CHECK(has(got.error().detail(), "403 AccessDenied"));
    CHECK(w.store.counters().operations == 4); // the six others were never begun
}

TEST_CASE("get_parallel: a deadline holds for all parts together, a cancellation for all at once")
{
    world w;
    REQUIRE(w.server.put("bucket", "k", pattern(1000)).ok());
    std::atomic<int> silent = 0;
    w.respond([&](const s3_request&) {
        ++silent;
        return s3_fault::stall(s3_fault::point::response_head);
    });
    std::vector<std::byte> into(1000);
    std::optional<result<object_info>> got;
    w.start(get_parallel(w.store, "bucket", "k", {0, 1000}, into,
                         {.part_bytes = 100, .parallel = 4, .until = deadline(w.time.now() + 3s)}),
            got);
    REQUIRE(w.run_until([&] { return silent == 4; }));
    CHECK_FALSE(got);
    SUBCASE("the deadline passes")
    {
        w.time.advance(3s);
        REQUIRE(w.run_until([&] { return got.has_value(); }));
        CHECK(got->error() == condition::timeout);
    }
    SUBCASE("it is cancelled")
    {
        w.cancel.emit(asio::cancellation_type::terminal);
        REQUIRE(w.run_until([&] { return got.has_value(); }));
        CHECK(got->error() == condition::cancelled);
    }
    CHECK(silent == 4);
    CHECK(w.time.pending() == 0);
    CHECK(w.store.connections().in_use() == 0);
}

TEST_CASE("put_parallel: one request up to the size of a part, an upload above")
{
    for (const checksum kind : {checksum::none, checksum::crc32c, checksum::crc64nvme, checksum::sha256}) {
        client_options options = support::one_try();
        options.upload_checksum = kind;
        world w({.least_part_bytes = 1}, options);
        for (const std::size_t size : {0, 1, 99, 100, 101, 200, 201, 1000})
            for (const unsigned parallel : {1, 4}) {
                CAPTURE(checksum_name(kind));
                CAPTURE(size);
                CAPTURE(parallel);
                const auto data = pattern(size);
                w.server.clear_log();
                std::size_t told = 0;
                const auto stored = w.put("k", data,
                                          {.part_bytes = 100,
                                           .parallel = parallel,
                                           .until = {},
                                           .progress = [&](std::size_t bytes) { told += bytes; }});
                REQUIRE_MESSAGE(stored.ok(), stored.error().message());
                CHECK(told == size);
                CHECK(*w.server.read("bucket", "k") == data);
                CHECK(stored->etag == '"' + w.server.objects()[0].etag + '"');
                CHECK(stored->checksum.empty() == (kind == checksum::none));
                CHECK(w.server.log().size() == (size <= 100 ? 1 : (size + 99) / 100 + 2));
                CHECK(w.server.pending_uploads() == 0);
            }
    }
}

TEST_CASE("put_parallel: spans that do not end where parts do")
{
    world w;
    const auto data = pattern(1000);
    const const_byte_span all(data);
    const std::vector<const_byte_span> spans{{},
                                             all.first(1),
                                             all.subspan(1, 98),
                                             {},
                                             all.subspan(99, 1),
                                             all.subspan(100, 350),
                                             all.subspan(450, 549),
                                             all.last(1),
                                             {}};
    for (const std::size_t part_bytes : {1, 7, 100, 333, 999, 1000}) {
        CAPTURE(part_bytes);
        const auto stored =
            w.run(put_parallel(w.store, "bucket", "k", spans, {.part_bytes = part_bytes, .parallel = 4}));
        REQUIRE_MESSAGE(stored.ok(), stored.error().message());
        CHECK(*w.server.read("bucket", "k") == data);
        REQUIRE(w.server.erase("bucket", "k").ok());
    }
}

TEST_CASE("put_parallel: what cannot be sent is not sent")
{
    world w;
    const auto data = pattern(10'001);
    CHECK(w.put("k", data, {.part_bytes = 1}).error() == condition::invalid);
    CHECK(w.put("k", data, {.part_bytes = 0}).error() == condition::invalid);
    CHECK(w.put("", data, {.part_bytes = 5000}).error() == condition::invalid); // would be about the bucket
    CHECK(w.put("", data, {.part_bytes = 50'000}).error() == condition::invalid);
    CHECK(w.server.stats().requests == 0);
}

TEST_CASE("put_parallel: a store that wants larger parts refuses the object, and keeps nothing")
{
    world w{testing::s3_server_options()};
    const auto data = pattern((5 << 20) + 1);
    const auto refused = w.put("k", data, {.part_bytes = 1 << 20});
    CHECK_FALSE(refused);
    CHECK(has(refused.error().detail(), "EntityTooSmall"));
    CHECK(w.server.pending_uploads() == 0);
    CHECK(w.server.objects().empty());
    CHECK(w.put("k", data, {.part_bytes = 5 << 20}));
    CHECK(*w.server.read("bucket", "k") == data);
}

TEST_CASE("put_parallel: an upload that fails at any of its requests is aborted, and the reason told")
{
    const auto data = pattern(1000);
    world w;
    std::function<bool(const s3_request&)> fails;
    w.respond([&](const s3_request& r) {
        if (fails(r))
            return s3_fault::error(403, "AccessDenied");
        return part_number(r) > 2 ? s3_fault::stall(s3_fault::point::request_body, 10) : s3_fault();
    });
    SUBCASE("the begin")
    {
        fails = [](const s3_request& r) { return r.method == "POST"; };
    }
    SUBCASE("a part, while others are under way")
    {
        fails = [](const s3_request& r) { return part_number(r) == 2; };
    }
    const auto failed = w.put("k", data, {.part_bytes = 100, .parallel = 4});
    CHECK(failed.error() == condition::denied);
    CHECK(has(failed.error().detail(), "403 AccessDenied"));
    CHECK(w.server.pending_uploads() == 0);
    CHECK(w.server.objects().empty());
}

TEST_CASE("put_parallel: the reason is that of the upload, not that of its abort")
{
    const auto data = pattern(200);
    world w;
    w.respond([](const s3_request& r) {
        return completes(r)           ? s3_fault::error(500, "InternalError")
               : r.method == "DELETE" ? s3_fault::error(403, "AccessDenied")
                                      : s3_fault();
    });
    const auto failed = w.put("k", data, {.part_bytes = 100});
    CHECK(failed.error() == condition::unavailable);
    CHECK(w.server.pending_uploads() == 1);
}

TEST_CASE("put_parallel: cancelled in the middle it is aborted too, whoever awaits it")
{
    const auto data = pattern(1000);
    const const_byte_span whole(data);
    for (const bool throws : {false, true}) {
        CAPTURE(throws);
        struct caller {
            std::optional<result<stored_result>> got;
            bool knows_of_it = false, over = false, threw = false;

            static asio::awaitable<void> run(caller& self, client c, std::span<const const_byte_span> data,
                                             bool throws_)
            {
                co_await asio::this_coro::throw_if_cancelled(throws_);
                const parallel_options how{.part_bytes = 100, .parallel = 4};
                self.got = co_await put_parallel(c, "bucket", "k", data, how);
                const auto state = co_await asio::this_coro::cancellation_state;
                self.knows_of_it = state.cancelled() != asio::cancellation_type::none;
            }
        };
        world w;
        std::atomic<int> silent = 0;
        w.respond([&](const s3_request& r) {
            if (part_number(r) < 2)
                return s3_fault();
            ++silent;
            return s3_fault::stall(s3_fault::point::response_head);
        });
        caller it;
        asio::co_spawn(w.io, caller::run(it, w.store, std::span(&whole, 1), throws),
                       asio::bind_cancellation_slot(w.cancel.slot(), [&](std::exception_ptr failure) {
                           it.over = true;
                           it.threw = failure != nullptr;
                       }));
        REQUIRE(w.run_until([&] { return silent == 4; }));
        w.cancel.emit(asio::cancellation_type::terminal);
        REQUIRE(w.run_until([&] { return it.over; }));
        CHECK_FALSE(it.threw);
        REQUIRE(it.got);
        CHECK(it.got->error() == condition::cancelled);
        CHECK(it.knows_of_it); // a caller's loop has to end
        CHECK(w.server.pending_uploads() == 0);
        CHECK(w.store.connections().in_use() == 0);
    }
}

TEST_CASE("put_parallel: an abort that nobody answers is left after five seconds")
{
    const auto data = pattern(200);
    const const_byte_span whole(data);
    world w;
    std::atomic<bool> aborting = false;
    w.respond([&](const s3_request& r) {
        if (r.method == "DELETE") {
            aborting = true;
            return s3_fault::stall(s3_fault::point::request_head);
        }
        return part_number(r) == 2 ? s3_fault::error(403, "AccessDenied") : s3_fault();
    });
    std::optional<result<stored_result>> got;
    w.start(put_parallel(w.store, "bucket", "k", std::span(&whole, 1), {.part_bytes = 100}), got);
    REQUIRE(w.run_until([&] { return aborting.load(); }));
    w.cancel.emit(asio::cancellation_type::terminal); // which does not shorten it
    w.time.advance(5s - 1ms);
    w.io.restart();
    w.io.poll();
    CHECK_FALSE(got);
    w.time.advance(1ms);
    REQUIRE(w.run_until([&] { return got.has_value(); }));
    CHECK(got->error() == condition::denied);
    CHECK(w.store.connections().in_use() == 0);
}

TEST_CASE("put_parallel: a 200 that turns out an error is one, and the try after it may succeed")
{
    const std::string begun = page(
        "200 OK", "<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>");
    const std::string sent = page("200 OK\r\nETag: \"e\"");
    const std::string failed =
        page("200 OK",
             "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>later</Message></Error>");
    // S3 sends white space while it works.
    const std::string done =
        page("200 OK", "  \n <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUpload"
                       "Result><ETag>&quot;whole-2&quot;</ETag></CompleteMultipartUploadResult>");
    const std::string gone = page("204 No Content");
    const auto data = pattern(20);
    const const_byte_span whole(data);
    asio::io_context io;
    const auto put = [&](scripted_peer& peer, client_options options) {
        client c(io.get_executor(), *endpoint::parse(peer.url()), credentials::anonymous(), options);
        std::optional<result<stored_result>> got;
        const auto body = [&]() -> asio::awaitable<void> {
            const parallel_options how{.part_bytes = 10, .parallel = 1};
            got = co_await put_parallel(c, "b", "k", std::span(&whole, 1), how);
        };
        REQUIRE(testing::run_coroutine(io, body()));
        return std::move(*got);
    };
    SUBCASE("failed, and aborted")
    {
        scripted_peer peer(io, {{{begun}, {sent}, {sent}, {failed}, {gone}}});
        const auto got = put(peer, support::one_try());
        CHECK(got.code() == errc::server_error);
        CHECK(has(got.error().detail(), "InternalError: later"));
        REQUIRE(peer.requests.size() == 5);
        CHECK(peer.requests[4].starts_with("DELETE /b/k?uploadId=7 "));
    }
    SUBCASE("tried again")
    {
        scripted_peer peer(io, {{{begun}, {sent}, {sent}, {failed}, {done}}});
        client_options options;
        options.retry.base_delay = 1ms;
        const auto got = put(peer, options);
        REQUIRE_MESSAGE(got.ok(), got.error().message());
        CHECK(got->etag == "\"whole-2\"");
        CHECK(peer.requests.size() == 5);
    }
    SUBCASE("an answer that says nothing")
    {
        scripted_peer peer(io, {{{begun}, {sent}, {sent}, {page("200 OK")}, {gone}}});
        CHECK(put(peer, support::one_try()).code() == errc::malformed_response);
        CHECK(peer.requests.back().starts_with("DELETE"));
    }
    SUBCASE("an upload without an id, and a part without an ETag")
    {
        const std::string nameless =
            page("200 OK", "<InitiateMultipartUploadResult></InitiateMultipartUploadResult>");
        scripted_peer peer(io, {{{nameless}}});
        CHECK(put(peer, support::one_try()).code() == errc::malformed_response);
        scripted_peer other(io, {{{begun}, {page("200 OK")}, {gone}}});
        CHECK(put(other, support::one_try()).code() == errc::malformed_response);
        CHECK(other.requests.back().starts_with("DELETE"));
    }
}

TEST_CASE("put_parallel: an answer that was lost is not a lost object")
{
    client_options options;
    options.retry.base_delay = 0ms; // time stands still
    world w({.least_part_bytes = 1}, options);
    const auto data = pattern(250);
    std::atomic<int> lost = 0;
    const auto put_with = [&](auto loses) {
        w.respond([&lost, loses](const s3_request& r) {
            return loses(r) && lost++ == 0 ? s3_fault::drop(s3_fault::point::response_head) : s3_fault();
        });
        auto got = w.put("k", data, {.part_bytes = 100});
        CHECK(lost > 0);
        return got;
    };
    SUBCASE("of a part")
    {
        CHECK(put_with([](const s3_request& r) { return part_number(r) == 2; }));
    }
    SUBCASE("of the completion")
    {
        const auto stored = put_with(completes);
        REQUIRE_MESSAGE(stored.ok(), stored.error().message());
        CHECK(stored->etag == '"' + w.server.objects()[0].etag + '"');
    }
    CHECK(*w.server.read("bucket", "k") == data);
    CHECK(w.server.pending_uploads() == 0);
}

} // namespace large_object_test
