// SPDX-License-Identifier: BSL-1.0
// An <Error> document, and what becomes of it. The first line of the input is the HTTP status.
#include "fuzz.hpp"

#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/outcome.hpp>
#include <objectcache/s3/detail/xml_text.hpp>

#include <string>

namespace objectcache::fuzz {

void error_xml(std::string_view input)
{
    const unsigned code =
        static_cast<unsigned>(s3::detail::parse_number(take_until(input, '\n')).value_or(500) % 1000);
    const auto document = s3::parse_error_document(input);
    for (const bool conditional : {false, true}) {
        const status outcome = s3::detail::outcome_of(code, input, conditional);
        require(code / 100 == 2 ? outcome.ok() == !document : !outcome.ok(), "an error is an error");
        require(s3::detail::is_header_safe(outcome.detail()), "and described in one line");
        require(outcome.detail().size() < 1000, "which is not endless");
        // Whatever a store answers, callers can tell what it means for them.
        bool known = outcome.ok();
        for (int c = 1; c <= static_cast<int>(condition::device); ++c)
            known = known || outcome == static_cast<condition>(c);
        require(known, "every code belongs to a condition");
    }
    if (!document)
        return;
    require(document->code.size() + document->message.size() <= input.size(), "entities make a text shorter");
    const auto can_be_written =
        [](const std::string& text) { // blank text counts as none, and no reference means NUL
            return text.find_first_not_of(" \t\r\n") != text.npos && text.find('\0') == text.npos;
        };
    if (!can_be_written(document->code) || !can_be_written(document->message))
        return;
    std::string again = "<Error>";
    s3::detail::append_element(again, "Code", document->code);
    s3::detail::append_element(again, "Message", document->message);
    const auto second = s3::parse_error_document(again + "</Error>");
    require(second && second->code == document->code && second->message == document->message,
            "written and read again it is the same");
    const auto cut = s3::parse_error_document(std::string_view(again).substr(0, again.size() - 1));
    require(cut && cut->code == document->code, "its code survives when the end is cut off");
}

} // namespace objectcache::fuzz
