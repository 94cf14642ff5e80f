// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/detail/s3_objects.hpp>

namespace objectcache::testing::detail {

// ---- listing

inline std::string after_prefix(std::string prefix)
{
    while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff)
        prefix.pop_back();
    if (!prefix.empty())
        prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
    return prefix;
}

inline list_page list_objects(const std::map<std::string, stored_object>& bucket, const list_query& query)
{
    // Position behind everything that `prefix` stands for.
    const auto behind = [&](const std::string& prefix) {
        const std::string next = after_prefix(prefix);
        return next.empty() ? bucket.end() : bucket.lower_bound(next);
    };
    const auto common_prefix = [&](const std::string& key) -> std::string {
        if (query.delimiter.empty() || !key.starts_with(query.prefix))
            return {};
        const std::size_t at = key.find(query.delimiter, query.prefix.size());
        return at == std::string::npos ? std::string() : key.substr(0, at + query.delimiter.size());
    };

    list_page page;
    auto at = bucket.lower_bound(query.prefix);
    if (!query.after.empty() && query.after >= query.prefix)
        at =
            common_prefix(query.after) == query.after ? behind(query.after) : bucket.upper_bound(query.after);

    while (query.max_keys != 0 && at != bucket.end() && at->first.starts_with(query.prefix)) {
        if (page.objects.size() + page.common_prefixes.size() == query.max_keys) {
            page.truncated = true;
            break;
        }
        if (std::string shared = common_prefix(at->first); !shared.empty()) {
            page.last = shared;
            at = behind(shared);
            page.common_prefixes.push_back(std::move(shared));
        } else {
            page.last = at->first;
            page.objects.emplace_back(*at);
            ++at;
        }
    }
    return page;
}

// ---- keys as file names: safe characters stay, others become %XX; a name too long for one file goes on in a
// folder whose name ends in '+', which no escaped character is, so that folders and files cannot collide.

inline constexpr std::size_t longest_component = 200;

inline std::filesystem::path path_of_key(std::string_view key)
{
    std::string escaped;
    s3::detail::append_uri_encoded(escaped, key, s3::detail::slash::encode);
    std::filesystem::path out;
    std::string_view rest = escaped;
    const auto add = [&](std::string component) {
        // Neither "." nor "..", nor hidden.
        if (component.front() == '.')
            component.replace(0, 1, "%2E");
        out /= component;
    };
    while (rest.size() > longest_component) {
        add(std::string(rest.substr(0, longest_component)) + '+');
        rest.remove_prefix(longest_component);
    }
    add(std::string(rest));
    return out;
}

inline std::optional<std::string> key_of_path(const std::filesystem::path& relative)
{
    std::string escaped;
    for (auto it = relative.begin(); it != relative.end(); ++it) {
        std::string component = it->string();
        if (std::next(it) != relative.end()) {
            if (!component.ends_with('+'))
                return std::nullopt;
            component.pop_back();
        }
        escaped += component;
    }
    auto key = s3::detail::uri_decoded(escaped);
    // Only names that the server itself would choose: a stray file is not an object.
    if (!key || key->empty() || path_of_key(*key) != relative)
        return std::nullopt;
    return key;
}

// ---- the store

inline status object_store::open(const std::filesystem::path& directory)
{
    const std::lock_guard hold(lock_);
    directory_ = directory;
    if (directory_.empty())
        return {};
    error_code ec;
    // What a crash left of unfinished uploads.
    std::filesystem::remove_all(directory_ / ".uploads", ec);
    std::filesystem::create_directories(directory_ / ".uploads", ec);
    if (ec)
        return {ec, directory_.string()};
    std::filesystem::directory_iterator entries(directory_, ec);
    for (; !ec && entries != std::filesystem::directory_iterator(); entries.increment(ec)) {
        error_code ignored;
        if (entries->is_directory(ignored) && valid_bucket_name(entries->path().filename().string()))
            if (status indexed = index_bucket(entries->path()); !indexed.ok())
                return indexed;
    }
    return ec ? status(ec, directory_.string()) : status();
}

inline status object_store::index_bucket(const std::filesystem::path& folder)
{
    const auto system_clock_of = [](std::filesystem::file_time_type at) {
        return std::chrono::time_point_cast<system_time::duration>(std::chrono::file_clock::to_sys(at));
    };
    error_code ec;
    bucket_data found;
    found.created = system_clock_of(std::filesystem::last_write_time(folder, ec));
    std::filesystem::recursive_directory_iterator entries(folder, ec);
    for (; !ec && entries != std::filesystem::recursive_directory_iterator(); entries.increment(ec)) {
        if (entries->is_symlink(ec) || !entries->is_regular_file(ec))
            continue;
        const auto key = key_of_path(entries->path().lexically_relative(folder));
        if (!key)
            continue;
        stored_object object;
        object.size = entries->file_size(ec);
        object.modified = system_clock_of(entries->last_write_time(ec));
        object.file = entries->path();
        found.objects.emplace(*key, std::move(object));
    }
    if (ec)
        return {ec, folder.string()};
    buckets_.emplace(folder.filename().string(), std::move(found));
    return {};
}

inline std::filesystem::path object_store::next_temporary()
{
    return directory_ / ".uploads" / std::to_string(temporaries_++);
}

inline status object_store::create_bucket(const std::string& name)
{
    const std::lock_guard hold(lock_);
    if (!valid_bucket_name(name))
        return {errc::invalid_argument, "not a bucket name: " + name};
    if (buckets_.contains(name))
        return {errc::already_exists, name};
    if (!directory_.empty()) {
        error_code ec;
        std::filesystem::create_directory(directory_ / name, ec);
        if (ec)
            return {ec, name};
    }
    buckets_[name].created = std::chrono::system_clock::now();
    return {};
}

inline status object_store::delete_bucket(const std::string& name)
{
    const std::lock_guard hold(lock_);
    const auto found = buckets_.find(name);
    if (found == buckets_.end())
        return {errc::not_found, name};
    if (!found->second.objects.empty())
        return {errc::already_exists, name};
    if (!directory_.empty()) {
        error_code ec;
        std::filesystem::remove_all(directory_ / name, ec);
        if (ec)
            return {ec, name};
    }
    buckets_.erase(found);
    return {};
}

inline bool object_store::has_bucket(const std::string& name) const
{
    const std::lock_guard hold(lock_);
    return buckets_.contains(name);
}

inline std::vector<std::pair<std::string, system_time>> object_store::buckets() const
{
    const std::lock_guard hold(lock_);
    std::vector<std::pair<std::string, system_time>> out;
    for (const auto& [name, data] : buckets_)
        out.emplace_back(name, data.created);
    return out;
}

inline status object_store::complete_etag(stored_object& object) const
{
    if (!object.etag.empty())
        return {};
    auto file = file_handle::open_to_read(object.file);
    if (!file)
        return file.error();
    running_digest md5(EVP_md5());
    std::vector<std::byte> piece(static_cast<std::size_t>(std::min<std::uint64_t>(object.size, 1 << 20)));
    for (std::uint64_t at = 0; at < object.size; at += piece.size()) {
        piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), object.size - at)));
        if (status read = file->read_exactly(piece, at); !read.ok())
            return read;
        md5.update(piece);
    }
    object.etag = md5.hex();
    return {};
}

inline std::optional<stored_object> object_store::find(const std::string& bucket, const std::string& key)
{
    const std::lock_guard hold(lock_);
    const auto b = buckets_.find(bucket);
    if (b == buckets_.end())
        return std::nullopt;
    const auto found = b->second.objects.find(key);
    if (found == b->second.objects.end() || !complete_etag(found->second).ok())
        return std::nullopt;
    return found->second;
}

inline std::optional<list_page> object_store::list(const std::string& bucket, const list_query& query)
{
    const std::lock_guard hold(lock_);
    const auto b = buckets_.find(bucket);
    if (b == buckets_.end())
        return std::nullopt;
    list_page page = list_objects(b->second.objects, query);
    for (auto& [key, object] : page.objects)
        if (object.etag.empty() && complete_etag(object).ok())
            b->second.objects.find(key)->second.etag = object.etag;
    return page;
}

inline status object_store::erase(const std::string& bucket, const std::string& key)
{
    const std::lock_guard hold(lock_);
    const auto b = buckets_.find(bucket);
    if (b == buckets_.end() || b->second.objects.erase(key) == 0)
        return {errc::not_found, bucket + "/" + key};
    if (!directory_.empty()) {
        error_code ec;
        std::filesystem::remove(directory_ / bucket / path_of_key(key), ec);
        if (ec)
            return {ec, bucket + "/" + key};
    }
    return {};
}

inline result<upload> object_store::begin_upload(std::uint64_t size, bool with_sha256,
                                                 std::string_view checksum_algorithm, bool with_md5)
{
    upload out;
    out.size_ = size;
    if (!with_md5)
        out.md5_.reset();
    if (with_sha256)
        out.sha256_.emplace(EVP_sha256());
    if (!checksum_algorithm.empty())
        out.checksum_.emplace(checksum_algorithm);
    if (directory_.empty()) {
        out.block_ = byte_block::make(size);
    } else {
        out.block_ = byte_block::make(std::min<std::uint64_t>(size, 1 << 20));
        const std::lock_guard hold(lock_);
        out.temporary_ = next_temporary();
        auto file = file_handle::create(out.temporary_);
        if (!file)
            return file.error();
        out.file_ = std::move(*file);
    }
    if (!out.block_)
        return {errc::exhausted, "no memory for an object of " + std::to_string(size) + " bytes"};
    return out;
}

inline result<std::string> object_store::commit(const std::string& bucket, const std::string& key,
                                                upload done, const put_condition& condition,
                                                stored_object about)
{
    stored_object object = std::move(about);
    object.size = done.size_;
    if (object.etag.empty())
        object.etag = hex_of(done.md5_value_);

    const std::lock_guard hold(lock_);
    const auto b = buckets_.find(bucket);
    if (b == buckets_.end())
        return {errc::not_found, bucket};
    auto present = b->second.objects.find(key);
    const bool replaces = present != b->second.objects.end();
    if (replaces && !condition.etag.empty())
        if (status known = complete_etag(present->second); !known.ok())
            return known;
    if (!condition.holds(replaces ? &present->second : nullptr))
        return {errc::already_exists, bucket + "/" + key};

    if (done.file_.is_open()) {
        object.file = directory_ / bucket / path_of_key(key);
        error_code ec;
        std::filesystem::create_directories(object.file.parent_path(), ec);
        if (!ec)
            std::filesystem::rename(done.temporary_, object.file, ec);
        if (ec)
            return status(ec, bucket + "/" + key);
        done.temporary_.clear();
    } else {
        object.bytes = std::move(done.block_);
    }
    std::string etag = object.etag;
    b->second.objects.insert_or_assign(key, std::move(object));
    return etag;
}

inline status object_store::modify(const std::string& bucket, const std::string& key,
                                   const std::function<status(std::vector<std::byte>&)>& change)
{
    const std::lock_guard hold(lock_);
    const auto b = buckets_.find(bucket);
    if (b == buckets_.end() || !b->second.objects.contains(key))
        return {errc::not_found, bucket + "/" + key};
    stored_object& object = b->second.objects.find(key)->second;
    if (status known = complete_etag(object); !known.ok())
        return known;
    auto bytes = read_object(object);
    if (!bytes)
        return bytes.error();
    if (status changed = change(*bytes); !changed.ok())
        return changed;

    // A new block or file, never the old one in place: a response may be sending that.
    if (directory_.empty()) {
        const auto block = byte_block::make(bytes->size());
        if (!block)
            return {errc::exhausted, bucket + "/" + key};
        std::copy(bytes->begin(), bytes->end(), block->span().begin());
        object.bytes = block;
    } else {
        const auto temporary = next_temporary();
        const auto file = file_handle::create(temporary);
        if (!file)
            return file.error();
        if (status written = file->write_exactly(*bytes, 0); !written.ok())
            return written;
        error_code ec;
        std::filesystem::rename(temporary, object.file, ec);
        if (ec)
            return {ec, bucket + "/" + key};
    }
    object.size = bytes->size();
    return {};
}

inline result<std::vector<std::byte>> read_object(const stored_object& object)
{
    if (object.bytes) {
        const const_byte_span all = std::as_const(*object.bytes).span();
        return std::vector<std::byte>(all.begin(), all.end());
    }
    const auto file = file_handle::open_to_read(object.file);
    if (!file)
        return file.error();
    std::vector<std::byte> out(static_cast<std::size_t>(object.size));
    if (status read = file->read_exactly(out, 0); !read.ok())
        return read;
    return out;
}

} // namespace objectcache::testing::detail
