// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace objectcache::testing {

/** The calls of a tier, for those that count, hold or fail them. */
enum class tier_call {
    read,
    write,
    stat,
    remove,
    list,
    begin_upload,
    upload_part,
    complete_upload,
    abort_upload
};
inline constexpr unsigned tier_calls = 9;

} // namespace objectcache::testing
