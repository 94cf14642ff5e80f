// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/result.hpp>
#include <objectcache/s3/credentials.hpp>

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <utility>

namespace objectcache::s3 {

namespace asio = boost::asio;

/** Where a client has its credentials from: asked before the first request, and again when those it gave will expire within
    a minute; until then a failure to renew them does no harm. Calls may overlap. Copies are the same provider.

    What is in credentials_sources.hpp asks somebody every time; `cached_credentials` in front of it is what a client wants. */
using credentials_provider = std::function<asio::awaitable<result<credentials>>()>;

namespace detail {

[[nodiscard]] inline asio::awaitable<result<credentials>> known_credentials(result<credentials> who)
{
    co_return who;
}

} // namespace detail

/** Always the same, and `credentials::anonymous()` for public buckets. */
[[nodiscard]] inline credentials_provider fixed_credentials(credentials who)
{
    return [who = std::move(who)] { return detail::known_credentials(who); };
}

} // namespace objectcache::s3
