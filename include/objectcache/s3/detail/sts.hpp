// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/s3/credentials.hpp>
#include <objectcache/s3/detail/credentials_json.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/detail/xml_scanner.hpp>
#include <objectcache/s3/sigv4.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

// The Security Token Service as pure functions: forms go there, XML comes back.
namespace objectcache::s3::detail {

/** A form as the body of a POST; fields without a value are left out. */
[[nodiscard]] inline std::string form_of(std::span<const field> fields)
{
    std::string out;
    for (const field& f : fields) {
        if (f.value.empty())
            continue;
        if (!out.empty())
            out += '&';
        append_uri_encoded(out, f.name, slash::encode);
        out += '=';
        append_uri_encoded(out, f.value, slash::encode);
    }
    return out;
}

/** The text of the one element at `path`, its last name first: {"Code", "Error", "ErrorResponse"}. */
struct xml_wish {
    std::vector<std::string_view> path;
    std::string text = {};
};

/** Fills in the wishes; false unless `xml` is well-formed as far as it goes and has nothing more to say. */
[[nodiscard]] inline bool read_xml(std::string_view xml, std::span<xml_wish> wishes)
{
    using token = xml_scanner::token;
    xml_scanner scan(xml);
    std::vector<std::string_view> path; // of views into `xml`
    for (;;) {
        switch (scan.next()) {
        case token::open:
            path.insert(path.begin(), scan.name());
            break;
        case token::close:
            path.erase(path.begin());
            break;
        case token::text:
            for (xml_wish& wish : wishes)
                if (wish.path == path)
                    wish.text = scan.text();
            break;
        case token::end:
            return true;
        case token::bad:
            return false;
        }
    }
}

/** Reads the answer to `action`, AssumeRole or AssumeRoleWithWebIdentity. Safe on any input.

    @par Errors  `errc::malformed_response`. */
[[nodiscard]] inline result<credentials> parse_sts_credentials(std::string_view xml, std::string_view action)
{
    const std::string outer = std::string(action) + "Response";
    const std::string inner = std::string(action) + "Result";
    const auto wish = [&](std::string_view name) { return xml_wish{{name, "Credentials", inner, outer}}; };
    xml_wish wishes[] = {wish("AccessKeyId"), wish("SecretAccessKey"), wish("SessionToken"),
                         wish("Expiration")};
    if (!read_xml(xml, wishes))
        return result<credentials>(errc::malformed_response, "the answer is no well-formed XML");
    return checked_credentials(trimmed(wishes[0].text), trimmed(wishes[1].text), trimmed(wishes[2].text),
                               trimmed(wishes[3].text));
}

/** What an answer means that is no success. Of the service's own message only a first line is kept, and nothing if it repeats
    one of our `secrets`. */
[[nodiscard]] inline status sts_failure(unsigned code, std::string_view xml,
                                        std::span<const std::string_view> secrets)
{
    xml_wish wishes[] = {{{"Code", "Error", "ErrorResponse"}}, {{"Message", "Error", "ErrorResponse"}}};
    static_cast<void>(read_xml(xml, wishes)); // cut off or not: what it said so far
    const std::string_view name = wishes[0].text;
    std::string_view message = wishes[1].text;
    message = message.substr(0, message.find('\n'));
    for (const std::string_view secret : secrets)
        if (!secret.empty() && (name.find(secret) != name.npos || message.find(secret) != message.npos))
            return refusal(code);

    std::string text = std::to_string(code);
    if (!name.empty())
        text += ' ' + one_line(name);
    if (!message.empty())
        text += ": " + one_line(message);
    const auto is_one_of = [&](auto... names) { return ((name == names) || ...); };
    if (is_one_of("Throttling", "ThrottlingException", "RequestLimitExceeded"))
        return {errc::throttled, std::move(text)};
    if (is_one_of("IDPCommunicationError"))
        return {errc::server_error, std::move(text)};
    if (is_one_of("AccessDenied", "ExpiredToken", "ExpiredTokenException", "InvalidIdentityToken",
                  "IDPRejectedClaim"))
        return {errc::access_denied, std::move(text)};
    return refusal(code, std::move(text));
}

} // namespace objectcache::s3::detail
