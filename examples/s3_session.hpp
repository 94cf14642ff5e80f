// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the programs that talk to S3 have in common: addresses, the options that say where the store is, and a client that
// Ctrl-C stops.
#include <objectcache/core/error.hpp>
#include <objectcache/io/operation.hpp>
#include <objectcache/s3/client.hpp>
#include <objectcache/s3/default_credentials_provider.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <exception>
#include <string>
#include <utility>

namespace oc = objectcache;
namespace asio = boost::asio;

/** s3://bucket/key, or a path; "-" is standard input or output. */
struct place {
    std::string bucket, name; // no bucket: local

    place() = default;
    explicit place(std::string text) : name(std::move(text))
    {
        if (!name.starts_with("s3://"))
            return;
        bucket = name.substr(5, name.find('/', 5) - 5);
        name.erase(0, 6 + bucket.size());
    }
    [[nodiscard]] bool remote() const { return !bucket.empty(); }
    [[nodiscard]] place as_folder() const
    {
        place out = *this;
        out.name += name.empty() || name.ends_with('/') ? "" : "/";
        return out;
    }
    [[nodiscard]] place child(const std::string& below) const { return sibling(as_folder().name + below); }
    [[nodiscard]] place sibling(std::string other) const
    {
        place out = *this;
        out.name = std::move(other);
        return out;
    }
};

struct s3_settings {
    std::string endpoint;
    unsigned parallel = 16;

    void add_to(CLI::App& app)
    {
        app.add_option("--endpoint", endpoint,
                       "URL of an S3 store (default: AWS_ENDPOINT_URL, the profile's, or AWS itself)");
        app.add_option("--parallel,-j", parallel, "requests under way at once")
            ->check(CLI::Range(1, 1024))
            ->capture_default_str();
    }
};

/** Run `body` with a client until it ends, or SIGINT or SIGTERM cancels it; that does not throw.

    @param body `asio::awaitable<oc::status>(oc::s3::client)` */
template <class Body>
oc::status run_with_client(const s3_settings& how, Body body)
{
    const auto where =
        how.endpoint.empty() ? oc::s3::endpoint::from_env() : oc::s3::endpoint::parse(how.endpoint);
    if (!where)
        return where.error();
    auto options = oc::s3::client_options::from_env(*where);
    if (!options)
        return options.error();
    options->connections.max_connections = how.parallel;

    asio::io_context io(1);
    const auto who = oc::s3::default_credentials_provider(io.get_executor());
    const oc::s3::client client(io.get_executor(), *where, who, *options);
    const auto carry_out = [&]() -> asio::awaitable<oc::status> {
        co_await oc::without_exceptions();
        co_return co_await body(client);
    };
    asio::cancellation_signal stop; // what is interrupted cleans up behind itself
    asio::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](boost::system::error_code, int) { stop.emit(asio::cancellation_type::terminal); });
    oc::status done;
    const auto end = [&](std::exception_ptr no_memory, oc::status how_it_went) {
        done = no_memory ? oc::status(oc::errc::exhausted) : std::move(how_it_went);
        signals.cancel();
    };
    asio::co_spawn(io, carry_out(), asio::bind_cancellation_slot(stop.slot(), end));
    io.run();
    return done;
}
