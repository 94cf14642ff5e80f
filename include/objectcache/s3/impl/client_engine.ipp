// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/io/with_deadline.hpp>
#include <objectcache/s3/cached_credentials.hpp>
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/detail/amazon.hpp>
#include <objectcache/s3/detail/client_state.hpp>
#include <objectcache/s3/detail/connection.hpp>
#include <objectcache/s3/xml.hpp>

#include <algorithm>
#include <cstring>
#include <new>

// One operation from its first request to its outcome: everything that is the same for all operations.
namespace objectcache::s3 {

OBJECTCACHE_DECL asio::awaitable<status> client::run(std::shared_ptr<state> self, operation& op)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    status done(errc::cancelled);
    ++self->count.operations;
    if (op.until == deadline::never())
        op.until = deadline(self->time.now() + self->options.request_timeout);
    if (op.until.passed(self->time.now())) {
        done = status(errc::deadline_exceeded);
    } else if (cancellation.cancelled() == asio::cancellation_type::none) {
        // What children refer to lives here: no cancellation may throw past it.
        const bool throws = co_await asio::this_coro::throw_if_cancelled();
        co_await asio::this_coro::throw_if_cancelled(false);
        done = co_await perform(self, op);
        co_await asio::this_coro::throw_if_cancelled(throws);
    }
    if (done.ok())
        co_return done;
    std::string detail = describe(op.what, self->place_of(op.what.bucket)->where);
    if (!done.detail().empty())
        detail += ": " + done.detail();
    // Asio and the system have codes of their own for it.
    co_return status(done == condition::cancelled ? make_error_code(errc::cancelled) : done.code(),
                     std::move(detail));
}

OBJECTCACHE_DECL asio::awaitable<status> client::perform(std::shared_ptr<state> self, operation& op)
{
    retry_progress so_far;
    status last;
    for (;;) {
        if (status ready = co_await get_ready(self, op); !ready.ok())
            co_return last.ok() ? ready : last;
        const time_point sent = self->time.now();
        const std::shared_ptr<state::place> to = self->place_of(op.what.bucket);
        const circuit::admission pass = to->breaker.admit(sent);
        if (!pass.admitted()) {
            ++self->count.refused;
            if (last.ok())
                last =
                    status(errc::unreachable, "not tried, for the last requests to this endpoint failed: " +
                                                  to->trouble.message());
            co_return last;
        }
        attempt done;
        status ended = co_await watch(self, op, done);
        ++op.tries;
        const time_point now = self->time.now();
        verdict seen = verdict_on_endpoint(ended);
        if (ended == errc::deadline_exceeded && done.head.status != 0)
            seen = verdict::alive; // the answer was coming: only the time was short
        else if (ended == errc::deadline_exceeded && !done.placed)
            seen = verdict::unknown; // it waited in line: those before it tell
        to->breaker.report(pass, seen, now);
        if (seen == verdict::failed)
            to->trouble = ended;
        throttle& pace = self->pace_of(op.who).rate;
        if (ended == errc::throttled) {
            ++self->count.throttled;
            pace.refused(sent, now);
            self->pool.throttled();
        } else if (verdict_on_endpoint(ended) == verdict::alive) {
            pace.accepted(now);
        }
        op.head = std::move(done.head);
        op.text = std::move(done.text);
        op.received = done.received;
        if (ended.ok()) {
            self->retry.succeeded(so_far);
            co_return ended;
        }
        last = std::move(ended);
        if (correct(*self, op, done)) {
            ++self->count.corrections;
            last = status(); // no longer a reason for anything
            continue;
        }
        const auto date = std::chrono::floor<std::chrono::seconds>(self->time.date() + self->skew);
        const failed_attempt what{last, op.repeatable, parse_retry_after(op.head.retry_after, date),
                                  op.until};
        const auto wait = self->retry.next(what, so_far, now, self->random);
        if (!wait)
            co_return last;
        ++self->count.retries;
        timer pause(self->executor);
        pause.expires_at(now + *wait);
        if (!co_await pause.wait())
            co_return status(errc::cancelled);
    }
}

/** Credentials are there, and the store takes another request. */
OBJECTCACHE_DECL asio::awaitable<status> client::get_ready(std::shared_ptr<state> self, operation& op)
{
    if (self->who && !self->has_credentials(self->asked_ahead())) {
        status fetched = co_await fetch_credentials(self, op.until);
        if (!fetched.ok() && !self->has_credentials(std::chrono::seconds(0)))
            co_return fetched;
    }
    state::pace& pace = self->pace_of(op.who);
    byte_budget::ticket turn; // who waits for the rate, waits in line
    for (;;) {
        const time_point now = self->time.now();
        const time_point earliest = pace.rate.earliest(now);
        if (earliest <= now && (turn.amount() != 0 || pace.line.in_use() == 0)) {
            pace.rate.sent(now);
            co_return status();
        }
        if (op.until.passed(earliest))
            co_return status(errc::throttled,
                             "the store takes too few requests for this one to be sent in time");
        if (turn.amount() == 0) {
            result<byte_budget::ticket> mine = co_await pace.line.acquire(1, op.who, op.until);
            if (!mine)
                co_return mine.error();
            turn = std::move(*mine);
            continue;
        }
        timer pause(self->executor);
        pause.expires_at(earliest);
        if (!co_await pause.wait())
            co_return status(errc::cancelled);
    }
}

OBJECTCACHE_DECL asio::awaitable<status> client::fetch_credentials(std::shared_ptr<state> self,
                                                                   deadline until)
{
    asio::awaitable<result<credentials>> work = self->who();
    std::string what = "credentials";
    result<credentials> fetched = co_await with_deadline(std::move(work), until, std::move(what));
    if (!fetched)
        co_return fetched.error();
    if (*self->current != *fetched) // the same ones stay the same object: correct() tells them apart by that
        self->current = std::make_shared<const credentials>(std::move(*fetched));
    self->known = true;
    co_return status();
}

/** The request of an attempt, and the one beside it that a late read gets; the first success counts. Ends when both are
    quiet. */
OBJECTCACHE_DECL asio::awaitable<status> client::watch(std::shared_ptr<state> self, operation& op,
                                                       attempt& chosen)
{
    attempt second;
    std::unique_ptr<std::byte[]> beside; // two requests never write into the same memory
    timer observer(self->executor);
    task_group children(self->executor);
    chosen.destination = op.destination;
    chosen.observer = op.observer;
    const time_point began = self->time.now();
    children.spawn(exchange_once(self, op, chosen, observer));

    time_point late = time_point::max();
    if (op.hedged && !chosen.ended)
        if (const auto usual = self->hedge.delay(op.destination.size()))
            late = began + *usual;
    time_point stalled = began + self->options.stall_timeout;
    std::uint64_t progress = 0;
    status why(errc::cancelled);
    bool over = false;
    for (;;) {
        over = chosen.ended && (!beside || second.ended);
        if (over || chosen.won() || second.won())
            break;
        observer.expires_at(std::min({op.until.at(), late, stalled}));
        const bool time_came = co_await observer.wait();
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (cancellation.cancelled() != asio::cancellation_type::none)
            break;
        if (!time_came)
            continue;
        const time_point now = self->time.now();
        if (op.until.passed(now)) {
            why = status(errc::deadline_exceeded);
            break;
        }
        if (late <= now) {
            late = time_point::max();
            if (self->hedge.take(self->calm(*self->place_of(op.what.bucket), now))) {
                ++self->count.hedges;
                beside = std::make_unique_for_overwrite<std::byte[]>(op.destination.size());
                second.destination = byte_span(beside.get(), op.destination.size());
                children.spawn(exchange_once(self, op, second, observer));
            }
        }
        if (stalled <= now) {
            // In line for a connection, nothing can move.
            const std::uint64_t moved = chosen.moved() + second.moved();
            if ((chosen.under_way || second.under_way) && moved == progress) {
                ++self->count.stalled;
                why = status(std::make_error_code(std::errc::timed_out), "nothing moved for a while");
                break;
            }
            progress = moved;
            stalled = now + self->options.stall_timeout;
        }
    }
    const time_point ended = self->time.now();
    children.cancel();
    co_await children.join();
    if (second.won() && !chosen.won()) {
        if (second.received != 0)
            std::memcpy(op.destination.data(), beside.get(), second.received);
        if (op.observer) {
            op.observer->arrived(0);
            op.observer->arrived(second.received);
        }
        chosen = std::move(second);
        ++self->count.hedges_won;
        self->hedge.completed(op.destination.size(), ended - began, true);
        co_return chosen.outcome;
    }
    if (chosen.won() && op.hedged)
        self->hedge.completed(op.destination.size(), ended - began);
    co_return over || chosen.won() ? chosen.outcome : why;
}

OBJECTCACHE_DECL asio::awaitable<void> client::exchange_once(std::shared_ptr<state> self, operation& op,
                                                             attempt& mine, timer& observer)
{
    try {
        co_await detail::fully_cancellable();
        co_await exchange_somehow(self, op, mine);
    } catch (const std::bad_alloc&) {
        mine.outcome = status(errc::exhausted);
    }
    // Not by a destructor: that of a coroutine that is destroyed in flight may run after the one it would tell.
    mine.ended = true;
    mine.under_way = nullptr;
    observer.cancel();
}

/** A connection, and the request on it; a second time if the connection turns out to be a dead one. */
OBJECTCACHE_DECL asio::awaitable<void> client::exchange_somehow(std::shared_ptr<state> self, operation& op,
                                                                attempt& mine)
{
    for (bool again = false;; again = true) {
        mine.signed_as = self->current;
        mine.sent_to = self->place_of(op.what.bucket);
        mine.skew = self->skew;
        state::place& place = *mine.sent_to;
        const auto now = std::chrono::floor<std::chrono::seconds>(self->time.date() + mine.skew);
        result<std::string> head = serialize(op.what, place.where, *mine.signed_as, place.sign, now);
        if (!head) {
            mine.outcome = head.error();
            co_return;
        }
        if (op.stream)
            op.stream->begin(place.sign.key_for(*mine.signed_as, now), now, signature_in(*head));
        std::string host = place.where.host_for(op.what.bucket);
        auto leased = co_await self->pool.acquire(std::move(host), op.who, op.until, again, &mine.placed);
        if (!leased) {
            mine.outcome = leased.error();
            co_return;
        }
        connection_pool::lease& connection = *leased;
        exchange what;
        what.stream = op.stream;
        what.expect_continue = op.expects && op.body_size != 0 &&
                               op.body_size >= self->options.expect_continue_bytes &&
                               (op.tries != 0 || !self->calm(place, self->time.now()));
        if (what.expect_continue) // hop by hop, hence never signed
            head->insert(head->size() - 2, "Expect: 100-continue\r\n");
        what.head = std::move(*head);
        what.payload = op.payload;
        what.answer = op.answer;
        what.range = op.what.range.value_or(byte_range());
        what.destination = mine.destination;
        what.observer = mine.observer;
        what.text_limit = op.text_limit;
        what.conditional = op.conditional;
        transfer t(std::move(what), connection.scratch());
        ++self->count.requests;
        mine.under_way = &t;
        mine.on = &connection;
        co_await connection.run(t);
        mine.under_way = nullptr;
        mine.head = t.response();
        mine.received = t.received_body();
        mine.outcome = t.outcome();
        if (mine.outcome.ok() && op.verified)
            mine.outcome = verify(*self, mine);
        // What brought wrong bytes once is not trusted again.
        if (t.reusable() && mine.outcome != errc::checksum_mismatch)
            connection.keep();
        // Closed by the server while it was idle, or so it looks: the request itself is not to blame.
        if (!again && connection.reused() && !t.answered() && t.outcome() == condition::unavailable &&
            op.repeatable)
            continue;
        mine.text = std::move(t.text());
        co_return;
    }
}

/** Did the store refuse the request for something that can be put right, and has been? Each only once in an operation. */
OBJECTCACHE_DECL bool client::correct(state& self, operation& op, const attempt& failed)
{
    const response_head& head = op.head;
    if (head.status < 300)
        return false;
    if (head.status == 417)
        return std::exchange(op.expects, false);
    // The answer to HEAD has no text that would say what is wrong: the likely cause is tried.
    const auto document = parse_error_document(op.text);
    const std::string_view code = document ? std::string_view(document->code) : std::string_view();
    const bool mute = op.answer == expect::head;
    const auto is_one_of = [&](auto... names) { return ((code == names) || ...); };

    if (head.date && !op.corrected.clock &&
        (code == "RequestTimeTooSkewed" || (mute && head.status == 403))) {
        const auto ours = std::chrono::floor<std::chrono::seconds>(self.time.date());
        const std::chrono::seconds skew = *head.date - ours;
        op.corrected.clock = true;
        if (std::chrono::abs(skew - failed.skew) > std::chrono::minutes(1)) {
            self.skew = skew;
            return true;
        }
    }
    if (is_one_of("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired",
                  "InvalidToken") &&
        self.who && !op.corrected.credentials) {
        op.corrected.credentials = true;
        if (const auto* cached = self.who.target<cached_credentials>())
            cached->refused(*failed.signed_as);
        self.known = self.known && self.current != failed.signed_as;
        return true;
    }
    const bool elsewhere = head.status / 100 == 3 || code == "AuthorizationHeaderMalformed" ||
                           (mute && head.status == 400) || code == "PermanentRedirect" ||
                           code == "IllegalLocationConstraintException";
    if (!elsewhere || op.corrected.redirects++ >= 2)
        return false;
    return self.place_of(op.what.bucket) != failed.sent_to || follow(self, op, head, op.text);
}

namespace detail {

/** Something that can become part of a host name. */
[[nodiscard]] OBJECTCACHE_DECL bool is_region_name(std::string_view name) noexcept
{
    return name.size() <= 63 && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == name.npos;
}

/** The host of another region that is as this one: dual-stack, FIPS ... */
[[nodiscard]] OBJECTCACHE_DECL std::string in_region(std::string host, std::string_view from,
                                                     std::string_view to)
{
    const auto at = host.find('.' + std::string(from) + '.');
    if (!from.empty() && at != host.npos)
        return host.replace(at + 1, from.size(), to);
    return "s3." + std::string(to) + std::string(amazon_domain(to));
}

} // namespace detail

/** The bucket lives in another region. Where exactly is said in a header, in the text, or in both. A redirect is never
    followed to a host outside the service: that host would get a signed request. */
OBJECTCACHE_DECL bool client::follow(state& self, operation& op, const response_head& head,
                                     std::string_view text)
{
    endpoint to = self.place_of(op.what.bucket)->where;
    std::string region = head.region;
    if (region.empty())
        if (const auto document = parse_error_document(text))
            region = document->region;
    if (!region.empty() && region != to.region && detail::is_region_name(region)) {
        if (to.is_amazon())
            to.host = detail::in_region(std::move(to.host), to.region, region);
        to.region = region;
    } else {
        const auto target = endpoint::parse(head.location.substr(0, head.location.find('/', 8)), to.region);
        if (!target || !to.is_amazon() || !target->is_amazon() || target->tls != to.tls ||
            target->port != to.port)
            return false;
        const std::string own = std::string(op.what.bucket) + '.';
        to.host = target->host.starts_with(own) ? target->host.substr(own.size()) : target->host;
        if (to.host == self.place_of(op.what.bucket)->where.host)
            return false;
    }
    // Buckets of one region share what is known of it.
    auto there = std::shared_ptr<state::place>();
    for (const auto& [bucket, place] : self.moved)
        if (place->where.host == to.host && place->where.region == to.region)
            there = place;
    if (!there)
        there = std::make_shared<state::place>(std::move(to), self.options.circuit, self.random());
    self.moved.insert_or_assign(std::string(op.what.bucket), std::move(there));
    return true;
}

} // namespace objectcache::s3
