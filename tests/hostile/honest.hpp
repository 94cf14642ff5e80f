// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <hostile/script.hpp>

#include <objectcache/s3/detail/ascii.hpp>

#include <algorithm>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/** What an honest server would say: the answers that scripts distort. Pure. */
namespace hostile {

using objectcache::s3::detail::lower_case;
using objectcache::s3::detail::parse_number;

constexpr std::size_t object_bytes = 100'000;

/** The object, or the one that takes its place. */
[[nodiscard]] inline const std::string& object(bool replaced)
{
    static const auto make = [](unsigned seed) {
        std::string out(object_bytes, '\0');
        for (char& c : out)
            c = static_cast<char>((seed = seed * 1664525u + 1013904223u) >> 24);
        return out;
    };
    static const std::string objects[] = {make(1), make(2)};
    return objects[replaced];
}

[[nodiscard]] inline std::string etag_of(bool replaced)
{
    return replaced ? "\"two\"" : "\"one\"";
}

/** As the Date header has it. */
[[nodiscard]] inline std::string http_date(std::time_t at)
{
    std::tm parts{};
    ::gmtime_r(&at, &parts);
    char out[40];
    return {out, std::strftime(out, sizeof out, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

/** The head of a request as it was received. */
struct request_head {
    std::string text;

    [[nodiscard]] bool has(std::string_view part) const { return text.find(part) != text.npos; }
    [[nodiscard]] bool is(std::string_view method) const
    {
        return text.starts_with(method) && text[method.size()] == ' ';
    }
    /** The value of a header; empty without it. */
    [[nodiscard]] std::string field(std::string_view name) const
    {
        const std::string key = "\r\n" + lower_case(name) + ":";
        const auto at = lower_case(text).find(key);
        if (at == text.npos)
            return {};
        const auto from = text.find_first_not_of(' ', at + key.size());
        return text.substr(from, text.find('\r', from) - from);
    }
    [[nodiscard]] std::uint64_t number(std::string_view name) const
    {
        return parse_number(field(name)).value_or(0);
    }
    /** When it was signed; the epoch for an unsigned request. */
    [[nodiscard]] std::time_t signed_at() const
    {
        std::tm parts{};
        return ::strptime(field("x-amz-date").c_str(), "%Y%m%dT%H%M%SZ", &parts) ? ::timegm(&parts) : 0;
    }
};

struct answer {
    unsigned status = 200;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;

    [[nodiscard]] std::string head() const
    {
        std::string out = "HTTP/1.1 " + std::to_string(status) + " As Scripted\r\n";
        for (const auto& [name, value] : fields)
            out += name + ": " + value + "\r\n";
        return out + "\r\n";
    }
    void apply(const field_change& change)
    {
        const auto colon = std::min(change.text.find(": "), change.text.size());
        const std::string name = change.text.substr(0, colon);
        const std::string value = change.text.substr(std::min(colon + 2, change.text.size()));
        if (change.what != field_change::kind::add)
            std::erase_if(fields, [&](const auto& f) { return lower_case(f.first) == lower_case(name); });
        if (change.what != field_change::kind::remove)
            fields.emplace_back(name, value);
    }
};

[[nodiscard]] inline answer text_answer(unsigned status, std::string body)
{
    const std::string size = std::to_string(body.size());
    return {status, {{"Content-Type", "application/xml"}, {"Content-Length", size}}, std::move(body)};
}

[[nodiscard]] inline answer error_answer(unsigned status, const std::string& code)
{
    return text_answer(status, "<Error><Code>" + code + "</Code><Message>as scripted</Message></Error>");
}

[[nodiscard]] inline answer honest_answer(const request_head& request, bool replaced)
{
    if (request.has("list-type=2"))
        return text_answer(200, "<ListBucketResult><IsTruncated>false</IsTruncated>"
                                "<Contents><Key>k</Key><Size>100000</Size></Contents></ListBucketResult>");
    answer out;
    if (request.is("DELETE")) {
        out.status = 204;
        return out;
    }
    if (request.is("GET") || request.is("HEAD")) {
        const std::string& whole = object(replaced);
        out.body = whole;
        const std::string range = request.field("Range");
        const auto dash = range.find('-');
        if (range.starts_with("bytes=") && dash != range.npos) {
            const auto first = parse_number(std::string_view(range).substr(6, dash - 6)).value_or(0);
            auto last = parse_number(std::string_view(range).substr(dash + 1)).value_or(0);
            if (first >= whole.size())
                return error_answer(416, "InvalidRange");
            last = std::min<std::uint64_t>(last, whole.size() - 1);
            out.status = 206;
            out.body = whole.substr(first, last - first + 1);
            out.fields.emplace_back("Content-Range", "bytes " + std::to_string(first) + '-' +
                                                         std::to_string(last) + '/' +
                                                         std::to_string(whole.size()));
        }
    }
    out.fields.emplace_back("ETag", etag_of(replaced));
    out.fields.emplace_back("Content-Length", std::to_string(out.body.size()));
    if (request.is("HEAD"))
        out.body.clear();
    return out;
}

} // namespace hostile
