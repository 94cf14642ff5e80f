// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdlib>
#include <initializer_list>
#include <string>

namespace objectcache::s3::detail {

/** A variable of the environment; unset and empty are the same. Called by `from_env`-like factories only. */
[[nodiscard]] inline std::string environment(const char* name)
{
    const char* value = std::getenv(name);
    return value ? value : "";
}

/** The first that is not empty; empty if all are. */
[[nodiscard]] inline std::string first_set(std::initializer_list<std::string> of)
{
    for (const std::string& value : of)
        if (!value.empty())
            return value;
    return {};
}

} // namespace objectcache::s3::detail
