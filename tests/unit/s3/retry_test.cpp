// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/retry.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace retry_test {

using namespace objectcache;
using namespace objectcache::s3;
using namespace std::chrono_literals;

const time_point start{1h};

/** Draws the largest delay, or the smallest. */
struct extreme {
    using result_type = std::uint64_t;
    static constexpr result_type min() { return 0; }
    static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }
    result_type operator()() { return draw; }
    result_type draw;
};

std::vector<duration> delays_of(retry_policy& policy, const status& why, extreme random,
                                std::optional<duration> retry_after = {})
{
    std::vector<duration> out;
    retry_progress progress;
    failed_attempt failure{why};
    failure.retry_after = retry_after;
    while (const auto wait = policy.next(failure, progress, start, random))
        out.push_back(*wait);
    CHECK(progress.attempts == out.size() + 1);
    return out;
}

/** The largest delay is a little less than the bound. */
std::vector<duration> rounded(std::vector<duration> in)
{
    for (duration& d : in)
        d = std::chrono::round<std::chrono::microseconds>(d);
    return in;
}

TEST_CASE("retry: which failures are tried again")
{
    using c = retry_class;
    struct row {
        status why;
        c repeatable, not_repeatable;
    };
    const row rows[] = {
        {status(), c::never, c::never},
        {errc::cancelled, c::never, c::never},
        {errc::shut_down, c::never, c::never},
        {errc::deadline_exceeded, c::never, c::never},
        {errc::not_found, c::never, c::never},
        {errc::already_exists, c::never, c::never},
        {errc::access_denied, c::never, c::never},
        {errc::no_credentials, c::never, c::never},
        {errc::unexpected_status, c::never, c::never},
        {errc::invalid_argument, c::never, c::never},
        {errc::exhausted, c::never, c::never},
        {errc::wrong_chunk, c::never, c::never},
        {errc::unknown_version, c::never, c::never},
        {errc::wrong_geometry, c::never, c::never},
        {errc::device_failed, c::never, c::never},
        {make_error_code(std::errc::operation_canceled), c::never, c::never},
        {make_error_code(std::errc::too_many_files_open), c::never, c::never},
        {errc::tls_failed, c::once, c::never},
        {errc::malformed_response, c::once, c::never},
        {errc::length_mismatch, c::once, c::never},
        {errc::checksum_mismatch, c::once, c::never},
        {errc::server_error, c::transient, c::never},
        {errc::connection_lost, c::transient, c::never},
        {make_error_code(std::errc::connection_reset), c::transient, c::never},
        {make_error_code(std::errc::broken_pipe), c::transient, c::never},
        {make_error_code(std::errc::connection_refused), c::transient, c::transient},
        {make_error_code(std::errc::network_unreachable), c::transient, c::transient},
        {make_error_code(std::errc::host_unreachable), c::transient, c::transient},
        {make_error_code(std::errc::timed_out), c::timeout, c::never},
        {errc::unreachable, c::timeout, c::timeout},
        {errc::throttled, c::throttling, c::throttling},
    };
    for (const row& r : rows) {
        CAPTURE(r.why.message());
        CHECK(classify(r.why, true) == r.repeatable);
        CHECK(classify(r.why, false) == r.not_repeatable);
    }
}

TEST_CASE("retry: delays double up to the cap, with full jitter")
{
    retry_options options;
    options.max_attempts = 8;
    options.base_delay = 100ms;
    options.throttled_delay = 400ms;
    options.max_delay = 1s;
    retry_policy policy(options);
    const status broken(errc::connection_lost);

    const auto longest = delays_of(policy, broken, {extreme::max()});
    CHECK(rounded(longest) == std::vector<duration>{100ms, 200ms, 400ms, 800ms, 1s, 1s, 1s});
    CHECK(delays_of(policy, broken, {0}) == std::vector<duration>(7, 0ms));
    const auto throttled = delays_of(policy, status(errc::throttled), {extreme::max()});
    CHECK(rounded(throttled) == std::vector<duration>{400ms, 800ms, 1s, 1s, 1s, 1s, 1s});

    std::mt19937_64 random(1);
    std::vector<int> tenths(10);
    constexpr int draws = 20'000;
    for (int i = 0; i < draws; ++i) {
        retry_policy fresh(options);
        retry_progress progress;
        const auto wait = fresh.next({broken}, progress, start, random);
        REQUIRE(wait);
        ++tenths[static_cast<std::size_t>(std::min<std::int64_t>(*wait / 10ms, 9))];
    }
    for (const int n : tenths)
        CHECK(n == doctest::Approx(draws / 10).epsilon(0.1));
}

TEST_CASE("retry: options at their limits")
{
    retry_options options;
    options.max_attempts = 100;
    options.base_delay = duration::max() / 2 + 1ns;
    options.max_delay = duration::max();
    retry_policy huge(options);
    retry_progress progress;
    const status broken(errc::connection_lost);
    extreme largest{extreme::max()};
    for (int i = 0; i < 5; ++i)
        CHECK(huge.next({broken}, progress, time_point(), largest).value_or(0ns) >= 0ns);

    options.base_delay = options.max_delay = -1s;
    retry_policy negative(options);
    CHECK(delays_of(negative, broken, {extreme::max()}) == std::vector<duration>(99, 0ns));

    options.max_attempts = 1;
    retry_policy none(options);
    CHECK(delays_of(none, broken, {0}).empty());
    options.max_attempts = 4;
    options.budget = 0;
    retry_policy poor(options);
    CHECK(delays_of(poor, broken, {0}).empty());
}

TEST_CASE("retry: a damaged answer is asked for once more")
{
    retry_policy policy;
    CHECK(delays_of(policy, status(errc::checksum_mismatch), {0}).size() == 1);
    CHECK(delays_of(policy, status(errc::server_error), {0}).size() == 3);
    CHECK(delays_of(policy, status(errc::not_found), {0}).empty());
}

TEST_CASE("retry: what the store asks for is waited at least")
{
    retry_policy policy;
    const status slow_down(errc::throttled);
    CHECK(delays_of(policy, slow_down, {0}, 2s) == std::vector<duration>{2s, 2s, 2s});
    CHECK(rounded(delays_of(policy, slow_down, {extreme::max()}, 2s)) ==
          std::vector<duration>{2500ms, 3s, 4s}); // told to all, so spread by the jitter
    CHECK(delays_of(policy, slow_down, {0}, -1s) == std::vector<duration>(3, 0ns));
    CHECK(delays_of(policy, slow_down, {0}, 60s).size() == 3);
    CHECK(delays_of(policy, slow_down, {0}, 61s).empty());
    CHECK(delays_of(policy, slow_down, {0}, duration::max()).empty());
}

TEST_CASE("retry: nothing that could not begin before the deadline is waited for")
{
    retry_policy policy;
    extreme largest{extreme::max()};
    const status broken(errc::connection_lost);
    failed_attempt failure{broken};
    retry_progress progress;

    failure.until = deadline(start + 49ms);
    CHECK(!policy.next(failure, progress, start, largest));
    failure.until = deadline(start - 1s);
    CHECK(!policy.next(failure, progress, start, largest));
    CHECK(progress.attempts == 1);
    CHECK(policy.budget().tokens() == 500); // a retry that is not made costs nothing

    failure.until = deadline(start + 51ms);
    CHECK(policy.next(failure, progress, start, largest));
    CHECK(progress.attempts == 2);

    failure.until = deadline(start + 3s);
    failure.retry_after = 3s;
    CHECK(!policy.next(failure, progress, start, largest));
}

TEST_CASE("retry budget: what is taken, and given back")
{
    retry_policy policy;
    extreme zero{0};
    const status broken(errc::connection_lost), lost(errc::unreachable);

    retry_progress progress;
    CHECK(policy.next({broken}, progress, start, zero));
    CHECK(policy.budget().tokens() == 495);
    CHECK(policy.next({lost}, progress, start, zero));
    CHECK(policy.budget().tokens() == 485);
    policy.succeeded(progress); // gives back what the last one took
    CHECK(policy.budget().tokens() == 495);
    policy.succeeded({});
    CHECK(policy.budget().tokens() == 496);
    for (int i = 0; i < 10; ++i)
        policy.succeeded({});
    CHECK(policy.budget().tokens() == 500);

    retry_budget full(std::numeric_limits<std::uint32_t>::max());
    full.give(std::numeric_limits<std::uint32_t>::max());
    CHECK(full.tokens() == std::numeric_limits<std::uint32_t>::max());
}

/** Requests that a store sees, per operation asked for, which fails each with `share`. */
double load_on_store(double share, int operations)
{
    retry_policy policy;
    std::mt19937_64 random(7);
    std::bernoulli_distribution fails(share);
    const status broken(errc::server_error);
    int requests = 0;
    for (int i = 0; i < operations; ++i) {
        retry_progress progress;
        bool again = true;
        while (again) {
            ++requests;
            if (!fails(random)) {
                policy.succeeded(progress);
                break;
            }
            again = policy.next({broken}, progress, start, random).has_value();
        }
    }
    return double(requests) / operations;
}

TEST_CASE("retry budget: a store that fails now and then is tried again, a dying one is not stormed")
{
    CHECK(load_on_store(0, 20'000) == 1);
    CHECK(load_on_store(0.05, 20'000) ==
          doctest::Approx(1 / 0.95).epsilon(0.01));            // each failure is tried again
    CHECK(load_on_store(1, 20'000) == doctest::Approx(1.005)); // 100 retries, and then no more
    CHECK(load_on_store(0.9, 20'000) < 1.2);                   // without a budget: 3.4
}

TEST_CASE("Retry-After: seconds and dates")
{
    const std::chrono::sys_seconds now =
        std::chrono::sys_days(1994y / std::chrono::November / 6) + 8h + 49min + 37s;
    const auto parsed = [&](std::string_view value) { return parse_retry_after(value, now); };
    CHECK(parsed("0") == duration(0s));
    CHECK(parsed("120") == duration(120s));
    CHECK(parsed(" 7 \r\n") == duration(7s));
    CHECK(parsed("86401") == duration(24h));
    CHECK(parsed("99999999999999999999999999") == duration(24h));
    CHECK(parsed("Sun, 06 Nov 1994 08:49:37 GMT") == duration(0s));
    CHECK(parsed("Sun, 06 Nov 1994 08:50:00 GMT") == duration(23s));
    CHECK(parsed("Sun, 06 Nov 1994 23:59:60 GMT") == duration(15h + 10min + 23s));
    CHECK(parsed("Sat, 05 Nov 1994 08:49:37 GMT") == duration(0s)); // it has passed
    CHECK(parsed("Fri, 31 Dec 9999 23:59:59 GMT") == duration(24h));
    for (const char* nonsense : {"",
                                 " ",
                                 "-1",
                                 "1.5",
                                 "1s",
                                 "soon",
                                 "0x10",
                                 "+5",
                                 "Sun, 06 Nov 1994 08:49:37 UTC",
                                 "Sun, 06 Nov 1994 08:49:37",
                                 "Sun, 06 Nov 1994 24:49:37 GMT",
                                 "Sun, 06 Nov 1994 08:60:37 GMT",
                                 "Wed, 30 Feb 1994 08:49:37 GMT",
                                 "Sun, 00 Nov 1994 08:49:37 GMT",
                                 "Sun, 06 Nvo 1994 08:49:37 GMT",
                                 "Sun, 6 Nov 1994 08:49:37 GMT",
                                 "Sunday, 06-Nov-94 08:49:37 GMT",
                                 "Sun Nov  6 08:49:37 1994",
                                 "Sun, -6 Nov 1994 08:49:37 GMT",
                                 "Sun, 06 Nov 1994 08:49:37 GMT "
                                 "GMT"}) {
        CAPTURE(nonsense);
        CHECK(!parsed(nonsense));
    }
}

} // namespace retry_test
