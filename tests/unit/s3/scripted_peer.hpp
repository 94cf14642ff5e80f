// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/run_coroutine.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <exception>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace peer_test {

namespace asio = boost::asio;
using asio::ip::tcp;

/** What the peer does about one request, once it has read all of it. */
struct answer {
    std::string bytes;
    enum class then { read_on, close, stall, close_after_a_stall } after = then::read_on;
};

/** A server on 127.0.0.1 that says what it was told to say: `script[i]` is the life of the i-th connection; connections
    beyond the script are closed at once. Lives on the test's own io_context, so nothing happens behind its back; its
    destructor runs the context until nothing of it is left, for Asio's io_uring does not survive a context that ends with
    an accept under way (Asio issue 1235). */
class scripted_peer {
public:
    scripted_peer(asio::io_context& io, std::vector<std::vector<answer>> script,
                  asio::ssl::context* tls = nullptr)
        : io_(io)
        , acceptor_(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0))
        , script_(std::move(script))
        , tls_(tls)
    {
        start(serve());
    }
    scripted_peer(const scripted_peer&) = delete;
    scripted_peer& operator=(const scripted_peer&) = delete;
    ~scripted_peer()
    {
        acceptor_.close();
        for (auto* socket : sockets_)
            socket->close();
        static_cast<void>(objectcache::testing::run_until(io_, [this] { return running_ == 0; }));
    }

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    std::string url() const
    {
        return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port());
    }

    std::vector<std::string> requests; // heads and bodies
    std::size_t connections = 0;
    std::size_t stalled = 0; // requests that were answered by nothing more
    std::size_t ended = 0;   // connections the client closed

private:
    void start(asio::awaitable<void> part)
    {
        ++running_;
        asio::co_spawn(io_, std::move(part), [this](std::exception_ptr) { --running_; });
    }

    /** A socket that the destructor has to close. */
    struct listed {
        listed(std::set<tcp::socket::lowest_layer_type*>& in, tcp::socket::lowest_layer_type& which)
            : all(in)
            , socket(&which)
        {
            all.insert(socket);
        }
        listed(const listed&) = delete;
        ~listed() { all.erase(socket); }
        std::set<tcp::socket::lowest_layer_type*>& all;
        tcp::socket::lowest_layer_type* socket;
    };

    asio::awaitable<void> serve()
    {
        for (;;) {
            auto [ec, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
            if (ec)
                co_return;
            const std::size_t mine = connections++;
            if (mine >= script_.size())
                continue;
            if (tls_)
                start(talk_tls(std::move(socket), mine));
            else
                start(talk(std::make_shared<tcp::socket>(std::move(socket)), mine));
        }
    }

    asio::awaitable<void> talk_tls(tcp::socket socket, std::size_t mine)
    {
        auto stream = std::make_shared<asio::ssl::stream<tcp::socket>>(std::move(socket), *tls_);
        const listed closed_at_the_end(sockets_, stream->lowest_layer());
        auto [ec] = co_await stream->async_handshake(asio::ssl::stream_base::server,
                                                     asio::as_tuple(asio::use_awaitable));
        if (!ec)
            co_await talk(stream, mine);
    }

    template <class Stream>
    asio::awaitable<void> talk(std::shared_ptr<Stream> stream, std::size_t mine)
    {
        const listed closed_at_the_end(sockets_, stream->lowest_layer());
        const auto token = asio::as_tuple(asio::use_awaitable);
        std::string buffer;
        for (const answer& a : script_[mine]) {
            auto [ec, n] =
                co_await asio::async_read_until(*stream, asio::dynamic_buffer(buffer), "\r\n\r\n", token);
            if (ec) {
                ++ended;
                co_return;
            }
            std::size_t whole = n;
            if (const auto at = buffer.find("Content-Length: "); at < n)
                whole += std::stoul(buffer.substr(at + 16));
            while (buffer.size() < whole) {
                char block[65536];
                auto [failed, more] = co_await stream->async_read_some(asio::buffer(block), token);
                if (failed)
                    co_return;
                buffer.append(block, more);
            }
            requests.push_back(buffer.substr(0, whole));
            buffer.erase(0, whole);
            co_await asio::async_write(*stream, asio::buffer(a.bytes), token);
            while (a.after == answer::then::close_after_a_stall && stalled == 0) // of another connection
                co_await asio::post(io_, asio::use_awaitable);
            if (a.after == answer::then::close || a.after == answer::then::close_after_a_stall)
                co_return;
            if (a.after == answer::then::stall) {
                ++stalled;
                char end;
                co_await stream->async_read_some(asio::buffer(&end, 1), token); // until the client gives up
                ++ended;
                co_return;
            }
        }
        char end;
        co_await stream->async_read_some(asio::buffer(&end, 1), token);
        ++ended;
    }

    asio::io_context& io_;
    tcp::acceptor acceptor_;
    std::vector<std::vector<answer>> script_;
    asio::ssl::context* tls_;
    std::set<tcp::socket::lowest_layer_type*> sockets_;
    std::size_t running_ = 0;
};

/** A response with a body and its length. */
inline std::string page(const std::string& status_and_headers, const std::string& body = {})
{
    return "HTTP/1.1 " + status_and_headers + "\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}

/** The 206 for a range of `body.size()` bytes. */
inline std::string part(std::size_t offset, const std::string& body, const std::string& total = "1000")
{
    return page("206 Partial Content\r\nETag: \"e\"\r\nContent-Range: bytes " + std::to_string(offset) + "-" +
                    std::to_string(offset + body.size() - 1) + "/" + total,
                body);
}

} // namespace peer_test
