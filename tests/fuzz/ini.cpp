// SPDX-License-Identifier: BSL-1.0
// A file like ~/.aws/credentials. The first line of the input names section and key, the rest is the file.
#include "fuzz.hpp"

#include <objectcache/s3/detail/ini.hpp>

#include <string>

namespace objectcache::fuzz {

void ini(std::string_view input)
{
    std::string_view question = take_until(input, '\n');
    const std::string_view section = take_until(question, ' ');
    const std::string_view found = s3::detail::ini_value(input, section, question);
    require(found.empty() ||
                (found.data() >= input.data() && found.data() + found.size() <= input.data() + input.size()),
            "a value is a part of the file");
    require(found == s3::detail::trimmed(found) && found.find('\n') == found.npos,
            "of one line, without blanks around it");

    // The last one wins, whatever the file was like before.
    if (section.empty() || section.find_first_of("]\n\r") != section.npos ||
        section != s3::detail::trimmed(section))
        return;
    const std::string name = "aws_access_key_id";
    const std::string appended =
        std::string(input) + "\n[" + std::string(section) + "]\n" + name + " = AKID # a comment\n";
    require(s3::detail::ini_value(appended, section, name) == "AKID", "a setting at the end is found");
}

} // namespace objectcache::fuzz
