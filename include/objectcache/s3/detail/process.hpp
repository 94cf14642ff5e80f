// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/io/clock.hpp>

#include <boost/asio/awaitable.hpp>

#include <string>
#include <vector>

namespace objectcache::s3::detail {

/** Run a program, found as a shell would find it but without one, and take what it writes to its standard output.

    It reads nothing, shares the standard error with us, inherits no other file, and has a process group of its own, all of
    which is killed when the program is not waited for any longer.

    @pre `until` passes some time; `words` is not empty.
    @par Completion    With the output of a program that ended with status 0.
    @par Cancellation  Terminal, partial and total; kills it.
    @par Errors        `condition::timeout`, `condition::cancelled`; `condition::invalid` where it cannot be started;
                       `errc::access_denied` for another status or a signal; `errc::malformed_response` for more than
                       64 KiB. The detail names the program, never its arguments or its output. */
[[nodiscard]] asio::awaitable<result<std::string>> run_process(std::vector<std::string> words,
                                                               deadline until);

} // namespace objectcache::s3::detail

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/process.ipp>
#endif
