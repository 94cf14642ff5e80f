// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/testing/detail/s3_upload.hpp>
#include <objectcache/testing/detail/s3_wire.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What the server stores, in memory or in a directory, and how it is listed.
namespace objectcache::testing::detail {

struct stored_object {
    std::uint64_t size = 0;
    std::string etag; ///< no quotes; empty until asked for where a directory was found with it
    system_time modified;
    std::shared_ptr<const byte_block> bytes; ///< in memory
    std::filesystem::path file;              ///< otherwise
    std::string checksum_algorithm;          ///< one of `checksum_algorithms`; empty: none was sent with it
    std::string checksum;                    ///< base64; of a multipart object maybe "base64-N"
};

struct list_query {
    std::string prefix;
    std::string delimiter;
    std::string after; ///< a key, or a common prefix that an earlier page ended with
    std::size_t max_keys = 1000;
};

struct list_page {
    std::vector<std::pair<std::string, stored_object>> objects;
    std::vector<std::string> common_prefixes;
    bool truncated = false;
    std::string last; ///< `after` of the next page
};

/** The least string greater than all strings that start with `prefix`; empty if there is none. */
[[nodiscard]] std::string after_prefix(std::string prefix);

/** One page of a bucket in the order of the bytes of its keys. Common prefixes are found by search, not by
    walking over the keys they stand for. */
[[nodiscard]] list_page list_objects(const std::map<std::string, stored_object>& bucket,
                                     const list_query& query);

/** A key as a relative path that cannot leave its folder, whatever the key is; one to one. */
[[nodiscard]] std::filesystem::path path_of_key(std::string_view key);
[[nodiscard]] std::optional<std::string> key_of_path(const std::filesystem::path& relative);

/** What a conditional PUT demands of the object it replaces. */
struct put_condition {
    bool must_be_absent = false;
    std::string etag; ///< not empty: must be that one

    [[nodiscard]] bool holds(const stored_object* present) const noexcept
    {
        return (!must_be_absent || !present) && (etag.empty() || (present && present->etag == etag));
    }
};

/** All buckets. In a directory, an object is a file <directory>/<bucket>/<escaped key> with exactly its
    bytes, replaced by rename; the index is read from it once, at `open`.

    @par Threads Any; one lock, never held while object bytes are moved except by `modify` and `find` of an
         object whose ETag is not known yet. */
class object_store {
public:
    [[nodiscard]] status open(const std::filesystem::path& directory);

    [[nodiscard]] status create_bucket(const std::string& name);
    [[nodiscard]] status delete_bucket(const std::string& name);
    [[nodiscard]] bool has_bucket(const std::string& name) const;
    [[nodiscard]] std::vector<std::pair<std::string, system_time>> buckets() const;

    [[nodiscard]] std::optional<stored_object> find(const std::string& bucket, const std::string& key);
    [[nodiscard]] std::optional<list_page> list(const std::string& bucket, const list_query& query);
    [[nodiscard]] status erase(const std::string& bucket, const std::string& key);

    /** @param checksum_algorithm Of which to compute a checksum; empty: none.
        @param with_md5 False where the ETag is something else, which `commit` has to be told then. */
    [[nodiscard]] result<upload> begin_upload(std::uint64_t size, bool with_sha256 = false,
                                              std::string_view checksum_algorithm = {}, bool with_md5 = true);
    /** Publish a complete and sealed upload.

        @param about ETag (empty: the MD5 of the bytes), checksum, date. The rest follows from the upload.
        @return the ETag, or errc::already_exists if `condition` does not hold. */
    [[nodiscard]] result<std::string> commit(const std::string& bucket, const std::string& key, upload done,
                                             const put_condition& condition, stored_object about);

    /** Replace stored bytes behind the server's back: ETag and date stay. */
    [[nodiscard]] status modify(const std::string& bucket, const std::string& key,
                                const std::function<status(std::vector<std::byte>&)>& change);

private:
    struct bucket_data {
        system_time created;
        std::map<std::string, stored_object> objects;
    };

    [[nodiscard]] status index_bucket(const std::filesystem::path& folder);
    [[nodiscard]] status complete_etag(stored_object& object) const;
    [[nodiscard]] std::filesystem::path next_temporary();

    mutable std::mutex lock_;
    std::filesystem::path directory_; // empty: memory
    std::uint64_t temporaries_ = 0;
    std::map<std::string, bucket_data> buckets_;
};

/** The whole of an object. */
[[nodiscard]] result<std::vector<std::byte>> read_object(const stored_object& object);

} // namespace objectcache::testing::detail

#include <objectcache/testing/detail/s3_objects.ipp>
