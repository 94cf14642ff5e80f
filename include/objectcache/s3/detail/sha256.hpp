// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/ids.hpp>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <span>
#include <string_view>

namespace objectcache::s3::detail {

[[nodiscard]] inline const_byte_span as_bytes(std::string_view text) noexcept
{
    return std::as_bytes(std::span(text.data(), text.size()));
}

/** SHA-256 of one text after another. What OpenSSL does to begin, allocating and looking up the algorithm by name, takes longer
    than the hash of a request: it is done once. OpenSSL can only fail here for want of memory: std::bad_alloc, as for any
    other allocation. */
class sha256_hasher {
public:
    sha256_hasher() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {}

    [[nodiscard]] digest operator()(std::string_view text)
    {
        const const_byte_span whole = as_bytes(text);
        return (*this)(std::span(&whole, 1));
    }
    /** Of the concatenation of `parts`. */
    [[nodiscard]] digest operator()(std::span<const const_byte_span> parts)
    {
        digest out;
        bool good =
            context_ && EVP_DigestInit_ex(context_.get(), begun_ ? nullptr : EVP_sha256(), nullptr) == 1;
        begun_ = true;
        for (const const_byte_span part : parts)
            good = good && EVP_DigestUpdate(context_.get(), part.data(), part.size()) == 1;
        good = good && EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(out.bytes.data()),
                                          nullptr) == 1;
        if (!good)
            throw std::bad_alloc();
        return out;
    }

private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
    bool begun_ = false;
};

[[nodiscard]] inline digest sha256(std::span<const const_byte_span> parts)
{
    return sha256_hasher()(parts);
}

[[nodiscard]] inline digest sha256(std::string_view text)
{
    return sha256_hasher()(text);
}

/** HMAC-SHA-256 (RFC 2104). OpenSSL's own begins several times in each call, see `sha256_hasher`. */
[[nodiscard]] inline digest hmac_sha256(sha256_hasher& hash, const_byte_span key, std::string_view text)
{
    std::array<std::byte, 64> block{};
    if (key.size() <= block.size()) {
        std::copy(key.begin(), key.end(), block.begin());
    } else {
        const digest shorter = hash(std::span(&key, 1));
        std::copy(shorter.bytes.begin(), shorter.bytes.end(), block.begin());
    }
    const auto hash_padded = [&](std::byte pad, const_byte_span message) {
        for (std::byte& b : block)
            b ^= pad;
        const std::array<const_byte_span, 2> parts{const_byte_span(block), message};
        return hash(parts);
    };
    constexpr std::byte inner_pad{0x36};
    constexpr std::byte outer_pad{0x5c};
    const digest inner = hash_padded(inner_pad, as_bytes(text));
    const digest out = hash_padded(inner_pad ^ outer_pad, inner.bytes);
    OPENSSL_cleanse(block.data(), block.size());
    return out;
}

[[nodiscard]] inline digest hmac_sha256(const_byte_span key, std::string_view text)
{
    sha256_hasher hash;
    return hmac_sha256(hash, key, text);
}

} // namespace objectcache::s3::detail
