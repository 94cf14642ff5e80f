// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "load.hpp"

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/read_observer.hpp>
#include <objectcache/kv/format.hpp>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

/** What verification needs: the checksums of an object's slices, as the trailers of a cache's objects carry them. */
using slice_hashes = std::vector<std::vector<std::uint64_t>>; // [object][slice]

inline constexpr std::uint64_t slice_bytes = 256 * 1024; // Llama-3.1-8B, G = 64

inline void add_hashes_of(objectcache::const_byte_span object, slice_hashes& into)
{
    auto& out = into.emplace_back();
    for (std::uint64_t at = 0; at < object.size(); at += slice_bytes)
        out.push_back(
            objectcache::payload_hash(object.subspan(at, std::min(slice_bytes, object.size() - at))));
}

/** Of the objects that a load reads, as files in a directory. */
inline slice_hashes hashes_of_files(const load& what, const std::string& directory)
{
    slice_hashes out;
    std::vector<std::byte> bytes(what.size);
    for (unsigned i = 0; i < what.objects; ++i) {
        std::ifstream in(directory + "/" + what.key(i), std::ios::binary);
        if (!in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())))
            throw std::runtime_error(directory + "/" + what.key(i) + " is not of that size");
        add_hashes_of(bytes, out);
    }
    return out;
}

/** Compares each slice with its checksum as soon as it is there. */
class slice_verifier final : public objectcache::read_observer {
public:
    /** @param expected  Empty: nothing is compared. */
    slice_verifier(const slice_hashes& expected, unsigned object, objectcache::const_byte_span bytes)
        : bytes_(bytes)
        , expected_(expected.empty() ? std::span<const std::uint64_t>() : expected[object])
    {}

    void arrived(std::size_t bytes) noexcept override
    {
        if (bytes == 0) {
            done_ = 0;
            right_ = true;
        }
        while (done_ < expected_.size()) {
            const std::uint64_t begin = slice_bytes * done_;
            const std::uint64_t end = std::min<std::uint64_t>(begin + slice_bytes, bytes_.size());
            if (end > bytes)
                break;
            right_ =
                right_ && objectcache::payload_hash(bytes_.subspan(begin, end - begin)) == expected_[done_];
            ++done_;
        }
    }
    [[nodiscard]] bool is_right() const noexcept { return right_ && done_ == expected_.size(); }

private:
    objectcache::const_byte_span bytes_;
    std::span<const std::uint64_t> expected_; // by slice; none: nothing is compared
    std::size_t done_ = 0;
    bool right_ = true;
};

} // namespace bench
