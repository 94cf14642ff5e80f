// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/detail/s3_objects.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// Multipart uploads that were begun and are neither completed nor aborted.
namespace objectcache::testing::detail {

inline constexpr unsigned most_parts = 10'000;

struct multipart_part {
    std::shared_ptr<const upload> bytes; // sealed
    system_time modified;
};

struct multipart_upload {
    std::string bucket;
    std::string key;
    system_time initiated;
    std::string checksum_algorithm; ///< one of `checksum_algorithms`; empty: none
    bool full_object = false;       ///< the checksum is of the whole object, not of the parts' checksums
    std::map<unsigned, multipart_part> parts;
};

/** They are lost with the server, also where objects are files.

    @par Threads Any. */
class multipart_store {
public:
    /** @return its id, which is opaque and full of characters that a client must encode: one that does not is found out. */
    [[nodiscard]] std::string begin(multipart_upload upload)
    {
        const std::lock_guard hold(lock_);
        std::string number = std::to_string(++begun_);
        number.insert(0, 10 - std::min<std::size_t>(10, number.size()), '0'); // ids in the order of time
        std::string id = "up/" + number + "+&=";
        uploads_.emplace(id, std::move(upload));
        return id;
    }

    /** A snapshot of one, if the id is that of an upload of this key. */
    [[nodiscard]] std::optional<multipart_upload> find(const std::string& id, const std::string& bucket,
                                                       const std::string& key) const
    {
        const std::lock_guard hold(lock_);
        const auto found = uploads_.find(id);
        if (found == uploads_.end() || found->second.bucket != bucket || found->second.key != key)
            return std::nullopt;
        return found->second;
    }

    /** Add a part, or replace it. False: the upload ended meanwhile. */
    [[nodiscard]] bool add(const std::string& id, unsigned number, multipart_part part)
    {
        const std::lock_guard hold(lock_);
        const auto found = uploads_.find(id);
        if (found == uploads_.end())
            return false;
        found->second.parts.insert_or_assign(number, std::move(part));
        return true;
    }

    void end(const std::string& id)
    {
        const std::lock_guard hold(lock_);
        uploads_.erase(id);
    }

    /** The bucket is gone. */
    void forget(const std::string& bucket)
    {
        const std::lock_guard hold(lock_);
        std::erase_if(uploads_, [&](const auto& one) { return one.second.bucket == bucket; });
    }

    /** Those of a bucket, by key and then by time. */
    [[nodiscard]] std::map<std::pair<std::string, std::string>, multipart_upload>
    list(const std::string& bucket) const
    {
        const std::lock_guard hold(lock_);
        std::map<std::pair<std::string, std::string>, multipart_upload> out;
        for (const auto& [id, upload] : uploads_)
            if (upload.bucket == bucket)
                out.emplace(std::pair(upload.key, id), upload);
        return out;
    }

    [[nodiscard]] std::size_t size() const
    {
        const std::lock_guard hold(lock_);
        return uploads_.size();
    }

private:
    mutable std::mutex lock_;
    std::uint64_t begun_ = 0;
    std::map<std::string, multipart_upload> uploads_;
};

/** What a request is carried out on. */
struct s3_backend {
    object_store& store;
    multipart_store& uploads;
    std::uint64_t least_part_bytes;
    std::uint64_t max_object_bytes;
    system_time now;
};

} // namespace objectcache::testing::detail
