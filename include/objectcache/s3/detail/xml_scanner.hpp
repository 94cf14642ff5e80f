// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/detail/utf8.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace objectcache::s3::detail {

/** A pull scanner for the XML that S3 services send: elements and text. Attributes are passed over; DOCTYPE is refused,
    and with it every entity but the predefined ones.

    Safe on any input: no recursion, nesting of at most `max_depth`, memory bounded by the input. */
class xml_scanner {
public:
    enum class token {
        open,  ///< `name()` begins
        close, ///< `name()` ends; also reported for <name/>
        text,  ///< `text()` between tags, decoded; white space alone is not reported
        end,   ///< the root element ended, nothing but white space follows
        bad    ///< not well-formed, or cut short; every later call says so again
    };
    static constexpr std::size_t max_depth = 32;

    explicit xml_scanner(std::string_view input) : rest_(input) {}

    [[nodiscard]] token next();
    /** Without its namespace prefix. */
    [[nodiscard]] std::string_view name() const noexcept { return name_; }
    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    /** How many elements are open; 1 inside the root. */
    [[nodiscard]] std::size_t depth() const noexcept { return open_.size(); }

private:
    [[nodiscard]] token fail()
    {
        rest_ = {};
        failed_ = true;
        return token::bad;
    }
    [[nodiscard]] bool skip_past(std::string_view what);
    [[nodiscard]] token tag();
    [[nodiscard]] token close_tag(std::string_view full_name);
    [[nodiscard]] bool append_entity();

    std::string_view rest_;
    std::vector<std::string_view> open_; // full names
    std::string_view name_;
    std::string text_;
    bool self_closed_ = false;
    bool root_seen_ = false;
    bool failed_ = false;
};

[[nodiscard]] constexpr std::string_view local_name(std::string_view full) noexcept
{
    const auto colon = full.rfind(':');
    return colon == full.npos ? full : full.substr(colon + 1);
}

inline bool xml_scanner::skip_past(std::string_view what)
{
    const auto at = rest_.find(what);
    if (at == rest_.npos)
        return false;
    rest_.remove_prefix(at + what.size());
    return true;
}

inline xml_scanner::token xml_scanner::close_tag(std::string_view full_name)
{
    if (open_.empty() || open_.back() != full_name)
        return fail();
    open_.pop_back();
    name_ = local_name(full_name);
    return token::close;
}

// rest_ begins with '<' and is no comment, instruction or CDATA section.
inline xml_scanner::token xml_scanner::tag()
{
    constexpr std::string_view blank = " \t\r\n";
    std::size_t at = 1;
    const bool closing = rest_.size() > 1 && rest_[1] == '/';
    at += closing;
    const std::size_t name_end = rest_.find_first_of(" \t\r\n/><=\"'&", at);
    if (name_end == rest_.npos || name_end == at)
        return fail();
    const std::string_view full_name = rest_.substr(at, name_end - at);
    if (full_name.starts_with('!') || full_name.starts_with('?'))
        return fail();

    // Attributes: only their quotes matter, for a '>' inside them ends nothing.
    for (at = name_end; at < rest_.size() && rest_[at] != '>'; ++at) {
        if (rest_[at] == '<')
            return fail();
        if (rest_[at] == '"' || rest_[at] == '\'') {
            at = rest_.find(rest_[at], at + 1);
            if (at == rest_.npos)
                return fail();
        }
    }
    if (at >= rest_.size())
        return fail();
    const bool empty = !closing && rest_[at - 1] == '/';
    const bool bare =
        rest_.substr(name_end, at - name_end).find_first_not_of(blank) == std::string_view::npos;
    rest_.remove_prefix(at + 1);
    if (closing)
        return bare ? close_tag(full_name) : fail();
    if (open_.size() == max_depth || (open_.empty() && root_seen_))
        return fail();
    root_seen_ = true;
    open_.push_back(full_name);
    name_ = local_name(full_name);
    self_closed_ = empty;
    return token::open;
}

// rest_ begins with '&'.
inline bool xml_scanner::append_entity()
{
    const auto end = rest_.substr(0, 12).find(';');
    if (end == rest_.npos)
        return false;
    std::string_view name = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    if (name == "lt")
        return text_ += '<', true;
    if (name == "gt")
        return text_ += '>', true;
    if (name == "amp")
        return text_ += '&', true;
    if (name == "quot")
        return text_ += '"', true;
    if (name == "apos")
        return text_ += '\'', true;
    if (!name.starts_with('#'))
        return false;
    const bool hexadecimal = name.starts_with("#x");
    name.remove_prefix(hexadecimal ? 2 : 1);
    std::uint32_t code = 0;
    for (const char c : name) {
        const bool digit = c >= '0' && c <= '9';
        const bool letter = hexadecimal && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'));
        if (!digit && !letter)
            return false;
        code = code * (hexadecimal ? 16 : 10) +
               static_cast<std::uint32_t>(digit ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    // At most nine digits reach this point, so that nothing wrapped around before the check.
    return !name.empty() && code != 0 && append_utf8(text_, code);
}

inline xml_scanner::token xml_scanner::next()
{
    if (failed_)
        return token::bad;
    if (self_closed_) {
        self_closed_ = false;
        return close_tag(open_.back());
    }
    text_.clear();
    while (!rest_.empty()) {
        if (rest_.starts_with("<?")) {
            if (!skip_past("?>"))
                return fail();
        } else if (rest_.starts_with("<!--")) {
            if (!skip_past("-->"))
                return fail();
        } else if (rest_.starts_with("<![CDATA[") && !open_.empty()) {
            rest_.remove_prefix(9);
            const auto end = rest_.find("]]>");
            if (end == rest_.npos)
                return fail();
            text_ += rest_.substr(0, end);
            rest_.remove_prefix(end + 3);
        } else if (rest_.front() == '<') {
            if (text_.find_first_not_of(" \t\r\n") != text_.npos)
                return open_.empty() ? fail() : token::text;
            return tag();
        } else if (rest_.front() == '&') {
            if (!append_entity())
                return fail();
        } else {
            const auto end = rest_.find_first_of("<&");
            text_ += rest_.substr(0, end);
            rest_.remove_prefix(end == rest_.npos ? rest_.size() : end);
        }
    }
    const bool trailing = text_.find_first_not_of(" \t\r\n") != text_.npos;
    return root_seen_ && open_.empty() && !trailing ? token::end : fail();
}

} // namespace objectcache::s3::detail
