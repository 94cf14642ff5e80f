// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/ids.hpp>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <memory>
#include <new>
#include <span>
#include <string_view>

namespace objectcache::s3::detail {

[[nodiscard]] inline const_byte_span as_bytes(std::string_view text) noexcept
{
    return std::as_bytes(std::span(text.data(), text.size()));
}

/** SHA-256 of the concatenation of `parts`. OpenSSL can only fail here for want of memory: std::bad_alloc, as for any
    other allocation. */
[[nodiscard]] inline digest sha256(std::span<const const_byte_span> parts)
{
    digest out;
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    bool good = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
    for (const const_byte_span part : parts)
        good = good && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
    good = good && EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(out.bytes.data()),
                                      nullptr) == 1;
    if (!good)
        throw std::bad_alloc();
    return out;
}

[[nodiscard]] inline digest sha256(std::string_view text)
{
    const const_byte_span whole = as_bytes(text);
    return sha256(std::span(&whole, 1));
}

[[nodiscard]] inline digest hmac_sha256(const_byte_span key, std::string_view text)
{
    digest out;
    if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
              reinterpret_cast<const unsigned char*>(text.data()), text.size(),
              reinterpret_cast<unsigned char*>(out.bytes.data()), nullptr))
        throw std::bad_alloc();
    return out;
}

} // namespace objectcache::s3::detail
