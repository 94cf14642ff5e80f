// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/store/s3_tier.hpp>

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <span>
#include <string>
#include <unistd.h>
#include <utility>

namespace crash {

namespace oc = objectcache;
namespace asio = boost::asio;

/** An S3 tier whose process dies with its k-th request: behind its answer, or while it is on the way. */
class killing_tier {
public:
    enum class when { answered, under_way };

    killing_tier(oc::s3_tier tier, unsigned k, when moment) : under_(std::move(tier)), k_(k), when_(moment) {}

    [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return under_.get_executor(); }
    [[nodiscard]] std::size_t least_part() const noexcept { return under_.least_part(); }

    asio::awaitable<oc::status> read(std::string key, oc::byte_range range, oc::byte_span into,
                                     oc::deadline until, oc::read_observer* observer = nullptr)
    {
        const bool last = begin();
        oc::status s = co_await under_.read(std::move(key), range, into, until, observer);
        end(last);
        co_return s;
    }
    asio::awaitable<oc::status> write(std::string key, std::span<const oc::const_byte_span> parts,
                                      oc::if_exists mode, oc::deadline until)
    {
        const bool last = begin();
        oc::status s = co_await under_.write(std::move(key), parts, mode, until);
        end(last);
        co_return s;
    }
    asio::awaitable<oc::result<oc::object_stat>> stat(std::string key, oc::deadline until)
    {
        const bool last = begin();
        auto r = co_await under_.stat(std::move(key), until);
        end(last);
        co_return r;
    }
    asio::awaitable<oc::status> remove(std::string key, oc::deadline until)
    {
        oc::status s = co_await under_.remove(std::move(key), until);
        co_return s;
    }
    asio::awaitable<oc::result<oc::key_page>> list(std::string prefix, std::string continuation,
                                                   std::size_t most, oc::deadline until)
    {
        const bool last = begin();
        auto r = co_await under_.list(std::move(prefix), std::move(continuation), most, until);
        end(last);
        co_return r;
    }
    asio::awaitable<oc::result<std::string>> begin_upload(std::string key, oc::deadline until)
    {
        const bool last = begin();
        auto r = co_await under_.begin_upload(std::move(key), until);
        end(last);
        co_return r;
    }
    asio::awaitable<oc::result<std::string>> upload_part(std::string key, std::string id,
                                                         std::uint32_t number,
                                                         std::span<const oc::const_byte_span> parts,
                                                         oc::deadline until)
    {
        const bool last = begin();
        auto r = co_await under_.upload_part(std::move(key), std::move(id), number, parts, until);
        end(last);
        co_return r;
    }
    asio::awaitable<oc::status> complete_upload(std::string key, std::string id,
                                                std::span<const std::string> tags, oc::if_exists mode,
                                                oc::deadline until)
    {
        const bool last = begin();
        oc::status s = co_await under_.complete_upload(std::move(key), std::move(id), tags, mode, until);
        end(last);
        co_return s;
    }
    asio::awaitable<oc::status> abort_upload(std::string key, std::string id, oc::deadline until)
    {
        const bool last = begin();
        oc::status s = co_await under_.abort_upload(std::move(key), std::move(id), until);
        end(last);
        co_return s;
    }

private:
    static void die() { ::kill(::getpid(), SIGKILL); }

    bool begin()
    {
        if (++n_ != k_)
            return false;
        if (when_ == when::answered)
            return true;
        // Somewhere between the first byte of the request and the last of the answer, elsewhere for each k.
        alarm_.expires_after(std::chrono::microseconds(50 + k_ * 7919 % 1500));
        alarm_.async_wait([](auto) { die(); });
        return false;
    }
    static void end(bool last)
    {
        if (last)
            die();
    }

    oc::s3_tier under_;
    unsigned k_, n_ = 0;
    when when_;
    asio::steady_timer alarm_{under_.get_executor()};
};

static_assert(oc::tier<killing_tier>);

} // namespace crash
