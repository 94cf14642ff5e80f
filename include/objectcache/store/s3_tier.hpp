// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/client.hpp>
#include <objectcache/store/tier.hpp>

#include <string>
#include <utility>

namespace objectcache {

/** Objects in one bucket of an S3 store, all of them under `key_prefix` ("team-a/kv/"), which nobody above sees: several
    caches, and other things, may share a bucket.

    A read of more than `split_bytes` is several requests side by side. A write that must keep what is there is a
    conditional PUT: of writers that race, one wins and all succeed. The end of an upload that must keep it is conditional
    too, where the store knows that (AWS does); where the store refuses it, it is asked before whether the object is there;
    where the store takes no notice, as Ceph RGW 16, the last one wins, with the same bytes. An upload that is not ended
    stays in the bucket until somebody finds it: `s3::list_uploads`, or a lifecycle rule.

    @par Threads As `s3::client`: one thread, or one strand, that of its executor. */
class s3_tier {
public:
    static constexpr std::size_t split_bytes = 16 * 1024 * 1024;
    static constexpr std::size_t least_part_bytes = 5 * 1024 * 1024; ///< S3's

    s3_tier(asio::any_io_executor executor, s3::client client, std::string bucket,
            std::string key_prefix = {})
        : executor_(std::move(executor))
        , client_(std::move(client))
        , bucket_(std::move(bucket))
        , key_prefix_(std::move(key_prefix))
    {}

    [[nodiscard]] asio::any_io_executor get_executor() const noexcept { return executor_; }
    [[nodiscard]] s3::client& client() noexcept { return client_; }
    [[nodiscard]] const std::string& bucket() const noexcept { return bucket_; }
    [[nodiscard]] const std::string& key_prefix() const noexcept { return key_prefix_; }

    [[nodiscard]] asio::awaitable<status> read(std::string key, byte_range range, byte_span into,
                                               deadline until, read_observer* observer = nullptr);

    [[nodiscard]] asio::awaitable<status> write(std::string key, std::span<const const_byte_span> parts,
                                                if_exists mode, deadline until);

    [[nodiscard]] asio::awaitable<result<object_stat>> stat(std::string key, deadline until);

    [[nodiscard]] asio::awaitable<status> remove(std::string key, deadline until);

    [[nodiscard]] asio::awaitable<result<key_page>> list(std::string prefix, std::string continuation,
                                                         std::size_t most, deadline until);

    [[nodiscard]] std::size_t least_part() const noexcept { return least_part_bytes; }

    [[nodiscard]] asio::awaitable<result<std::string>> begin_upload(std::string key, deadline until);

    [[nodiscard]] asio::awaitable<result<std::string>> upload_part(std::string key, std::string id,
                                                                   std::uint32_t number,
                                                                   std::span<const const_byte_span> parts,
                                                                   deadline until);

    [[nodiscard]] asio::awaitable<status> complete_upload(std::string key, std::string id,
                                                          std::span<const std::string> tags, if_exists mode,
                                                          deadline until);

    [[nodiscard]] asio::awaitable<status> abort_upload(std::string key, std::string id, deadline until);

private:
    asio::any_io_executor executor_;
    s3::client client_;
    std::string bucket_;
    std::string key_prefix_;
};

static_assert(tier<s3_tier>);

} // namespace objectcache

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/store/impl/s3_tier.ipp>
#endif
