// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/chunked_upload.hpp>
#include <objectcache/s3/detail/outcome.hpp>
#include <objectcache/s3/transfer.hpp>

#include <boost/asio/buffer.hpp>

#include <cassert>

namespace objectcache::s3 {

OBJECTCACHE_DECL transfer::transfer(exchange what, byte_span scratch)
    : what_(std::move(what))
    , scratch_(scratch)
{
    assert(scratch.size() >= head_limit);
    assert(what_.answer != expect::range || what_.destination.size() == what_.range.size);
    parser_.emplace(body_, static_cast<std::uint32_t>(head_limit));
    parser_->skip(what_.answer == expect::head);
    if (what_.stream)
        what_.payload = what_.stream->next();
}

OBJECTCACHE_DECL std::span<const_byte_span> transfer::unsent(std::span<const_byte_span> out) const noexcept
{
    std::size_t count = 0;
    std::size_t skip = sent_;
    const std::size_t last = what_.expect_continue ? 0 : what_.payload.size();
    for (std::size_t i = part_; i <= last && count < out.size(); ++i, skip = 0) {
        const const_byte_span whole = i == 0 ? std::as_bytes(std::span(what_.head)) : what_.payload[i - 1];
        const const_byte_span part = whole.subspan(skip);
        if (!part.empty())
            out[count++] = part;
    }
    return out.first(count);
}

OBJECTCACHE_DECL byte_span transfer::room() noexcept
{
    switch (stage_) {
    case stage::counted_body:
        // An observer is told of pieces that the processor's cache still holds.
        return body_.room(what_.observer ? std::min<std::uint64_t>(remaining_, observed_piece) : remaining_);
    case stage::body_to_eof:
        // One byte more than may come, so that a body which is too long shows itself.
        if (const byte_span space = body_.room(head_limit); !space.empty())
            return space;
        return scratch_.first(1);
    default:
        break;
    }
    if (begin_ != 0) {
        std::memmove(scratch_.data(), scratch_.data() + begin_, end_ - begin_);
        end_ -= std::exchange(begin_, 0);
    }
    // What comes together with the head is copied once more: of a large body that should be little.
    constexpr std::size_t usual_head = 2048;
    if (stage_ == stage::head && end_ < usual_head && what_.destination.size() > scratch_.size())
        return scratch_.subspan(end_, usual_head - end_);
    return scratch_.subspan(end_);
}

OBJECTCACHE_DECL void transfer::sent(std::size_t bytes)
{
    assert(stage_ == stage::sending);
    progress_ += bytes;
    sent_ += bytes;
    for (;;) {
        const std::size_t size = part_ == 0 ? what_.head.size() : what_.payload[part_ - 1].size();
        if (sent_ < size)
            return;
        sent_ -= size;
        ++part_;
        if (!has_more_to_send())
            break;
        if (what_.expect_continue) {
            stage_ = stage::waiting;
            next_ = want::receive;
            return;
        }
    }
    assert(sent_ == 0);
    stage_ = stage::head;
    next_ = want::receive;
    if (begin_ != end_) // came together with the 100
        parse_head();
}

OBJECTCACHE_DECL bool transfer::has_more_to_send()
{
    if (part_ <= what_.payload.size())
        return true;
    if (!what_.stream || what_.payload.empty())
        return false;
    what_.payload = what_.stream->next();
    part_ = 1;
    return !what_.payload.empty();
}

OBJECTCACHE_DECL void transfer::go_ahead()
{
    assert(stage_ == stage::waiting);
    what_.expect_continue = false;
    stage_ = stage::sending;
    next_ = want::send;
}

OBJECTCACHE_DECL void transfer::received(std::size_t bytes)
{
    assert(next_ == want::receive);
    progress_ += bytes;
    answered_ = answered_ || bytes != 0;
    switch (stage_) {
    case stage::waiting:
    case stage::head:
        end_ += bytes;
        parse_head();
        break;
    case stage::counted_body:
        body_.size += bytes;
        remaining_ -= bytes;
        if (body_.left() == 0 && remaining_ != 0)
            too_long(); // only ever the text of an error: see begin_body
        else if (remaining_ == 0)
            finish();
        break;
    case stage::chunked_body:
        end_ += bytes;
        parse_chunks();
        break;
    case stage::body_to_eof:
        if (body_.left() == 0)
            too_long();
        else
            body_.size += bytes;
        break;
    default:
        break;
    }
    tell();
}

/** The observer, of what came. */
OBJECTCACHE_DECL void transfer::tell()
{
    if (what_.observer && body_.size != told_ && !body_.as_text)
        what_.observer->arrived(told_ = body_.size);
}

OBJECTCACHE_DECL void transfer::ended()
{
    if (stage_ == stage::body_to_eof) {
        finish();
        return;
    }
    if (!send_failure_.ok()) {
        stop(send_failure_);
        return;
    }
    if (!answered_) {
        stop({errc::connection_lost, "the connection was closed before any answer"});
        return;
    }
    stop({errc::connection_lost,
          stage_ == stage::head || stage_ == stage::waiting
              ? "the connection was closed inside the response head"
              : "the connection was closed after " + std::to_string(body_.size) + " bytes of the body"});
}

OBJECTCACHE_DECL void transfer::failed(error_code why)
{
    assert(why);
    if (stage_ == stage::sending && why != condition::cancelled && why != condition::timeout) {
        send_failure_ = status(why);
        stage_ = stage::head;
        next_ = want::receive;
        return;
    }
    stop(send_failure_.ok() || why == condition::cancelled ? status(why) : send_failure_);
}

OBJECTCACHE_DECL void transfer::parse_head()
{
    while (stage_ == stage::head || stage_ == stage::waiting) {
        boost::beast::error_code ec;
        const std::size_t used =
            parser_->put(boost::asio::const_buffer(scratch_.data() + begin_, end_ - begin_), ec);
        begin_ += used;
        head_size_ += used;
        const bool more = ec == boost::beast::http::error::need_more;
        // The parser takes field by field, and would take them for ever.
        if (head_size_ > head_limit || (more && head_size_ + (end_ - begin_) >= head_limit)) {
            stop({errc::malformed_response, "the response head is too large"});
            return;
        }
        if (more)
            return;
        if (ec) {
            stop({errc::malformed_response, "not an HTTP response: " + ec.message()});
            return;
        }
        const unsigned code = parser_->head().status;
        if (code >= 200) {
            held_ = stage_ == stage::waiting;
            begin_body();
            return;
        }
        // 100 Continue and its like announce another head.
        if (code < 100 || code == 101 || ++interim_ > 8) {
            stop({errc::malformed_response, "an interim response that was not asked for"});
            return;
        }
        parser_.emplace(body_, static_cast<std::uint32_t>(head_limit));
        parser_->skip(what_.answer == expect::head);
        if (code == 100 && stage_ == stage::waiting)
            go_ahead();
        if (begin_ == end_)
            return;
    }
}

/** Is the answer of the length that was asked for, as far as its head tells? */
OBJECTCACHE_DECL status transfer::accept_length() const
{
    const response_head& head = parser_->head();
    const std::uint64_t room = what_.destination.size();
    if (what_.answer == expect::range) {
        if (head.status == 206) {
            const auto range = detail::parse_content_range(head.content_range);
            if (!range)
                return {errc::malformed_response, "206 without a readable Content-Range"};
            if (range->bytes != what_.range)
                return {errc::length_mismatch, "asked for " + detail::text_of(what_.range) + ", got " +
                                                   detail::text_of(range->bytes)};
        } else if (what_.range.offset != 0) {
            return {errc::length_mismatch, std::to_string(head.status) + " instead of the range"};
        }
    } else if (head.status != 200) {
        return {errc::unexpected_status, std::to_string(head.status)};
    }
    if (parser_->chunked())
        return {};
    if (!head.content_length)
        return what_.answer == expect::range && head.status != 204
                   ? status()
                   : status(errc::length_mismatch, "the response does not say how long it is");
    if (*head.content_length > room || (what_.answer == expect::range && *head.content_length != room))
        return {errc::length_mismatch,
                "asked for " + std::to_string(room) + " bytes, got " + std::to_string(*head.content_length)};
    return {};
}

OBJECTCACHE_DECL void transfer::begin_body()
{
    const response_head& head = parser_->head();
    const bool good = head.status / 100 == 2;
    if (good && (what_.answer == expect::range || what_.answer == expect::object)) {
        if (status bad = accept_length(); !bad.ok()) {
            stop(std::move(bad));
            return;
        }
        body_.destination = what_.destination;
        body_.limit = what_.destination.size();
        if (what_.observer)
            what_.observer->arrived(0);
    } else {
        body_.as_text = true;
        body_.limit = good ? what_.text_limit : error_limit;
    }

    if (parser_->is_done()) {
        finish();
        return;
    }
    if (parser_->chunked()) {
        stage_ = stage::chunked_body;
        parser_->eager(true);
        parse_chunks();
        return;
    }
    if (const auto length = parser_->content_length()) {
        remaining_ = *length;
        stage_ = stage::counted_body;
        if (good && remaining_ > body_.limit) {
            too_long();
            return;
        }
    } else {
        stage_ = stage::body_to_eof;
    }
    take_buffered();
}

/** The part of the body that arrived together with the head. */
OBJECTCACHE_DECL void transfer::take_buffered()
{
    const const_byte_span here = const_byte_span(scratch_).subspan(begin_, end_ - begin_);
    if (stage_ == stage::body_to_eof) {
        begin_ += body_.take(here);
        if (begin_ != end_)
            too_long();
        return;
    }
    const std::size_t taken =
        body_.take(here.first(static_cast<std::size_t>(std::min<std::uint64_t>(here.size(), remaining_))));
    begin_ += taken;
    remaining_ -= taken;
    if (remaining_ == 0)
        finish();
    else if (body_.left() == 0)
        too_long();
}

OBJECTCACHE_DECL void transfer::parse_chunks()
{
    // Beast asserts (as of 1.81) when an empty body, "0\r\n\r\n", arrives in such pieces that it sees three or four bytes of
    // it. No chunked body is shorter, so that nothing is missed by waiting for the fifth.
    constexpr std::size_t shortest = 5;
    if (end_ - begin_ < (chunks_begun_ ? 1 : shortest))
        return;
    chunks_begun_ = true;
    boost::beast::error_code ec;
    begin_ += parser_->put(boost::asio::const_buffer(scratch_.data() + begin_, end_ - begin_), ec);
    if (parser_->overflowed())
        too_long();
    else if (ec && ec != boost::beast::http::error::need_more)
        stop({errc::malformed_response, "a broken chunk: " + ec.message()});
    else if (parser_->is_done())
        finish();
    else if (end_ - begin_ == scratch_.size())
        stop({errc::malformed_response, "a chunk's header is too large"});
}

/** The whole response is here. */
OBJECTCACHE_DECL void transfer::finish()
{
    const bool to_eof = stage_ == stage::body_to_eof;
    reusable_ = !to_eof && !held_ && send_failure_.ok() && begin_ == end_ && parser_->keep_alive();
    body_.text.resize(body_.as_text ? body_.size : 0);
    const response_head& head = parser_->head();
    if (head.status / 100 != 2 || what_.answer == expect::text)
        outcome_ = detail::outcome_of(head.status, body_.text, what_.conditional);
    else if (what_.answer == expect::range && body_.size != what_.range.size)
        outcome_ = status(errc::length_mismatch, "asked for " + std::to_string(what_.range.size) +
                                                     " bytes, got " + std::to_string(body_.size));
    if (outcome_.ok() && !send_failure_.ok())
        outcome_ = send_failure_; // the peer cannot have accepted what it never received
    if (outcome_.ok() && held_)
        outcome_ = status(errc::malformed_response, "success before the body was sent");
    stage_ = stage::done;
    next_ = want::done;
}

/** More came than there is room for. Of an error the beginning is enough; anything else is refused. */
OBJECTCACHE_DECL void transfer::too_long()
{
    const unsigned code = parser_->head().status;
    if (code / 100 != 2)
        stop(detail::outcome_of(code, std::string_view(body_.text).substr(0, body_.size), what_.conditional));
    else if (body_.as_text)
        stop({errc::malformed_response,
              "the answer is longer than " + std::to_string(body_.limit) + " bytes"});
    else
        stop({errc::length_mismatch, "asked for " + std::to_string(body_.limit) + " bytes, got more"});
}

/** Nothing more is read; the connection is of no further use. */
OBJECTCACHE_DECL void transfer::stop(status why)
{
    body_.text.resize(body_.as_text ? body_.size : 0);
    outcome_ = std::move(why);
    stage_ = stage::done;
    next_ = want::done;
}

} // namespace objectcache::s3
