// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/store/tier.hpp>
#include <objectcache/testing/tier_call.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace objectcache::testing {

/** Told of every call of a tier: before it begins, with the bytes that it moves, and after it has ended. What the first
    returns the second is given. A call that is destroyed in flight does not end. */
template <class T>
concept tier_observer = requires(T& t, tier_call what, std::uint64_t bytes)
{
    t.after(t.before(what, bytes));
};

/** Another tier, and somebody who watches it: to count requests, or to die with the k-th.

    @par Threads As the tier's. */
template <tier Under, tier_observer Observer>
class observed_tier {
public:
    observed_tier(Under under, Observer observer) : under_(std::move(under)), observer_(std::move(observer))
    {}

    [[nodiscard]] Under& under() noexcept { return under_; }
    [[nodiscard]] Observer& observer() noexcept { return observer_; }

    [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return under_.get_executor(); }
    [[nodiscard]] std::size_t least_part() const noexcept { return under_.least_part(); }

    [[nodiscard]] asio::awaitable<status> read(std::string key, byte_range range, byte_span into,
                                               deadline until, read_observer* observer = nullptr)
    {
        auto seen = observer_.before(tier_call::read, range.size);
        status s = co_await under_.read(std::move(key), range, into, until, observer);
        observer_.after(std::move(seen));
        co_return s;
    }
    [[nodiscard]] asio::awaitable<status> write(std::string key, std::span<const const_byte_span> parts,
                                                if_exists mode, deadline until)
    {
        auto seen = observer_.before(tier_call::write, size_of(parts));
        status s = co_await under_.write(std::move(key), parts, mode, until);
        observer_.after(std::move(seen));
        co_return s;
    }
    [[nodiscard]] asio::awaitable<result<object_stat>> stat(std::string key, deadline until)
    {
        auto seen = observer_.before(tier_call::stat, 0);
        result<object_stat> r = co_await under_.stat(std::move(key), until);
        observer_.after(std::move(seen));
        co_return r;
    }
    [[nodiscard]] asio::awaitable<status> remove(std::string key, deadline until)
    {
        auto seen = observer_.before(tier_call::remove, 0);
        status s = co_await under_.remove(std::move(key), until);
        observer_.after(std::move(seen));
        co_return s;
    }
    [[nodiscard]] asio::awaitable<result<key_page>> list(std::string prefix, std::string continuation,
                                                         std::size_t most, deadline until)
    {
        auto seen = observer_.before(tier_call::list, 0);
        result<key_page> r = co_await under_.list(std::move(prefix), std::move(continuation), most, until);
        observer_.after(std::move(seen));
        co_return r;
    }
    [[nodiscard]] asio::awaitable<result<std::string>> begin_upload(std::string key, deadline until)
    {
        auto seen = observer_.before(tier_call::begin_upload, 0);
        result<std::string> r = co_await under_.begin_upload(std::move(key), until);
        observer_.after(std::move(seen));
        co_return r;
    }
    [[nodiscard]] asio::awaitable<result<std::string>> upload_part(std::string key, std::string id,
                                                                   std::uint32_t number,
                                                                   std::span<const const_byte_span> parts,
                                                                   deadline until)
    {
        auto seen = observer_.before(tier_call::upload_part, size_of(parts));
        result<std::string> r =
            co_await under_.upload_part(std::move(key), std::move(id), number, parts, until);
        observer_.after(std::move(seen));
        co_return r;
    }
    [[nodiscard]] asio::awaitable<status> complete_upload(std::string key, std::string id,
                                                          std::span<const std::string> tags, if_exists mode,
                                                          deadline until)
    {
        auto seen = observer_.before(tier_call::complete_upload, 0);
        status s = co_await under_.complete_upload(std::move(key), std::move(id), tags, mode, until);
        observer_.after(std::move(seen));
        co_return s;
    }
    [[nodiscard]] asio::awaitable<status> abort_upload(std::string key, std::string id, deadline until)
    {
        auto seen = observer_.before(tier_call::abort_upload, 0);
        status s = co_await under_.abort_upload(std::move(key), std::move(id), until);
        observer_.after(std::move(seen));
        co_return s;
    }

private:
    [[nodiscard]] static std::uint64_t size_of(std::span<const const_byte_span> parts) noexcept
    {
        std::uint64_t out = 0;
        for (const const_byte_span part : parts)
            out += part.size();
        return out;
    }

    Under under_;
    Observer observer_;
};

} // namespace objectcache::testing
