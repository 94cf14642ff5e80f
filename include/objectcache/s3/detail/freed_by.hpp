// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace objectcache::s3::detail {

/** For `std::unique_ptr`: what OpenSSL gives, its own function takes back. */
template <auto Free>
struct freed_by {
    template <class T>
    void operator()(T* object) const noexcept
    {
        Free(object);
    }
};

} // namespace objectcache::s3::detail
