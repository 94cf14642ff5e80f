// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/s3/checksum.hpp>
#include <objectcache/s3/detail/ascii.hpp>
#include <objectcache/s3/detail/base64.hpp>
#include <objectcache/s3/detail/crc.hpp>

#include <openssl/evp.h>

#include <array>
#include <new>

namespace objectcache::s3 {

namespace detail {

[[nodiscard]] OBJECTCACHE_DECL std::size_t checksum_bytes(checksum kind) noexcept
{
    switch (kind) {
    case checksum::crc32c:
        return 4;
    case checksum::crc64nvme:
        return 8;
    case checksum::sha256:
        return 32;
    case checksum::none:
        break;
    }
    return 0;
}

} // namespace detail

OBJECTCACHE_DECL std::string_view checksum_header(checksum kind) noexcept
{
    switch (kind) {
    case checksum::crc32c:
        return "x-amz-checksum-crc32c";
    case checksum::crc64nvme:
        return "x-amz-checksum-crc64nvme";
    case checksum::sha256:
        return "x-amz-checksum-sha256";
    case checksum::none:
        break;
    }
    return {};
}

OBJECTCACHE_DECL std::string_view checksum_name(checksum kind) noexcept
{
    switch (kind) {
    case checksum::crc32c:
        return "CRC32C";
    case checksum::crc64nvme:
        return "CRC64NVME";
    case checksum::sha256:
        return "SHA256";
    case checksum::none:
        break;
    }
    return {};
}

OBJECTCACHE_DECL std::optional<checksum> parse_checksum_name(std::string_view name) noexcept
{
    for (const checksum kind : {checksum::crc32c, checksum::crc64nvme, checksum::sha256}) {
        const std::string_view known = checksum_name(kind);
        bool same = name.size() == known.size();
        for (std::size_t i = 0; same && i < known.size(); ++i)
            same = detail::lower_case(name[i]) == detail::lower_case(known[i]);
        if (same)
            return kind;
    }
    return std::nullopt;
}

OBJECTCACHE_DECL void checksum_state::free_context::operator()(evp_md_ctx_st* context) const noexcept
{
    EVP_MD_CTX_free(context);
}

OBJECTCACHE_DECL checksum_state::checksum_state(checksum kind) : kind_(kind)
{
    if (kind_ != checksum::sha256)
        return;
    sha256_.reset(EVP_MD_CTX_new());
    if (!sha256_ || EVP_DigestInit_ex(sha256_.get(), EVP_sha256(), nullptr) != 1)
        throw std::bad_alloc(); // OpenSSL has no other reason to fail here
}

OBJECTCACHE_DECL void checksum_state::update(const_byte_span bytes)
{
    size_ += bytes.size();
    switch (kind_) {
    case checksum::none:
        break;
    case checksum::crc32c:
        crc_ = detail::update_crc32c(static_cast<std::uint32_t>(crc_), bytes);
        break;
    case checksum::crc64nvme:
        crc_ = detail::update_crc64nvme(crc_, bytes);
        break;
    case checksum::sha256:
        EVP_DigestUpdate(sha256_.get(), bytes.data(), bytes.size());
        break;
    }
}

OBJECTCACHE_DECL bool checksum_state::append(const checksum_state& next) noexcept
{
    if (next.kind_ != kind_)
        return false;
    switch (kind_) {
    case checksum::none:
    case checksum::sha256:
        return false;
    case checksum::crc32c:
        crc_ = detail::joined_crc(detail::crc32c_polynomial, static_cast<std::uint32_t>(crc_),
                                  static_cast<std::uint32_t>(next.crc_), next.size_);
        break;
    case checksum::crc64nvme:
        crc_ = detail::joined_crc(detail::crc64nvme_polynomial, crc_, next.crc_, next.size_);
        break;
    }
    size_ += next.size_;
    return true;
}

OBJECTCACHE_DECL std::string checksum_state::finish()
{
    std::array<std::byte, 32> value{};
    const std::size_t size = detail::checksum_bytes(kind_);
    if (kind_ == checksum::sha256)
        EVP_DigestFinal_ex(sha256_.get(), reinterpret_cast<unsigned char*>(value.data()), nullptr);
    else
        for (std::size_t i = 0; i < size; ++i)
            value[i] = static_cast<std::byte>(crc_ >> (8 * (size - 1 - i)) & 0xff);
    return detail::base64(const_byte_span(value).first(size));
}

OBJECTCACHE_DECL std::string checksum_of(checksum kind, std::span<const const_byte_span> parts)
{
    checksum_state state(kind);
    for (const const_byte_span part : parts)
        state.update(part);
    return state.finish();
}

OBJECTCACHE_DECL std::string content_md5(const_byte_span body)
{
    std::array<std::byte, EVP_MAX_MD_SIZE> value;
    unsigned size = 0;
    if (EVP_Digest(body.data(), body.size(), reinterpret_cast<unsigned char*>(value.data()), &size, EVP_md5(),
                   nullptr) != 1)
        return {};
    return detail::base64(const_byte_span(value).first(size));
}

OBJECTCACHE_DECL bool is_checksum(checksum kind, std::string_view text) noexcept
{
    return kind != checksum::none && detail::is_base64_of(text, detail::checksum_bytes(kind));
}

OBJECTCACHE_DECL checksum_match compare_checksum(checksum kind, std::string_view claimed,
                                                 std::string_view computed) noexcept
{
    if (!claimed.empty() && claimed == computed)
        return checksum_match::equal;
    // '-' is no character of base64.
    const auto dash = claimed.find('-');
    if (dash != claimed.npos && is_checksum(kind, claimed.substr(0, dash)) &&
        detail::parse_number(claimed.substr(dash + 1)).value_or(0) != 0)
        return checksum_match::not_comparable;
    return checksum_match::different;
}

} // namespace objectcache::s3
