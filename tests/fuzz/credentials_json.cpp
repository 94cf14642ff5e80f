// SPDX-License-Identifier: BSL-1.0
// The JSON of credential helpers and metadata services, compared with what Boost.JSON makes of it.
#include "fuzz.hpp"

#include <objectcache/s3/detail/credentials_json.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/src.hpp>

#include <algorithm>
#include <string>

namespace objectcache::fuzz {

namespace json_target {

namespace json = boost::json;

int depth_of(const json::value& v)
{
    int deepest = 0;
    if (const auto* object = v.if_object())
        for (const auto& member : *object)
            deepest = std::max(deepest, depth_of(member.value()));
    else if (const auto* array = v.if_array())
        for (const json::value& element : *array)
            deepest = std::max(deepest, depth_of(element));
    else
        return 0;
    return deepest + 1;
}

void compare(std::string_view input)
{
    json::parse_options options;
    options.max_depth = 2 * s3::detail::json_object::max_depth;
    json::error_code ec;
    const json::value reference = json::parse({input.data(), input.size()}, ec, {}, options);
    const auto ours = s3::detail::json_object::parse(input);
    if (ec || !reference.is_object()) {
        // Boost.JSON also looks at the encoding, and at how large a number is.
        const bool ascii = std::all_of(input.begin(), input.end(), [](char c) { return c >= 0; });
        require(!ours || !ascii || ec == json::error::exponent_overflow || ec == json::error::too_deep,
                "what is no JSON object is refused");
        return;
    }
    if (depth_of(reference) > s3::detail::json_object::max_depth) {
        require(!ours, "what is nested too deep is refused");
        return;
    }
    require(ours.has_value(), "a JSON object is accepted");
    for (const auto& member : reference.get_object()) {
        const std::string_view seen = (*ours)[{member.key().data(), member.key().size()}];
        if (const auto* text = member.value().if_string())
            require(seen == std::string_view(text->data(), text->size()), "a string means the same");
        else
            require(seen.empty() != member.value().is_number(), "numbers are kept, other kinds are not");
    }
}

} // namespace json_target

void credentials_json(std::string_view input)
{
    json_target::compare(input);
    using dialect = s3::detail::credentials_dialect;
    for (const dialect of : {dialect::process, dialect::container, dialect::instance}) {
        const auto read = s3::detail::parse_credentials_json(input, of);
        if (read) {
            require(!read->access_key_id.empty() && !read->secret_access_key.empty(), "keys are keys");
            require(s3::detail::is_header_safe(read->access_key_id) &&
                        s3::detail::is_header_safe(read->session_token),
                    "which can be sent");
        } else {
            require(read.error() == condition::corrupt || read.error() == condition::denied,
                    "a failure has a meaning");
            require(s3::detail::is_header_safe(read.error().detail()), "and one line");
        }
    }
}

} // namespace objectcache::fuzz
