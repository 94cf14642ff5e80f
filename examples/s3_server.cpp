// SPDX-License-Identifier: BSL-1.0
//
// The S3 server of the test kit as a program: something to develop and to measure against when there is no
// object store at hand, as slow as you ask for. It listens on 127.0.0.1 only and is no place for data that
// matters.
//
//     objectcache_s3_server --port 9000 --bucket kv-cache --latency-ms 20 --mbit 1000

#include <objectcache/testing/s3_server.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

namespace oc = objectcache;

namespace {

std::string file_text(const std::string& path)
{
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void print_request(const oc::testing::s3_log_entry& entry)
{
    const oc::testing::s3_request& r = entry.request;
    std::string line = std::to_string(r.number) + " conn=" + std::to_string(r.connection) + " " + r.method +
                       " /" + r.bucket + (r.key.empty() ? "" : "/" + r.key) +
                       (r.query.empty() ? "" : "?" + r.query);
    if (!r.range.empty())
        line += " " + r.range;
    line += " -> " + std::to_string(entry.status) + " " + entry.error_code;
    line += " in=" + std::to_string(entry.bytes_in) + " out=" + std::to_string(entry.bytes_out);
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(entry.took).count();
    std::fprintf(stderr, "%s %lld us\n", line.c_str(),
                 static_cast<long long>(us)); // one call: lines stay whole
}

} // namespace

int main(int argc, char** argv)
{
    oc::testing::s3_server_options options;
    options.log_entries = 0;
    double latency_ms = 0;
    double mbit = 0;
    bool verbose = false;
    bool tls = false;
    std::string certificate_file, key_file;

    CLI::App app("An S3 server for development and tests, on 127.0.0.1");
    app.add_option("--port", options.port, "0: one that is free");
    app.add_option("--dir", options.directory, "keep objects here as files (default: in memory)");
    app.add_option("--bucket", options.buckets, "create it at the start; may be repeated");
    app.add_option("--latency-ms", latency_ms, "time to first byte")->check(CLI::NonNegativeNumber);
    app.add_option("--mbit", mbit, "link rate in Mbit/s, each direction; 0: unlimited")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--access-key", options.credentials.access_key_id, "key id to accept")
        ->capture_default_str();
    app.add_option("--secret-key", options.credentials.secret_access_key, "its secret")
        ->capture_default_str();
    app.add_flag("--anonymous", options.allow_anonymous, "also carry out unsigned requests");
    app.add_option("--threads", options.threads)->check(CLI::Range(1, 256))->capture_default_str();
    app.add_flag("--poll", options.poll, "threads never sleep: exact latency and rate, a core each");
    app.add_flag("--tls", tls, "serve HTTPS with a certificate made for this run, printed at the start");
    auto* const certificate_option =
        app.add_option("--certificate", certificate_file, "serve HTTPS with this PEM file")
            ->check(CLI::ExistingFile);
    auto* const key_option =
        app.add_option("--key", key_file, "its private key, PEM")->check(CLI::ExistingFile);
    certificate_option->needs(key_option);
    key_option->needs(certificate_option);
    app.add_flag("--verbose", verbose, "a line for each request, on stderr");
    CLI11_PARSE(app, argc, argv);

    if (!certificate_file.empty()) {
        options.tls = oc::testing::certificate{file_text(certificate_file), file_text(key_file)};
    } else if (tls) {
        auto made = oc::testing::self_signed_certificate("127.0.0.1");
        if (!made) {
            std::cerr << made.error().message() << '\n';
            return 1;
        }
        options.tls = *made;
    }
    if (verbose)
        options.on_request = print_request;

    // Before the server's threads exist, so that a signal that comes early is not lost.
    boost::asio::io_context context;
    boost::asio::signal_set signals(context, SIGINT, SIGTERM);
    signals.async_wait([](boost::system::error_code, int) {});

    auto server = oc::testing::s3_server::start(options);
    if (!server) {
        std::cerr << server.error().message() << '\n';
        return 1;
    }
    const auto bytes_per_second = static_cast<std::uint64_t>(mbit * 1e6 / 8);
    server->set_bandwidth(bytes_per_second, bytes_per_second);
    server->set_latency(std::chrono::microseconds(static_cast<std::int64_t>(latency_ms * 1000)));

    std::cout << "listening on " << server->endpoint_url() << "\n\n"
              << "export AWS_ENDPOINT_URL=" << server->endpoint_url() << '\n'
              << "export AWS_REGION=us-east-1\n"
              << "export AWS_ACCESS_KEY_ID=" << options.credentials.access_key_id << '\n'
              << "export AWS_SECRET_ACCESS_KEY=" << options.credentials.secret_access_key << '\n';
    if (tls && certificate_file.empty())
        std::cout << "# save as a file and name it in AWS_CA_BUNDLE:\n" << options.tls->certificate_pem;
    std::cout << std::flush;

    context.run(); // until a signal
    const auto stats = server->stats();
    std::cout << stats.requests << " requests, " << stats.bytes_in << " bytes in, " << stats.bytes_out
              << " bytes out\n";
    return 0;
}
