// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/xml.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace objectcache::s3::detail {

/** "bytes 5-14" */
[[nodiscard]] inline std::string text_of(const byte_range& range)
{
    return "bytes " + std::to_string(range.offset) + '-' + std::to_string(range.end() - 1);
}

struct content_range {
    byte_range bytes;
    std::optional<std::uint64_t> total; ///< of the whole object; none where the server does not know it
};

/** Reads "bytes 0-9/100"; nothing if it has another form or makes no sense. */
[[nodiscard]] inline std::optional<content_range> parse_content_range(std::string_view in)
{
    constexpr std::string_view unit = "bytes ";
    const auto dash = in.find('-');
    const auto slash = in.find('/');
    if (lower_case(in.substr(0, unit.size())) != unit || dash == in.npos || slash == in.npos || slash < dash)
        return std::nullopt;
    const auto first = parse_number(in.substr(unit.size(), dash - unit.size()));
    const auto last = parse_number(in.substr(dash + 1, slash - dash - 1));
    const auto total = parse_number(in.substr(slash + 1));
    if (!first || !last || *last < *first || *last == ~std::uint64_t(0))
        return std::nullopt;
    if (total ? *last >= *total : in.substr(slash + 1) != "*")
        return std::nullopt;
    return content_range{{*first, *last - *first + 1}, total};
}

/** Text of a stranger, as part of one line of ours. */
[[nodiscard]] inline std::string one_line(std::string_view in)
{
    constexpr std::size_t limit = 200;
    std::string out(in.substr(0, limit));
    for (char& c : out)
        if (!is_header_safe({&c, 1}))
            c = ' ';
    if (in.size() > limit)
        out += "...";
    return out;
}

/** What a complete response means whose body is a text. A 200 may still turn out an error: some operations send their
    status before they know. */
[[nodiscard]] inline status outcome_of(unsigned code, std::string_view body, bool conditional)
{
    const bool good = code / 100 == 2;
    const auto document = body.empty() ? std::nullopt : parse_error_document(body);
    if (good && !document)
        return {};

    std::string text = std::to_string(code);
    if (document && !document->code.empty())
        text += ' ' + one_line(document->code);
    if (document && !document->message.empty())
        text += ": " + one_line(document->message);

    const std::string_view name = document ? std::string_view(document->code) : std::string_view();
    const auto is_one_of = [&](auto... names) { return ((name == names) || ...); };
    errc what = errc::unexpected_status;
    if (code == 404)
        what = errc::not_found;
    else if (code == 401 || code == 403 ||
             is_one_of("ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed"))
        what = errc::access_denied;
    else if (code == 429 || code == 503 || is_one_of("SlowDown"))
        what = errc::throttled;
    else if ((code == 412 && conditional) || is_one_of("BucketAlreadyOwnedByYou", "BucketAlreadyExists"))
        what = errc::already_exists;
    else if (code == 416)
        what = errc::length_mismatch;
    else if (good || (code / 100 == 5 && code != 501) ||
             is_one_of("RequestTimeout", "ConditionalRequestConflict"))
        what = errc::server_error;
    return {what, std::move(text)};
}

} // namespace objectcache::s3::detail
