// SPDX-License-Identifier: BSL-1.0
// An HTTP response of a stranger, arriving in pieces of any size.
//
// The first line of the input says what was asked for, the rest is what the server sends before it goes away:
//     kind, size, offset, flags, pieces...     each one character, a digit in the seeds
#include "fuzz.hpp"

#include <objectcache/s3/transfer.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace objectcache::fuzz {

namespace response_target {

struct question {
    s3::expect kind = s3::expect::text;
    byte_range range;
    bool conditional = false;
    bool reset = false;        // the connection ends with an error, not in order
    bool send_fails = false;   // the request does not get through, but the answer is read
    std::string_view pieces{}; // sizes of what arrives at once; empty: as much as there is room for

    explicit question(std::string_view line)
    {
        constexpr std::uint64_t sizes[] = {0, 1, 5, 10, 64, 1000, 4096, 40000};
        constexpr std::uint64_t offsets[] = {0, 5, 1'000'000, ~std::uint64_t(0) - 100'000};
        const auto number = [&] {
            const unsigned n = line.empty() ? 0 : static_cast<unsigned char>(line[0]) - '0';
            line.remove_prefix(std::min<std::size_t>(1, line.size()));
            return n;
        };
        kind = static_cast<s3::expect>(number() % 4);
        range.size = sizes[number() % 8];
        range.offset = offsets[number() % 4];
        const unsigned flags = number();
        conditional = (flags & 1) != 0;
        reset = (flags & 2) != 0;
        send_fails = (flags & 4) != 0;
        pieces = line;
    }
};

/** A destination between guards. */
class guarded {
public:
    explicit guarded(std::size_t size) : all_(size + 2 * margin, fill), size_(size) {}
    byte_span span() { return byte_span(all_).subspan(margin, size_); }
    /** Nothing was written beside the first `n` bytes of the span. */
    [[nodiscard]] bool untouched_but(std::size_t n) const
    {
        const auto is_fill = [](std::byte b) { return b == fill; };
        const auto begin = all_.begin() + margin;
        return std::all_of(all_.begin(), begin, is_fill) &&
               std::all_of(begin + static_cast<std::ptrdiff_t>(n), all_.end(), is_fill);
    }

private:
    static constexpr std::ptrdiff_t margin = 64;
    static constexpr std::byte fill{0xa5};
    std::vector<std::byte> all_;
    std::size_t size_;
};

struct answer {
    status outcome;
    std::string body;
    std::string text;
    unsigned code = 0;
};

answer play(const question& asked, std::string_view pieces, std::string_view sent_by_server)
{
    constexpr std::size_t text_limit = 2000;
    const bool has_body = asked.kind == s3::expect::range || asked.kind == s3::expect::object;
    guarded destination(has_body ? static_cast<std::size_t>(asked.range.size) : 0);
    std::vector<std::byte> scratch(s3::transfer::head_limit);
    const std::array payload{std::byte{1}, std::byte{2}};
    const const_byte_span part = payload;
    s3::exchange what;
    what.head = "GET / HTTP/1.1\r\n\r\n";
    what.payload = std::span(&part, 1);
    what.answer = asked.kind;
    if (asked.kind == s3::expect::range)
        what.range = asked.range;
    what.destination = destination.span();
    what.text_limit = text_limit;
    what.conditional = asked.conditional;
    s3::transfer t(std::move(what), scratch);

    while (t.next() == s3::transfer::want::send) {
        std::array<const_byte_span, 2> out;
        const auto unsent = t.unsent(out);
        require(!unsent.empty() && !unsent[0].empty(), "there is something to send");
        if (asked.send_fails)
            t.failed(std::make_error_code(std::errc::broken_pipe));
        else
            t.sent(unsent[0].size());
    }
    std::string_view rest = sent_by_server;
    for (std::size_t i = 0; t.next() == s3::transfer::want::receive && !rest.empty(); ++i) {
        const byte_span room = t.room();
        require(!room.empty(), "there is room to receive");
        std::size_t n = std::min(room.size(), rest.size());
        if (!pieces.empty())
            n = std::min(n, std::size_t(1) << (static_cast<unsigned char>(pieces[i % pieces.size()]) & 15));
        std::memcpy(room.data(), rest.data(), n);
        rest.remove_prefix(n);
        t.received(n);
    }
    if (t.next() == s3::transfer::want::receive && asked.reset)
        t.failed(std::make_error_code(std::errc::connection_reset));
    else if (t.next() == s3::transfer::want::receive)
        t.ended();
    require(t.next() == s3::transfer::want::done, "the end of the connection is the end of the transfer");

    const status& outcome = t.outcome();
    const std::string message = outcome.message();
    require(outcome.ok() == message.empty(), "a failure has a reason");
    require(message.find('\n') == message.npos && message.find('\r') == message.npos, "which is one line");
    require(!asked.send_fails || !outcome.ok(), "a request that was not sent cannot succeed");
    require(!asked.send_fails || !t.reusable(), "nor leave a connection that is good");
    const bool good = t.response().status / 100 == 2;
    const std::size_t stored = good && has_body ? t.received_body() : 0;
    require(stored <= destination.span().size(), "the body fits its destination");
    require(destination.untouched_but(stored), "nothing but the body is written, and only to its place");
    if (outcome.ok()) {
        require(good, "only 2xx is a success");
        require(asked.kind != s3::expect::range || stored == asked.range.size,
                "a range is as long as it was asked for");
        require(asked.kind != s3::expect::text || t.text().size() <= text_limit,
                "a text is within its limit");
    }
    require(t.text().size() <= std::max(text_limit, s3::transfer::error_limit),
            "the text of an error is, too");

    answer out{outcome, {}, t.text(), t.response().status};
    out.body.assign(reinterpret_cast<const char*>(destination.span().data()), stored);
    return out;
}

/** How the bytes were cut up makes no difference to what was received. In a head that is broken and then ends, Beast's
    parser may see the one first or the other. */
bool are_alike(const answer& a, const answer& b)
{
    const bool nothing_received = !a.outcome.ok() && !b.outcome.ok() && a.body.empty() && b.body.empty() &&
                                  a.text.empty() && b.text.empty();
    return nothing_received ||
           (a.outcome.code() == b.outcome.code() && a.outcome.detail() == b.outcome.detail() &&
            a.body == b.body && a.text == b.text && a.code == b.code);
}

} // namespace response_target

void response(std::string_view input)
{
    using namespace response_target;
    const question asked(take_until(input, '\n'));
    const answer in_pieces = play(asked, asked.pieces, input);
    const answer at_once = play(asked, {}, input);
    require(are_alike(in_pieces, at_once), "how the bytes were cut up makes no difference");
}

} // namespace objectcache::fuzz
