// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>

namespace objectcache::s3::detail {

/** The text of a small file; empty if it cannot be read. */
[[nodiscard]] inline std::string small_file(const std::filesystem::path& file)
{
    constexpr std::size_t limit = 1 << 20; // no sane file of this kind is larger; a device may be endless
    std::string text;
    std::ifstream in(file, std::ios::binary);
    char block[4096];
    while (text.size() < limit && (in.read(block, sizeof block), in.gcount() > 0))
        text.append(block, static_cast<std::size_t>(in.gcount()));
    return text;
}

} // namespace objectcache::s3::detail
