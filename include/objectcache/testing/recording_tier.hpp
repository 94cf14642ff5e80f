// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/fair_queue.hpp>
#include <objectcache/store/memory_tier.hpp>
#include <objectcache/testing/fail_counter.hpp>
#include <objectcache/testing/tier_call.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace objectcache::testing {

/** A memory tier that writes down every call, can fail at every step, and can hold calls back until the test lets them
    go or their deadline passes.

    A call is two steps of the fuse: failing at the first it has no effect; failing at the second it has had its effect
    and only the answer is lost.

    @par Threads Not safe: one thread, or one strand, at a time. */
class recording_tier {
public:
    using call = tier_call;
    struct entry {
        call what;
        std::string key;
        byte_range range;
        std::uint32_t part = 0; ///< its number, of `upload_part`
        friend bool operator==(const entry&, const entry&) = default;
    };

    explicit recording_tier(asio::any_io_executor executor, fail_counter* fuse = nullptr)
        : under_(executor)
        , fuse_(fuse)
    {
        for (door& d : doors_)
            d.line = std::make_shared<fair_queue>(executor);
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

    /** From now on such calls wait after being recorded. */
    void hold(call what) { door_of(what).shut = true; }
    /** Let the waiting calls, and later ones, go on. */
    void release(call what)
    {
        door_of(what).shut = false;
        door_of(what).line->serve();
    }
    [[nodiscard]] std::size_t waiting(call what) const noexcept
    {
        return doors_[static_cast<std::size_t>(what)].line->waiters();
    }
    void hold_reads() { hold(call::read); }
    void release_reads() { release(call::read); }
    [[nodiscard]] std::size_t reads_waiting() const noexcept { return waiting(call::read); }

    [[nodiscard]] asio::awaitable<status> read(std::string key, byte_range range, byte_span into,
                                               deadline until, read_observer* observer = nullptr)
    {
        status s = co_await enter(call::read, key, range, until);
        if (s.ok())
            s = co_await under_.read(key, range, into, until, observer);
        co_return s.ok() ? step(key) : s;
    }
    [[nodiscard]] asio::awaitable<status> write(std::string key, std::span<const const_byte_span> parts,
                                                if_exists mode, deadline until)
    {
        byte_range whole;
        for (const const_byte_span part : parts)
            whole.size += part.size();
        status s = co_await enter(call::write, key, whole, until);
        if (s.ok())
            s = co_await under_.write(key, parts, mode, until);
        co_return s.ok() ? step(key) : s;
    }
    [[nodiscard]] asio::awaitable<result<object_stat>> stat(std::string key, deadline until)
    {
        const byte_range nothing;
        if (status s = co_await enter(call::stat, key, nothing, until); !s.ok())
            co_return s;
        auto found = co_await under_.stat(key, until);
        if (status s = step(key); found.ok() && !s.ok())
            co_return s;
        co_return found;
    }
    [[nodiscard]] asio::awaitable<status> remove(std::string key, deadline until)
    {
        const byte_range nothing;
        status s = co_await enter(call::remove, key, nothing, until);
        if (s.ok())
            s = co_await under_.remove(key, until);
        co_return s.ok() ? step(key) : s;
    }
    [[nodiscard]] asio::awaitable<result<key_page>> list(std::string prefix, std::string continuation,
                                                         std::size_t most, deadline until)
    {
        const byte_range nothing;
        if (status s = co_await enter(call::list, prefix, nothing, until); !s.ok())
            co_return s;
        auto page = co_await under_.list(prefix, std::move(continuation), most, until);
        if (status s = step(prefix); page.ok() && !s.ok())
            co_return s;
        co_return page;
    }

    [[nodiscard]] std::size_t least_part() const noexcept { return under_.least_part(); }
    [[nodiscard]] asio::awaitable<result<std::string>> begin_upload(std::string key, deadline until)
    {
        const byte_range nothing;
        if (status s = co_await enter(call::begin_upload, key, nothing, until); !s.ok())
            co_return s;
        auto id = co_await under_.begin_upload(key, until);
        if (status s = step(key); id.ok() && !s.ok())
            co_return s;
        co_return id;
    }
    [[nodiscard]] asio::awaitable<result<std::string>> upload_part(std::string key, std::string id,
                                                                   std::uint32_t number,
                                                                   std::span<const const_byte_span> parts,
                                                                   deadline until)
    {
        byte_range whole;
        for (const const_byte_span part : parts)
            whole.size += part.size();
        if (status s = co_await enter(call::upload_part, key, whole, until, number); !s.ok())
            co_return s;
        auto tag = co_await under_.upload_part(key, std::move(id), number, parts, until);
        if (status s = step(key); tag.ok() && !s.ok())
            co_return s;
        co_return tag;
    }
    [[nodiscard]] asio::awaitable<status> complete_upload(std::string key, std::string id,
                                                          std::span<const std::string> tags, if_exists mode,
                                                          deadline until)
    {
        const byte_range nothing;
        status s = co_await enter(call::complete_upload, key, nothing, until);
        if (s.ok())
            s = co_await under_.complete_upload(key, std::move(id), tags, mode, until);
        co_return s.ok() ? step(key) : s;
    }
    [[nodiscard]] asio::awaitable<status> abort_upload(std::string key, std::string id, deadline until)
    {
        const byte_range nothing;
        status s = co_await enter(call::abort_upload, key, nothing, until);
        if (s.ok())
            s = co_await under_.abort_upload(key, std::move(id), until);
        co_return s.ok() ? step(key) : s;
    }

private:
    struct door {
        bool shut = false;
        std::shared_ptr<fair_queue> line;
    };
    door& door_of(call what) noexcept { return doors_[static_cast<std::size_t>(what)]; }

    asio::awaitable<status> enter(call what, std::string key, byte_range range, deadline until,
                                  std::uint32_t part = 0)
    {
        calls_.push_back({what, key, range, part});
        std::function<bool()> open = [&door = door_of(what)] { return !door.shut; };
        if (error_code ec = co_await door_of(what).line->wait(priority::load, until, std::move(open)))
            co_return status(ec, key);
        co_return step(key);
    }
    status step(const std::string& key) { return fuse_ ? status(fuse_->step(), key) : status(); }

    memory_tier under_;
    std::array<door, tier_calls> doors_; // one for each kind of call
    fail_counter* fuse_;
    std::vector<entry> calls_;
};

static_assert(tier<recording_tier>);

} // namespace objectcache::testing
