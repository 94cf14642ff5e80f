// SPDX-License-Identifier: BSL-1.0
#include <contract/cache_world.hpp>
#include <contract/tier_home.hpp>

#include <objectcache/s3/large_object.hpp>

#include <boost/asio/detached.hpp>

#include <array>
#include <atomic>
#include <vector>

/** The S3 tier against a server that breaks connections, lies and falls silent; and a cache over such a tier. */
namespace contract {

namespace s3_faults {

using fault = oc::testing::s3_fault;
using point = fault::point;
using c = calls<oc::s3_tier>;

struct fixture {
    ~fixture()
    {
        mend();
        std::optional<oc::testing::s3_server> server(std::move(home->server));
        home.reset();
        env.destroy_context();
    }
    /** The requests from now on meet `what`; says how many did. */
    void break_requests(fault what, int how_many = 1'000)
    {
        left = how_many;
        home->server.set_responder([this, what](const oc::testing::s3_request&) {
            asio::post(*env.io, [this] { ++seen; });
            return left-- > 0 ? what : fault();
        });
    }
    void mend() { home->server.set_responder(nullptr); }

    environment env;
    std::atomic<int> left{0}; // counted by the server
    int seen = 0;
    std::optional<tier_home<oc::s3_tier>> home{std::in_place, env};
    std::vector<std::byte> bytes = some_bytes(40'000);
};

} // namespace s3_faults

TEST_CASE_FIXTURE(s3_faults::fixture,
                  "a connection that breaks is an unavailable store, and the next call works")
{
    using namespace s3_faults;
    auto& tier = home->tier;
    REQUIRE(await(env, c::write(tier, "a", bytes, oc::if_exists::replace)).ok());
    std::vector<fault> faults;
    for (const auto make : {&fault::drop, &fault::reset})
        for (const auto where : {point::request_head, point::response_head})
            faults.push_back(make(where, 0));
    for (const std::uint64_t after : {0, 1, 16'383, 19'999}) {
        faults.push_back(fault::drop(point::response_body, after));
        faults.push_back(fault::reset(point::response_body, after));
    }
    for (std::size_t i = 0; i < faults.size(); ++i) {
        CAPTURE(i);
        break_requests(faults[i]);
        std::vector<std::byte> into(20'000);
        const oc::status s = await(env, c::read(tier, "a", {100, 20'000}, into));
        CAPTURE(s.message());
        CHECK((s == oc::condition::unavailable || s == oc::condition::corrupt));
        CHECK(s.detail().find("a") != std::string::npos);
        mend();
        CHECK(await(env, c::read(tier, "a", {100, 20'000}, into)).ok());
        CHECK(std::equal(into.begin(), into.end(), bytes.begin() + 100));
    }
    CHECK(tier.client().connections().in_use() == 0);
}

TEST_CASE_FIXTURE(s3_faults::fixture, "a write that breaks stored all of it or nothing")
{
    using namespace s3_faults;
    auto& tier = home->tier;
    for (const auto& what : {fault::drop(point::request_head), fault::reset(point::request_body, 1),
                             fault::drop(point::request_body, 39'999), fault::reset(point::response_head),
                             fault::error(503, "SlowDown"), fault::error(500, "InternalError")}) {
        CAPTURE(static_cast<int>(what.where));
        break_requests(what);
        CHECK(await(env, c::write(tier, "b", bytes, oc::if_exists::keep)) == oc::condition::unavailable);
        mend();
        const auto found = await(env, c::stat(tier, "b"));
        CHECK((found.ok() ? found->size == bytes.size() : found.error() == oc::condition::absent));
        // Repeating it is safe, whatever the first try did.
        CHECK(await(env, c::write(tier, "b", bytes, oc::if_exists::keep)).ok());
        CHECK(await(env, c::stat(tier, "b")).ok());
        CHECK(await(env, c::remove(tier, "b")).ok());
    }
}

TEST_CASE_FIXTURE(s3_faults::fixture, "an answer of the wrong length never writes past the buffer")
{
    using namespace s3_faults;
    auto& tier = home->tier;
    REQUIRE(await(env, c::write(tier, "a", bytes, oc::if_exists::replace)).ok());
    for (const std::int64_t by : {-1, 1, -20'000, 20'000}) {
        CAPTURE(by);
        break_requests(fault::wrong_length(by));
        std::vector<std::byte> into(20'000);
        const oc::status s = await(env, c::read(tier, "a", {100, 20'000}, into));
        CHECK((s == oc::condition::corrupt || s == oc::condition::unavailable));
        mend();
    }
    REQUIRE(home->server.truncate("bucket", "a", 150).ok());
    std::vector<std::byte> into(20'000);
    CHECK(await(env, c::read(tier, "a", {100, 20'000}, into)) == oc::condition::corrupt);
}

TEST_CASE_FIXTURE(s3_faults::fixture, "a silent server is left when the deadline passes")
{
    using namespace s3_faults;
    auto& tier = home->tier;
    REQUIRE(await(env, c::write(tier, "a", bytes, oc::if_exists::replace)).ok());
    for (const auto where : {point::request_head, point::response_head, point::response_body}) {
        CAPTURE(static_cast<int>(where));
        seen = 0;
        break_requests(fault::stall(where, where == point::response_body ? 500 : 0));
        const oc::deadline until(env.time.now() + std::chrono::seconds(3));
        std::vector<std::byte> into(20'000);
        std::optional<oc::status> ended;
        const auto body = [](fixture& f, oc::deadline limit, std::vector<std::byte>& to,
                             std::optional<oc::status>& out) -> asio::awaitable<void> {
            auto work = c::read(f.home->tier, "a", {100, 20'000}, to, limit);
            out = co_await std::move(work);
        };
        asio::co_spawn(*env.io, body(*this, until, into, ended), asio::detached);
        REQUIRE(
            env.run_until([&] { return seen != 0; })); // the request is at the server, and there is silence
        env.settle();
        CHECK_FALSE(ended);
        env.time.advance(std::chrono::seconds(3));
        REQUIRE(env.run_until([&] { return ended.has_value(); }));
        CHECK(*ended == oc::condition::timeout);
        mend();
    }
    CHECK(tier.client().connections().in_use() == 0);
    CHECK(env.time.pending() == 0);
}

TEST_CASE_FIXTURE(s3_faults::fixture,
                  "an upload that breaks at any request publishes all or nothing, and aborted leaves nothing")
{
    using namespace s3_faults;
    auto& tier = home->tier;
    const std::vector<std::vector<std::byte>> sent{some_bytes(3000, 1), some_bytes(5000, 2)};
    for (const auto mode : {oc::if_exists::keep, oc::if_exists::replace})
        for (const auto& what :
             {fault::drop(point::request_head), fault::reset(point::request_body, 1),
              fault::drop(point::response_head), fault::reset(point::response_body, 1),
              fault::error(503, "SlowDown"), fault::error(409, "ConditionalRequestConflict")})
            for (int at = 0;; ++at) {
                CAPTURE(static_cast<int>(what.where));
                CAPTURE(what.status);
                CAPTURE(at);
                left = at;
                home->server.set_responder(
                    [this, what](const oc::testing::s3_request&) { return left-- == 0 ? what : fault(); });
                std::string id;
                const oc::status done = await(env, c::upload(tier, "u", sent, mode, id));
                const bool met = left < 0;
                mend();
                CHECK((done.ok() || done == oc::condition::unavailable));
                CHECK((done.ok() || met));
                const auto found = await(env, c::stat(tier, "u"));
                CHECK((found.ok() ? found->size == 8000 : found.error() == oc::condition::absent));
                CHECK((found.ok() || !done.ok()));
                if (!id.empty())
                    CHECK(await(env, c::abort_upload(tier, "u", id)).ok());
                CHECK(home->uploads() <= (at == 0 ? 1 : 0)); // begun, and nobody heard of it
                const oc::s3::upload_page first_page;
                const auto lost =
                    await(env, oc::s3::list_uploads(tier.client(), "bucket", "", first_page, {}));
                REQUIRE(lost.ok());
                for (const auto& upload : lost->uploads)
                    CHECK(await(env, c::abort_upload(tier, "u", upload.upload_id)).ok());
                CHECK(await(env, c::upload(tier, "u", sent, mode, id)).ok());
                CHECK(await(env, c::remove(tier, "u")).ok());
                CHECK(home->uploads() == 0);
                if (!met)
                    break;
            }
    CHECK(tier.client().connections().in_use() == 0);
}

namespace s3_faults {

/** One of the calls of an upload, by number. */
asio::awaitable<void> upload_call(oc::s3_tier& tier, std::size_t which, std::string id,
                                  const std::vector<std::string>& tags, const std::vector<std::byte>& bytes,
                                  oc::deadline until, std::optional<oc::status>& out)
{
    if (which == 0) {
        const auto begun = co_await c::begin_upload(tier, "u", until);
        out = begun.error();
    } else if (which == 1) {
        const auto tag = co_await c::upload_part(tier, "u", id, 2, bytes, until);
        out = tag.error();
    } else if (which == 2) {
        out = co_await c::complete_upload(tier, "u", id, tags, oc::if_exists::keep, until);
    } else {
        out = co_await c::abort_upload(tier, "u", id, until);
    }
}

} // namespace s3_faults

TEST_CASE_FIXTURE(s3_faults::fixture, "an upload to a silent server is left when the deadline passes")
{
    using namespace s3_faults;
    auto& tier = home->tier;
    const auto id = await(env, c::begin_upload(tier, "u"));
    REQUIRE(id.ok());
    const auto tag = await(env, c::upload_part(tier, "u", *id, 1, bytes));
    REQUIRE(tag.ok());
    const std::vector<std::string> tags{*tag};
    for (std::size_t which = 0; which < 4; ++which) {
        CAPTURE(which);
        seen = 0;
        break_requests(fault::stall(point::request_head));
        const oc::deadline until(env.time.now() + std::chrono::seconds(3));
        std::optional<oc::status> ended;
        asio::co_spawn(*env.io, upload_call(tier, which, *id, tags, bytes, until, ended), asio::detached);
        REQUIRE(env.run_until([&] { return seen != 0; }));
        env.settle();
        CHECK_FALSE(ended);
        env.time.advance(std::chrono::seconds(3));
        REQUIRE(env.run_until([&] { return ended.has_value(); }));
        CHECK(*ended == oc::condition::timeout);
        mend();
    }
    CHECK(home->uploads() == 1);
    CHECK(await(env, c::complete_upload(tier, "u", *id, tags, oc::if_exists::keep)).ok());
    CHECK(tier.client().connections().in_use() == 0);
    CHECK(env.time.pending() == 0);
}

namespace s3_faults {

struct request_of_an_engine {
    oc::prefix_match match;
    oc::load_report loaded;
    oc::store_report stored;

    static asio::awaitable<void> run(cache_world<oc::s3_tier>& w, request_of_an_engine& out)
    {
        out.match = co_await w.kv.match(w.where, w.tokens);
        auto load = w.kv.load(out.match, w.target.pages());
        for (oc::layer_id l = 0; l < layers; ++l)
            (void)co_await load.fetch_layer(l);
        out.loaded = co_await load.finish();
        CHECK(w.kv.staging_in_use() == 0);
        out.stored = co_await w.kv.store(w.where, w.tokens, w.source.pages());
        CHECK(w.kv.staging_in_use() == 0);
    }
};

} // namespace s3_faults

TEST_CASE("a cache over a store that breaks any one request misses, and never lies")
{
    using namespace s3_faults;
    const std::array faults = {fault::drop(point::request_head), fault::reset(point::response_head),
                               fault::drop(point::response_body, 300), fault::wrong_length(-7),
                               fault::error(503, "SlowDown")};
    for (const oc::layout layout :
         {oc::layout::chunk_objects, oc::layout::layer_objects, oc::layout::segment_objects})
        for (const bool stored_before : {true, false})
            for (const std::size_t first : {0, 2})
                for (int at = 0;; ++at) {
                    // Every request breaks in two ways out of five, neighbours in different ones.
                    const std::size_t kind = (first + static_cast<std::size_t>(at)) % faults.size();
                    CAPTURE(oc::name(layout));
                    CAPTURE(stored_before);
                    CAPTURE(kind);
                    CAPTURE(at);
                    environment env;
                    std::atomic<int> number{0};
                    {
                        std::optional<tier_home<oc::s3_tier>> home(std::in_place, env);
                        {
                            cache_world<oc::s3_tier> w(env, home->tier, small_options(layout));
                            if (stored_before)
                                w.store_all();
                            home->server.set_responder([&](const oc::testing::s3_request&) {
                                return number++ == at ? faults[kind] : fault();
                            });
                            request_of_an_engine run;
                            env.run(request_of_an_engine::run(w, run));
                            home->server.set_responder(nullptr);
                            CHECK(run.loaded.usable_tokens <= run.match.tokens());
                            CHECK(run.stored.stored + run.stored.present + run.stored.dropped == chunks);
                            w.check_rows(run.loaded.usable_tokens);
                            w.close();
                            w.check_published();
                        }
                        std::optional<oc::testing::s3_server> server(std::move(home->server));
                        home.reset();
                        env.destroy_context();
                    }
                    CHECK(env.device.staging_allocated() == 0);
                    CHECK_FALSE(env.device.any_gate_closed());
                    if (number <= at)
                        break;
                }
}

} // namespace contract
