// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/s3/checksum.hpp>
#include <objectcache/s3/detail/base64.hpp>
#include <objectcache/s3/detail/crc.hpp>

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

// Bytes on their way into the server, and what is computed of them on the way.
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

/** An incremental MD5, SHA-1 or SHA-256. */
class running_digest {
public:
    explicit running_digest(const EVP_MD* algorithm);
    void update(const_byte_span bytes) noexcept;
    /** The digest itself; once. */
    [[nodiscard]] std::string finish();
    /** The same as lower-case hex digits; once. */
    [[nodiscard]] std::string hex();

private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

/** What may stand behind "x-amz-checksum-" in a request: the library's kinds and, for other clients, the rest of S3's. */
inline constexpr std::array<std::string_view, 5> checksum_algorithms{"crc32", "crc32c", "crc64nvme", "sha1",
                                                                     "sha256"};

[[nodiscard]] inline bool is_checksum_algorithm(std::string_view name) noexcept
{
    return std::find(checksum_algorithms.begin(), checksum_algorithms.end(), name) !=
           checksum_algorithms.end();
}

/** A checksum of any of these kinds. */
class body_checksum {
public:
    /** @param algorithm One of `checksum_algorithms`. */
    explicit body_checksum(std::string_view algorithm);
    void update(const_byte_span bytes);
    /** As headers carry it; once. */
    [[nodiscard]] std::string finish();

private:
    std::variant<std::uint32_t, s3::checksum_state, running_digest> state_; // the number: CRC-32
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

/** An object, or a part of one, on its way in: memory of its final size, or a temporary file. Hashed as it arrives, while
    it is in the cache. */
class upload final : public body_sink {
public:
    upload(upload&&) = default;
    ~upload() override;

    [[nodiscard]] byte_span window() override;
    [[nodiscard]] status filled(std::size_t n) override;
    [[nodiscard]] bool complete() const noexcept { return received_ == size_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    /** Nothing more will arrive: finish the digests. In a file, give back the memory of the window. */
    void seal();
    /** Bytes of a sealed upload. */
    [[nodiscard]] status read(byte_span into, std::uint64_t offset) const;
    /** Of a sealed upload: 16 bytes; empty where it was not asked for. */
    [[nodiscard]] const std::string& md5() const noexcept { return md5_value_; }
    /** Of a sealed upload: hex; empty unless it was asked for. */
    [[nodiscard]] const std::string& sha256() const noexcept { return sha256_value_; }
    /** Of a sealed upload: base64; empty unless it was asked for. */
    [[nodiscard]] const std::string& checksum() const noexcept { return checksum_value_; }

private:
    friend class object_store;
    upload() = default;

    std::uint64_t size_ = 0;
    std::uint64_t received_ = 0;
    std::shared_ptr<byte_block> block_; // the object, or the window before the file
    std::filesystem::path temporary_;
    file_handle file_;
    std::optional<running_digest> md5_{EVP_md5()};
    std::optional<running_digest> sha256_;
    std::optional<body_checksum> checksum_;
    std::string md5_value_;
    std::string sha256_value_;
    std::string checksum_value_;
};

[[nodiscard]] inline std::string hex_of(std::string_view bytes)
{
    constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const char c : bytes) {
        out += digits[static_cast<unsigned char>(c) >> 4];
        out += digits[static_cast<unsigned char>(c) & 15];
    }
    return out;
}

[[nodiscard]] inline std::string base64_of(std::string_view bytes)
{
    return s3::detail::base64(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

/** Undoes `base64_of`. */
[[nodiscard]] inline std::string bytes_of_base64(std::string_view text)
{
    std::string out(text.size() / 4 * 3, '\0');
    EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                    reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
    const std::size_t padding = text.size() - std::min(text.find('='), text.size());
    out.resize(out.size() - std::min(padding, out.size()));
    return out;
}

} // namespace objectcache::testing::detail

#include <objectcache/testing/detail/s3_upload.ipp>
