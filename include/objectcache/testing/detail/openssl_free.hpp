// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace objectcache::testing::detail {

/** For `std::unique_ptr`: what OpenSSL gives, its own function takes back. */
template <auto Free>
struct openssl_free {
    template <class T>
    void operator()(T* object) const noexcept
    {
        Free(object);
    }
};

} // namespace objectcache::testing::detail
