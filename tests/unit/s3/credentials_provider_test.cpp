// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/credentials_provider.hpp>

#include <unit/s3/credentials_fixture.hpp>

#include <support/run.hpp>

#include <doctest/doctest.h>

using namespace objectcache;
using namespace objectcache::s3;

TEST_CASE("credentials_provider: what is fixed outlives its provider")
{
    boost::asio::io_context io;
    credentials_provider provider = fixed_credentials({"A", "S", "T", {}});
    auto asked = provider();
    auto again = provider();
    provider = fixed_credentials(credentials::anonymous());
    CHECK(support::run(io, std::move(asked))->access_key_id == "A");
    CHECK(support::run(io, std::move(again))->session_token == "T");
    CHECK(support::run(io, provider())->is_anonymous());
}
