// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/detail/s3_session.hpp>

#include <boost/asio/socket_base.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>

namespace objectcache::testing::detail {

template <class Stream>
asio::awaitable<void> s3_session<Stream>::run()
{
    boost::system::error_code ignored;
    socket().set_option(tcp::no_delay(true), ignored);
    if (state_.options.send_buffer_bytes != 0)
        socket().set_option(asio::socket_base::send_buffer_size(state_.options.send_buffer_bytes), ignored);
    if constexpr (!std::is_same_v<Stream, tcp::socket>) {
        const auto [ec] = co_await stream_.async_handshake(asio::ssl::stream_base::server, completion);
        if (ec)
            co_return;
    }
    for (next then = next::go_on; then == next::go_on;) {
        const auto parser = std::make_unique<parser_type>();
        parser->header_limit(16 << 10);
        parser->body_limit(boost::none); // ours, with S3's errors
        idle_ = true;
        const auto [ec, n] = co_await http::async_read_header(stream_, buffer_, *parser, completion);
        idle_ = false;
        if (!ec)
            then = co_await exchange(*parser);
        else if (ec.category() == http::make_error_code(http::error::bad_method).category() &&
                 ec != http::error::end_of_stream && ec != http::error::partial_message)
            then = co_await bad_head(ec);
        else
            co_return; // the client is gone
    }
    if (socket().is_open())
        co_await close_gently();
}

template <class Stream>
void s3_session<Stream>::close_if_idle()
{
    boost::system::error_code ignored;
    if (idle_ && buffer_.size() == 0)
        socket().close(ignored);
}

template <class Stream>
void s3_session<Stream>::abort()
{
    boost::system::error_code ignored;
    socket().close(ignored);
    timer_.cancel();
}

// To close with unread bytes would reset the connection, and the client might never see the answer. Waits for
// the client to close its side; one that does not keeps this socket until the server stops.
template <class Stream>
asio::awaitable<void> s3_session<Stream>::close_gently()
{
    boost::system::error_code ignored;
    if constexpr (!std::is_same_v<Stream, tcp::socket>)
        if (!truncate_)
            co_await stream_.async_shutdown(completion);
    socket().shutdown(tcp::socket::shutdown_send, ignored);
    null_sink rest;
    for (;;) {
        const byte_span room = rest.window();
        const auto [ec, n] =
            co_await socket().async_read_some(asio::buffer(room.data(), room.size()), completion);
        if (ec)
            break;
    }
    socket().close(ignored);
}

template <class Stream>
asio::awaitable<void> s3_session<Stream>::sleep_until(time_point at)
{
    if (!worth_waiting(at))
        co_return;
    timer_.expires_at(at);
    co_await timer_.async_wait(completion);
}

template <class Stream>
asio::awaitable<bool> s3_session<Stream>::write(std::array<asio::const_buffer, 2> parts)
{
    // Not async_write: that hands the kernel at most 64 KiB at a time.
    while (parts[0].size() + parts[1].size() != 0) {
        // Counted before they move, so that a client that has all bytes finds them counted.
        const std::size_t body = parts[1].size();
        state_.bytes_out.fetch_add(body, std::memory_order_relaxed);
        const auto [ec, n] = co_await stream_.async_write_some(parts, completion);
        const std::size_t of_head = std::min(n, parts[0].size());
        parts[0] += of_head;
        parts[1] += n - of_head;
        state_.bytes_out.fetch_sub(parts[1].size(), std::memory_order_relaxed);
        if (ec)
            co_return false;
    }
    co_return true;
}

template <class Stream>
void s3_session<Stream>::log(exchange_state& x)
{
    if (std::exchange(x.logged, true))
        return;
    x.entry.took = std::chrono::steady_clock::now() - x.begun;
    state_.end(x.entry);
}

template <class Stream>
asio::awaitable<bool> s3_session<Stream>::strikes(exchange_state& x, s3_fault::point where)
{
    if (!expects(x, where))
        co_return false;
    log(x);
    boost::system::error_code ignored;
    if (x.fault.what == s3_fault::action::stall) {
        timer_.expires_at(time_point::max());
        co_await timer_.async_wait(completion);
    } else if (x.fault.what == s3_fault::action::reset) {
        socket().set_option(asio::socket_base::linger(true, 0), ignored);
        socket().close(ignored);
    }
    truncate_ = true;
    co_return true;
}

// ---- one request

template <class Stream>
auto s3_session<Stream>::exchange(parser_type& parser) -> asio::awaitable<next>
{
    const auto text = [](auto view) { return std::string_view(view.data(), view.size()); };
    const auto& head = parser.get();
    exchange_state x;
    x.begun = std::chrono::steady_clock::now();
    x.keep_alive = head.keep_alive();
    x.call.method = text(head.method_string());
    for (const auto& field : head)
        x.call.headers.push_back({text(field.name_string()), text(field.value())});
    if (const auto length = parser.content_length())
        x.content_length = *length;
    else if (!parser.chunked() && x.call.method != "PUT")
        x.content_length = 0;
    auto target = parse_target(text(head.target()), x.call.header("host"), state_.options.domain);
    if (target)
        x.call.target = std::move(*target);

    s3_request& request = x.entry.request;
    request.connection = connection_;
    request.method = x.call.method;
    request.bucket = x.call.target.bucket;
    request.key = x.call.target.key;
    request.range = x.call.header("range");
    if (const std::string_view sent = text(head.target()); sent.find('?') != std::string_view::npos)
        request.query = sent.substr(sent.find('?') + 1);
    x.fault = state_.begin(request);
    x.request_id = hex_id(request.number);

    const s3_error unreadable{400, "InvalidURI", "Couldn't parse the specified URI."};
    next then = next::close;
    if (target)
        then = co_await carry_out(parser, x);
    else
        then = co_await refuse(parser, x, unreadable);
    log(x);
    co_return then;
}

template <class Stream>
auto s3_session<Stream>::carry_out(parser_type& parser, exchange_state& x) -> asio::awaitable<next>
{
    if (co_await strikes(x, s3_fault::point::request_head))
        co_return next::close;
    if (x.fault.status != 0) {
        const s3_error scripted{x.fault.status, x.fault.code, "An error that the test asked for."};
        co_return co_await refuse(parser, x, scripted);
    }
    const auth_rules rules{state_.options.credentials, state_.options.allow_anonymous};
    const auth_outcome who =
        authenticate(rules, x.call, std::chrono::floor<std::chrono::seconds>(state_.now()));
    if (who.refused)
        co_return co_await refuse(parser, x, *who.refused);
    if (x.call.puts_object())
        co_return co_await receive_object(parser, x, who);
    co_return co_await receive_other(parser, x, who.payload);
}

template <class Stream>
s3_backend s3_session<Stream>::backend()
{
    return {state_.store, state_.uploads, state_.options.least_part_bytes, state_.options.max_object_bytes,
            state_.now()};
}

template <class Stream>
auto s3_session<Stream>::receive_object(parser_type& parser, exchange_state& x, const auth_outcome& who)
    -> asio::awaitable<next>
{
    using verdict = aws_chunked_decoder::verdict;
    const put_plan plan = plan_put(backend(), x.call, who, x.content_length);
    if (plan.refused)
        co_return co_await refuse(parser, x, *plan.refused);
    auto begun = state_.store.begin_upload(plan.size, !plan.sha256.empty(), plan.checksum_algorithm);
    if (!begun) {
        const s3_error error = errors::internal(begun.error());
        co_return co_await refuse(parser, x, error);
    }
    upload incoming = std::move(*begun);
    aws_chunked_sink unwrapped(incoming, aws_chunked_decoder(who.chunks, plan.trailer));
    body_sink& sink = plan.aws_chunked ? static_cast<body_sink&>(unwrapped) : incoming;
    const body_end end = co_await receive(parser, x, sink);
    if (!end.whole && end.refused.ok())
        co_return next::close;

    const verdict framing = plan.aws_chunked ? unwrapped.decoder().judge() : verdict::complete;
    std::optional<s3_error> error;
    if (framing == verdict::forged)
        error = detail::refuse("SignatureDoesNotMatch",
                               "The signature of a chunk does not match the signature we calculated.");
    else if (!end.refused.ok() && end.refused != condition::corrupt)
        error = errors::internal(end.refused);
    else if (!end.whole || !incoming.complete() || framing != verdict::complete)
        error = s3_error{400, "IncompleteBody", "The body is not what its length and framing said."};
    if (error)
        co_return co_await refuse(parser, x, *error);
    s3_answer answer = finish_put(backend(), x.call, plan, std::move(incoming),
                                  unwrapped.decoder().trailing_value(), x.request_id);
    co_return co_await reply(x, answer);
}

template <class Stream>
auto s3_session<Stream>::receive_other(parser_type& parser, exchange_state& x, const std::string& payload)
    -> asio::awaitable<next>
{
    text_sink body(static_cast<std::size_t>(
        std::min<std::uint64_t>(x.content_length.value_or(longest_text), longest_text)));
    const body_end end = co_await receive(parser, x, body);
    if (!end.whole && end.refused.ok())
        co_return next::close;
    const const_byte_span received = body.received();
    std::optional<s3_error> error;
    if (!end.whole)
        error = s3_error{400, "MaxMessageLengthExceeded", "Your request was too big."};
    else if (declares_hash(payload) && s3::payload_hash(std::span(&received, 1)) != payload)
        error = errors::wrong_hash();
    if (error)
        co_return co_await refuse(parser, x, *error);
    s3_answer answer = answer_call(backend(), x.call, received, x.request_id);
    co_return co_await reply(x, answer);
}

template <class Stream>
auto s3_session<Stream>::refuse(parser_type& parser, exchange_state& x, const s3_error& error)
    -> asio::awaitable<next>
{
    // A client that waits for 100 Continue may or may not send its body now: only closing is unambiguous.
    const bool waits = !x.body_begun && !x.call.header("expect").empty();
    const bool too_long = x.content_length.value_or(0) > state_.options.max_object_bytes;
    if (x.body_begun || waits || too_long) {
        x.keep_alive = x.keep_alive && x.body_ended;
    } else {
        null_sink nowhere;
        const body_end end = co_await receive(parser, x, nowhere);
        if (!end.whole)
            co_return next::close;
    }
    s3_answer answer = error_answer(error, x.call, x.request_id);
    co_return co_await reply(x, answer);
}

template <class Stream>
auto s3_session<Stream>::bad_head(boost::system::error_code why) -> asio::awaitable<next>
{
    exchange_state x;
    x.begun = std::chrono::steady_clock::now();
    x.entry.request.connection = connection_;
    x.request_id = hex_id(0);
    x.keep_alive = false;
    s3_error error{400, "BadRequest", "An error occurred when parsing the HTTP request: " + why.message()};
    if (why == http::error::header_limit || why == http::error::buffer_overflow)
        error = {400, "RequestHeaderSectionTooLarge", "Your request header section exceeds 16 KiB."};
    s3_answer answer = error_answer(error, x.call, x.request_id);
    co_return co_await reply(x, answer);
}

// ---- bodies of requests

template <class Stream>
auto s3_session<Stream>::receive(parser_type& parser, exchange_state& x, body_sink& sink)
    -> asio::awaitable<body_end>
{
    // Also before an empty body, as S3 does: botocore 1.43 misreads the next answer of the connection if it
    // is left out.
    if (!std::exchange(x.body_begun, true) && x.call.header("expect") == "100-continue") {
        static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        const std::array<asio::const_buffer, 2> parts{asio::buffer(go_on.data(), go_on.size()),
                                                      asio::const_buffer()};
        if (!co_await write(parts))
            co_return body_end();
    }
    body_end end;
    if (x.content_length)
        end = co_await receive_sized(x, sink, *x.content_length);
    else
        end = co_await receive_chunked(parser, x, sink);
    x.body_ended = end.whole;
    co_return end;
}

template <class Stream>
std::size_t s3_session<Stream>::next_piece(const exchange_state& x, const shaped_link::flow& flow,
                                           std::size_t room, std::uint64_t left) const noexcept
{
    const std::uint64_t until_fault =
        expects(x, s3_fault::point::request_body) ? x.fault.after - x.entry.bytes_in : left;
    return flow.piece(static_cast<std::size_t>(std::min({std::uint64_t(room), left, until_fault})));
}

template <class Stream>
asio::awaitable<status> s3_session<Stream>::arrived(exchange_state& x, shaped_link::flow& flow,
                                                    body_sink& sink, std::size_t n)
{
    x.entry.bytes_in += n;
    state_.bytes_in.fetch_add(n, std::memory_order_relaxed);
    status taken = sink.filled(n);
    const time_point due = flow.reserve(n);
    co_await sleep_until(due);
    co_return taken;
}

template <class Stream>
auto s3_session<Stream>::receive_sized(exchange_state& x, body_sink& sink, std::uint64_t size)
    -> asio::awaitable<body_end>
{
    body_end end;
    shaped_link::flow flow(state_.up);
    while (end.refused.ok()) {
        if (x.entry.bytes_in == x.fault.after && co_await strikes(x, s3_fault::point::request_body))
            co_return end;
        const std::uint64_t left = size - x.entry.bytes_in;
        end.whole = left == 0;
        if (end.whole)
            co_return end;
        const byte_span window = sink.window();
        if (window.empty()) {
            end.refused = {errc::length_mismatch, "the body is too long"};
            co_return end;
        }
        std::size_t n = next_piece(x, flow, window.size(), left);
        if (buffer_.size() != 0) {
            n = std::min(n, buffer_.size());
            std::memcpy(window.data(), buffer_.data().data(), n);
            buffer_.consume(n);
        } else {
            const auto [ec, got] =
                co_await stream_.async_read_some(asio::buffer(window.data(), n), completion);
            if (ec)
                co_return end;
            n = got;
        }
        end.refused = co_await arrived(x, flow, sink, n);
    }
    co_return end;
}

template <class Stream>
auto s3_session<Stream>::receive_chunked(parser_type& parser, exchange_state& x, body_sink& sink)
    -> asio::awaitable<body_end>
{
    constexpr std::uint64_t unknown = std::numeric_limits<std::uint64_t>::max();
    body_end end;
    shaped_link::flow flow(state_.up);
    while (end.refused.ok()) {
        if (x.entry.bytes_in == x.fault.after && co_await strikes(x, s3_fault::point::request_body))
            co_return end;
        end.whole = parser.is_done();
        if (end.whole)
            co_return end;
        const byte_span window = sink.window();
        if (window.empty() || x.entry.bytes_in > state_.options.max_object_bytes + longest_framing) {
            end.refused = {errc::length_mismatch, "the body is too long"};
            co_return end;
        }
        const std::size_t room = next_piece(x, flow, window.size(), unknown);
        auto& into = parser.get().body();
        into.data = window.data();
        into.size = room;
        into.more = true;
        const auto [ec, wire] = co_await http::async_read(stream_, buffer_, parser, completion);
        if (ec && ec != http::error::need_buffer)
            co_return end;
        end.refused = co_await arrived(x, flow, sink, room - into.size);
    }
    co_return end;
}

// ---- answers

template <class Stream>
auto s3_session<Stream>::reply(exchange_state& x, s3_answer& answer) -> asio::awaitable<next>
{
    const duration latency =
        std::chrono::nanoseconds(state_.latency_ns.load(std::memory_order_relaxed)) + x.fault.delay;
    if (latency > duration::zero())
        co_await sleep_until(std::chrono::steady_clock::now() + latency);
    if (co_await strikes(x, s3_fault::point::response_head))
        co_return next::close;

    body_source source;
    if (!answer.headless && answer.body_size() != 0) {
        if (const status opened = source.open(answer); !opened.ok())
            answer = error_answer(errors::internal(opened), x.call, x.request_id);
    }
    const std::uint64_t size = answer.body_size();
    std::uint64_t to_send = answer.headless ? 0 : size;
    if (expects(x, s3_fault::point::response_body))
        to_send = std::min(to_send, x.fault.after);
    x.entry.status = answer.status;
    x.entry.error_code = answer.error_code;
    x.entry.bytes_out = to_send;
    // Before the first byte leaves, so that whoever has the answer finds its request in the log.
    log(x);

    const std::uint64_t said =
        size + static_cast<std::uint64_t>(x.fault.length_error); // wraps as meant when negative
    const std::string head = serialize_head(answer, said, x.keep_alive, x.request_id, state_.now());
    if (!co_await send(head, source, answer, to_send))
        co_return next::close;
    if (co_await strikes(x, s3_fault::point::response_body))
        co_return next::close;
    truncate_ = x.fault.length_error != 0;
    co_return x.keep_alive&& x.fault.length_error == 0 ? next::go_on : next::close;
}

template <class Stream>
asio::awaitable<bool> s3_session<Stream>::send(const std::string& head, body_source& source,
                                               const s3_answer& answer, std::uint64_t size)
{
    std::array<asio::const_buffer, 2> parts{asio::buffer(head), asio::const_buffer()};
    if (size == 0)
        co_return co_await write(parts);
    shaped_link::flow flow(state_.down);
    for (std::uint64_t at = 0; at != size;) {
        const std::size_t most =
            static_cast<std::size_t>(std::min<std::uint64_t>(size - at, source.longest_piece()));
        const std::size_t n = flow.piece(most);
        const auto piece = source.piece(answer, at, n);
        if (!piece)
            co_return false;
        const time_point due = flow.hand_over(n, flow.reserve(n));
        if (at == 0 && worth_waiting(due)) { // the head does not wait for the link
            if (!co_await write(parts))
                co_return false;
            parts[0] = {};
        }
        co_await sleep_until(due);
        parts[1] = asio::buffer(piece->data(), piece->size());
        if (!co_await write(parts))
            co_return false;
        parts = {};
        at += n;
    }
    co_return true;
}

} // namespace objectcache::testing::detail
