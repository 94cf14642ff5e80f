// SPDX-License-Identifier: BSL-1.0
#include <objectcache/testing/s3_server.hpp>

#include "s3_wire.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <thread>

// What a test does to the server: faults, shaping, damage; and what it sees.
namespace s3_server_faults_test {

using namespace s3_wire;
using point = s3_fault::point;
using testing::s3_request;

TEST_CASE("a dropped or reset connection ends exactly where it was told to")
{
    s3_server server = server_with_bucket();
    const std::string body = distinct_text(300'000);
    for (const bool reset : {false, true}) {
        const auto fault = [&](point where, std::uint64_t after = 0) {
            server.set_responder([=](const s3_request&) {
                return reset ? s3_fault::reset(where, after) : s3_fault::drop(where, after);
            });
        };
        const auto stored = [&] { return server.read("kv-test", "k").ok(); };
        const auto put = [&] {
            (void)server.erase("kv-test", "k");
            connection c(server);
            c.send(serialize(put_of("/kv-test/k", body))); // may fail: the server does not read on
            const answer a = c.read();
            CHECK(a.status == 0);
            CHECK(c.error != EAGAIN);
        };
        CAPTURE(reset);
        fault(point::request_head);
        put();
        CHECK_FALSE(stored());
        for (const std::uint64_t after : {0, 1, 100'000, 300'000}) {
            fault(point::request_body, after);
            server.clear_log();
            put();
            CHECK_FALSE(stored());
            REQUIRE(server.log().size() == 1);
            CHECK(server.log()[0].status == 0);
            CHECK(server.log()[0].bytes_in == after);
        }
        fault(point::response_head);
        put();
        CHECK(stored());

        for (const std::uint64_t after : {0, 1, 150'000, 299'999}) {
            fault(point::response_body, after);
            connection c(server);
            const answer a = c.exchange(get_of("/kv-test/k"));
            if (!reset) { // a reset may overtake what was sent
                CHECK(a.status == 200);
                CHECK(a.header("Content-Length") == "300000");
                CHECK((a.body == body.substr(0, after)));
            }
            CHECK_FALSE(a.whole);
            CHECK(c.error == (reset ? ECONNRESET : 0));
            CHECK(c.ended());
        }
    }
    server.set_responder(nullptr);
    CHECK((once(server, get_of("/kv-test/k")).body == body));
}

TEST_CASE("a stalled connection stays open and silent until the server stops")
{
    for (const point where :
         {point::request_head, point::request_body, point::response_head, point::response_body}) {
        std::optional<s3_server> server(server_with_bucket());
        REQUIRE(server->put("kv-test", "k", bytes_of("0123456789")).ok());
        server->set_responder(
            [&](const s3_request& r) { return r.number == 1 ? s3_fault::stall(where, 4) : s3_fault(); });
        connection stalled(*server);
        stalled.send(
            serialize(where == point::request_body ? put_of("/kv-test/k2", "123456") : get_of("/kv-test/k")));
        if (where == point::response_body)
            while (!stalled.buffered.ends_with("\r\n\r\n0123"))
                REQUIRE(stalled.receive());
        while (server->log().empty()) // it logs as it stalls
            std::this_thread::yield();
        CHECK(once(*server, get_of("/kv-test/k")).body == "0123456789"); // others are served
        stalled.buffered.clear();
        server.reset();
        CHECK(stalled.ended());
    }
}

TEST_CASE("a scripted error is S3's, carries nothing out, and keeps the connection")
{
    s3_server server = server_with_bucket();
    server.set_responder([](const s3_request& r) {
        return r.number % 2 == 1 ? s3_fault::error(503, "SlowDown") : s3_fault();
    });
    connection c(server);
    for (int i = 0; i != 3; ++i) {
        const answer slow = c.exchange(put_of("/kv-test/k" + std::to_string(i), std::string(200'000, 'x')));
        CHECK(slow.status == 503);
        CHECK(slow.code() == "SlowDown");
        CHECK(c.exchange(get_of("/kv-test/k" + std::to_string(i))).status == 404);
    }
    server.set_responder([](const s3_request&) { return s3_fault::error(200, "InternalError"); });
    const answer lie = c.exchange(get_of("/kv-test"));
    CHECK(lie.status == 200);
    CHECK(lie.code() == "InternalError");
    CHECK(server.stats().connections == 1);
    CHECK(server.stats().errors_5xx == 3);
}

TEST_CASE("a wrong length is announced and the true body sent")
{
    s3_server server = server_with_bucket();
    REQUIRE(server.put("kv-test", "k", bytes_of("0123456789")).ok());
    server.set_responder(
        [](const s3_request& r) { return s3_fault::wrong_length(r.range == "bytes=0-4" ? 3 : -3); });
    connection longer(server);
    const answer a = longer.exchange(get_of("/kv-test/k", "bytes=0-4"));
    CHECK(a.header("Content-Length") == "8");
    CHECK(a.body == "01234");
    CHECK(longer.ended());
    connection shorter(server);
    const answer b = shorter.exchange(get_of("/kv-test/k"));
    CHECK(b.header("Content-Length") == "7");
    CHECK(b.body == "0123456");
    while (shorter.receive()) {
    }
    CHECK(shorter.buffered == "789");
}

TEST_CASE("the responder sees the request as sent")
{
    s3_server server = server_with_bucket();
    std::vector<s3_request> seen;
    server.set_responder([&](const s3_request& r) {
        seen.push_back(r);
        return s3_fault();
    });
    connection c(server);
    c.exchange(get_of("/kv-test/a b", "bytes=1-2"));
    ask list = get_of("/kv-test");
    list.query = {{"list-type", "2"}, {"prefix", "a/"}};
    c.exchange(list);
    once(server, put_of("/kv-test/k", "v"));
    server.set_responder(nullptr);
    REQUIRE(seen.size() == 3);
    CHECK(seen[0].number == 1);
    CHECK(seen[0].method == "GET");
    CHECK(seen[0].bucket == "kv-test");
    CHECK(seen[0].key == "a b");
    CHECK(seen[0].range == "bytes=1-2");
    CHECK(seen[1].key.empty());
    CHECK(seen[1].query == "list-type=2&prefix=a%2F");
    CHECK(seen[1].connection == seen[0].connection);
    CHECK(seen[2].connection != seen[0].connection);
}

TEST_CASE("the log is bounded, in order, and knows what happened")
{
    s3_server_options options;
    options.log_entries = 3;
    std::atomic<int> told = 0;
    options.on_request = [&](const testing::s3_log_entry&) { ++told; };
    s3_server server = server_with_bucket(options);
    connection c(server);
    for (int i = 0; i != 4; ++i)
        c.exchange(put_of("/kv-test/k" + std::to_string(i), "12345"));
    c.exchange(get_of("/kv-test/k0", "bytes=1-3"));
    const auto log = server.log();
    REQUIRE(log.size() == 3);
    CHECK(log[0].request.key == "k2");
    CHECK(log[0].bytes_in == 5);
    CHECK(log[2].request.number == 5);
    CHECK(log[2].status == 206);
    CHECK(log[2].bytes_out == 3);
    CHECK(told == 5);
    server.clear_log();
    CHECK(server.log().empty());
    CHECK(server.stats().requests == 5);
}

TEST_CASE("latency: requests wait beside one another")
{
    std::optional<s3_server> server(server_with_bucket());
    std::mutex lock;
    std::condition_variable changed;
    int begun = 0;
    server->set_latency(1h);
    server->set_responder([&](const s3_request&) {
        const std::lock_guard hold(lock);
        ++begun;
        changed.notify_one();
        return s3_fault();
    });
    connection one(*server), two(*server), three(*server);
    for (connection* c : {&one, &two, &three})
        c->send(serialize(get_of("/kv-test/k")));
    {
        std::unique_lock hold(lock);
        CHECK(changed.wait_for(hold, 10s, [&] { return begun == 3; }));
    }
    CHECK(server->stats().requests == 0); // none is answered, all have begun
    server.reset();                       // does not wait for an hour
    CHECK(one.ended());
}

TEST_CASE("latency and link take at least the time they say, and both directions share their link")
{
    s3_server_options options;
    options.threads = 2;
    SUBCASE("of threads that sleep") {}
    SUBCASE("of threads that look for work")
    {
        options.poll = true;
    }
    s3_server server = server_with_bucket(options);
    const std::string body = distinct_text(200'000);
    REQUIRE(server.put("kv-test", "k", bytes_of(body)).ok());
    const auto fetch = [&] { return once(server, get_of("/kv-test/k")).body == body; };
    const auto timed = [](auto&& work) {
        const auto begin = std::chrono::steady_clock::now();
        work();
        return std::chrono::steady_clock::now() - begin;
    };
    server.set_latency(20ms);
    bool good = false;
    const auto one = timed([&] { good = fetch(); });
    CHECK(good);
    CHECK(one >= 20ms);
    server.set_latency(0ms);
    server.set_bandwidth(4'000'000, 2'000'000);
    unsigned stored = 0;
    const auto put = timed([&] { stored = once(server, put_of("/kv-test/k2", body)).status; });
    CHECK(stored == 200);
    CHECK(put >= 99ms);
    bool other_good = false;
    const auto both = timed([&] {
        std::thread other([&] { other_good = fetch(); });
        good = fetch();
        other.join();
    });
    CHECK(good);
    CHECK(other_good);
    CHECK(both >= 99ms);
    // A slow link can be made fast while it is in use.
    server.set_bandwidth(100'000, 0);
    connection slow(server);
    slow.send(serialize(get_of("/kv-test/k")));
    while (slow.buffered.find("\r\n\r\n") == std::string::npos)
        REQUIRE(slow.receive());
    server.set_bandwidth(0, 0);
    CHECK((slow.read().body == body));
    server.set_bandwidth(1'000'000, 0, 200'000);
    CHECK(fetch()); // a burst
}

TEST_CASE("damage to stored bytes is not visible in the ETag, and does not reach an answer that has begun")
{
    const scratch_directory scratch;
    for (const bool disk : {false, true}) {
        s3_server_options options;
        if (disk)
            options.directory = scratch.path;
        s3_server server = server_with_bucket(options);
        REQUIRE(server.put("kv-test", "k", bytes_of("0123456789")).ok());
        const std::string etag = once(server, get_of("/kv-test/k")).header("ETag");
        CHECK(server.corrupt("kv-test", "k", 3).ok());
        const answer damaged = once(server, get_of("/kv-test/k"));
        CHECK(damaged.body == std::string("012") + static_cast<char>('3' ^ 0xff) + "456789");
        CHECK(damaged.header("ETag") == etag);
        CHECK(server.corrupt("kv-test", "k", 3).ok());
        CHECK(once(server, get_of("/kv-test/k")).body == "0123456789");
        CHECK(server.truncate("kv-test", "k", 4).ok());
        CHECK(once(server, get_of("/kv-test/k")).body == "0123");
        CHECK(once(server, with_method("HEAD", "/kv-test/k")).header("ETag") == etag);
        CHECK(server.corrupt("kv-test", "k", 4) == condition::invalid);
        CHECK(server.truncate("kv-test", "k", 5) == condition::invalid);
        CHECK(server.corrupt("kv-test", "absent", 0) == condition::absent);
        CHECK(server.erase("kv-test", "k").ok());
        CHECK(server.erase("kv-test", "k") == condition::absent);
        CHECK(server.put("absent", "k", {}) == condition::absent);
        CHECK(server.put("kv-test", "", {}) == condition::invalid);

        // At a pace that leaves time to change the object under the answer.
        const std::string body = distinct_text(150'000);
        REQUIRE(server.put("kv-test", "k", bytes_of(body)).ok());
        server.set_bandwidth(1'000'000, 0);
        connection c(server);
        c.send(serialize(get_of("/kv-test/k")));
        REQUIRE(c.receive());
        CHECK(server.corrupt("kv-test", "k", 149'999).ok());
        CHECK(server.put("kv-test", "k", bytes_of("new")).ok());
        CHECK((c.read().body == body));
    }
}

TEST_CASE("idle connections are closed on request, busy ones stay")
{
    s3_server_options options;
    options.threads = 2;
    s3_server server = server_with_bucket(options);
    connection idle(server), other(server), busy(server);
    CHECK(idle.exchange(put_of("/kv-test/k", "v")).status == 200);
    CHECK(other.exchange(get_of("/kv-test/k")).status == 200);
    ask a = put_of("/kv-test/k", "body");
    a.headers.emplace_back("Expect", "100-continue");
    const std::string sent = serialize(a);
    busy.send(std::string_view(sent).substr(0, sent.size() - 4));
    CHECK(busy.read().status == 100);
    server.close_idle_connections();
    CHECK(idle.ended());
    CHECK(other.ended());
    busy.send("body");
    CHECK(busy.read().status == 200);
}

// For the sanitizers above all: every entry point at once, then the end in the middle of it.
TEST_CASE("many connections, several threads, a test that meddles, and a stop under load")
{
    s3_server_options options;
    options.threads = 4;
    options.log_entries = 16;
    std::optional<s3_server> server(server_with_bucket(options));
    const s3_server& shared = *server;
    const std::string body = distinct_text(50'000);
    std::atomic<bool> stopping = false;
    std::atomic<int> wrong = 0, rounds = 0;
    std::vector<std::unique_ptr<connection>> connections;
    std::vector<std::thread> clients;
    for (int i = 0; i != 6; ++i)
        connections.push_back(std::make_unique<connection>(shared));
    for (int i = 0; i != 6; ++i)
        clients.emplace_back([&, i] {
            connection& c = *connections[static_cast<std::size_t>(i)];
            const std::string path = "/kv-test/" + std::to_string(i);
            while (!stopping) {
                const answer put = c.exchange(put_of(path, body));
                const answer got = c.exchange(get_of(path));
                wrong += !stopping && (put.status != 200 || got.body.size() != body.size());
                ++rounds;
            }
        });
    int meddled = 0;
    for (std::mt19937 random(1); rounds < 300; ++meddled) {
        const std::string key = std::to_string(random() % 6);
        (void)server->corrupt("kv-test", key, random() % body.size());
        server->set_latency(std::chrono::microseconds(random() % 200));
        server->set_bandwidth(random() % 2 * 1'000'000'000, 0);
        server->set_responder([](const s3_request&) { return s3_fault(); });
        CHECK(server->log().size() <= 16);
        CHECK(server->stats().connections <= 6);
        CHECK(server->objects().size() <= 6);
        std::this_thread::yield();
    }
    stopping = true;
    server.reset();
    for (std::thread& c : clients)
        c.join();
    CHECK(wrong == 0);
    CHECK(meddled > 0);
}

} // namespace s3_server_faults_test
