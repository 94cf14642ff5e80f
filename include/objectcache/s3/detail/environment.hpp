// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdlib>
#include <string>

namespace objectcache::s3::detail {

/** A variable of the environment; unset and empty are the same. Called by `from_env`-like factories only. */
[[nodiscard]] inline std::string environment(const char* name)
{
    const char* value = std::getenv(name);
    return value ? value : "";
}

} // namespace objectcache::s3::detail
