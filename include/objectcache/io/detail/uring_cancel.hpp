// SPDX-License-Identifier: BSL-1.0
#pragma once

// The build targets that put Asio on io_uring include this before everything else.
//
// Asio (as of Boost 1.81) submits cancellations without saying whose they are, and liburing (since 2.2) leaves in the entry of
// the ring what was there before. Once the ring has gone round, after 16384 operations, the end of a cancellation is thus taken
// for the end of some other operation, and whoever waits for that one may wait for ever. See axboe/liburing#690 and #848.

#ifdef BOOST_ASIO_HAS_IO_URING

#include <liburing.h>

inline void objectcache_io_uring_prep_cancel(io_uring_sqe* entry, void* whom, int flags)
{
    io_uring_prep_cancel(entry, whom, flags);
    io_uring_sqe_set_data(entry, nullptr);
}

inline void objectcache_io_uring_prep_timeout_remove(io_uring_sqe* entry, __u64 whom, unsigned flags)
{
    io_uring_prep_timeout_remove(entry, whom, flags);
    io_uring_sqe_set_data(entry, nullptr);
}

#define io_uring_prep_cancel objectcache_io_uring_prep_cancel
#define io_uring_prep_timeout_remove objectcache_io_uring_prep_timeout_remove

#endif
