// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/detail/xml_text.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The text of S3 over HTTP, seen from the server: pure functions on untrusted strings.
namespace objectcache::testing::detail {

/** A whole decimal number without sign; nothing for anything else or if it does not fit. */
[[nodiscard]] inline std::optional<std::uint64_t> parse_decimal(std::string_view text) noexcept
{
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

using query_list = std::vector<std::pair<std::string, std::string>>;

/** What a request line and the Host header name. */
struct s3_target {
    std::string path;   ///< decoded, as sent: what the signature covers
    query_list query;   ///< decoded
    std::string bucket; ///< empty: the service itself
    std::string key;    ///< empty: the bucket itself

    [[nodiscard]] const std::string* parameter(std::string_view name) const noexcept
    {
        for (const auto& [n, value] : query)
            if (n == name)
                return &value;
        return nullptr;
    }
};

/** "bucket.localhost:9000" with domain "localhost": bucket. Empty for the domain itself and for foreign
    hosts, which are then addressed in path style. */
[[nodiscard]] inline std::string_view bucket_of_host(std::string_view host, std::string_view domain) noexcept
{
    if (const std::size_t colon = host.rfind(':'); colon != std::string_view::npos)
        host = host.substr(0, colon);
    if (domain.empty() || host.size() <= domain.size() + 1 || !host.ends_with(domain))
        return {};
    host.remove_suffix(domain.size());
    if (!host.ends_with('.'))
        return {};
    host.remove_suffix(1);
    return host;
}

/** Reads an origin-form target; nothing if it is not one, or its percent-encoding is broken. */
[[nodiscard]] inline std::optional<s3_target> parse_target(std::string_view target, std::string_view host,
                                                           std::string_view domain)
{
    if (!target.starts_with('/'))
        return std::nullopt;
    const std::size_t mark = std::min(target.find('?'), target.size());
    s3_target out;
    auto path = s3::detail::uri_decoded(target.substr(0, mark));
    if (!path)
        return std::nullopt;
    out.path = std::move(*path);

    for (std::size_t at = mark + 1; at < target.size();) {
        const std::size_t end = std::min(target.find('&', at), target.size());
        const std::string_view pair = target.substr(at, end - at);
        at = end + 1;
        if (pair.empty())
            continue;
        const std::size_t equals = std::min(pair.find('='), pair.size());
        auto name = s3::detail::uri_decoded(pair.substr(0, equals));
        auto value = s3::detail::uri_decoded(pair.substr(std::min(equals + 1, pair.size())));
        if (!name || !value)
            return std::nullopt;
        out.query.emplace_back(std::move(*name), std::move(*value));
    }

    std::string_view rest = std::string_view(out.path).substr(1);
    if (const std::string_view bucket = bucket_of_host(host, domain); !bucket.empty()) {
        out.bucket = bucket;
        out.key = rest;
    } else {
        const std::size_t slash = std::min(rest.find('/'), rest.size());
        out.bucket = rest.substr(0, slash);
        out.key = rest.substr(std::min(slash + 1, rest.size()));
    }
    return out;
}

/** A bucket name as S3 demands it. It is also a safe file name: no slash, no leading dot. */
[[nodiscard]] inline bool valid_bucket_name(std::string_view name) noexcept
{
    const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    return name.size() >= 3 && name.size() <= 63 && alphanumeric(name.front()) && alphanumeric(name.back()) &&
           name.find("..") == std::string_view::npos && std::all_of(name.begin(), name.end(), [&](char c) {
               return alphanumeric(c) || c == '-' || c == '.';
           });
}

/** What a Range header asks of an object. */
struct range_answer {
    enum class kind {
        whole, ///< no range, or one that S3 ignores: another unit, several ranges, nonsense
        part,  ///< 206
        unsatisfiable
    };
    kind what = kind::whole;
    byte_range bytes;
};

[[nodiscard]] inline range_answer parse_range(std::string_view header, std::uint64_t object_size) noexcept
{
    using enum range_answer::kind;
    const range_answer ignored{whole, {0, object_size}};
    constexpr std::string_view unit = "bytes=";
    if (!header.starts_with(unit))
        return ignored;
    header.remove_prefix(unit.size());
    const std::size_t dash = header.find('-');
    if (dash == std::string_view::npos)
        return ignored;
    const std::string_view from = header.substr(0, dash);
    const std::string_view to = header.substr(dash + 1);
    const auto first = parse_decimal(from);
    const auto last = parse_decimal(to);
    if ((!from.empty() && !first) || (!to.empty() && !last) || (!first && !last) ||
        (first && last && *last < *first))
        return ignored;

    if (!first) {
        const std::uint64_t size = std::min(*last, object_size);
        return size == 0 ? range_answer{unsatisfiable, {}} : range_answer{part, {object_size - size, size}};
    }
    if (*first >= object_size)
        return {unsatisfiable, {}};
    const std::uint64_t end = last && *last < object_size ? *last + 1 : object_size;
    return {part, {*first, end - *first}};
}

using s3::detail::append_element;

using system_time = std::chrono::system_clock::time_point;

struct civil_time {
    int year;
    unsigned month, day, weekday, hour, minute, second;

    explicit civil_time(system_time at)
    {
        const auto whole_day = std::chrono::floor<std::chrono::days>(at);
        const std::chrono::year_month_day date(whole_day);
        const std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::seconds>(at - whole_day));
        year = static_cast<int>(date.year());
        month = static_cast<unsigned>(date.month());
        day = static_cast<unsigned>(date.day());
        weekday = std::chrono::weekday(whole_day).c_encoding();
        hour = static_cast<unsigned>(time.hours().count());
        minute = static_cast<unsigned>(time.minutes().count());
        second = static_cast<unsigned>(time.seconds().count());
    }
};

/** `width` digits, zero padded. */
inline void append_digits(std::string& out, unsigned value, unsigned width)
{
    std::string digits(width, '0');
    for (unsigned i = width; i-- > 0; value /= 10)
        digits[i] = static_cast<char>('0' + value % 10);
    out += digits;
}

/** "Wed, 12 Oct 2009 17:50:00 GMT". Not strftime, which asks the locale. */
[[nodiscard]] inline std::string http_date(system_time at)
{
    constexpr std::string_view days = "SunMonTueWedThuFriSat";
    constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const civil_time t(at);
    std::string out(days.substr(3 * t.weekday, 3));
    out += ", ";
    append_digits(out, t.day, 2);
    out.append(" ").append(months.substr(3 * (t.month - 1), 3)).append(" ");
    append_digits(out, static_cast<unsigned>(t.year), 4);
    out += ' ';
    append_digits(out, t.hour, 2);
    out += ':';
    append_digits(out, t.minute, 2);
    out += ':';
    append_digits(out, t.second, 2);
    out += " GMT";
    return out;
}

/** "2009-10-12T17:50:00.000Z": the form of dates inside XML. */
[[nodiscard]] inline std::string iso_date(system_time at)
{
    const civil_time t(at);
    std::string out;
    append_digits(out, static_cast<unsigned>(t.year), 4);
    out += '-';
    append_digits(out, t.month, 2);
    out += '-';
    append_digits(out, t.day, 2);
    out += 'T';
    append_digits(out, t.hour, 2);
    out += ':';
    append_digits(out, t.minute, 2);
    out += ':';
    append_digits(out, t.second, 2);
    out += '.';
    const auto since = std::chrono::floor<std::chrono::milliseconds>(at.time_since_epoch()).count();
    append_digits(out, static_cast<unsigned>(since % 1000), 3);
    out += 'Z';
    return out;
}

} // namespace objectcache::testing::detail
