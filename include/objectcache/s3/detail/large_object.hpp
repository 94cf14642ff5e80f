// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/io/task_group.hpp>
#include <objectcache/s3/large_object.hpp>

#include <algorithm>
#include <string>
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

} // namespace objectcache::s3::detail
