// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/clock.hpp>
#include <objectcache/store/memory_tier.hpp>
#include <objectcache/testing/fail_counter.hpp>

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace objectcache::testing {

/** A memory tier that writes down every call, can fail the Nth one, and can hold reads back until the test lets them go.

    @par Threads Not safe: one thread, or one strand, at a time. */
class recording_tier {
public:
    enum class call { read, write, stat, remove, list };
    struct entry {
        call what;
        std::string key;
        byte_range range;
        friend bool operator==(const entry&, const entry&) = default;
    };

    explicit recording_tier(asio::any_io_executor executor, fail_counter* fuse = nullptr)
        : under_(executor), gate_(executor), fuse_(fuse)
    {
    }

    [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return under_.get_executor(); }
    [[nodiscard]] const std::vector<entry>& calls() const noexcept { return calls_; }
    [[nodiscard]] std::size_t count(call what) const
    {
        std::size_t n = 0;
        for (const entry& e : calls_)
            n += e.what == what;
        return n;
    }
    void clear() { calls_.clear(); }
    /** The tier behind, for looking at and damaging what is stored. */
    [[nodiscard]] memory_tier& stored() noexcept { return under_; }
    void set_fuse(fail_counter* fuse) noexcept { fuse_ = fuse; }

    /** From now on reads wait after being recorded. */
    void hold_reads() { gate_.expires_at(time_point::max()), held_ = true; }
    /** Let the waiting reads, and later ones, go on. */
    void release_reads()
    {
        held_ = false;
        gate_.cancel();
    }
    [[nodiscard]] std::size_t reads_waiting() const noexcept { return waiting_; }

    [[nodiscard]] asio::awaitable<status> read(std::string key, byte_range range, byte_span into, deadline until)
    {
        calls_.push_back({call::read, key, range});
        if (held_) {
            ++waiting_;
            co_await gate_.wait();
            --waiting_;
            const auto state = co_await asio::this_coro::cancellation_state;
            if (state.cancelled() != asio::cancellation_type::none)
                co_return status(errc::cancelled);
        }
        if (error_code ec = step())
            co_return status(ec, key);
        co_return co_await under_.read(std::move(key), range, into, until);
    }
    [[nodiscard]] asio::awaitable<status> write(std::string key, std::span<const const_byte_span> parts,
                                                if_exists mode, deadline until)
    {
        std::uint64_t size = 0;
        for (const const_byte_span part : parts)
            size += part.size();
        calls_.push_back({call::write, key, byte_range{0, size}});
        if (error_code ec = step())
            co_return status(ec, key);
        co_return co_await under_.write(std::move(key), parts, mode, until);
    }
    [[nodiscard]] asio::awaitable<result<object_stat>> stat(std::string key, deadline until)
    {
        calls_.push_back({call::stat, key, {}});
        if (error_code ec = step())
            co_return result<object_stat>(status(ec, key));
        co_return co_await under_.stat(std::move(key), until);
    }
    [[nodiscard]] asio::awaitable<status> remove(std::string key, deadline until)
    {
        calls_.push_back({call::remove, key, {}});
        if (error_code ec = step())
            co_return status(ec, key);
        co_return co_await under_.remove(std::move(key), until);
    }
    [[nodiscard]] asio::awaitable<result<key_page>> list(std::string prefix, std::string continuation, std::size_t most,
                                                         deadline until)
    {
        calls_.push_back({call::list, prefix, {}});
        if (error_code ec = step())
            co_return result<key_page>(status(ec, prefix));
        co_return co_await under_.list(std::move(prefix), std::move(continuation), most, until);
    }

private:
    error_code step() { return fuse_ ? fuse_->step() : error_code(); }

    memory_tier under_;
    timer gate_;
    fail_counter* fuse_;
    bool held_ = false;
    std::size_t waiting_ = 0;
    std::vector<entry> calls_;
};

static_assert(tier<recording_tier>);

} // namespace objectcache::testing
