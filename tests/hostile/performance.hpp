// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <hostile/player.hpp>
#include <hostile/script.hpp>

#include <objectcache/s3/client.hpp>
#include <objectcache/testing/manual_clock.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hostile {

namespace s3 = objectcache::s3;
using namespace std::chrono_literals;
using objectcache::byte_span;
using objectcache::const_byte_span;
using objectcache::deadline;
using objectcache::result;
using objectcache::status;
using objectcache::testing::manual_clock;

/** Memory between two fields that nobody may touch. */
class fenced_buffer {
public:
    static constexpr std::size_t fence = 4096;

    explicit fenced_buffer(std::size_t size) : bytes_(size + 2 * fence, untouched) {}

    [[nodiscard]] byte_span span() noexcept { return byte_span(bytes_).subspan(fence, size()); }
    [[nodiscard]] std::string_view text() const
    {
        return {reinterpret_cast<const char*>(bytes_.data()) + fence, size()};
    }
    [[nodiscard]] bool fences_hold() const
    {
        const auto whole = [](std::byte b) { return b == untouched; };
        return std::all_of(bytes_.begin(), bytes_.begin() + fence, whole) &&
               std::all_of(bytes_.end() - fence, bytes_.end(), whole);
    }
    /** How far into the memory the last byte lies that was written. */
    [[nodiscard]] std::size_t written() const
    {
        const auto last = text().find_last_not_of(static_cast<char>(untouched));
        return last == std::string_view::npos ? 0 : last + 1;
    }

private:
    static constexpr std::byte untouched{0xa5};

    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size() - 2 * fence; }

    std::vector<std::byte> bytes_;
};

/** What an operation came to. */
struct outcome {
    outcome() = default;
    explicit outcome(status s) : what(std::move(s)) {}
    explicit outcome(const result<s3::object_info>& read)
        : what(read.error())
        , etag(read ? read->etag : std::string())
    {}

    status what;
    std::string etag; // of the object that was read
};

/** An operation under way owns what it writes to, also when the test has given it up. */
struct attempt {
    explicit attempt(std::size_t bytes) : memory(bytes) {}

    fenced_buffer memory;
    std::optional<outcome> out;
};

inline asio::awaitable<void> perform(s3::client& client, operation what, std::shared_ptr<attempt> in,
                                     deadline until)
{
    const byte_span memory = in->memory.span();
    const std::string bucket = "b";
    const std::string key = "k";
    const s3::op_options options{until};
    const s3::get_options of_get{until};
    switch (what.what) {
    case operation::kind::get_range: {
        auto work = client.get(bucket, key, what.range, memory, of_get);
        const auto read = co_await std::move(work);
        in->out.emplace(read);
        break;
    }
    case operation::kind::get: {
        auto work = client.get(bucket, key, memory, of_get);
        const auto read = co_await std::move(work);
        in->out.emplace(read);
        break;
    }
    case operation::kind::head: {
        auto work = client.head(bucket, key, options);
        const auto read = co_await std::move(work);
        in->out.emplace(read);
        break;
    }
    case operation::kind::put: {
        const const_byte_span part = memory;
        auto work = client.put(bucket, key, std::span(&part, 1), {.until = until});
        status done = co_await std::move(work);
        in->out.emplace(std::move(done));
        break;
    }
    case operation::kind::list: {
        s3::list_options page;
        page.until = until;
        auto work = client.list(bucket, key, std::move(page));
        const auto listed = co_await std::move(work);
        in->out.emplace(listed.error());
        break;
    }
    case operation::kind::remove: {
        auto work = client.remove(bucket, key, options);
        status done = co_await std::move(work);
        in->out.emplace(std::move(done));
        break;
    }
    }
}

/** Is there a socket in this process that has much to send and cannot? */
inline bool is_sending()
{
    for (int fd = 0; fd < 256; ++fd) {
        int unacknowledged = 0;
        if (::ioctl(fd, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 32 * 1024)
            return true;
    }
    return false;
}

/** What is needed to run one script, and what was found wrong. */
class performance {
public:
    performance(const script& what, const identities& who, const std::string& ca_file)
        : script_(what)
        , player_(io_, what, who)
        , client_(std::in_place, io_.get_executor(), *s3::endpoint::parse(player_.url()),
                  credentials_in_turn(), s3::client_options{.connections = {.ca_file = ca_file}})
    {}

    /** @returns All that is wrong; empty if nothing is. */
    [[nodiscard]] std::vector<std::string> run()
    {
        for (const operation& op : script_.operations)
            for (std::uint64_t i = 0; i < op.times && offences_.empty(); ++i) {
                run_operation(op);
                let_a_second_pass();
            }
        judge_server();
        connections_ = player_.connections;
        requests_ = player_.requests;
        heal();
        leave();
        return std::move(offences_);
    }

    [[nodiscard]] std::string summary() const
    {
        return last_ + "; connections: " + std::to_string(connections_) +
               ", requests: " + std::to_string(requests_);
    }

private:
    void offence(std::string what) { offences_.push_back(std::move(what)); }

    /** AK1 first, AK2 when asked again ... */
    [[nodiscard]] s3::credentials_provider credentials_in_turn()
    {
        return [this] { return next_credentials(); };
    }
    asio::awaitable<result<s3::credentials>> next_credentials()
    {
        co_return s3::credentials{"AK" + std::to_string(++asked_), "SK", "", {}};
    }

    /** Runs until `done()`. When nothing can happen any more without time, time moves on to the next timer: nothing is
        ever waited for, and the order of events does not depend on the machine.

        The loopback delivers at once, so a moment without any event means that there will be none - unless a sender waits
        for an acknowledgement, which may take 40 ms. The moment is made of many looks, not of time alone: the process
        may stand still in the middle of it. */
    template <class Done>
    [[nodiscard]] bool drive(Done done)
    {
        using std::chrono::steady_clock;
        const auto limit = steady_clock::now() + 20s;
        auto quiet_since = steady_clock::now();
        for (int looks = 0; !done(); ++looks) {
            io_.restart();
            const bool busy = io_.poll_one() != 0;
            const auto now = steady_clock::now();
            if (now > limit)
                return false;
            if (busy) {
                looks = 0;
                quiet_since = now;
            } else if (looks > 50 && now - quiet_since > 10ms &&
                       (now - quiet_since > 100ms || !is_sending())) {
                clock_.advance_to_next();
                looks = 0;
                quiet_since = now;
            }
        }
        return true;
    }

    /** Whatever the server still has to say arrives before the next operation begins. */
    void let_a_second_pass()
    {
        const auto until = clock_.now() + 1s;
        objectcache::timer alarm(io_.get_executor());
        alarm.expires_at(until);
        if (!drive([&] { return clock_.now() >= until; }))
            offence("time stands still");
    }

    /** @returns The operation, at its end; nothing if that never comes. */
    [[nodiscard]] std::shared_ptr<attempt> await(const operation& op, duration limit)
    {
        std::size_t bytes = op.size;
        if (op.what == operation::kind::get_range)
            bytes = op.range.size;
        else if (op.what == operation::kind::get)
            bytes = object_bytes;
        const auto made = std::make_shared<attempt>(bytes);
        const deadline until = limit == duration::max() ? deadline::never() : deadline(clock_.now() + limit);
        asio::co_spawn(io_, perform(*client_, op, made, until), asio::detached);
        if (drive([&] { return made->out.has_value(); }))
            return made;
        offence("the operation does not end");
        return nullptr;
    }

    void run_operation(const operation& op)
    {
        const bool reads = op.what == operation::kind::get_range || op.what == operation::kind::get;
        const auto start = clock_.now();
        const auto made = await(op, script_.until.value_or(duration::max()));
        if (!made)
            return;
        const fenced_buffer& memory = made->memory;
        const auto& out = made->out;
        last_ = out->what.ok() ? "ok" : out->what.message();

        if (clock_.now() - start > script_.until.value_or(s3::client_options().request_timeout))
            offence("it ended after its deadline");
        if (!memory.fences_hold())
            offence("bytes outside the destination were written");
        if (std::any_of(last_.begin(), last_.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }))
            offence("control characters in the message");
        if (client_->connections().in_use() != 0 || client_->connections().waiting() != 0)
            offence("a connection is still in use");

        const auto is = [&](const std::optional<condition>& c) {
            return c ? out->what == *c : out->what.ok();
        };
        if (std::none_of(op.outcomes.begin(), op.outcomes.end(), is)) {
            offence("expected " + name_of(op.outcomes.front()) + ", got " + last_);
            return;
        }
        if (last_.find(op.message) == last_.npos)
            offence("the message does not say '" + op.message + "' but: " + last_);
        if (!out->what.ok()) {
            if (memory.written() > player_.body_sent && reads)
                offence("byte " + std::to_string(memory.written() - 1) + " was written, but only " +
                        std::to_string(player_.body_sent) + " were sent");
            if (client_->connections().idle() != script_.idle)
                offence(std::to_string(client_->connections().idle()) + " connections are kept");
            return;
        }
        if (!op.etag.empty() && out->etag != op.etag)
            offence("the ETag is " + out->etag);
        if (reads &&
            memory.text() != object(out->etag == etag_of(true)).substr(op.range.offset, memory.text().size()))
            offence("success with other bytes than the object's");
    }

    void judge_server()
    {
        if (!script_.requests.contains(player_.requests))
            offence("the server saw " + std::to_string(player_.requests) + " requests");
        if (!script_.connections.contains(player_.connections))
            offence("the server saw " + std::to_string(player_.connections) + " connections");
        for (const std::string& complaint : player_.complaints)
            offence(complaint);
    }

    /** The same client is served as if nothing had been. */
    void heal()
    {
        player_.heal();
        operation op;
        op.what = operation::kind::get_range;
        op.range = {1000, 50'000};
        const auto made = await(op, 60s);
        if (!made)
            return;
        if (!made->out->what.ok())
            offence("afterwards a good server fails: " + made->out->what.message());
        else if (made->memory.text() != object(false).substr(op.range.offset, op.range.size))
            offence("afterwards a good server's bytes are not the object's");
    }

    /** The client goes, and with it all that it had. */
    void leave()
    {
        client_.reset();
        if (!drive([this] { return player_.open == 0; }))
            offence(std::to_string(player_.open) + " connections are not closed");
        if (clock_.pending() != 0)
            offence(std::to_string(clock_.pending()) + " timers are left");
    }

    const script& script_;
    std::vector<std::string> offences_;
    std::string last_;
    std::uint64_t connections_ = 0, requests_ = 0; // of the script, without what follows
    int asked_ = 0;
    asio::io_context io_;
    manual_clock& clock_ = asio::make_service<manual_clock>(io_);
    player player_;
    std::optional<s3::client> client_;
};

} // namespace hostile
