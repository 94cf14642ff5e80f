// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace objectcache::s3::detail {

/** A command line as the words that a POSIX shell would make of it, with quotes and backslashes but nothing that a shell
    would expand or execute; nothing for a quote that does not end. */
[[nodiscard]] inline std::optional<std::vector<std::string>> shell_words(std::string_view line)
{
    std::vector<std::string> words;
    bool in_word = false; // an empty pair of quotes is a word, too
    char quote = 0;
    const auto put = [&](char c) {
        if (!in_word)
            words.emplace_back();
        in_word = true;
        words.back() += c;
    };
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (quote == '\'' && c != quote) {
            put(c);
        } else if (c == '\\') {
            if (++i == line.size())
                return std::nullopt;
            if (quote != 0 && line[i] != '"' && line[i] != '\\' && line[i] != '$' && line[i] != '`')
                put('\\');
            put(line[i]);
        } else if (quote != 0 && c == quote) {
            quote = 0;
        } else if (quote == 0 && (c == '"' || c == '\'')) {
            quote = c;
            if (!in_word)
                words.emplace_back();
            in_word = true;
        } else if (quote == 0 && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
            in_word = false;
        } else {
            put(c);
        }
    }
    if (quote != 0)
        return std::nullopt;
    return words;
}

} // namespace objectcache::s3::detail
