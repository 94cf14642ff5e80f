// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/cached_credentials.hpp>

#include <objectcache/io/clock.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/io/operation.hpp>
#include <objectcache/testing/manual_clock.hpp>

#include <unit/s3/credentials_fixture.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <support/run.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <vector>

using namespace objectcache;
using namespace objectcache::s3;
using namespace std::chrono_literals;

namespace cached_credentials_test {

/** A source that answers when it is told to, with a new key id every time. */
struct slow_source {
    asio::any_io_executor executor;
    objectcache::clock& time;
    std::optional<std::chrono::seconds> life = 1h;
    status failure = {};
    std::shared_ptr<latch> gate = {}; // none: at once
    int calls = 0, ended = 0;

    asio::awaitable<result<credentials>> operator()()
    {
        const int mine = ++calls;
        const auto before = gate;
        if (before) {
            const error_code ec = co_await before->wait();
            ++ended;
            if (ec)
                co_return result<credentials>(errc::cancelled);
        }
        if (!failure.ok())
            co_return failure;
        credentials out{"key " + std::to_string(mine), "SECRET", "", {}};
        if (life)
            out.expiry = time.date() + *life;
        co_return out;
    }
    void close() { gate = std::make_shared<latch>(executor); }
};

struct fixture {
    asio::io_context io;
    testing::manual_clock& time = asio::make_service<testing::manual_clock>(io);
    std::shared_ptr<slow_source> source = std::make_shared<slow_source>(slow_source{io.get_executor(), time});
    std::vector<std::string> given;

    cached_credentials make(refresh_options options = {})
    {
        return {io.get_executor(), [from = source] { return (*from)(); }, options};
    }
    std::string ask(const cached_credentials& cache)
    {
        const auto got = support::run(io, cache());
        poll(); // a refresh that nobody waits for goes on
        return got ? got->access_key_id : got.error().message();
    }
    static asio::awaitable<void> note(asio::awaitable<result<credentials>> asked,
                                      std::vector<std::string>& to)
    {
        co_await without_exceptions();
        const auto got = co_await std::move(asked);
        to.push_back(got ? got->access_key_id : got.error().message());
    }
    void start(const cached_credentials& cache, asio::cancellation_signal* stop = nullptr)
    {
        if (stop)
            asio::co_spawn(io, note(cache(), given),
                           asio::bind_cancellation_slot(stop->slot(), asio::detached));
        else
            asio::co_spawn(io, note(cache(), given), asio::detached);
    }
    void poll()
    {
        io.restart();
        io.poll();
    }
    /** Until nothing is under way any more. */
    void drain()
    {
        io.restart();
        io.run();
    }
};

TEST_CASE_FIXTURE(fixture, "cached_credentials: asked once, until it is time")
{
    const auto cache = make();
    const credentials_provider provider = cache; // is one
    CHECK(ask(cache) == "key 1");
    CHECK(support::run(io, provider())->access_key_id == "key 1");
    time.advance(54min);
    CHECK(ask(cache) == "key 1");
    CHECK(source->calls == 1);
    time.advance(1min);
    source->close();
    CHECK(ask(cache) == "key 1"); // nobody waits while these are good
    CHECK(ask(cache) == "key 1");
    CHECK(source->calls == 2);
    source->gate->set();
    drain();
    CHECK(ask(cache) == "key 2");
    time.advance(2h);
    source->gate = {};
    CHECK(ask(cache) == "key 3");
    source->life = {};
    time.advance(2h);
    CHECK(ask(cache) == "key 4");
    time.advance(24h * 3650);
    CHECK(ask(cache) == "key 4");
}

TEST_CASE_FIXTURE(fixture, "cached_credentials: one refresh for fifty, each of whom may give up")
{
    const auto cache = make();
    source->close();
    std::vector<asio::cancellation_signal> stop(50);
    for (auto& signal : stop)
        start(cache, &signal);
    poll();
    CHECK(source->calls == 1);
    CHECK(given.empty());
    stop[0].emit(asio::cancellation_type::total); // the one that began it
    stop[7].emit(asio::cancellation_type::terminal);
    poll();
    CHECK(given == std::vector<std::string>(2, "waiting for credentials: cancelled"));
    CHECK(source->ended == 0);
    given.clear();
    source->gate->set();
    drain();
    CHECK(given == std::vector<std::string>(48, "key 1"));
    CHECK(source->calls == 1);
}

TEST_CASE_FIXTURE(fixture, "cached_credentials: the refresh outlives all who waited, not the last copy")
{
    auto cache = std::make_unique<cached_credentials>(make());
    source->close();
    asio::cancellation_signal stop;
    start(*cache, &stop);
    poll();
    stop.emit(asio::cancellation_type::terminal);
    poll();
    CHECK(source->ended == 0);
    SUBCASE("it ends well")
    {
        source->gate->set();
        drain();
        CHECK(ask(*cache) == "key 1");
        CHECK(source->calls == 1);
    }
    SUBCASE("or is cancelled with the cache")
    {
        const auto copy = std::make_unique<cached_credentials>(*cache);
        cache.reset();
        poll();
        CHECK(source->ended == 0);
    }
    cache.reset();
    drain();
    CHECK(source->ended == 1);
}

TEST_CASE_FIXTURE(fixture, "cached_credentials: destroyed with calls waiting, and with its context")
{
    source->close();
    {
        const auto cache = make();
        start(cache);
        start(cache);
        poll();
    }
    SUBCASE("the calls keep it")
    {
        source->gate->set();
        drain();
        CHECK(given == std::vector<std::string>(2, "key 1"));
    }
    SUBCASE("the context goes away")
    {
        CHECK(source->ended == 0);
        source.reset(); // its latch belongs to the context, and must not outlive it
    }
}

TEST_CASE_FIXTURE(fixture, "cached_credentials: a caller that was cancelled before")
{
    const auto cache = make();
    source->close();
    const auto body = [](cached_credentials asked, std::vector<std::string>& to) -> asio::awaitable<void> {
        co_await without_exceptions();
        co_await note(asked(), to);
    };
    asio::cancellation_signal stop;
    asio::co_spawn(io, body(cache, given), asio::bind_cancellation_slot(stop.slot(), asio::detached));
    io.poll_one(); // begun, and waiting
    stop.emit(asio::cancellation_type::terminal);
    start(cache);
    poll();
    source->gate->set();
    drain();
    CHECK(given == std::vector<std::string>{"waiting for credentials: cancelled", "key 1"});
}

TEST_CASE_FIXTURE(
    fixture, "cached_credentials: old ones serve while a refresh fails, and it is not asked all the time")
{
    const auto cache = make();
    CHECK(ask(cache) == "key 1");
    time.advance(56min);
    source->failure = status(errc::throttled, "too many");
    for (int i = 0; i < 5; ++i)
        CHECK(ask(cache) == "key 1");
    CHECK(source->calls == 2);
    time.advance(1s);
    CHECK(ask(cache) == "key 1");
    CHECK(source->calls == 3);
    time.advance(3min + 40s); // urgent: it waits, fails, and still has the old ones
    CHECK(ask(cache) == "key 1");
    CHECK(source->calls == 4);
    time.advance(1min);
    CHECK(ask(cache) == "too many: throttled by the store"); // expired
    CHECK(source->calls == 5);
    CHECK(ask(cache) == "too many: throttled by the store");
    CHECK(source->calls == 5);
    source->failure = {};
    time.advance(1min);
    CHECK(ask(cache) == "key 6");
}

TEST_CASE_FIXTURE(
    fixture, "cached_credentials: a source that never answers, one that throws, one that is of yesterday")
{
    const auto cache = make();
    source->close();
    start(cache);
    start(cache);
    poll();
    time.advance(2min);
    drain();
    CHECK(given == std::vector<std::string>(2, "refreshing credentials: deadline exceeded"));
    CHECK(source->ended == 1);

    source->gate = {};
    source->life = -1s;
    time.advance(1s);
    CHECK(ask(cache) == "the credentials that were given have expired already: no credentials");

    const cached_credentials thrown(io.get_executor(), []() -> asio::awaitable<result<credentials>> {
        throw std::runtime_error("SECRET");
    });
    CHECK(ask(thrown) == "the source of credentials threw an exception: resource exhausted");
    const cached_credentials empty(io.get_executor(), credentials_provider());
    CHECK(ask(empty) == "the source of credentials threw an exception: resource exhausted");
}

TEST_CASE_FIXTURE(fixture, "cached_credentials: refused by the store before their time")
{
    const auto cache = make();
    CHECK(ask(cache) == "key 1");
    const credentials first = *support::run(io, cache());
    cache.refused(first);
    CHECK(ask(cache) == "key 2");
    cache.refused(first); // late: these are gone
    CHECK(ask(cache) == "key 2");
    CHECK(source->calls == 2);
}

} // namespace cached_credentials_test
