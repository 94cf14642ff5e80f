// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/result.hpp>
#include <objectcache/s3/connection_pool.hpp>
#include <objectcache/s3/endpoint.hpp>

#include <boost/asio/awaitable.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace objectcache::s3::detail {

/** One plain request to a service beside the store. */
struct http_request {
    std::string method = "GET";
    endpoint where;                                           ///< its base path counts for nothing
    std::string target = "/";                                 ///< path and query, as they are sent
    std::vector<std::pair<std::string, std::string>> headers; ///< beside those that every request has
    std::string body;
};

struct http_response {
    unsigned code = 0; ///< 2xx and others
    std::string text;  ///< at most 64 KiB
};

/** A URL as a service and a target there.

    @par Errors  `condition::invalid`, for what `endpoint::parse` refuses and for a target that cannot be sent. */
[[nodiscard]] result<http_request> request_for(std::string_view url);

/** "PUT http://169.254.169.254/latest/api/token", without the query: how errors name a request. */
[[nodiscard]] std::string describe(const http_request& what);

/** Ask once over a connection of its own, and again (three times in all, a little later) after a 5xx, a 429 or a connection
    that broke: these services are asked rarely, and much depends on the answer. No redirect is followed.

    @pre `until` passes some time.
    @par Completion    With an answer of any status.
    @par Cancellation  Terminal, partial and total.
    @par Errors        Those of `connection_pool::acquire` and of `transfer`, with the request in the detail, which never
                       has a header or a body in it. */
[[nodiscard]] asio::awaitable<result<http_response>> http_fetch(http_request what, connection_options how,
                                                                deadline until);

} // namespace objectcache::s3::detail

#ifndef OBJECTCACHE_SEPARATE_COMPILATION
#include <objectcache/s3/impl/http_fetch.ipp>
#endif
