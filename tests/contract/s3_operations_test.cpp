// SPDX-License-Identifier: BSL-1.0
#include <contract/s3_subjects.hpp>

#include <array>
#include <atomic>

/** What becomes of an S3 operation when any one of its requests fails. */
namespace contract {

namespace s3_steps {

using fault = oc::testing::s3_fault;
using point = fault::point;

/** An operation, the `at`th request of which meets a fault. */
struct unlucky {
    unlucky(const entry& e, int at, fault what) : t(e)
    {
        t.it->let_go();
        auto& host = *static_cast<s3_subject&>(*t.it).host;
        host.server->set_responder([this, at, what](const oc::testing::s3_request&) {
            const bool now = number++ == at;
            asio::post(*t.env.io, [] {}); // who waits for it looks again
            return now ? what : fault();
        });
        t.start(style::coroutine);
    }
    ~unlucky() { static_cast<s3_subject&>(*t.it).host->server->set_responder(nullptr); }

    void check_ended()
    {
        t.env.settle();
        CHECK(t.out.times == 1);
        CHECK(t.out.where_it_should);
        CHECK_FALSE(t.threw);
        t.it->check_ended();
    }

    std::atomic<int> number{0}; // counted by the server
    trial t;
};

const std::array operations = {of<client_send>("client::send"),
                               of<large_get<300>>("get_parallel"),
                               of<large_put<1000>>("put_parallel of one part"),
                               of<large_put<400>>("put_parallel of three parts"),
                               of<listing_to_its_end>("listing of four pages"),
                               of<prefix_remove_all>("remove_all")};

} // namespace s3_steps

TEST_CASE("an S3 operation any request of which fails ends with the reason, and leaves nothing behind")
{
    using namespace s3_steps;
    const std::array faults = {fault::drop(point::request_head),  fault::reset(point::request_head),
                               fault::drop(point::response_head), fault::reset(point::response_body, 1),
                               fault::error(503, "SlowDown"),     fault::error(403, "AccessDenied")};
    for (const entry& e : operations)
        for (std::size_t kind = 0; kind < faults.size(); ++kind)
            for (int at = 0;; ++at) {
                CAPTURE(e.name);
                CAPTURE(kind);
                CAPTURE(at);
                unlucky it(e, at, faults[kind]);
                REQUIRE(it.t.run_to_end());
                it.check_ended();
                const oc::status& ended = *it.t.out.ended;
                CAPTURE(ended.message());
                if (it.number <= at) {
                    CHECK(ended.ok());
                    break;
                }
                CHECK((ended.ok() || ended == oc::condition::unavailable || ended == oc::condition::denied));
                // A connection may have been closed while it was idle: then its request is sent once more. And an answer
                // without a body is not cut off in it.
                const bool curable = faults[kind].status == 0 && (at != 0 || faults[kind].after != 0);
                CHECK((curable || !ended.ok()));
            }
}

TEST_CASE("an S3 operation any request of which is met by silence ends in time, and leaves nothing behind")
{
    using namespace s3_steps;
    for (const entry& e : operations)
        for (const auto where : {point::request_head, point::response_head})
            for (int at = 0;; ++at) {
                CAPTURE(e.name);
                CAPTURE(static_cast<int>(where));
                CAPTURE(at);
                unlucky it(e, at, fault::stall(where));
                REQUIRE(it.t.env.run_until([&] { return it.number > at || it.t.out.times != 0; }));
                if (it.t.out.times != 0) {
                    it.check_ended();
                    CHECK(it.t.out.ended->ok());
                    break;
                }
                // In two steps: a request that began moving after the first one is given time of its own.
                for (int i = 0; i < 2 && it.t.out.times == 0; ++i) {
                    it.t.env.settle();
                    it.t.env.time.advance(10s);
                }
                REQUIRE(it.t.run_to_end());
                it.check_ended();
                CHECK(*it.t.out.ended == oc::condition::timeout);
            }
}

TEST_CASE("prewarm says why there are no connections")
{
    trial t(of<pool_prewarm>("connection_pool::prewarm"));
    auto& it = static_cast<pool_prewarm&>(*t.it);
    it.host->server.reset(); // nobody listens any more
    t.it->let_go();
    t.start(style::coroutine);
    REQUIRE(t.run_to_end());
    CHECK(*t.out.ended == oc::condition::unavailable);
    CHECK(it.pool.idle() == 0);
    t.it->check_ended();
}

} // namespace contract
