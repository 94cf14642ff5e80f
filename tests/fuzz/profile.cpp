// SPDX-License-Identifier: BSL-1.0
// The shared files of the AWS tools. The first line of the input is a profile, then comes the config file, a line of
// dashes, and the credentials file.
#include "fuzz.hpp"

#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/shell_words.hpp>
#include <objectcache/s3/profile.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace objectcache::fuzz {

namespace profile_target {

/** The words of a command line, quoted for a shell, are the same words. */
void check_words(std::string_view line)
{
    const auto words = s3::detail::shell_words(line);
    if (!words)
        return;
    std::string quoted;
    for (const std::string& word : *words) {
        quoted += " '";
        for (const char c : word)
            quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
        quoted += '\'';
    }
    require(s3::detail::shell_words(quoted) == words, "quoted words are the same words");
}

/** The same text with every character of `word` changed; empty unless `word` is long and in `text` exactly once. */
std::string with_another(std::string text, std::string_view word)
{
    const auto first = text.find(word);
    if (word.size() < 8 || first == text.npos || text.find(word, first + 1) != text.npos)
        return {};
    for (std::size_t i = first; i != first + word.size(); ++i)
        text[i] = text[i] == 'x' ? 'y' : 'x';
    return text;
}

struct files {
    std::string_view name;
    std::string_view config;
    std::string_view credentials;
};

files split(std::string_view input)
{
    constexpr std::string_view divider = "\n----\n";
    const std::string_view name = take_until(input, '\n');
    const auto cut = input.find(divider);
    return {name, input.substr(0, cut),
            cut == input.npos ? std::string_view() : input.substr(cut + divider.size())};
}

std::string failure(std::string_view input)
{
    const auto [name, config, credentials] = split(input);
    const auto plan = s3::plan_credentials(s3::profiles::parse(config, credentials), name);
    return plan ? std::string() : status(plan.error()).message();
}

} // namespace profile_target

void profile(std::string_view input)
{
    using namespace profile_target;
    const auto [name, config, credentials] = split(input);
    check_words(config);

    const auto known = s3::profiles::parse(config, credentials);
    const s3::profile* const found = known.find(name);
    require(!found || found->name == name, "a profile is found by its name");
    if (s3::detail::trimmed(name) == name && !name.empty() && name.find(']') == name.npos) {
        const std::string more =
            std::string(credentials) + "\n[" + std::string(name) + "]\naws_access_key_id = AKID # last\n";
        const auto extended = s3::profiles::parse(config, more);
        require(extended.find(name) && extended.find(name)->access_key_id == "AKID", "the last setting wins");
    }
    const auto plan = s3::plan_credentials(known, name);
    if (!plan) {
        const status why = plan.error();
        require(why == condition::denied || why == condition::invalid, "a plan that fails has a meaning");
        require(why.message().find('\n') == std::string::npos, "in one line");
        if (found)
            for (const std::string& secret : {found->secret_access_key, found->session_token})
                if (const std::string other = with_another(std::string(input), secret); !other.empty())
                    require(failure(other) == why.message(), "whatever the secrets are");
        return;
    }
    require(found != nullptr, "there is no plan without a profile");
    require(plan->from != s3::profile_plan::origin::keys || plan->first.has_keys(), "keys are there");
    require(plan->from != s3::profile_plan::origin::process || !plan->first.credential_process.empty(),
            "or a program that gives them");
    std::set<std::string> roles;
    for (const s3::profile& role : plan->roles)
        require(!role.role_arn.empty() && roles.insert(role.name).second, "every role is taken on once");
}

} // namespace objectcache::fuzz
