// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

namespace objectcache {

/** Looks at bytes while they come, so that what is done with each (hashing, copying on) finds it in the processor's cache
    and does not wait for the last.

    @par Threads Called by whoever reads, perhaps on a thread of its own, one call at a time, never after the read has
         completed. */
class read_observer {
public:
    /** The first `bytes` bytes of the destination are there. Less than before: they come again, because the request was
        repeated or another one was faster, and what was seen of them is void. */
    virtual void arrived(std::size_t bytes) noexcept = 0;

protected:
    ~read_observer() = default;
};

} // namespace objectcache
