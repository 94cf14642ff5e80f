// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <string_view>

namespace objectcache::s3::detail {

/** What the hosts of a region of AWS end in; those in China are apart. */
[[nodiscard]] constexpr std::string_view amazon_domain(std::string_view region) noexcept
{
    return region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com";
}

} // namespace objectcache::s3::detail
