// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/kv/format.hpp>
#include <objectcache/kv/object_name.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace objectcache {

/** Reads one stored object from its first byte to its last, in pieces of any size, and says whether every byte of it is what its
    name promises: header, ids, each record's checksum, layer and chunk, and the length.

    A layer object has no header; what its size should be only its manifest says.

    @par Threads One at a time.
    @par Cost One pass over the bytes; memory for a head, at most 9 KiB, whatever the object's size. */
class object_check {
public:
    /** @param size of the object, by the store. */
    object_check(object_name name, std::uint64_t size);

    /** The next bytes. What follows a failure is not looked at. */
    void update(const_byte_span bytes);

    /** Nothing was wrong so far. */
    [[nodiscard]] bool good() const noexcept { return failed_.ok(); }

    /** After the last byte: whether all is well, or what was found first.

        @par Errors As decode_header(), decode_segment_head(), match_name() and verify_slice(), and errc::length_mismatch for
        fewer or more bytes than were announced. All are condition::corrupt. */
    [[nodiscard]] status finish();

    /** Once it was read; none of a layer. */
    [[nodiscard]] const std::optional<object_header>& header() const noexcept { return header_; }

private:
    void begin_records();
    void end_record();

    object_name name_;
    std::uint64_t size_, seen_ = 0;
    std::size_t head_size_ = 0; // 0 once it was read, or if there is none
    std::vector<std::byte> head_;
    std::vector<chunk_id> chunks_;
    std::optional<object_header> header_;
    std::uint64_t record_bytes_ = 0, in_record_ = 0, record_ = 0;
    payload_hasher hash_;
    std::array<std::byte, trailer_bytes> trailer_{};
    status failed_;
};

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/kv/impl/object_check.ipp>
#endif
