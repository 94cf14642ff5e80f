// SPDX-License-Identifier: BSL-1.0
// What the Security Token Service answers. The first line of the input is the HTTP status.
#include "fuzz.hpp"

#include <objectcache/s3/detail/sts.hpp>

#include <string>

namespace objectcache::fuzz {

void sts_xml(std::string_view input)
{
    const unsigned code =
        static_cast<unsigned>(s3::detail::parse_number(take_until(input, '\n')).value_or(403) % 1000);
    for (const std::string_view action : {"AssumeRole", "AssumeRoleWithWebIdentity"}) {
        const auto read = s3::detail::parse_sts_credentials(input, action);
        require(read ? !read->access_key_id.empty() && !read->secret_access_key.empty()
                     : read.code() == errc::malformed_response,
                "credentials have keys");
    }
    const std::string_view secrets[] = {"the-secret", ""};
    const status why = s3::detail::sts_failure(code, input, secrets);
    require(!why.ok() && !(why == condition::absent),
            "a failure is one, and not an object that is not there");
    require(s3::detail::is_header_safe(why.detail()), "it has one line");
    require(why.detail().find("the-secret") == std::string::npos, "without our secrets");
}

} // namespace objectcache::fuzz
