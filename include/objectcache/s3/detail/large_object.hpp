// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/task_group.hpp>
#include <objectcache/s3/checksum.hpp>
#include <objectcache/s3/detail/base64.hpp>
#include <objectcache/s3/detail/uri_encode.hpp>
#include <objectcache/s3/large_object.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace objectcache::s3::detail {

/** A large object on its way in either direction. Lives in the frame of the operation, which waits for the workers. */
struct parallel_job {
    parallel_job(const asio::any_io_executor& executor, client with, parallel_options how)
        : store(std::move(with))
        , options(how)
        , workers(executor)
    {}

    /** A part is there. */
    void finish(std::uint64_t bytes)
    {
        ++finished;
        if (options.progress)
            options.progress(static_cast<std::size_t>(bytes));
    }

    client store;
    parallel_options options;
    task_group workers;
    std::string bucket, key;

    byte_span destination; // of a read,
    std::uint64_t offset = 0;
    object_info info;

    std::span<const const_byte_span> source; // or of a write
    std::uint64_t size = 0;
    std::string upload_id;
    std::vector<uploaded_part> parts;

    std::size_t count = 0; // parts
    std::size_t next = 0;
    std::size_t finished = 0;
    status failure;
};

/** The bytes [from, from + size) of the concatenation of `parts`. */
[[nodiscard]] inline std::vector<const_byte_span> slice(std::span<const const_byte_span> parts,
                                                        std::uint64_t from, std::uint64_t size)
{
    std::vector<const_byte_span> out;
    for (const const_byte_span part : parts) {
        if (size == 0)
            break;
        if (from >= part.size()) {
            from -= part.size();
            continue;
        }
        const auto take = std::min<std::uint64_t>(part.size() - from, size);
        out.push_back(part.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(take)));
        size -= take;
        from = 0;
    }
    return out;
}

/** Is `etag` what S3 calls an object that was put together from `parts`: the MD5 of their MD5s, and how many they are? */
[[nodiscard]] inline bool is_etag_of(std::string_view etag, std::span<const uploaded_part> parts)
{
    std::vector<std::byte> bytes;
    const auto append = [&](std::string_view hex) {
        for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
            const int high = hex_value(hex[i]), low = hex_value(hex[i + 1]);
            if (high < 0 || low < 0)
                return false;
            bytes.push_back(static_cast<std::byte>(high << 4 | low));
        }
        return hex.size() == 32;
    };
    const auto unquoted = [](std::string_view text) {
        const bool quoted = text.size() > 1 && text.front() == '"' && text.back() == '"';
        return quoted ? text.substr(1, text.size() - 2) : text;
    };
    for (const uploaded_part& part : parts)
        if (!append(unquoted(part.etag)))
            return false;
    const std::string digest = content_md5(std::exchange(bytes, {}));
    const std::string count = '-' + std::to_string(parts.size());
    etag = unquoted(etag);
    return etag.ends_with(count) && append(etag.substr(0, etag.size() - count.size())) &&
           base64(bytes) == digest;
}

} // namespace objectcache::s3::detail
