// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/testing/detail/s3_wire.hpp>

#include <openssl/evp.h>

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

/** Bytes that never change once they are shared: an answer may still be sending an object that was replaced. */
class byte_block {
public:
    /** @return nothing if there is not that much memory. */
    [[nodiscard]] static std::shared_ptr<byte_block> make(std::uint64_t size)
    {
        auto out = std::make_shared<byte_block>();
        // Not zeroed: the pages of a large upload are touched once, by the socket.
        out->data_.reset(new (std::nothrow) std::byte[static_cast<std::size_t>(size)]);
        out->size_ = static_cast<std::size_t>(size);
        return out->data_ ? out : nullptr;
    }
    [[nodiscard]] byte_span span() noexcept { return {data_.get(), size_}; }
    [[nodiscard]] const_byte_span span() const noexcept { return {data_.get(), size_}; }

private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t size_ = 0;
};

/** An open file; closes itself. */
class file_handle {
public:
    file_handle() = default;
    explicit file_handle(int fd) noexcept : fd_(fd) {}
    file_handle(file_handle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    file_handle& operator=(file_handle&& other) noexcept
    {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~file_handle();

    [[nodiscard]] static result<file_handle> open_to_read(const std::filesystem::path& path);
    [[nodiscard]] static result<file_handle> create(const std::filesystem::path& path);
    [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
    [[nodiscard]] status read_exactly(byte_span into, std::uint64_t offset) const;
    [[nodiscard]] status write_exactly(const_byte_span from, std::uint64_t offset) const;

private:
    int fd_ = -1;
};

struct stored_object {
    std::uint64_t size = 0;
    std::string etag; ///< 32 hex digits, no quotes; empty until asked for where a directory was found with it
    system_time modified;
    std::shared_ptr<const byte_block> bytes; ///< in memory
    std::filesystem::path file;              ///< otherwise
};

/** An incremental MD5 or SHA-256. */
class running_digest {
public:
    explicit running_digest(const EVP_MD* algorithm);
    void update(const_byte_span bytes) noexcept;
    [[nodiscard]] std::string hex();

private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

/** Where the body of a request goes. */
class body_sink {
public:
    virtual ~body_sink() = default;
    /** Where the next bytes may be written; empty: no more are wanted. */
    [[nodiscard]] virtual byte_span window() = 0;
    /** The first `n` bytes of the window were filled. */
    [[nodiscard]] virtual status filled(std::size_t n) = 0;
};

/** An object on its way in: memory of its final size, or a temporary file. Hashed as it arrives, while it is
    in the cache. */
class upload final : public body_sink {
public:
    upload(upload&&) = default;
    ~upload() override;

    [[nodiscard]] byte_span window() override;
    [[nodiscard]] status filled(std::size_t n) override;
    [[nodiscard]] bool complete() const noexcept { return received_ == size_; }
    /** Lower-case hex SHA-256 of what arrived; empty unless it was asked for. */
    [[nodiscard]] std::string sha256() { return sha256_ ? sha256_->hex() : std::string(); }

private:
    friend class object_store;
    upload() = default;

    std::uint64_t size_ = 0;
    std::uint64_t received_ = 0;
    std::shared_ptr<byte_block> block_; // the object, or the window before the file
    std::filesystem::path temporary_;
    file_handle file_;
    running_digest md5_{EVP_md5()};
    std::optional<running_digest> sha256_;
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

    [[nodiscard]] result<upload> begin_upload(std::uint64_t size, bool with_sha256);
    /** Publish a complete upload. @return its ETag, or errc::already_exists if `condition` does not hold. */
    [[nodiscard]] result<std::string> commit(const std::string& bucket, const std::string& key, upload done,
                                             const put_condition& condition, system_time now);

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
