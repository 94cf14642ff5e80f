// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/byte_budget.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/s3/cached_credentials.hpp>
#include <objectcache/s3/chunked_upload.hpp>
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/hedge.hpp>
#include <objectcache/s3/request.hpp>
#include <objectcache/s3/throttle.hpp>
#include <objectcache/s3/transfer.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace objectcache::s3 {

struct client::state {
    /** A region's endpoint, the keys of the day for it, and whether it answers. */
    struct place {
        place(endpoint to, const circuit_options& how, std::uint64_t seed)
            : where(std::move(to))
            , sign(where.region)
            , breaker(how, seed)
        {}
        endpoint where;
        signer sign;
        circuit breaker;
        status trouble; // what it failed with last
    };

    /** How fast requests of a kind may be sent, and who waits for it. */
    struct pace {
        pace(const asio::any_io_executor& executor, throttle_options how) : rate(how), line(executor, 1) {}
        throttle rate;
        byte_budget line;
    };

    state(asio::any_io_executor ex, endpoint to, credentials_provider provider, client_options how)
        : executor(std::move(ex))
        , time(clock::of(executor))
        , options(std::move(how))
        , who(std::move(provider))
        , home(std::make_shared<place>(std::move(to), options.circuit, random()))
        , pool(executor, home->where, options.connections)
        , retry(options.retry)
        , reads(executor, options.throttling)
        , writes(executor, options.throttling)
        , hedge(options.hedge)
    {}

    /** Are there credentials, and will there be for so long? */
    [[nodiscard]] bool has_credentials(std::chrono::seconds ahead) const
    {
        return known && (!current->expiry || *current->expiry - time.date() >= ahead);
    }
    /** How long before their expiry the provider is asked for others: one that remembers answers at once, and knows best. */
    [[nodiscard]] std::chrono::seconds asked_ahead() const noexcept
    {
        const std::chrono::seconds least = std::chrono::minutes(1);
        const auto* cached = who.target<cached_credentials>();
        return cached ? std::max(cached->ahead(), least) : least;
    }
    [[nodiscard]] const std::shared_ptr<place>& place_of(std::string_view bucket) const
    {
        const auto moved_to = moved.find(bucket);
        return moved_to == moved.end() ? home : moved_to->second;
    }
    [[nodiscard]] pace& pace_of(priority kind) { return kind == priority::load ? reads : writes; }
    /** Nothing that could be left out is sent to a store in trouble. */
    [[nodiscard]] bool calm(const place& where, time_point now) const
    {
        return !reads.rate.limited(now) && where.breaker.current() == circuit::state::closed;
    }

    asio::any_io_executor executor;
    clock& time;
    client_options options;
    std::mt19937_64 random{std::random_device{}()}; // jitter: clients must differ
    credentials_provider who;                       // may be empty: then `current` is for ever
    std::shared_ptr<const credentials> current = std::make_shared<const credentials>(); // never null
    bool known = false;              // and not refused since
    std::chrono::seconds skew{};     // the store's clock minus ours
    bool no_conditional_put = false; // the store has said so
    bool no_conditional_post = false;
    std::shared_ptr<place> home;
    std::map<std::string, std::shared_ptr<place>, std::less<>> moved; // buckets that live in another region
    connection_pool pool;
    retry_policy retry;
    pace reads;
    pace writes;
    hedge_policy hedge;
    client_counters count;
};

/** One operation. Its views are into the coroutine that made it, which waits for it. */
struct client::operation {
    request what;
    std::span<const const_byte_span> payload = {};
    chunked_upload* stream = nullptr; // or a body in pieces
    std::uint64_t body_size = 0;
    bool expects = true; // the store knows what 100-continue means
    unsigned tries = 0;
    expect answer = expect::text;
    byte_span destination = {};
    read_observer* observer = nullptr;
    std::size_t text_limit = transfer::error_limit;
    bool conditional = false;
    bool repeatable = true;
    bool hedged = false;
    bool verified = false; // against the checksums that the store keeps
    priority who = priority::load;
    deadline until;

    response_head head;
    std::string text;
    std::size_t received = 0; // bytes in the destination

    /** What was put right once in this operation, and is not tried twice. */
    struct {
        bool clock = false, credentials = false;
        unsigned redirects = 0;
    } corrected;
};

/** One request of an operation: the first, a retry, or the hedge beside it. Outlives its coroutine. */
struct client::attempt {
    byte_span destination;
    read_observer* observer = nullptr;
    const transfer* under_way = nullptr; // none: waiting for a connection
    const connection_pool::lease* on = nullptr;
    bool placed = false; // no longer in line for a connection
    bool ended = false;

    status outcome;
    response_head head;
    std::string text;
    std::size_t received = 0;

    // What it was sent with: others may have put it right while it was under way.
    std::shared_ptr<const credentials> signed_as;
    std::shared_ptr<state::place> sent_to;
    std::chrono::seconds skew{};

    /** Bytes that went either way so far, those included that the connection holds back until there are more. */
    [[nodiscard]] std::uint64_t moved() const
    {
        return under_way ? under_way->progress() + on->arrived() : 0;
    }
    [[nodiscard]] bool won() const noexcept { return ended && outcome.ok(); }
};

} // namespace objectcache::s3
