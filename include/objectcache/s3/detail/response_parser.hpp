// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/s3/checksum.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/http_date.hpp>

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace objectcache::s3 {

/** What we use of a response's head. */
struct response_head {
    unsigned status = 0;
    std::optional<std::uint64_t> content_length; ///< bytes, as the header says
    std::string content_range;
    std::string etag; ///< with its quotes
    std::string last_modified;
    std::string region; ///< x-amz-bucket-region
    std::optional<std::chrono::sys_seconds> date;
    /** @name Of answers that are not a success. */
    /** @{ */
    std::string retry_after;
    std::string location;
    /** @} */
    /** The values of the x-amz-checksum-* headers, by `checksum`. */
    std::array<std::string, 4> checksums;
};

namespace detail {

/** Where the bytes of a body go: into a span, or into a text that grows up to a limit. Takes no byte more. */
struct body_sink {
    byte_span destination; // used unless `as_text`
    std::string text;      // its length is that of the room made, `size` that of the content
    std::size_t limit = 0; // in bytes
    std::size_t size = 0;  // bytes taken
    bool as_text = false;

    [[nodiscard]] std::size_t left() const noexcept { return limit - size; }

    /** Room for up to `wanted` bytes at the end of what was taken. */
    [[nodiscard]] byte_span room(std::uint64_t wanted)
    {
        const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(wanted, left()));
        if (!as_text)
            return destination.subspan(size, n);
        if (text.size() < size + n)
            text.resize(size + n);
        return std::as_writable_bytes(std::span(text)).subspan(size, n);
    }

    /** How much of `bytes` was taken. */
    std::size_t take(const_byte_span bytes)
    {
        const byte_span to = room(bytes.size());
        if (!to.empty())
            std::memcpy(to.data(), bytes.data(), to.size());
        size += to.size();
        return to.size();
    }
};

/** Beast's parser, keeping the few fields of a head that we use, and decoding chunks into a sink. */
class response_parser final : public boost::beast::http::basic_parser<false> {
    using beast_error = boost::beast::error_code;
    using view = boost::beast::string_view;

public:
    response_parser(body_sink& sink, std::uint32_t head_limit) : sink_(&sink)
    {
        header_limit(head_limit);
        body_limit(boost::none); // the sink bounds what is stored; the caller judges the length
    }

    [[nodiscard]] const response_head& head() const noexcept { return head_; }
    [[nodiscard]] bool overflowed() const noexcept { return overflowed_; }

private:
    void on_request_impl(boost::beast::http::verb, view, view, int, beast_error&) override {}
    void on_response_impl(int code, view, int, beast_error&) override
    {
        head_.status = static_cast<unsigned>(code);
    }
    void on_field_impl(boost::beast::http::field name, view text, view value, beast_error&) override
    {
        if (in_body_)
            return; // a trailer
        using boost::beast::http::field;
        switch (name) {
        case field::content_length:
            head_.content_length = parse_number({value.data(), value.size()});
            break;
        case field::content_range:
            head_.content_range.assign(value.data(), value.size());
            break;
        case field::etag:
            head_.etag.assign(value.data(), value.size());
            break;
        case field::last_modified:
            head_.last_modified.assign(value.data(), value.size());
            break;
        case field::date:
            head_.date = parse_http_date({value.data(), value.size()});
            break;
        case field::retry_after:
            assign_if_failed(head_.retry_after, value);
            break;
        case field::location:
            assign_if_failed(head_.location, value);
            break;
        default:
            if (name == field::unknown)
                on_amazon_field({text.data(), text.size()}, value);
        }
    }
    void on_amazon_field(std::string_view name, view value)
    {
        constexpr std::string_view prefix = "x-amz-";
        if (!is_lower_of(prefix, name.substr(0, prefix.size())))
            return; // most of what servers send is for people
        if (is_lower_of("x-amz-bucket-region", name))
            head_.region.assign(value.data(), value.size());
        for (const checksum kind : {checksum::crc32c, checksum::crc64nvme, checksum::sha256})
            if (is_lower_of(checksum_header(kind), name))
                head_.checksums[static_cast<std::size_t>(kind)].assign(value.data(), value.size());
    }
    void assign_if_failed(std::string& to, view value)
    {
        if (head_.status / 100 != 2)
            to.assign(value.data(), value.size());
    }
    void on_header_impl(beast_error&) override { in_body_ = true; }
    void on_body_init_impl(const boost::optional<std::uint64_t>&, beast_error&) override {}
    // Bodies that are not chunked never reach the parser.
    std::size_t on_body_impl(view, beast_error&) override { return 0; }
    void on_chunk_header_impl(std::uint64_t, view, beast_error&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, view body, beast_error& ec) override
    {
        const std::size_t taken = sink_->take(std::as_bytes(std::span(body.data(), body.size())));
        if (taken < body.size()) {
            overflowed_ = true;
            ec = boost::beast::http::error::body_limit;
        }
        return taken;
    }
    void on_finish_impl(beast_error&) override {}

    body_sink* sink_;
    response_head head_;
    bool in_body_ = false;
    bool overflowed_ = false;
};

} // namespace detail

} // namespace objectcache::s3
