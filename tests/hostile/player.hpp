// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <hostile/honest.hpp>
#include <hostile/script.hpp>

#include <objectcache/io/clock.hpp>
#include <objectcache/io/latch.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/testing/certificate.hpp>
#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hostile {

namespace asio = boost::asio;
using asio::ip::tcp;

/** The certificates a server may show: the right one, and those a client has to refuse. */
class identities {
public:
    identities()
    {
        add("good", "127.0.0.1");
        add("other-name", "example.org");
        add("expired", "127.0.0.1", std::chrono::hours(-1));
        add("unknown", "127.0.0.1");
        SSL_CTX_set_max_proto_version(add("tls1.1", "127.0.0.1").native_handle(), TLS1_1_VERSION);
    }

    /** Nothing for a name that no certificate has. */
    [[nodiscard]] asio::ssl::context* find(const std::string& name) const
    {
        const auto at = all_.find(name);
        return at == all_.end() ? nullptr : at->second.get();
    }
    /** PEM of all but "unknown": nothing but its own flaw speaks against a certificate. */
    [[nodiscard]] const std::string& trusted() const noexcept { return trusted_; }

private:
    asio::ssl::context& add(const std::string& name, const std::string& host,
                            std::chrono::hours validity = std::chrono::hours(24))
    {
        const auto made = *objectcache::testing::self_signed_certificate(host, validity);
        auto& context = all_[name] = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
        context->use_certificate(asio::buffer(made.certificate_pem), asio::ssl::context::pem);
        context->use_private_key(asio::buffer(made.private_key_pem), asio::ssl::context::pem);
        if (name != "unknown")
            trusted_ += made.certificate_pem;
        return *context;
    }

    std::map<std::string, std::unique_ptr<asio::ssl::context>> all_;
    std::string trusted_;
};

/** One connection, as the server has it. */
struct wire {
    explicit wire(tcp::socket from) : socket(std::move(from)) {}

    tcp::socket socket;
    std::optional<asio::ssl::stream<tcp::socket&>> tls;
    std::string unread;
    request_head request;
    answer reply;
    std::size_t told = 0; // bytes of the reply's body
    std::string head;     // what was sent since the last request, until it holds a head
    bool head_sent = false;
    std::uint64_t body_sent = 0; // after that head
};

/** Plays one script on 127.0.0.1. Lives on the test's own io_context; its waits are on that context's clock, and nothing
    happens behind the test's back. The destructor runs the context until nothing of the player is left, for Asio's
    io_uring does not survive a context that ends with an accept under way (Asio issue 1235). */
class player {
public:
    player(asio::io_context& io, const script& what, const identities& who);
    player(const player&) = delete;
    player& operator=(const player&) = delete;
    ~player()
    {
        group_.cancel();
        static_cast<void>(objectcache::testing::run_until(io_, [this] { return group_.size() == 0; }));
    }

    /** From now on: an honest server, on the connections that are still open as well. */
    void heal();

    [[nodiscard]] std::string url() const
    {
        return (script_.tls ? "https://127.0.0.1:" : "http://127.0.0.1:") +
               std::to_string(port_of(acceptor_));
    }

    std::uint64_t connections = 0;
    std::uint64_t requests = 0;          ///< those of which at least the head was read
    std::size_t open = 0;                ///< connections whose end the player has not seen
    std::uint64_t body_sent = 0;         ///< the most bytes that were sent after a head, to one request
    std::vector<std::string> complaints; ///< about what the client did

private:
    static std::uint16_t port_of(const tcp::acceptor& which) { return which.local_endpoint().port(); }

    asio::awaitable<void> serve();
    asio::awaitable<void> watch_elsewhere();
    asio::awaitable<void> live(tcp::socket socket, const connection_block* block);
    asio::awaitable<bool> perform(wire& w, const step& s);
    asio::awaitable<void> be_honest(wire& w);
    asio::awaitable<bool> answer_honestly(wire& w);
    asio::awaitable<void> drain(wire& w);

    asio::awaitable<bool> shake_hands(wire& w, asio::ssl::context* identity);
    asio::awaitable<bool> read(wire& w, bool with_body);
    asio::awaitable<bool> read_body(wire& w);
    asio::awaitable<bool> receive(wire& w);
    asio::awaitable<bool> send(wire& w, std::string bytes);
    asio::awaitable<bool> send_repeated(wire& w, std::string text, std::uint64_t times, bool below_tls);
    asio::awaitable<bool> send_body(wire& w, const step& s);
    asio::awaitable<void> pause(duration time);

    void judge(const wire& w, const step& s);
    void prepare(wire& w, const step& s) const;
    [[nodiscard]] std::string filled_in(std::string text) const;
    /** The server's clock starts right: at what the first request says. */
    [[nodiscard]] std::time_t now() const { return epoch_.value_or(0); }

    asio::io_context& io_;
    const script& script_;
    const identities& who_;
    tcp::acceptor acceptor_;
    tcp::acceptor elsewhere_; // where nobody must ever be sent
    objectcache::latch healed_;
    std::vector<const connection_block*> plan_; // of the connections to come; the last one may be for ever
    std::optional<std::time_t> epoch_;
    bool replaced_ = false;
    objectcache::task_group group_;
};

inline player::player(asio::io_context& io, const script& what, const identities& who)
    : io_(io)
    , script_(what)
    , who_(who)
    , acceptor_(io)
    , elsewhere_(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0))
    , healed_(io.get_executor())
    , group_(io.get_executor())
{
    for (const connection_block& block : what.blocks)
        for (std::uint64_t i = 0; i < (block.times == for_ever ? 1 : block.times); ++i)
            plan_.push_back(&block);
    acceptor_.open(tcp::v4());
    acceptor_.bind({asio::ip::address_v4::loopback(), 0}); // bound and silent: the port is ours, and refuses
    group_.spawn(watch_elsewhere());
    if (!what.refuse) {
        acceptor_.listen();
        group_.spawn(serve());
    }
}

inline void player::heal()
{
    healed_.set();
    replaced_ = false;
    if (script_.refuse) {
        acceptor_.listen();
        group_.spawn(serve());
    }
}

inline asio::awaitable<void> player::serve()
{
    for (;;) {
        auto [ec, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (ec)
            co_return;
        const connection_block* block = nullptr;
        if (!healed_.is_set() && connections < plan_.size())
            block = plan_[connections];
        else if (!healed_.is_set() && !plan_.empty() && plan_.back()->times == for_ever)
            block = plan_.back();
        ++connections;
        ++open;
        group_.spawn(live(std::move(socket), block));
    }
}

inline asio::awaitable<void> player::watch_elsewhere()
{
    for (;;) {
        auto [ec, socket] = co_await elsewhere_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (ec)
            co_return;
        complaints.push_back("the client followed a redirect to another server");
    }
}

inline asio::awaitable<void> player::live(tcp::socket socket, const connection_block* block)
{
    wire w(std::move(socket));
    boost::system::error_code ignored;
    w.socket.set_option(tcp::no_delay(true), ignored);
    bool alive = true;
    std::uint64_t rounds = 0;
    if (script_.tls && (!block || block->steps.empty())) // otherwise the script says how
        alive = co_await shake_hands(w, who_.find("good"));
    for (std::size_t i = 0; block && alive && i < block->steps.size(); ++i) {
        const step& s = block->steps[i];
        if (s.what == verb::again) {
            if (rounds++ == s.count)
                break;
            i = 0; // nobody shakes hands twice
            if (block->steps.front().what != verb::handshake)
                --i; // which the loop makes 0
            continue;
        }
        alive = co_await perform(w, s);
        if (s.what == verb::read && alive && healed_.is_set()) {
            alive = co_await answer_honestly(w);
            break;
        }
    }
    if (alive)
        co_await be_honest(w);
    --open;
}

inline asio::awaitable<void> player::be_honest(wire& w)
{
    for (;;) {
        const bool here = co_await read(w, true);
        if (!here)
            co_return;
        const bool sent = co_await answer_honestly(w);
        if (!sent)
            co_return;
    }
}

inline asio::awaitable<bool> player::answer_honestly(wire& w)
{
    w.reply = honest_answer(w.request, replaced_);
    std::string all = w.reply.head() + w.reply.body;
    const bool good = co_await send(w, std::move(all));
    co_return good;
}

/** @returns false once nothing more can be said on the connection. */
inline asio::awaitable<bool> player::perform(wire& w, const step& s)
{
    boost::system::error_code ignored;
    switch (s.what) {
    case verb::handshake: {
        asio::ssl::context* identity = who_.find(s.word.empty() ? "good" : s.word);
        if (!identity) {
            complaints.push_back("line " + std::to_string(s.line) + ": no such certificate");
            co_return false;
        }
        const bool good = co_await shake_hands(w, identity);
        co_return good;
    }
    case verb::read: {
        if (s.word == "body") {
            const bool whole = co_await read_body(w);
            co_return whole;
        }
        const bool good = co_await read(w, s.word != "head");
        if (good)
            judge(w, s);
        co_return good;
    }
    case verb::respond:
    case verb::head: {
        prepare(w, s);
        std::string text = w.reply.head();
        if (s.what == verb::respond)
            text += w.reply.body;
        const bool good = co_await send(w, std::move(text));
        co_return good;
    }
    case verb::body: {
        const bool good = co_await send_body(w, s);
        co_return good;
    }
    case verb::send:
    case verb::raw: {
        std::string text = filled_in(s.texts.front());
        const bool good = co_await send_repeated(w, std::move(text), s.count, s.what == verb::raw);
        co_return good;
    }
    case verb::wait:
        co_await pause(s.every);
        co_return true;
    case verb::replace:
        replaced_ = true;
        co_return true;
    case verb::stall:
        co_await healed_.wait();
        co_await drain(w);
        co_return false;
    case verb::fin:
        w.socket.shutdown(tcp::socket::shutdown_send, ignored);
        co_await drain(w);
        co_return false;
    case verb::close_notify:
        if (w.tls)
            co_await w.tls->async_shutdown(asio::as_tuple(asio::use_awaitable)); // ends with the client's
        co_return false;
    case verb::reset:
        w.socket.set_option(asio::socket_base::linger(true, 0), ignored);
        w.socket.close(ignored);
        co_return false;
    case verb::again:
        break;
    }
    co_return true;
}

inline void player::judge(const wire& w, const step& s)
{
    const std::string at = "line " + std::to_string(s.line) + ": the request ";
    for (const std::string& part : s.texts)
        if (!w.request.has(part))
            complaints.push_back(at + "lacks '" + part + "'");
    if (s.ahead) {
        const std::time_t wanted = now() + static_cast<std::time_t>(s.ahead->count());
        if (std::abs(w.request.signed_at() - wanted) > 60)
            complaints.push_back(at + "is signed at " + w.request.field("x-amz-date"));
    }
}

/** Makes the answer that the step distorts. */
inline void player::prepare(wire& w, const step& s) const
{
    w.reply = honest_answer(w.request, replaced_);
    if (!s.word.empty()) {
        w.reply = error_answer(s.status, s.word);
    } else if (!s.texts.empty()) {
        std::string body;
        for (std::uint64_t i = 0; i < s.count; ++i)
            body += s.texts.front();
        w.reply = text_answer(s.status, std::move(body));
    } else if (s.status != 0) {
        w.reply.status = s.status;
    }
    w.reply.fields.emplace_back("Date", http_date(now()));
    for (field_change change : s.fields) {
        change.text = filled_in(std::move(change.text));
        w.reply.apply(change);
    }
    w.told = 0;
}

/** {url} and {elsewhere} are servers, {date} is now, {date+3600} in an hour. Anything else in braces stays. */
inline std::string player::filled_in(std::string text) const
{
    for (std::size_t at = 0; (at = text.find('{', at)) != text.npos; ++at) {
        const auto end = text.find('}', at);
        const std::string name = text.substr(at + 1, end - at - 1);
        std::string value;
        if (name == "url")
            value = url();
        else if (name == "elsewhere")
            value = "http://127.0.0.1:" + std::to_string(port_of(elsewhere_));
        else if (name.starts_with("date"))
            value = http_date(now() + std::atol(name.c_str() + 4));
        else
            continue;
        text.replace(at, end + 1 - at, value);
    }
    return text;
}

inline asio::awaitable<bool> player::shake_hands(wire& w, asio::ssl::context* identity)
{
    w.tls.emplace(w.socket, *identity);
    auto [ec] =
        co_await w.tls->async_handshake(asio::ssl::stream_base::server, asio::as_tuple(asio::use_awaitable));
    if (ec)
        co_await drain(w);
    co_return !ec;
}

/** Reads a request, with its body, or up to the end of its head. */
inline asio::awaitable<bool> player::read(wire& w, bool with_body)
{
    std::size_t end = w.unread.npos;
    while ((end = w.unread.find("\r\n\r\n")) == w.unread.npos) {
        const bool more = co_await receive(w);
        if (!more)
            co_return false;
    }
    ++requests;
    w.request.text = w.unread.substr(0, end + 4);
    w.unread.erase(0, end + 4);
    w.reply = honest_answer(w.request, replaced_);
    w.told = 0;
    w.head.clear();
    w.head_sent = false;
    w.body_sent = 0;
    if (!epoch_)
        epoch_ = w.request.signed_at();
    if (!with_body)
        co_return true;
    const bool whole = co_await read_body(w);
    co_return whole;
}

inline asio::awaitable<bool> player::read_body(wire& w)
{
    const std::uint64_t size = w.request.number("Content-Length");
    while (w.unread.size() < size) {
        const bool more = co_await receive(w);
        if (!more)
            co_return false;
    }
    w.unread.erase(0, size);
    co_return true;
}

inline asio::awaitable<bool> player::receive(wire& w)
{
    const auto token = asio::as_tuple(asio::use_awaitable);
    std::vector<char> block(16 * 1024);
    const asio::mutable_buffer buffer(block.data(), block.size());
    boost::system::error_code ec;
    std::size_t n = 0;
    if (w.tls)
        std::tie(ec, n) = co_await w.tls->async_read_some(buffer, token);
    else
        std::tie(ec, n) = co_await w.socket.async_read_some(buffer, token);
    w.unread.append(block.data(), n);
    co_return !ec;
}

/** Until the client closes. */
inline asio::awaitable<void> player::drain(wire& w)
{
    const auto token = asio::as_tuple(asio::use_awaitable);
    std::vector<char> block(64 * 1024);
    const asio::mutable_buffer buffer(block.data(), block.size());
    boost::system::error_code ec;
    std::size_t n = 0;
    while (!ec)
        std::tie(ec, n) = co_await w.socket.async_read_some(buffer, token);
}

inline asio::awaitable<bool> player::send(wire& w, std::string bytes)
{
    std::uint64_t body = bytes.size();
    if (!w.head_sent) {
        w.head += bytes;
        const auto end = w.head.find("\r\n\r\n");
        w.head_sent = end != w.head.npos;
        body = w.head_sent ? w.head.size() - (end + 4) : 0;
    }
    w.body_sent += body;
    body_sent = std::max(body_sent, w.body_sent);

    const auto token = asio::as_tuple(asio::use_awaitable);
    const asio::const_buffer buffer(bytes.data(), bytes.size());
    boost::system::error_code ec;
    std::size_t n = 0;
    if (w.tls)
        std::tie(ec, n) = co_await asio::async_write(*w.tls, buffer, token);
    else
        std::tie(ec, n) = co_await asio::async_write(w.socket, buffer, token);
    co_return !ec;
}

/** In pieces of some size, so that a text that is sent for ever neither fills the memory nor takes for ever. */
inline asio::awaitable<bool> player::send_repeated(wire& w, std::string text, std::uint64_t times,
                                                   bool below_tls)
{
    const std::uint64_t at_once =
        std::max<std::uint64_t>(1, 32 * 1024 / std::max<std::size_t>(1, text.size()));
    while (times != 0) {
        std::string piece;
        for (std::uint64_t n = std::min(times, at_once); n != 0; --n, --times)
            piece += text;
        bool good = false;
        if (below_tls) {
            const asio::const_buffer buffer(piece.data(), piece.size());
            auto [ec, n] = co_await asio::async_write(w.socket, buffer, asio::as_tuple(asio::use_awaitable));
            good = !ec;
        } else {
            good = co_await send(w, std::move(piece));
        }
        if (!good)
            co_return false;
    }
    co_return true;
}

inline asio::awaitable<bool> player::send_body(wire& w, const step& s)
{
    std::uint64_t left = std::min<std::uint64_t>(s.count, w.reply.body.size() - w.told);
    while (left != 0) {
        const std::uint64_t n = s.size == 0 ? left : std::min(left, s.size);
        std::string piece = w.reply.body.substr(w.told, n);
        const bool good = co_await send(w, std::move(piece));
        if (!good)
            co_return false;
        w.told += n;
        left -= n;
        if (s.size != 0)
            co_await pause(s.every);
    }
    co_return true;
}

inline asio::awaitable<void> player::pause(duration time)
{
    objectcache::timer alarm(io_.get_executor());
    alarm.expires_at(alarm.now() + time);
    co_await alarm.wait();
}

} // namespace hostile
