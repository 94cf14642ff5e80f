// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/s3/client.hpp>
#include <objectcache/testing/run_coroutine.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

/** For test programs that are several processes: doctest's assertions do not reach from one to the other. */
namespace support {

namespace oc = objectcache;
namespace asio = boost::asio;

struct failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};
inline void check(bool holds, const std::string& what)
{
    if (!holds)
        throw failure(what);
}

/** Where the server is and who we are; a child gets it as arguments. */
struct s3_place {
    std::string url, key, secret;

    [[nodiscard]] oc::s3::client client(asio::io_context& io) const
    {
        oc::s3::credentials who;
        who.access_key_id = key;
        who.secret_access_key = secret;
        return oc::s3::client(io.get_executor(), oc::s3::endpoint::parse(url).value(), who);
    }
    void make_bucket(const std::string& name) const
    {
        asio::io_context io(1);
        const oc::status made = oc::testing::run_to_end(io, create(client(io), name));
        check(made.ok() || made == oc::errc::already_exists, name + ": " + made.message());
    }

private:
    static asio::awaitable<oc::status> create(oc::s3::client c, std::string name)
    {
        co_return co_await c.create_bucket(std::move(name));
    }
};

/** With RGW_URL in the environment (interop/rgw.sh) Ceph's gateway, else a server of the test kit. */
class s3_site {
public:
    explicit s3_site(unsigned threads = 1)
    {
        if (const char* url = std::getenv("RGW_URL")) {
            where_ = {url, std::getenv("AWS_ACCESS_KEY_ID"), std::getenv("AWS_SECRET_ACCESS_KEY")};
            return;
        }
        oc::testing::s3_server_options how;
        how.threads = threads;
        server_.emplace(oc::testing::s3_server::start(how).value());
        where_ = {server_->endpoint_url(), server_->credentials().access_key_id,
                  server_->credentials().secret_access_key};
    }
    [[nodiscard]] const s3_place& where() const noexcept { return where_; }
    /** Null over the gateway. */
    [[nodiscard]] oc::testing::s3_server* own() noexcept { return server_ ? &*server_ : nullptr; }

private:
    std::optional<oc::testing::s3_server> server_;
    s3_place where_;
};

} // namespace support
