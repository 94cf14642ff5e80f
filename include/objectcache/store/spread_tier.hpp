// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/run_on.hpp>
#include <objectcache/store/tier.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace objectcache {

/** Several ways to the same objects as one tier: several tiers, each on an executor of its own and best on a thread of its
    own. One thread takes 3 to 6 GB/s off the network and checks them; a cache that wants more runs over this.

    What moves bytes goes the way that has the fewest bytes under way, everything else goes round. A read's observer is
    called where its bytes are received, so that what it does with them is spread too. The parts of an upload go any way if
    the tier says that uploads are known to all of them (`static constexpr bool uploads_are_shared = true`), else the way on
    which it was begun; its id says which.

    The threads are the host's, and so is their end: first no more calls (`cache::close`), then stop the threads
    (`reactor_thread::stop`), then destroy this, the inner tiers and the contexts, in this order. A call that is under way when
    the context of an inner tier is destroyed ends with `errc::shut_down`.

    @tparam Tier Of which every one sees what the others have written, and none shares anything with another: each
                 `s3_tier` has a client of its own, with `cached_credentials` of its own, for copies of these share their
                 state. What is bounded there (connections, request rates) is bounded for each way.
    @par Cancellation Of a call, handed over to the thread where it is under way; completes when that has let go.
    @par Lifetime The inner tiers must outlive this, and all calls.
    @par Threads As every tier, one thread, or one strand, at a time: that of its own executor. Each inner tier is used
         on its own executor only. The observer of a read is called on an inner tier's, where it may touch what waits
         untouched for the read to complete, and what is made for threads.
    @par Cost Of a call, that of `run_on`: 1 us of both threads together when they are busy, 3 us when each has to wake the
         other. */
template <tier Tier>
class spread_tier {
public:
    /** @param executor  Of the caller.
        @param inner  At least one. */
    spread_tier(asio::any_io_executor executor, std::span<Tier* const> inner) : executor_(std::move(executor))
    {
        ways_.reserve(inner.size());
        for (Tier* const t : inner)
            ways_.push_back({t, t->get_executor(), 0});
    }

    [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return executor_; }
    [[nodiscard]] std::size_t ways() const noexcept { return ways_.size(); }
    /** Bytes that are being read or written one of the ways. */
    [[nodiscard]] std::uint64_t under_way(std::size_t way) const noexcept { return ways_[way].bytes; }

    [[nodiscard]] asio::awaitable<status> read(std::string key, byte_range range, byte_span into,
                                               deadline until, read_observer* observer = nullptr)
    {
        const std::size_t way = shortest();
        auto work = [to = ways_[way].to, name = std::move(key), range, into, until, observer]() mutable {
            return to->read(std::move(name), range, into, until, observer);
        };
        status s = co_await go<status>(way, into.size(), std::move(work));
        co_return s;
    }

    [[nodiscard]] asio::awaitable<status> write(std::string key, std::span<const const_byte_span> parts,
                                                if_exists mode, deadline until)
    {
        const std::size_t way = shortest();
        auto work = [to = ways_[way].to, name = std::move(key), parts, mode, until]() mutable {
            return to->write(std::move(name), parts, mode, until);
        };
        status s = co_await go<status>(way, size_of(parts), std::move(work));
        co_return s;
    }

    [[nodiscard]] asio::awaitable<result<object_stat>> stat(std::string key, deadline until)
    {
        const std::size_t way = next();
        auto work = [to = ways_[way].to, name = std::move(key), until]() mutable {
            return to->stat(std::move(name), until);
        };
        auto found = co_await go<result<object_stat>>(way, 0, std::move(work));
        co_return found;
    }

    [[nodiscard]] asio::awaitable<status> remove(std::string key, deadline until)
    {
        const std::size_t way = next();
        auto work = [to = ways_[way].to, name = std::move(key), until]() mutable {
            return to->remove(std::move(name), until);
        };
        status s = co_await go<status>(way, 0, std::move(work));
        co_return s;
    }

    [[nodiscard]] asio::awaitable<result<key_page>> list(std::string prefix, std::string continuation,
                                                         std::size_t most, deadline until)
    {
        const std::size_t way = next();
        auto work = [to = ways_[way].to, name = std::move(prefix), from = std::move(continuation), most,
                     until]() mutable { return to->list(std::move(name), std::move(from), most, until); };
        auto page = co_await go<result<key_page>>(way, 0, std::move(work));
        co_return page;
    }

    [[nodiscard]] std::size_t least_part() const noexcept { return ways_.front().to->least_part(); }

    [[nodiscard]] asio::awaitable<result<std::string>> begin_upload(std::string key, deadline until)
    {
        const std::size_t way = next();
        auto work = [to = ways_[way].to, name = std::move(key), until]() mutable {
            return to->begin_upload(std::move(name), until);
        };
        auto id = co_await go<result<std::string>>(way, 0, std::move(work));
        if constexpr (!shared_uploads)
            if (id.ok())
                id->insert(0, std::to_string(way) + ':');
        co_return id;
    }

    [[nodiscard]] asio::awaitable<result<std::string>> upload_part(std::string key, std::string id,
                                                                   std::uint32_t number,
                                                                   std::span<const const_byte_span> parts,
                                                                   deadline until)
    {
        const std::size_t way = shared_uploads ? shortest() : way_of(id);
        auto work = [to = ways_[way].to, name = std::move(key), upload = std::move(id), number, parts,
                     until]() mutable {
            return to->upload_part(std::move(name), std::move(upload), number, parts, until);
        };
        auto tag = co_await go<result<std::string>>(way, size_of(parts), std::move(work));
        co_return tag;
    }

    [[nodiscard]] asio::awaitable<status> complete_upload(std::string key, std::string id,
                                                          std::span<const std::string> tags, if_exists mode,
                                                          deadline until)
    {
        const std::size_t way = shared_uploads ? next() : way_of(id);
        auto work = [to = ways_[way].to, name = std::move(key), upload = std::move(id), tags, mode,
                     until]() mutable {
            return to->complete_upload(std::move(name), std::move(upload), tags, mode, until);
        };
        status s = co_await go<status>(way, 0, std::move(work));
        co_return s;
    }

    [[nodiscard]] asio::awaitable<status> abort_upload(std::string key, std::string id, deadline until)
    {
        const std::size_t way = shared_uploads ? next() : way_of(id);
        auto work = [to = ways_[way].to, name = std::move(key), upload = std::move(id), until]() mutable {
            return to->abort_upload(std::move(name), std::move(upload), until);
        };
        status s = co_await go<status>(way, 0, std::move(work));
        co_return s;
    }

private:
    static constexpr bool shared_uploads = [] {
        if constexpr (requires { Tier::uploads_are_shared; })
            return static_cast<bool>(Tier::uploads_are_shared);
        else
            return false;
    }();

    struct way_to {
        Tier* to;
        asio::any_io_executor executor;
        std::uint64_t bytes; // under way
    };

    template <class T, class Work>
    asio::awaitable<T> go(std::size_t way, std::uint64_t bytes, Work work)
    {
        ways_[way].bytes += bytes;
        T out = co_await run_on<T>(ways_[way].executor, std::move(work));
        ways_[way].bytes -= bytes; // not by a destructor: whoever is destroyed in flight may outlive this
        co_return out;
    }

    [[nodiscard]] static std::uint64_t size_of(std::span<const const_byte_span> parts) noexcept
    {
        std::uint64_t size = 0;
        for (const const_byte_span part : parts)
            size += part.size();
        return size;
    }
    [[nodiscard]] std::size_t next() noexcept
    {
        turn_ = (turn_ + 1) % ways_.size();
        return turn_;
    }
    /** The way with the fewest bytes under way; of several, each in turn. */
    [[nodiscard]] std::size_t shortest() noexcept
    {
        std::size_t best = next();
        for (std::size_t i = 1; i < ways_.size(); ++i)
            if (const std::size_t other = (turn_ + i) % ways_.size(); ways_[other].bytes < ways_[best].bytes)
                best = other;
        return best;
    }
    /** The way on which an upload was begun; takes it off the id, and leaves the id of none of ours as it is. */
    [[nodiscard]] std::size_t way_of(std::string& id) noexcept
    {
        std::size_t way = 0;
        const char* const end = id.data() + id.size();
        const auto [rest, ec] = std::from_chars(id.data(), end, way);
        if (ec != std::errc() || rest == end || *rest != ':' || way >= ways_.size())
            return next();
        id.erase(0, static_cast<std::size_t>(rest - id.data()) + 1);
        return way;
    }

    asio::any_io_executor executor_;
    std::vector<way_to> ways_;
    std::size_t turn_ = 0;
};

} // namespace objectcache
