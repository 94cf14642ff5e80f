// SPDX-License-Identifier: BSL-1.0
#include <objectcache/device/host_stream.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

using namespace objectcache;

TEST_CASE("a stream runs its work in order, on one thread that is not the caller's")
{
    host_stream stream;
    std::vector<int> order;
    std::vector<std::thread::id> threads;
    for (int i = 0; i < 1000; ++i)
        stream.enqueue([&, i] {
            order.push_back(i);
            threads.push_back(std::this_thread::get_id());
        });
    stream.synchronize();
    REQUIRE(order.size() == 1000);
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(threads.front() != std::this_thread::get_id());
    CHECK(threads.front() == threads.back());
}

TEST_CASE("an event is reached after the work before it and not by the work behind it")
{
    host_stream stream;
    CHECK(host_event().done());
    host_event().wait();
    std::atomic<bool> go{false}, behind{false};
    stream.enqueue([&] { go.wait(false); });
    const host_event e = stream.record();
    stream.enqueue([&] { behind = true; });
    CHECK_FALSE(e.done());
    CHECK_FALSE(behind);
    go = true;
    go.notify_all();
    e.wait();
    CHECK(e.done());
    stream.synchronize();
    CHECK(behind);
}

TEST_CASE("a stream waits for an event of another stream")
{
    host_stream first, second;
    std::atomic<bool> go{false};
    std::atomic<int> value{0};
    first.enqueue([&] {
        go.wait(false);
        value = 1;
    });
    second.wait(first.record());
    int seen = -1;
    second.enqueue([&] { seen = value; });
    const host_event e = second.record();
    CHECK_FALSE(e.done());
    go = true;
    go.notify_all();
    e.wait();
    CHECK(seen == 1);
}

TEST_CASE("the destructor runs what is enqueued, and an event outlives its stream")
{
    int ran = 0;
    host_event e;
    {
        host_stream stream;
        for (int i = 0; i < 100; ++i)
            stream.enqueue([&] { ++ran; });
        e = stream.record();
    }
    CHECK(ran == 100);
    CHECK(e.done());
}
