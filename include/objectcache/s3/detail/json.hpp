// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/detail/utf8.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The little JSON that credentials come in. Boost.JSON has to be linked, or compiled into one translation unit that a
// header-only library does not have; property_tree's parser recurses as deep as its input says.
namespace objectcache::s3::detail {

/** The members of a JSON object that are strings (decoded) or numbers (as written). */
class json_object {
public:
    static constexpr int max_depth = 32;

    /** Nothing unless all of `text` is one JSON object (RFC 8259). Safe on any input: nesting is bounded, and so is memory,
        by the input. */
    [[nodiscard]] static std::optional<json_object> parse(std::string_view text)
    {
        json_object out;
        out.rest_ = text;
        out.skip_blanks();
        if (!out.object(1) || !out.rest_.empty())
            return std::nullopt;
        return out;
    }

    /** The member of that name, the last of several; empty if there is none, or one of another kind. */
    [[nodiscard]] std::string_view operator[](std::string_view name) const noexcept
    {
        for (auto it = members_.rbegin(); it != members_.rend(); ++it)
            if (it->first == name)
                return it->second;
        return {};
    }

private:
    void skip_blanks() noexcept
    {
        const auto first = rest_.find_first_not_of(" \t\r\n");
        rest_.remove_prefix(first == rest_.npos ? rest_.size() : first);
    }
    [[nodiscard]] bool take(std::string_view what) noexcept
    {
        if (!rest_.starts_with(what))
            return false;
        rest_.remove_prefix(what.size());
        return true;
    }
    /** A mark of punctuation, and the blanks behind it. */
    [[nodiscard]] bool mark(char c) noexcept
    {
        const bool there = take({&c, 1});
        skip_blanks();
        return there;
    }
    [[nodiscard]] std::size_t digits() noexcept
    {
        std::size_t n = 0;
        for (; !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9'; ++n)
            rest_.remove_prefix(1);
        return n;
    }

    [[nodiscard]] bool object(int depth)
    {
        if (depth > max_depth || !mark('{'))
            return false;
        if (mark('}'))
            return true;
        do {
            std::string name, content;
            if (!string(name) || (skip_blanks(), !mark(':')) || !value(depth, content))
                return false;
            if (depth == 1)
                members_.emplace_back(std::move(name), std::move(content));
        } while (mark(','));
        return mark('}');
    }
    [[nodiscard]] bool array(int depth)
    {
        std::string ignored;
        if (depth > max_depth || !mark('['))
            return false;
        if (mark(']'))
            return true;
        do {
            if (!value(depth, ignored))
                return false;
        } while (mark(','));
        return mark(']');
    }
    /** A value and the blanks behind it; `content` stays empty unless it is a string or a number. */
    [[nodiscard]] bool value(int depth, std::string& content)
    {
        if (rest_.starts_with('{'))
            return object(depth + 1);
        if (rest_.starts_with('['))
            return array(depth + 1);
        const bool good = rest_.starts_with('"')
                              ? string(content)
                              : take("true") || take("false") || take("null") || number(content);
        skip_blanks();
        return good;
    }
    [[nodiscard]] bool number(std::string& out)
    {
        const std::string_view whole = rest_;
        static_cast<void>(take("-"));
        if (!take("0") && digits() == 0)
            return false;
        if (take(".") && digits() == 0)
            return false;
        if (take("e") || take("E")) {
            if (!take("+"))
                static_cast<void>(take("-"));
            if (digits() == 0)
                return false;
        }
        out = whole.substr(0, whole.size() - rest_.size());
        return true;
    }
    [[nodiscard]] bool string(std::string& out)
    {
        if (!take("\""))
            return false;
        while (!rest_.empty()) {
            if (take("\""))
                return true;
            const char c = rest_[0];
            rest_.remove_prefix(1);
            if (static_cast<unsigned char>(c) < ' ' || (c == '\\' && !escape(out)))
                return false;
            if (c != '\\')
                out += c;
        }
        return false;
    }
    [[nodiscard]] bool escape(std::string& out)
    {
        constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
        if (rest_.empty())
            return false;
        if (const auto at = names.find(rest_[0]); at != names.npos) {
            out += meanings[at];
            rest_.remove_prefix(1);
            return true;
        }
        std::uint32_t code = 0;
        if (!unit(code))
            return false;
        if (code >= 0xd800 && code < 0xdc00) { // the first half of a pair
            std::uint32_t low = 0;
            if (!take("\\") || !unit(low) || low < 0xdc00 || low > 0xdfff)
                return false;
            code = 0x10000 + (code - 0xd800) * 0x400 + (low - 0xdc00);
        }
        return append_utf8(out, code);
    }
    [[nodiscard]] bool unit(std::uint32_t& code) noexcept
    {
        if (!take("u") || rest_.size() < 4)
            return false;
        for (const char c : rest_.substr(0, 4)) {
            if (hex_value(c) < 0)
                return false;
            code = code * 16 + static_cast<std::uint32_t>(hex_value(c));
        }
        rest_.remove_prefix(4);
        return true;
    }

    std::string_view rest_;
    std::vector<std::pair<std::string, std::string>> members_;
};

} // namespace objectcache::s3::detail
