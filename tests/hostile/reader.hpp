// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <hostile/script.hpp>

#include <objectcache/core/result.hpp>
#include <objectcache/s3/detail/ascii.hpp>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

/** Scripts from their text. Pure. */
namespace hostile {

using objectcache::errc;
using objectcache::result;
using objectcache::status;

/** @par Errors  `condition::invalid`, with the line, for anything that is not the language of README.md. */
[[nodiscard]] result<script> parse_script(std::string name, std::string_view text);

namespace detail {

struct token {
    std::string text;
    bool quoted = false;
};

using objectcache::s3::detail::parse_number;

/** "250ms", "2s", "1h" */
[[nodiscard]] inline std::optional<std::chrono::milliseconds> time(std::string_view in)
{
    const auto unit = in.find_first_not_of("0123456789");
    const auto n = parse_number(in.substr(0, unit));
    if (!n || *n > 1'000'000 || unit == in.npos)
        return std::nullopt;
    const std::chrono::milliseconds count(*n);
    const std::string_view name = in.substr(unit);
    if (name == "ms")
        return count;
    if (name == "s")
        return count * 1000;
    return name == "h" ? std::optional(count * 3'600'000) : std::nullopt;
}

/** "ok", or the name of a condition; nothing for another word. */
[[nodiscard]] inline std::optional<std::optional<condition>> outcome(std::string_view in)
{
    if (in == "ok")
        return std::optional<condition>();
    for (int c = static_cast<int>(condition::cancelled); c <= static_cast<int>(condition::device); ++c)
        if (name_of(static_cast<condition>(c)) == in)
            return static_cast<condition>(c);
    return std::nullopt;
}

/** "3", "<=3", ">=3" */
[[nodiscard]] inline std::optional<bound> bound_of(std::string_view in)
{
    const bool most = in.starts_with("<=");
    const bool least = in.starts_with(">=");
    const auto n = parse_number(in.substr(most || least ? 2 : 0));
    if (!n)
        return std::nullopt;
    return bound{most ? 0 : *n, least ? for_ever : *n};
}

/** Words and "quoted texts" of one line, without its comment; nothing where a quote or an escape is wrong. */
[[nodiscard]] inline std::optional<std::vector<token>> tokens(std::string_view line)
{
    std::vector<token> out;
    for (std::size_t i = 0; i < line.size();) {
        if (line[i] == ' ') {
            ++i;
        } else if (line[i] == '#') {
            break;
        } else if (line[i] != '"') {
            const auto end = std::min(line.find(' ', i), line.size());
            out.push_back({std::string(line.substr(i, end - i))});
            i = end;
        } else {
            token& text = out.emplace_back();
            text.quoted = true;
            for (++i; i < line.size() && line[i] != '"'; ++i) {
                if (line[i] != '\\') {
                    text.text += line[i];
                    continue;
                }
                if (++i == line.size())
                    return std::nullopt;
                unsigned code = 0;
                switch (line[i]) {
                case 'r':
                    text.text += '\r';
                    break;
                case 'n':
                    text.text += '\n';
                    break;
                case 't':
                    text.text += '\t';
                    break;
                case 'x':
                    if (line.size() - i < 3 ||
                        std::from_chars(&line[i + 1], &line[i] + 3, code, 16).ptr != &line[i] + 3)
                        return std::nullopt;
                    text.text += static_cast<char>(code);
                    i += 2;
                    break;
                case '"':
                case '\\':
                    text.text += line[i];
                    break;
                default:
                    return std::nullopt;
                }
            }
            if (i == line.size())
                return std::nullopt;
            ++i;
        }
    }
    return out;
}

/** Reads the tokens of a line from left to right. */
class cursor {
public:
    explicit cursor(const std::vector<token>& all, std::size_t from = 0) : all_(&all), at_(from) {}

    [[nodiscard]] bool done() const noexcept { return at_ == all_->size(); }
    /** The next token, if it is a word. */
    [[nodiscard]] std::string word()
    {
        return done() || (*all_)[at_].quoted ? std::string() : (*all_)[at_++].text;
    }
    [[nodiscard]] bool is(std::string_view word) const
    {
        return !done() && !(*all_)[at_].quoted && (*all_)[at_].text == word;
    }
    [[nodiscard]] bool take(std::string_view word)
    {
        const bool here = is(word);
        at_ += here;
        return here;
    }
    [[nodiscard]] std::optional<std::string> text()
    {
        return done() || !(*all_)[at_].quoted ? std::nullopt : std::optional((*all_)[at_++].text);
    }
    /** The next token, if it is a number. */
    [[nodiscard]] std::optional<std::uint64_t> count()
    {
        const auto n = done() || (*all_)[at_].quoted ? std::nullopt : parse_number((*all_)[at_].text);
        at_ += n.has_value();
        return n;
    }

private:
    const std::vector<token>* all_;
    std::size_t at_;
};

/** The changes to an honest head: `"Name: value"`, `also "Name: value"`, `-Name`. */
[[nodiscard]] inline bool read_fields(cursor& in, step& out)
{
    while (!in.done()) {
        field_change change;
        if (in.take("also"))
            change.what = field_change::kind::add;
        if (auto text = in.text()) {
            change.text = std::move(*text);
        } else {
            const std::string word = in.word();
            if (change.what == field_change::kind::add || word.size() < 2 || word[0] != '-')
                return false;
            change = {field_change::kind::remove, word.substr(1)};
        }
        out.fields.push_back(std::move(change));
    }
    return true;
}

/** "text", or "text" x 100 */
[[nodiscard]] inline bool read_repeated(cursor& in, step& out)
{
    auto text = in.text();
    if (!text)
        return false;
    out.texts.push_back(std::move(*text));
    out.count = in.take("x") ? in.count().value_or(0) : 1;
    return out.count != 0;
}

[[nodiscard]] inline bool read_step(const std::vector<token>& line, step& out)
{
    constexpr std::pair<std::string_view, verb> names[] = {
        {"handshake", verb::handshake},
        {"read", verb::read},
        {"respond", verb::respond},
        {"head", verb::head},
        {"body", verb::body},
        {"send", verb::send},
        {"raw", verb::raw},
        {"wait", verb::wait},
        {"replace", verb::replace},
        {"stall", verb::stall},
        {"fin", verb::fin},
        {"close-notify", verb::close_notify},
        {"reset", verb::reset},
        {"again", verb::again},
    };
    cursor in(line);
    const std::string first = in.word();
    bool known = false;
    for (const auto& [name, what] : names)
        if (name == first) {
            out.what = what;
            known = true;
        }
    if (!known)
        return false;

    std::optional<std::chrono::milliseconds> pause;
    switch (out.what) {
    case verb::handshake:
        out.word = in.word();
        break;
    case verb::read:
        if (in.is("head") || in.is("body"))
            out.word = in.word();
        while (in.take("with")) {
            auto text = in.text();
            if (!text)
                return false;
            out.texts.push_back(std::move(*text));
        }
        if (in.take("at")) {
            const std::string when = in.word();
            pause = time(when.substr(when.empty() ? 0 : 1));
            if (!pause || (when[0] != '+' && when[0] != '-'))
                return false;
            out.ahead = std::chrono::duration_cast<std::chrono::seconds>(when[0] == '-' ? -*pause : *pause);
        }
        break;
    case verb::respond:
    case verb::head:
        out.status = static_cast<unsigned>(in.count().value_or(0));
        if (out.status != 0 && out.what == verb::respond) {
            if (!in.take("body"))
                out.word = in.word();
            else if (!read_repeated(in, out))
                return false;
            if (out.word.empty() && out.texts.empty())
                return false;
        }
        if (!read_fields(in, out))
            return false;
        break;
    case verb::body:
        out.count = in.count().value_or(for_ever);
        if (in.take("by")) {
            out.size = in.count().value_or(0);
            if (out.size == 0 || !in.take("every") || !(pause = time(in.word())))
                return false;
            out.every = *pause;
        }
        break;
    case verb::send:
    case verb::raw:
        if (!read_repeated(in, out))
            return false;
        break;
    case verb::wait:
        if (!(pause = time(in.word())))
            return false;
        out.every = *pause;
        break;
    case verb::again:
        out.count = in.count().value_or(for_ever);
        break;
    default:
        break;
    }
    return in.done();
}

/** "get", "get 0-65535", "head", "put 100000", "list", "delete"; each may end in "x 10" */
[[nodiscard]] inline bool read_operation(const std::vector<token>& line, operation& out)
{
    using kind = operation::kind;
    cursor in(line, 1);
    const std::string what = in.word();
    if (what == "get") {
        if (!in.done() && !in.is("x")) {
            const std::string range = in.word();
            const auto dash = std::min(range.find('-'), range.size());
            const auto first = parse_number(std::string_view(range).substr(0, dash));
            const auto last = parse_number(std::string_view(range).substr(std::min(dash + 1, range.size())));
            if (!first || !last || *last < *first)
                return false;
            out.what = kind::get_range;
            out.range = {*first, *last - *first + 1};
        }
    } else if (what == "put") {
        const auto size = in.count();
        if (!size)
            return false;
        out.what = kind::put;
        out.size = *size;
    } else if (what == "head") {
        out.what = kind::head;
    } else if (what == "list") {
        out.what = kind::list;
    } else if (what == "delete") {
        out.what = kind::remove;
    } else {
        return false;
    }
    if (in.take("x"))
        out.times = in.count().value_or(0);
    return in.done() && out.times != 0;
}

/** "key: value" of the script's first part; `line` is its tokens. */
[[nodiscard]] inline bool read_setting(std::string_view key, std::string_view value,
                                       const std::vector<token>& line, script& out)
{
    if (key == "about") {
        out.about = value;
        return true;
    }
    if (key == "operation")
        return read_operation(line, out.operations.emplace_back());
    if (key == "expect" || key == "message" || key == "etag") {
        if (out.operations.empty())
            return false;
        operation& last = out.operations.back();
        if (key == "message")
            last.message = value;
        else if (key == "etag")
            last.etag = value;
        for (std::size_t i = 1; key == "expect" && i < line.size(); ++i) {
            const auto one = outcome(line[i].text);
            if (one)
                last.outcomes.push_back(*one);
            else if (line[i].text != "or")
                return false;
        }
        return true;
    }
    if (key == "deadline") {
        const auto at = time(value);
        out.until = at ? std::optional<duration>(*at) : std::nullopt;
        return at || value == "none";
    }
    if (key == "tls") {
        out.tls = value == "yes";
        return out.tls || value == "no";
    }
    const auto limit = bound_of(value);
    if (!limit)
        return false;
    if (key == "requests")
        out.requests = *limit;
    else if (key == "connections")
        out.connections = *limit;
    else if (key == "idle")
        out.idle = limit->most;
    else
        return false;
    return true;
}

} // namespace detail

inline result<script> parse_script(std::string name, std::string_view text)
{
    script out;
    out.name = std::move(name);
    int number = 0;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        ++number;
        const auto wrong = [&](const char* what) {
            return status(errc::invalid_argument,
                          out.name + ':' + std::to_string(number) + ": " + what + ": " + std::string(line));
        };
        const auto parts = detail::tokens(line);
        if (!parts)
            return wrong("quotes");
        if (parts->empty())
            continue;
        const std::string& first = parts->front().text;
        if (first == "refuse" && parts->size() == 1) {
            out.refuse = true;
            out.connections = {0, 0};
        } else if (first == "connection") {
            detail::cursor in(*parts, 1);
            const std::uint64_t times = in.take("always") ? for_ever
                                        : in.take("x")    ? in.count().value_or(0)
                                                          : 1;
            if (times == 0 || !in.done())
                return wrong("not a number of connections");
            out.blocks.push_back({times, {}});
        } else if (!out.blocks.empty()) {
            step& next = out.blocks.back().steps.emplace_back();
            next.line = number;
            if (!detail::read_step(*parts, next))
                return wrong("not a step");
        } else {
            const auto colon = line.find(": ");
            if (colon == line.npos ||
                !detail::read_setting(line.substr(0, colon), line.substr(colon + 2), *parts, out))
                return wrong("not a setting");
        }
    }
    for (operation& op : out.operations)
        if (op.outcomes.empty())
            return status(errc::invalid_argument, out.name + ": an operation without its outcome");
    if (out.about.empty() || out.operations.empty() || (out.blocks.empty() && !out.refuse))
        return status(errc::invalid_argument, out.name + ": no 'about', no 'operation' or no connection");
    return out;
}

} // namespace hostile
