// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "settings.hpp"

#include <objectcache/cache.hpp>
#include <objectcache/kv/layout.hpp>
#include <objectcache/s3/default_credentials_provider.hpp>
#include <objectcache/s3/endpoint.hpp>
#include <objectcache/store/s3_tier.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace torch_llama {

namespace oc = objectcache;
namespace asio = boost::asio;

inline void check(const oc::status& s, const std::string& doing)
{
    if (!s.ok())
        throw complaint(doing + ": " + s.message());
}

template <class T>
T checked(oc::result<T> r, const std::string& doing)
{
    check(r.error(), doing);
    return std::move(*r);
}

/** The S3 store: the one at --endpoint, or the test kit's server in this process. */
class s3_store {
public:
    explicit s3_store(const settings& s) : settings_(s)
    {
        if (!s.endpoint.empty())
            return;
        oc::testing::s3_server_options o;
        o.buckets = {s.bucket};
        o.threads = 4;
        o.log_entries = 0;
        server_.emplace(checked(oc::testing::s3_server::start(o), "the S3 server of the test kit"));
    }

    /** From now on the built-in server has the link that was asked for. */
    void shape_link()
    {
        if (!server_)
            return;
        const auto rate = static_cast<std::uint64_t>(settings_.mbit * 1e6 / 8);
        server_->set_bandwidth(rate, rate);
        server_->set_latency(std::chrono::duration_cast<oc::duration>(
            std::chrono::duration<double, std::milli>(settings_.latency_ms)));
    }

    [[nodiscard]] oc::s3_tier tier(asio::io_context& io) const
    {
        const auto where = checked(
            oc::s3::endpoint::parse(server_ ? server_->endpoint_url() : settings_.endpoint), "--endpoint");
        auto client = server_
                          ? oc::s3::client(io.get_executor(), where, server_->credentials())
                          : oc::s3::client(io.get_executor(), where,
                                           oc::s3::default_credentials_provider(io.get_executor()),
                                           checked(oc::s3::client_options::from_env(where), "environment"));
        return {io.get_executor(), std::move(client), settings_.bucket};
    }

    /** @param layer_bytes KV of one layer of the whole prompt */
    [[nodiscard]] oc::cache_options cache_options(std::uint64_t layer_bytes) const
    {
        oc::cache_options o;
        if (settings_.layout != "auto") {
            o.stored_as = oc::parse_layout(settings_.layout);
            if (!o.stored_as)
                throw complaint("--layout " + settings_.layout +
                                ": auto, segment_objects, chunk_objects or layer_objects");
        }
        o.staging_bytes = std::max<std::uint64_t>(o.staging_bytes, 4 * layer_bytes);
        o.coalesce_bytes = settings_.coalesce_kib << 10;
        o.match_timeout = std::chrono::seconds(5);
        o.load_timeout = std::chrono::seconds(120);
        o.store_timeout = std::chrono::seconds(120);
        return o;
    }

private:
    const settings& settings_;
    std::optional<oc::testing::s3_server> server_;
};

} // namespace torch_llama
