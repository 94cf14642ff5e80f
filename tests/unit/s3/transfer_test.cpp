// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/transfer.hpp>

#include <objectcache/s3/chunked_upload.hpp>
#include <objectcache/s3/detail/outcome.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

using namespace objectcache;
using namespace objectcache::s3;

namespace transfer_test {

const std::string request_head = "GET /b/k HTTP/1.1\r\n\r\n";

const_byte_span bytes_of(std::string_view text)
{
    return std::as_bytes(std::span(text.data(), text.size()));
}

/** A destination between guards, which must stay as they are. */
class guarded {
public:
    explicit guarded(std::size_t size) : all_(size + 2 * margin, fill), size_(size) {}
    byte_span span() { return byte_span(all_).subspan(margin, size_); }
    std::string text(std::size_t n) const { return {reinterpret_cast<const char*>(all_.data()) + margin, n}; }
    bool intact() const
    {
        for (std::size_t i = 0; i < margin; ++i)
            if (all_[i] != fill || all_[margin + size_ + i] != fill)
                return false;
        return true;
    }
    /** The destination beyond its first `n` bytes was never touched. */
    bool untouched_from(std::size_t n) const
    {
        for (std::size_t i = n; i < size_; ++i)
            if (all_[margin + i] != fill)
                return false;
        return true;
    }

private:
    static constexpr std::size_t margin = 64;
    static constexpr std::byte fill{0xa5};
    std::vector<std::byte> all_;
    std::size_t size_;
};

/** One exchange as the tables below write it down. */
struct script {
    const char* name;
    expect answer;
    byte_range range;     // its size is that of the destination
    std::string response; // all bytes the server sends; then it closes
    error_code code;      // of the outcome, when everything arrived
    std::string seen;     // body, or part of the outcome's detail when it is a failure
    bool reusable = false;
    bool conditional = false;
    bool needs_end = false; // complete only when the connection ends
};

struct played {
    status outcome;
    std::string body;
    bool reusable = false;
    bool done = false;
    bool answered = false;
};

/** What happens to a connection, from outside. */
struct weather {
    std::size_t send_at_once = ~std::size_t(0);
    std::vector<std::size_t> cuts; // a receive never crosses these positions of the response
    std::size_t receive_at_once = ~std::size_t(0);
    std::size_t fail_send_at = ~std::size_t(0);    // bytes of the request after which sending fails
    std::size_t fail_receive_at = ~std::size_t(0); // bytes of the response after which receiving fails
    std::size_t end_at = ~std::size_t(0);          // bytes of the response after which the server closes
};

/** Plays a script through a transfer and checks what must hold whatever happens. */
played play(const script& s, const weather& w, std::span<const const_byte_span> payload = {})
{
    guarded destination(static_cast<std::size_t>(s.range.size));
    std::vector<std::byte> scratch(transfer::head_limit);
    exchange what;
    what.head = request_head;
    what.payload = payload;
    what.answer = s.answer;
    what.range = s.range;
    what.destination = destination.span();
    what.text_limit = 40;
    what.conditional = s.conditional;
    transfer t(std::move(what), scratch);

    std::string request;
    std::size_t at = 0;
    std::size_t landed = 0;
    const error_code reset = std::make_error_code(std::errc::connection_reset);
    for (int step = 0; t.next() != transfer::want::done; ++step) {
        REQUIRE(step < 100000);
        if (t.next() == transfer::want::send) {
            std::array<const_byte_span, 2> parts;
            const auto unsent = t.unsent(parts);
            REQUIRE_FALSE(unsent.empty());
            std::size_t n = 0;
            for (const const_byte_span part : unsent)
                for (const std::byte b : part)
                    if (n < w.send_at_once && request.size() < w.fail_send_at) {
                        request += std::to_integer<char>(b);
                        ++n;
                    }
            if (n == 0)
                t.failed(std::make_error_code(std::errc::broken_pipe));
            else
                t.sent(n);
            continue;
        }
        const byte_span room = t.room();
        REQUIRE_FALSE(room.empty());
        if (at == w.fail_receive_at) {
            t.failed(reset);
            continue;
        }
        if (at == w.end_at || at == s.response.size()) {
            t.ended();
            continue;
        }
        std::size_t n = std::min(
            {room.size(), w.receive_at_once, s.response.size() - at, w.end_at - at, w.fail_receive_at - at});
        for (const std::size_t cut : w.cuts)
            if (cut > at)
                n = std::min(n, cut - at);
        std::memcpy(room.data(), s.response.data() + at, n);
        at += n;
        t.received(n);
        CHECK(t.received_body() >= landed); // observers may rely on it growing
        landed = t.received_body();
    }
    CHECK(destination.intact());
    const bool text = s.answer == expect::text || !t.outcome().ok();
    if (!text) {
        CHECK(t.received_body() <= s.range.size);
        CHECK(destination.untouched_from(t.received_body()));
    }
    CHECK((t.outcome().ok() || !t.outcome().detail().empty() || w.fail_send_at != ~std::size_t(0) ||
           w.fail_receive_at != ~std::size_t(0)));
    CHECK(t.outcome().detail().find('\n') == std::string::npos);
    return {t.outcome(), text ? t.text() : destination.text(t.received_body()), t.reusable(), true,
            t.answered()};
}

std::string page(std::string_view head, std::string_view body)
{
    return std::string(head) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           std::string(body);
}

const std::string ok = "HTTP/1.1 200 OK\r\n";
const std::string partial = "HTTP/1.1 206 Partial Content\r\n";
const std::string missing =
    page("HTTP/1.1 404 Not Found\r\n", "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>");

std::vector<script> scripts()
{
    const error_code good;
    const byte_range ten{5, 10};
    const byte_range first{0, 10};
    const auto is = [](errc e) { return make_error_code(e); };
    const std::string error = "<Error><Code>C</Code></Error>";
    return {
        {"range", expect::range, ten,
         page(partial + "Content-Range: bytes 5-14/100\r\nETag: \"e\"\r\n", "0123456789"), good, "0123456789",
         true},
        {"range, total unknown", expect::range, ten,
         page(partial + "content-range: bytes 5-14/*\r\n", "0123456789"), good, "0123456789", true},
        {"range, last of connection", expect::range, ten,
         page(partial + "Connection: close\r\nContent-Range: bytes 5-14/100\r\n", "0123456789"), good,
         "0123456789"},
        {"range, HTTP/1.0", expect::range, ten,
         page("HTTP/1.0 206 OK\r\nContent-Range: bytes 5-14/100\r\n", "0123456789"), good, "0123456789"},
        {"range, bytes left over", expect::range, ten,
         page(partial + "Content-Range: bytes 5-14/100\r\n", "0123456789") + "x", good, "0123456789"},
        {"range, 200 with the very bytes", expect::range, first, page(ok, "0123456789"), good, "0123456789",
         true},
        {"range, to the end of the connection", expect::range, first, ok + "\r\n0123456789", good,
         "0123456789", false, false, true},
        {"range, chunked", expect::range, ten,
         partial + "Content-Range: bytes 5-14/100\r\nTransfer-Encoding: "
                   "chunked\r\n\r\n4;x=y\r\n0123\r\n6\r\n456789\r\n"
                   "0\r\nETag: \"trailer\"\r\n\r\n",
         good, "0123456789", true},
        {"range, interim responses", expect::range, ten,
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
             page(partial + "Content-Range: bytes 5-14/100\r\n", "0123456789"),
         good, "0123456789", true},

        {"range, object too short", expect::range, ten,
         page(partial + "Content-Range: bytes 5-12/13\r\n", "01234567"), is(errc::length_mismatch),
         "asked for bytes 5-14, got bytes 5-12"},
        {"range, another range", expect::range, ten,
         page(partial + "Content-Range: bytes 4-13/100\r\n", "0123456789"), is(errc::length_mismatch),
         "got bytes 4-13"},
        {"range, length and range disagree", expect::range, ten,
         page(partial + "Content-Range: bytes 5-14/100\r\n", "0123456789x"), is(errc::length_mismatch),
         "got 11"},
        {"range ignored by the server", expect::range, ten, page(ok, "0123456789abcdef"),
         is(errc::length_mismatch), "200 instead of the range"},
        {"range ignored, longer object", expect::range, first, page(ok, "0123456789a"),
         is(errc::length_mismatch), "asked for 10 bytes, got 11"},
        {"range without Content-Range", expect::range, ten, page(partial, "0123456789"),
         is(errc::malformed_response), "Content-Range"},
        {"range past the end", expect::range, ten,
         page("HTTP/1.1 416 Range\r\n", "<Error><Code>InvalidRange</Code></Error>"),
         is(errc::length_mismatch), "416 InvalidRange", true},
        {"range, no content", expect::range, first, "HTTP/1.1 204 No Content\r\n\r\n",
         is(errc::length_mismatch), "how long"},
        {"range, chunks too long", expect::range, ten,
         partial + "Content-Range: bytes 5-14/100\r\nTransfer-Encoding: "
                   "chunked\r\n\r\nb\r\n0123456789x\r\n0\r\n\r\n",
         is(errc::length_mismatch), "asked for 10 bytes, got more"},
        {"range, chunks too short", expect::range, ten,
         partial + "Content-Range: bytes 5-14/100\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012\r\n0\r\n\r\n",
         is(errc::length_mismatch), "asked for 10 bytes, got 3", true},
        {"range, a broken chunk", expect::range, ten,
         partial +
             "Content-Range: bytes 5-14/100\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012xy\r\n0\r\n\r\n",
         is(errc::malformed_response), "chunk"},
        {"range, endless chunk header", expect::range, ten,
         partial + "Content-Range: bytes 5-14/100\r\nTransfer-Encoding: chunked\r\n\r\n3;" +
             std::string(20000, 'x'),
         is(errc::malformed_response), "chunk"},
        {"range, too long to the end of the connection", expect::range, first, ok + "\r\n0123456789x",
         is(errc::length_mismatch), "got more"},
        {"range, too short to the end of the connection", expect::range, first, ok + "\r\n01234",
         is(errc::length_mismatch), "got 5", false, false, true},

        {"object", expect::object, first, page(ok, "0123456"), good, "0123456", true},
        {"object, empty", expect::object, first, page(ok, ""), good, "", true},
        {"object, too long", expect::object, first, page(ok, "0123456789a"), is(errc::length_mismatch),
         "got 11"},
        {"object, of a length nobody knows", expect::object, first, ok + "\r\n0123",
         is(errc::length_mismatch), "how long"},
        {"object, chunked", expect::object, first,
         ok + "Transfer-Encoding: chunked\r\n\r\n3\r\n012\r\n0\r\n\r\n", good, "012", true},
        {"object, part of it", expect::object, first, page(partial + "Content-Range: bytes 0-2/9\r\n", "012"),
         is(errc::unexpected_status), "206"},
        {"object, absent", expect::object, first, missing, is(errc::not_found), "404 NoSuchKey: gone", true},

        {"head", expect::head, {}, ok + "Content-Length: 12345\r\nETag: \"e\"\r\n\r\n", good, "", true},
        {"head, absent",
         expect::head,
         {},
         "HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n",
         is(errc::not_found),
         "404",
         true},

        {"text", expect::text, {}, page(ok, "<List/>"), good, "<List/>", true},
        {"text, none", expect::text, {}, "HTTP/1.1 204 No Content\r\n\r\n", good, "", true},
        {"text, to the end of the connection",
         expect::text,
         {},
         ok + "\r\n<List/>",
         good,
         "<List/>",
         false,
         false,
         true},
        {"text, chunked, empty",
         expect::text,
         {},
         ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         good,
         "",
         true},
        {"text, chunked",
         expect::text,
         {},
         ok + "Transfer-Encoding: chunked\r\n\r\n7\r\n<List/>\r\n0\r\n\r\n",
         good,
         "<List/>",
         true},
        {"text, too long",
         expect::text,
         {},
         page(ok, std::string(41, 'x')),
         is(errc::malformed_response),
         "longer than 40"},
        {"text, too long to the end of the connection",
         expect::text,
         {},
         ok + "\r\n" + std::string(41, 'x'),
         is(errc::malformed_response),
         "longer than 40"},
        {"text, chunks too long",
         expect::text,
         {},
         ok + "Transfer-Encoding: chunked\r\n\r\n29\r\n" + std::string(41, 'x') + "\r\n0\r\n\r\n",
         is(errc::malformed_response),
         "longer than 40"},
        {"text, an error inside a 200",
         expect::text,
         {},
         page(ok, error),
         is(errc::server_error),
         "200 C",
         true},
        {"text, SlowDown inside a 200",
         expect::text,
         {},
         page(ok, "<Error><Code>SlowDown</Code></Error>"),
         is(errc::throttled),
         "200 SlowDown",
         true},

        {"forbidden", expect::range, ten,
         page("HTTP/1.1 403 Forbidden\r\n",
              "<Error><Code>SignatureDoesNotMatch</Code><Message>two\nlines</Message></Error>"),
         is(errc::access_denied), "403 SignatureDoesNotMatch: two lines", true},
        {"expired token",
         expect::text,
         {},
         page("HTTP/1.1 400 Bad\r\n", "<Error><Code>ExpiredToken</Code></Error>"),
         is(errc::access_denied),
         "400 ExpiredToken",
         true},
        {"bad request",
         expect::text,
         {},
         page("HTTP/1.1 400 Bad\r\n", "<html>"),
         is(errc::unexpected_status),
         "400",
         true},
        {"redirect",
         expect::text,
         {},
         page("HTTP/1.1 301 Moved\r\n", "<Error><Code>PermanentRedirect</Code></Error>"),
         is(errc::unexpected_status),
         "301 PermanentRedirect",
         true},
        {"slow down",
         expect::text,
         {},
         page("HTTP/1.1 503 Slow Down\r\n", "<Error><Code>SlowDown</Code></Error>"),
         is(errc::throttled),
         "503 SlowDown",
         true},
        {"too many requests",
         expect::text,
         {},
         page("HTTP/1.1 429 Too Many\r\n", ""),
         is(errc::throttled),
         "429",
         true},
        {"internal error",
         expect::text,
         {},
         page("HTTP/1.1 500 Oops\r\n", "<Error><Code>InternalError</Code></Error>"),
         is(errc::server_error),
         "500 InternalError",
         true},
        {"bad gateway, chunked",
         expect::text,
         {},
         "HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n0\r\n\r\n",
         is(errc::server_error),
         "502",
         true},
        {"precondition, conditional",
         expect::text,
         {},
         page("HTTP/1.1 412 Failed\r\n", ""),
         is(errc::already_exists),
         "412",
         true,
         true},
        {"precondition, unconditional",
         expect::text,
         {},
         page("HTTP/1.1 412 Failed\r\n", ""),
         is(errc::unexpected_status),
         "412",
         true},
        {"conflict of conditional writes",
         expect::text,
         {},
         page("HTTP/1.1 409 Conflict\r\n", "<Error><Code>ConditionalRequestConflict</Code></Error>"),
         is(errc::server_error),
         "409 ConditionalRequestConflict",
         true,
         true},
        {"a long error is cut", expect::range, ten,
         page("HTTP/1.1 500 Oops\r\n",
              "<Error><Code>C</Code><Message>" + std::string(70000, 'm') + "</Message></Error>"),
         is(errc::server_error), "500 C"},
        {"a long error without a length is cut", expect::range, ten,
         "HTTP/1.1 500 Oops\r\n\r\n<Error><Code>C</Code><Message>" + std::string(70000, 'm'),
         is(errc::server_error), "500 C"},

        {"garbage",
         expect::text,
         {},
         "SSH-2.0-OpenSSH_9.2\r\n\r\n",
         is(errc::malformed_response),
         "not an HTTP response"},
        {"endless head",
         expect::text,
         {},
         ok + "X: " + std::string(20000, 'x'),
         is(errc::malformed_response),
         ""},
        {"endless fields",
         expect::text,
         {},
         ok +
             [] {
                 std::string fields;
                 for (int i = 0; i < 2000; ++i)
                     fields += "X: 0123\r\n";
                 return fields;
             }(),
         is(errc::malformed_response),
         ""},
        {"two lengths", expect::range, first,
         ok + "Content-Length: 10\r\nContent-Length: 11\r\n\r\n0123456789", is(errc::malformed_response), ""},
        {"a length that is none", expect::range, first, ok + "Content-Length: -1\r\n\r\n0123456789",
         is(errc::malformed_response), ""},
        {"a length beyond numbers", expect::range, first, ok + "Content-Length: 18446744073709551616\r\n\r\n",
         is(errc::malformed_response), ""},
        {"the greatest length", expect::range, first,
         ok + "Content-Length: 18446744073709551615\r\n\r\n0123456789x", is(errc::length_mismatch),
         "got 18446744073709551615"},
        {"length and chunks", expect::range, first,
         ok + "Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n0123456789",
         is(errc::malformed_response), ""},
        {"switching protocols",
         expect::text,
         {},
         "HTTP/1.1 101 Switching\r\n\r\n",
         is(errc::malformed_response),
         "interim"},
        {"endless interim responses",
         expect::text,
         {},
         [] {
             std::string all;
             for (int i = 0; i < 20; ++i)
                 all += "HTTP/1.1 100 Continue\r\n\r\n";
             return all;
         }(),
         is(errc::malformed_response),
         "interim"},
    };
}

void check_as_written(const script& s, const played& p)
{
    CHECK(p.outcome.code() == s.code);
    CHECK(p.reusable == s.reusable);
    if (s.code)
        CHECK_MESSAGE(p.outcome.detail().find(s.seen) != std::string::npos, p.outcome.detail());
    else
        CHECK(p.body == s.seen);
}

TEST_CASE("transfer: every script, in one piece, byte by byte and cut anywhere")
{
    for (const script& s : scripts()) {
        CAPTURE(std::string(s.name));
        check_as_written(s, play(s, {}));
        const bool large = s.response.size() > 1000;
        // Where more arrives than is asked for, the remainder may stay unseen when it comes late.
        const bool tail = std::string_view(s.name) == "range, bytes left over";
        if (!tail) {
            check_as_written(s, play(s, {.send_at_once = 1, .receive_at_once = 1}));
            for (std::size_t cut = 1; cut < s.response.size(); cut += large ? 997 : 1)
                check_as_written(s, play(s, {.cuts = {cut}}));
        }
    }
}

TEST_CASE("transfer: a connection that ends or breaks anywhere never passes for a success")
{
    for (const script& s : scripts()) {
        CAPTURE(std::string(s.name));
        const bool large = s.response.size() > 1000;
        const bool tail = std::string_view(s.name) == "range, bytes left over";
        for (std::size_t n = 0; n < s.response.size() - tail; n += large ? 997 : 1) {
            const played ended = play(s, {.end_at = n});
            // What only the end of the connection delimits may end anywhere.
            const bool may_be_whole = s.response.starts_with(ok + "\r\n");
            CHECK((!ended.outcome.ok() || may_be_whole));
            CHECK((ended.outcome == condition::unavailable || ended.outcome == condition::corrupt ||
                   ended.outcome.code() == s.code || may_be_whole));
            CHECK(ended.answered == (n != 0));
            CHECK_FALSE(ended.reusable);

            const played broken = play(s, {.fail_receive_at = n});
            CHECK_FALSE(broken.outcome.ok());
            CHECK((broken.outcome.code() == std::make_error_code(std::errc::connection_reset) ||
                   broken.outcome.code() == s.code));
            CHECK_FALSE(broken.reusable);
        }
        if (s.needs_end)
            CHECK_FALSE(play(s, {.fail_receive_at = s.response.size()}).outcome.ok());
    }
}

TEST_CASE("transfer: after a failed send, the server's reason is heard")
{
    const script refused{
        "", expect::text, {}, page("HTTP/1.1 403 F\r\n", "<Error><Code>AccessDenied</Code></Error>"), {}, ""};
    const script accepted{"", expect::text, {}, page(ok, ""), {}, ""};
    const script silent{"", expect::text, {}, "", {}, ""};
    const error_code pipe = std::make_error_code(std::errc::broken_pipe);
    for (std::size_t n = 0; n < request_head.size(); ++n) {
        const weather w{.fail_send_at = n};
        CHECK(play(refused, w).outcome == condition::denied);
        CHECK_FALSE(play(refused, w).reusable);
        CHECK(play(accepted, w).outcome.code() == pipe); // nobody accepts what he did not receive
        CHECK_FALSE(play(accepted, w).reusable);
        CHECK(play(silent, w).outcome.code() == pipe);
        CHECK_FALSE(play(silent, w).answered);
        CHECK(play(refused, {.fail_send_at = n, .fail_receive_at = 3}).outcome.code() == pipe);
    }
    std::vector<std::byte> scratch(transfer::head_limit);
    for (const error_code stop :
         {make_error_code(errc::cancelled), make_error_code(std::errc::operation_canceled)}) {
        transfer t({.head = request_head}, scratch);
        t.failed(stop);
        CHECK(t.next() == transfer::want::done);
        CHECK(t.outcome() == condition::cancelled);
    }
}

TEST_CASE("transfer: the payload is sent in order, in pieces of any size, empty parts and all")
{
    const std::string parts[] = {"", "abc", "", "d", "efghij", ""};
    std::vector<const_byte_span> payload;
    for (const std::string& part : parts)
        payload.push_back(bytes_of(part));
    std::vector<std::byte> scratch(transfer::head_limit);
    for (std::size_t piece = 1; piece < 40; ++piece)
        for (std::size_t list = 1; list < 8; ++list) {
            transfer t({.head = request_head, .payload = payload}, scratch);
            std::string seen;
            while (t.next() == transfer::want::send) {
                std::vector<const_byte_span> out(list);
                std::size_t n = 0;
                for (const const_byte_span part : t.unsent(out)) {
                    REQUIRE_FALSE(part.empty());
                    for (const std::byte b : part)
                        if (n < piece) {
                            seen += std::to_integer<char>(b);
                            ++n;
                        }
                }
                t.sent(n);
            }
            CHECK(seen == request_head + "abcdefghij");
            CHECK(t.next() == transfer::want::receive);
        }
}

struct arrivals final : read_observer {
    std::vector<std::size_t> seen;
    void arrived(std::size_t bytes) noexcept override { seen.push_back(bytes); }
};

TEST_CASE("transfer: a body goes straight into its destination, and can be watched")
{
    for (const bool watched : {false, true}) {
        CAPTURE(watched);
        std::vector<std::byte> scratch(transfer::head_limit);
        const std::size_t piece = transfer::observed_piece, whole = 4 * piece;
        std::vector<std::byte> destination(whole);
        arrivals observer;
        transfer t({.head = request_head,
                    .answer = expect::range,
                    .range = {0, whole},
                    .destination = destination,
                    .observer = watched ? &observer : nullptr},
                   scratch);
        t.sent(request_head.size());
        CHECK(t.room().data() == scratch.data());
        const std::string head = partial + "Content-Range: bytes 0-" + std::to_string(whole - 1) +
                                 "/*\r\nContent-Length: " + std::to_string(whole) + "\r\n\r\nabc";
        std::memcpy(t.room().data(), head.data(), head.size());
        t.received(head.size());
        CHECK(t.received_body() == 3);
        CHECK(t.room().data() == destination.data() + 3);
        CHECK(t.room().size() == (watched ? piece : whole - 3));
        t.received(1000);
        CHECK(t.received_body() == 1003);
        for (std::size_t at = 1003; at != whole; at = t.received_body()) {
            REQUIRE(t.next() == transfer::want::receive);
            CHECK(t.room().data() == destination.data() + at);
            t.received(t.room().size());
            REQUIRE(t.received_body() == (watched ? std::min(at + piece, whole) : whole));
        }
        CHECK(t.next() == transfer::want::done);
        CHECK(t.outcome().ok());
        CHECK(t.reusable());
        CHECK(t.response().status == 206);
        const std::vector<std::size_t> seen{0,    3, 1003, 1003 + piece, 1003 + 2 * piece, 1003 + 3 * piece,
                                            whole};
        CHECK(observer.seen == (watched ? seen : std::vector<std::size_t>()));
    }
}

TEST_CASE("transfer: of an error nothing is shown, and no more of it is waited for than is kept")
{
    std::vector<std::byte> scratch(transfer::head_limit);
    std::vector<std::byte> destination(100);
    arrivals observer;
    transfer t({.head = request_head,
                .answer = expect::range,
                .range = {0, destination.size()},
                .destination = destination,
                .observer = &observer},
               scratch);
    t.sent(request_head.size());
    const std::string head = "HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\nabc";
    std::memcpy(t.room().data(), head.data(), head.size());
    t.received(head.size());
    CHECK(t.room().size() == transfer::error_limit - 3);
    t.received(t.room().size());
    CHECK(t.next() == transfer::want::done);
    CHECK(observer.seen.empty());
}

TEST_CASE("transfer: no byte of a response, whatever it becomes, does harm")
{
    for (const script& s : scripts()) {
        if (s.response.size() > 400)
            continue;
        script damaged = s;
        for (std::size_t i = 0; i < s.response.size(); ++i)
            for (const char c : {'\0', '\n', '9', ' ', '\xff'}) {
                damaged.response[i] = c;
                CHECK(play(damaged, {}).done);
                damaged.response[i] = s.response[i];
            }
    }
}

TEST_CASE("transfer: Content-Range")
{
    using s3::detail::parse_content_range;
    CHECK(parse_content_range("bytes 0-0/1")->bytes == byte_range{0, 1});
    CHECK(parse_content_range("Bytes 5-9/10")->total == 10);
    CHECK_FALSE(parse_content_range("bytes 5-9/*")->total);
    for (const char* bad :
         {"", "bytes", "bytes ", "bytes 5-9", "bytes */10", "bytes 9-5/10", "bytes 5-9/9", "bytes 5-9/",
          "bytes 5-9/x", "bytes -9/10", "bytes 5-/10", "items 5-9/10", "bytes 5/9-10",
          "bytes 0-18446744073709551615/*", "bytes 5-9/10 ", "bytes  5-9/10"})
        CHECK_FALSE(parse_content_range(bad));
}

/** What a server saw that lets a body wait, and how it ended. */
struct held_back {
    std::string request;
    bool asked = false; // the body was held back, and nothing else sent
    status outcome;
    bool reusable = false;
};

/** `answers[0]` comes once the body is held back, `answers[1]` after it; with an empty first one the peer is silent. */
held_back hold_back(std::array<std::string, 2> answers, std::size_t at_once)
{
    const std::string head = "PUT /b/k HTTP/1.1\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    const const_byte_span payload[] = {bytes_of("01234"), {}, bytes_of("56789")};
    std::vector<std::byte> scratch(transfer::head_limit);
    exchange what;
    what.head = head;
    what.payload = payload;
    what.text_limit = 100;
    what.expect_continue = true;
    transfer t(std::move(what), scratch);
    held_back out;
    while (t.next() != transfer::want::done) {
        if (t.next() == transfer::want::send) {
            std::array<const_byte_span, 4> parts;
            for (const const_byte_span part : t.unsent(parts).first(1)) {
                const auto n = std::min(at_once, part.size());
                out.request.append(reinterpret_cast<const char*>(part.data()), n);
                t.sent(n);
            }
            continue;
        }
        if (t.waits_for_continue()) {
            CHECK(out.request == head);
            out.asked = true;
            if (answers[0].empty()) {
                t.go_ahead();
                continue;
            }
        }
        std::string& answer = answers[0].empty() ? answers[1] : answers[0];
        if (answer.empty()) {
            t.ended();
            continue;
        }
        const byte_span room = t.room();
        const auto n = std::min({at_once, room.size(), answer.size()});
        std::memcpy(room.data(), answer.data(), n);
        answer.erase(0, n);
        t.received(n);
    }
    CHECK((out.request == head || out.request == head + "0123456789"));
    out.request.erase(0, head.size());
    out.outcome = t.outcome();
    out.reusable = t.reusable();
    return out;
}

TEST_CASE("transfer: a body that waits for 100 Continue")
{
    const std::string go = "HTTP/1.1 100 Continue\r\n\r\n";
    const std::string early = "HTTP/1.1 103 Early Hints\r\n\r\n";
    const std::string done = page(ok, "");
    const std::string denied = page("HTTP/1.1 403 Forbidden\r\n", "<Error><Code>AccessDenied</Code></Error>");
    for (const std::size_t at_once : {std::size_t(1), std::size_t(7), std::size_t(100000)}) {
        CAPTURE(at_once);
        for (const auto& answers : {std::array{go, done}, std::array{early + go, done},
                                    std::array{std::string(), done}, std::array{std::string(), go + done}}) {
            const held_back seen = hold_back(answers, at_once);
            CHECK(seen.asked);
            CHECK(seen.outcome.ok());
            CHECK(seen.request == "0123456789");
            CHECK(seen.reusable);
        }
        const held_back refused = hold_back({denied, ""}, at_once);
        CHECK(refused.outcome.code() == errc::access_denied);
        CHECK(refused.request.empty());
        CHECK_FALSE(refused.reusable); // the server may still wait for the body
        const held_back eager = hold_back({done, ""}, at_once);
        CHECK(eager.outcome.code() == errc::malformed_response);
        CHECK(eager.request.empty());
        const held_back both = hold_back({go + denied, ""}, at_once); // said too early, but said
        CHECK(both.outcome.code() == errc::access_denied);
    }
}

TEST_CASE("transfer: a body that is made while it is sent")
{
    std::string text(20000, 'x');
    for (std::size_t i = 0; i < text.size(); ++i)
        text[i] = static_cast<char>('a' + i % 23);
    const const_byte_span parts[] = {bytes_of(text).first(9000), {}, bytes_of(text).subspan(9000)};
    for (const checksum trailer : {checksum::none, checksum::crc32c})
        for (const std::size_t at_once : {std::size_t(1), std::size_t(4097), std::size_t(1000000)}) {
            chunked_options how;
            how.chunk_bytes = chunked_options::least_chunk;
            how.trailer = trailer;
            auto body = chunked_upload::make(parts, how);
            REQUIRE(body);
            signer with("us-east-1");
            const sigv4_time now{};
            body->begin(with.key_for({"AK", "SK", "", {}}, now), now, std::string(64, '0'));
            std::string expected = request_head;
            for (auto out = body->next(); !out.empty(); out = body->next())
                for (const const_byte_span part : out)
                    expected.append(reinterpret_cast<const char*>(part.data()), part.size());
            CHECK(expected.size() == request_head.size() + body->encoded_size());

            body->begin(with.key_for({"AK", "SK", "", {}}, now), now, std::string(64, '0'));
            std::vector<std::byte> scratch(transfer::head_limit);
            exchange what;
            what.head = request_head;
            what.stream = &*body;
            transfer t(std::move(what), scratch);
            std::string sent;
            while (t.next() == transfer::want::send) {
                std::array<const_byte_span, 3> buffers;
                std::size_t n = 0;
                for (const const_byte_span part : t.unsent(buffers)) {
                    const auto take = std::min(part.size(), at_once - n);
                    sent.append(reinterpret_cast<const char*>(part.data()), take);
                    n += take;
                }
                REQUIRE(n != 0);
                t.sent(n);
            }
            CHECK(sent == expected);
            CHECK(t.next() == transfer::want::receive);
        }
}

} // namespace transfer_test
