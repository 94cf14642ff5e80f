// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/error.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/operation.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/kv/object_key.hpp>
#include <objectcache/plan/layout_policy.hpp>
#include <objectcache/store/tier.hpp>

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace objectcache {

/** What the keys of measure_costs() begin with, behind the key prefix: of no scope, so that nobody takes them for KV. */
inline constexpr const char* probe_prefix = "oc1-probe/";

/** How a store is measured. The defaults move some 100 MiB from it. */
struct measure_options {
    /** As cache_options::key_prefix. */
    std::string key_prefix;
    /** What cannot be measured is taken from here: prices, and how the cache uses the store (connections, coalesce_bytes
        ...). */
    storage_costs given;

    std::uint32_t small_reads =
        11; ///< one after the other, of 1 KiB; the first, which connects, does not count
    std::uint32_t parallel_reads = 8; ///< at once, to fill the link; > 0
    std::uint64_t read_bytes =
        4 << 20;              ///< of each of them; there is a buffer for each, and one for what is written
    std::uint32_t rounds = 3; ///< of parallel reads; the fastest counts: what disturbs makes them slower
    duration timeout = std::chrono::seconds(30);        ///< of all of it
    duration cleanup_timeout = std::chrono::seconds(5); ///< for removing the probes, on top

    /** @par Errors `condition::invalid`, with the member's name. */
    [[nodiscard]] status validate() const
    {
        if (!valid_key_prefix(key_prefix))
            return status(errc::invalid_argument, "key_prefix '" + key_prefix + "'");
        if (small_reads == 0 || parallel_reads == 0 || rounds == 0)
            return status(errc::invalid_argument, "small_reads, parallel_reads and rounds must not be 0");
        if (read_bytes == 0)
            return status(errc::invalid_argument, "read_bytes must not be 0");
        if (timeout <= duration::zero() || cleanup_timeout <= duration::zero())
            return status(errc::invalid_argument, "timeouts must be positive: no wait is unbounded");
        return {};
    }
};

namespace detail {

/** One measurement: two objects of our own, and reads of them. */
template <tier Tier>
class cost_meter {
public:
    cost_meter(Tier& store, measure_options how)
        : store_(store)
        , how_(std::move(how))
        , time_(clock::of(store.get_executor()))
        , until_(time_.now() + how_.timeout)
    {
        std::random_device random;
        static constexpr char hex[] = "0123456789abcdef";
        name_ = how_.key_prefix + probe_prefix;
        for (int i = 0; i < 4; ++i)
            for (unsigned bits = random(), digit = 0; digit < 8; ++digit, bits >>= 4)
                name_ += hex[bits & 15];
    }

    asio::awaitable<result<storage_costs>> run()
    {
        storage_costs out = how_.given;
        bytes_.resize(static_cast<std::size_t>(std::max<std::uint64_t>(how_.read_bytes, small_bytes)));
        for (std::size_t i = 0; i < bytes_.size(); ++i)
            bytes_[i] = static_cast<std::byte>((i * 0x9e3779b97f4a7c15) >> 56); // nothing to be compressed
        const const_byte_span all(bytes_);
        status s = co_await write("/small", all.first(small_bytes));
        if (s.ok())
            s = co_await write("/large", all.first(static_cast<std::size_t>(how_.read_bytes)));
        if (s.ok())
            s = co_await measure_latency(out);
        if (s.ok())
            s = co_await try_range(out);
        if (s.ok())
            s = co_await measure_rate(out);
        // Also what was written without an answer; and whoever cancels wants to be rid of it too.
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        for (const char* which : {"/small", "/large"}) {
            std::string key = name_ + which;
            const deadline soon(time_.now() + how_.cleanup_timeout / 2);
            (void)co_await store_.remove(std::move(key), soon);
        }
        if (!s.ok())
            co_return s;
        co_return out;
    }

private:
    static constexpr std::size_t small_bytes = 1024;

    asio::awaitable<status> write(const char* which, const_byte_span body)
    {
        const const_byte_span parts[] = {body};
        std::string key = name_ + which;
        status s = co_await store_.write(std::move(key), parts, if_exists::replace, until_);
        co_return s;
    }
    asio::awaitable<status> read(const char* which, byte_range range, byte_span into)
    {
        // A tier whose reads never wait would not notice.
        if (until_.passed(time_.now()))
            co_return status(errc::deadline_exceeded, "measuring the store");
        std::string key = name_ + which;
        status s = co_await store_.read(std::move(key), range, into, until_);
        co_return s;
    }

    [[nodiscard]] double seconds_since(time_point from) const
    {
        return std::chrono::duration<double>(time_.now() - from).count();
    }

    asio::awaitable<status> measure_latency(storage_costs& out)
    {
        std::vector<double> took;
        std::vector<std::byte> into(small_bytes);
        for (std::uint32_t i = 0; i <= how_.small_reads; ++i) {
            const time_point began = time_.now();
            status s = co_await read("/small", {0, small_bytes}, into);
            if (!s.ok())
                co_return s;
            if (i != 0)
                took.push_back(seconds_since(began));
        }
        const auto middle = took.begin() + static_cast<std::ptrdiff_t>(took.size() / 2);
        std::nth_element(took.begin(), middle, took.end());
        out.request_seconds = *middle;
        co_return status();
    }

    /** Whether a range brings its bytes. */
    asio::awaitable<status> try_range(storage_costs& out)
    {
        const std::size_t offset = 1, size = small_bytes / 2;
        std::vector<std::byte> into(size);
        const byte_range range{offset, size};
        status s = co_await read("/small", range, into);
        const auto expected = bytes_.begin() + static_cast<std::ptrdiff_t>(offset);
        out.ranged_reads = s.ok() && std::equal(into.begin(), into.end(), expected);
        // Who does not know ranges sends everything, or refuses; anything else may come to any request.
        if (s == condition::corrupt || s == condition::invalid || s == errc::unexpected_status)
            s = status();
        co_return s;
    }

    static asio::awaitable<void> large_read(cost_meter& self, byte_span into, status& failed)
    {
        const byte_range whole{0, into.size()};
        const status s = co_await self.read("/large", whole, into);
        if (!s.ok() && failed.ok())
            failed = s;
    }
    asio::awaitable<status> measure_rate(storage_costs& out)
    {
        std::vector<std::vector<std::byte>> into(how_.parallel_reads);
        for (auto& buffer : into)
            buffer.resize(static_cast<std::size_t>(how_.read_bytes)); // touched before the clock runs
        double fastest = 0;
        for (std::uint32_t round = 0; round < how_.rounds; ++round) {
            status failed;
            const time_point began = time_.now();
            task_group reads(store_.get_executor());
            for (auto& buffer : into)
                reads.spawn(large_read(*this, buffer, failed));
            co_await reads.join();
            if (!failed.ok())
                co_return failed;
            // They wait for their first bytes side by side, then share the link.
            const double took = seconds_since(began);
            const double flowing = std::max(took - std::min(out.request_seconds, took / 2), 1e-6);
            fastest = std::max(fastest, static_cast<double>(how_.read_bytes) * how_.parallel_reads / flowing);
        }
        out.link_bytes_per_second = fastest;
        co_return status();
    }

    Tier& store_;
    measure_options how_;
    clock& time_;
    deadline until_;
    std::string name_;
    std::vector<std::byte> bytes_;
};

template <tier Tier>
asio::awaitable<result<storage_costs>> measured(Tier& store, measure_options how)
{
    if (status s = how.validate(); !s.ok())
        co_return s;
    cost_meter<Tier> meter(store, std::move(how));
    result<storage_costs> out = co_await meter.run();
    co_return out;
}

} // namespace detail

/** Measure what a store costs in time, for cache_options::costs and choose_layout(). Signature:
    `void(result<storage_costs>)`.

    Two objects `<key_prefix>oc1-probe/<random>/...` are written, read, and removed:
    - `request_seconds` is the median of small reads, one after the other;
    - `link_bytes_per_second` is the best of some rounds of large reads side by side, without the time that the first byte
      took. What a disturbed link brings, and at least what `parallel_reads` connections can: a faster link needs more of
      them, or larger ones;
    - `ranged_reads`, whether a part of an object can be had.

    All else is as in measure_options::given. Measure once, when the host starts, and not beside loads.

    @par Completion With the costs, or why there are none. The probes have been removed, or their removal was tried for as
         long as `cleanup_timeout`; what is left then, by a cancelled write that is carried out late, or by a process
         that dies, is for a lifecycle rule on that prefix.
    @par Resumes On the token's associated executor; without one on the tier's.
    @par Cancellation Terminal, partial and total; the probes are removed all the same, which may take `cleanup_timeout`.
    @par Lifetime `store` must outlive the operation; `how` is copied.
    @par Errors `condition::invalid` for options that contradict each other; `timeout`; and what the tier says:
         `unavailable`, `denied`, `exhausted`, `cancelled`.
    @par Threads As the tier's.
    @par Cost Writes `read_bytes`, reads `rounds * parallel_reads` times as much; holds `parallel_reads + 1` such buffers. In
         requests some forty. */
template <tier Tier, asio::completion_token_for<void(result<storage_costs>)> Token = default_token>
auto measure_costs(Tier& store, measure_options how = {}, Token&& token = {})
{
    return start_operation<result<storage_costs>>(
        store.get_executor(),
        [&store, options = std::move(how)]() mutable { return detail::measured(store, std::move(options)); },
        std::forward<Token>(token));
}

} // namespace objectcache
