// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/testing/detail/s3_upload.hpp>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

namespace objectcache::testing::detail {

[[nodiscard]] inline status system_failure(const std::string& what)
{
    return {error_code(errno, std::system_category()), what};
}

inline file_handle::~file_handle()
{
    if (fd_ >= 0)
        ::close(fd_);
}

inline result<file_handle> file_handle::open_to_read(const std::filesystem::path& path)
{
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return system_failure(path.string());
    return file_handle(fd);
}

inline result<file_handle> file_handle::create(const std::filesystem::path& path)
{
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return system_failure(path.string());
    return file_handle(fd);
}

inline status file_handle::read_exactly(byte_span into, std::uint64_t offset) const
{
    while (!into.empty()) {
        const ssize_t n = ::pread(fd_, into.data(), into.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return system_failure("read");
        if (n == 0)
            return {errc::length_mismatch, "the file is shorter than the object"};
        into = into.subspan(static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
    }
    return {};
}

inline status file_handle::write_exactly(const_byte_span from, std::uint64_t offset) const
{
    while (!from.empty()) {
        const ssize_t n = ::pwrite(fd_, from.data(), from.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return system_failure("write");
        from = from.subspan(static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
    }
    return {};
}

inline running_digest::running_digest(const EVP_MD* algorithm)
{
    if (!context_ || EVP_DigestInit_ex(context_.get(), algorithm, nullptr) != 1)
        throw std::bad_alloc();
}

inline void running_digest::update(const_byte_span bytes) noexcept
{
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}

inline std::string running_digest::finish()
{
    std::string out(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(out.data()), &size);
    out.resize(size);
    return out;
}

inline std::string running_digest::hex()
{
    return hex_of(finish());
}

// ---- checksums

inline constexpr s3::detail::crc_tables<std::uint32_t> crc32_tables =
    s3::detail::make_crc_tables(std::uint32_t(0xedb88320));

inline body_checksum::body_checksum(std::string_view algorithm) : state_(std::uint32_t(0))
{
    if (algorithm == "sha1")
        state_.emplace<running_digest>(EVP_sha1());
    else if (const auto kind = s3::parse_checksum_name(algorithm))
        state_.emplace<s3::checksum_state>(*kind);
}

inline void body_checksum::update(const_byte_span bytes)
{
    if (auto* crc = std::get_if<std::uint32_t>(&state_))
        *crc = ~s3::detail::crc_by_table(crc32_tables, ~*crc, bytes);
    else if (auto* own = std::get_if<s3::checksum_state>(&state_))
        own->update(bytes);
    else
        std::get<running_digest>(state_).update(bytes);
}

inline std::string body_checksum::finish()
{
    if (const auto* crc = std::get_if<std::uint32_t>(&state_)) {
        std::string out;
        for (const int shift : {24, 16, 8, 0})
            out += static_cast<char>(*crc >> shift & 0xff);
        return base64_of(out);
    }
    if (auto* own = std::get_if<s3::checksum_state>(&state_))
        return own->finish();
    return base64_of(std::get<running_digest>(state_).finish());
}

// ---- uploads

inline upload::~upload()
{
    if (file_.is_open() && !temporary_.empty())
        ::unlink(temporary_.c_str());
}

inline byte_span upload::window()
{
    const std::uint64_t left = size_ - received_;
    if (!file_.is_open())
        return block_->span().subspan(static_cast<std::size_t>(received_));
    return block_->span().first(
        static_cast<std::size_t>(std::min<std::uint64_t>(left, block_->span().size())));
}

inline status upload::filled(std::size_t n)
{
    const byte_span arrived = window().first(n);
    if (md5_)
        md5_->update(arrived);
    if (sha256_)
        sha256_->update(arrived);
    if (checksum_)
        checksum_->update(arrived);
    if (file_.is_open())
        if (status written = file_.write_exactly(arrived, received_); !written.ok())
            return written;
    received_ += n;
    return {};
}

inline void upload::seal()
{
    if (md5_)
        md5_value_ = md5_->finish();
    if (sha256_)
        sha256_value_ = sha256_->hex();
    if (checksum_)
        checksum_value_ = checksum_->finish();
    if (file_.is_open())
        block_.reset();
}

inline status upload::read(byte_span into, std::uint64_t offset) const
{
    if (file_.is_open())
        return file_.read_exactly(into, offset);
    const const_byte_span from =
        std::as_const(*block_).span().subspan(static_cast<std::size_t>(offset), into.size());
    std::copy(from.begin(), from.end(), into.begin());
    return {};
}

} // namespace objectcache::testing::detail
