// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <string>
#include <string_view>

namespace objectcache::s3::detail {

/** Text for an XML 1.0 element or attribute. Control characters become references, as S3 sends them: line ends survive that
    way, and the others, which XML has no form for, are at least seen. */
inline void append_xml(std::string& out, std::string_view text)
{
    for (const char c : text) {
        switch (c) {
        case '&':
            out += "&amp;";
            break;
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '"':
            out += "&quot;";
            break;
        case '\'':
            out += "&apos;";
            break;
        default:
            if (static_cast<unsigned char>(c) < 0x20)
                out.append("&#").append(std::to_string(static_cast<unsigned>(c))).append(";");
            else
                out += c;
        }
    }
}

/** `name` must be a constant. */
inline void append_element(std::string& out, std::string_view name, std::string_view text)
{
    out.append("<").append(name).append(">");
    append_xml(out, text);
    out.append("</").append(name).append(">");
}

/** Can an XML 1.0 document say `text` at all? Not control characters, even as references, nor U+FFFE and U+FFFF. That the
    text is UTF-8 is not looked at. */
[[nodiscard]] inline bool is_xml_text(std::string_view text) noexcept
{
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r')
            return false;
    return text.find("\xef\xbf\xbe") == text.npos && text.find("\xef\xbf\xbf") == text.npos;
}

} // namespace objectcache::s3::detail
