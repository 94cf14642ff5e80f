// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/detail/aws_chunked.hpp>
#include <objectcache/testing/detail/s3_auth.hpp>
#include <objectcache/testing/detail/s3_put.hpp>
#include <objectcache/testing/detail/s3_state.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace objectcache::testing::detail {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using tls_stream = asio::ssl::stream<tcp::socket>;

inline constexpr auto completion = asio::as_tuple(asio::use_awaitable);

/** The part of a session that its thread knows. */
class session_base {
public:
    explicit session_base(std::set<session_base*>& peers) : peers_(peers) { peers_.insert(this); }
    session_base(const session_base&) = delete;
    session_base& operator=(const session_base&) = delete;
    virtual ~session_base() { peers_.erase(this); }

    /** Close the connection if it waits for a request. */
    virtual void close_if_idle() = 0;
    /** Close the connection and end whatever the session waits for; to be repeated until the session is gone. */
    virtual void abort() = 0;

private:
    std::set<session_base*>& peers_;
};

/** Takes in a body that is not an object's. */
class text_sink final : public body_sink {
public:
    explicit text_sink(std::size_t limit) : room_(limit) {}

    [[nodiscard]] byte_span window() override { return std::span(room_).subspan(size_); }
    [[nodiscard]] status filled(std::size_t n) override
    {
        size_ += n;
        return {};
    }
    [[nodiscard]] const_byte_span received() const noexcept { return std::span(room_).first(size_); }

private:
    std::vector<std::byte> room_;
    std::size_t size_ = 0;
};

/** Reads a body away. */
class null_sink final : public body_sink {
public:
    [[nodiscard]] byte_span window() override { return room_; }
    [[nodiscard]] status filled(std::size_t) override { return {}; }

private:
    std::vector<std::byte> room_ = std::vector<std::byte>(64 << 10);
};

/** Where the body of an answer comes from: memory as it lies there, or a file through a window. */
class body_source {
public:
    [[nodiscard]] status open(const s3_answer& answer)
    {
        if (!answer.object || answer.object->bytes)
            return {};
        auto file = file_handle::open_to_read(answer.object->file);
        if (!file)
            return file.error();
        file_ = std::move(*file);
        room_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(answer.part.size, 256 << 10)));
        return {};
    }
    [[nodiscard]] std::size_t longest_piece() const noexcept
    {
        return file_.is_open() ? room_.size() : std::numeric_limits<std::size_t>::max();
    }
    /** Bytes [at, at + n) of the body, good until the next call. */
    [[nodiscard]] result<const_byte_span> piece(const s3_answer& answer, std::uint64_t at, std::size_t n)
    {
        if (!answer.object)
            return std::as_bytes(std::span(answer.text)).subspan(static_cast<std::size_t>(at), n);
        const std::uint64_t offset = answer.part.offset + at;
        if (!file_.is_open())
            return std::as_const(*answer.object->bytes).span().subspan(static_cast<std::size_t>(offset), n);
        const byte_span room = std::span(room_).first(n);
        if (status read = file_.read_exactly(room, offset); !read.ok())
            return read;
        return const_byte_span(room);
    }

private:
    file_handle file_;
    std::vector<std::byte> room_;
};

[[nodiscard]] inline std::string hex_id(std::uint64_t number)
{
    std::string out(16, '0');
    for (std::size_t i = out.size(); i-- > 0; number >>= 4)
        out[i] = "0123456789ABCDEF"[number & 15];
    return out;
}

/** One connection, from the first request to the last. */
template <class Stream>
class s3_session final : public session_base {
public:
    s3_session(s3_state& state, std::set<session_base*>& peers, Stream stream)
        : session_base(peers)
        , state_(state)
        , stream_(std::move(stream))
        , timer_(stream_.get_executor())
        , connection_(state.connections.fetch_add(1, std::memory_order_relaxed) + 1)
    {}

    [[nodiscard]] asio::awaitable<void> run();
    void close_if_idle() override;
    void abort() override;

private:
    using parser_type = http::request_parser<http::buffer_body>;

    static constexpr std::size_t longest_text = 4 << 20; // names of 10,000 parts, or of 1000 keys to delete
    static constexpr std::uint64_t longest_framing = 16 << 20;

    /** What becomes of the connection after a request. */
    enum class next { go_on, close };

    /** How far a body came. Neither whole nor refused: the connection is over. */
    struct body_end {
        bool whole = false;
        status refused; // by the sink
    };

    struct exchange_state {
        s3_call call;
        s3_fault fault;
        s3_log_entry entry;
        std::string request_id;
        time_point begun;
        std::optional<std::uint64_t> content_length; // none: chunked, or a PUT that does not say
        bool keep_alive = true;
        bool body_begun = false;
        bool body_ended = false;
        bool logged = false;
    };

    // Class-type arguments go by reference to named objects: g++ 12 destroys temporaries in a co_await
    // expression twice.
    asio::awaitable<next> exchange(parser_type& parser);
    asio::awaitable<next> carry_out(parser_type& parser, exchange_state& x);
    asio::awaitable<next> receive_object(parser_type& parser, exchange_state& x, const auth_outcome& who);
    asio::awaitable<next> receive_other(parser_type& parser, exchange_state& x, const std::string& payload);
    asio::awaitable<next> refuse(parser_type& parser, exchange_state& x, const s3_error& error);
    asio::awaitable<next> bad_head(boost::system::error_code why);
    asio::awaitable<next> reply(exchange_state& x, s3_answer& answer);

    [[nodiscard]] s3_backend backend();
    asio::awaitable<body_end> receive(parser_type& parser, exchange_state& x, body_sink& sink);
    asio::awaitable<body_end> receive_sized(exchange_state& x, body_sink& sink, std::uint64_t size);
    asio::awaitable<body_end> receive_chunked(parser_type& parser, exchange_state& x, body_sink& sink);
    [[nodiscard]] std::size_t next_piece(const exchange_state& x, const shaped_link::flow& flow,
                                         std::size_t room, std::uint64_t left) const noexcept;
    asio::awaitable<status> arrived(exchange_state& x, shaped_link::flow& flow, body_sink& sink,
                                    std::size_t n);

    asio::awaitable<bool> send(const std::string& head, body_source& source, const s3_answer& answer,
                               std::uint64_t size);
    asio::awaitable<bool> write(std::array<asio::const_buffer, 2> head_and_body);
    asio::awaitable<void> sleep_until(time_point at);
    asio::awaitable<void> close_gently();
    void log(exchange_state& x);

    /** Not where a timer would be later than this anyway; the link makes up for it. */
    [[nodiscard]] bool worth_waiting(time_point at) const noexcept
    {
        return at - std::chrono::steady_clock::now() >
               std::chrono::microseconds(state_.options.poll ? 5 : 100);
    }
    [[nodiscard]] static bool expects(const exchange_state& x, s3_fault::point where) noexcept
    {
        return x.fault.what != s3_fault::action::none && x.fault.where == where;
    }
    /** Does what the fault asks for if it is due at `where`; true: the connection is over. */
    asio::awaitable<bool> strikes(exchange_state& x, s3_fault::point where);

    [[nodiscard]] tcp::socket& socket() noexcept
    {
        if constexpr (std::is_same_v<Stream, tcp::socket>)
            return stream_;
        else
            return stream_.next_layer();
    }

    s3_state& state_;
    Stream stream_;
    asio::steady_timer timer_;
    std::uint64_t connection_;
    boost::beast::flat_buffer buffer_{std::size_t(64) << 10};
    bool idle_ = false;
    bool truncate_ = false; // TLS: close without saying so
};

} // namespace objectcache::testing::detail

#include <objectcache/testing/detail/s3_session.ipp>
