// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

namespace objectcache::s3 {

/** Looks at the body of an answer while it comes, so that what is done with each byte (hashing, decoding) finds it in the
    processor's cache. */
class body_observer {
public:
    /** The first `bytes` bytes of the destination are there. Less than before: the body begins again, because the request
        was repeated or another one was faster, and what was seen of it is void. */
    virtual void arrived(std::size_t bytes) noexcept = 0;

protected:
    ~body_observer() = default;
};

} // namespace objectcache::s3
