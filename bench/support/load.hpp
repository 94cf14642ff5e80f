// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

// What the clients that are compared have in common: the same requests in the same order into the same kind of memory, and
// one way of counting.
namespace bench {

using clock = std::chrono::steady_clock;

/** The command line of every client. Credentials come from AWS_ACCESS_KEY_ID and its kin. */
struct load {
    std::string url;
    std::string bucket = "bench";
    std::string ca_file;    ///< PEM, for https
    std::uint64_t size = 0; ///< bytes of an object
    unsigned objects = 1;   ///< their names are "<size>/0" ... ; they are taken in turn
    unsigned in_flight = 1; ///< requests, over all threads
    unsigned threads = 1;
    double warm_up = 0.2; ///< seconds that are not measured
    double seconds =
        1; ///< how long new requests are begun; those that are under way then are waited for, and count

    void add_to(CLI::App& app)
    {
        app.add_option("--url", url, "http[s]://address:port")->required();
        app.add_option("--bucket", bucket);
        app.add_option("--ca-file", ca_file);
        app.add_option("--size", size, "bytes of an object")->required()->check(CLI::PositiveNumber);
        app.add_option("--objects", objects)->check(CLI::PositiveNumber);
        app.add_option("--in-flight", in_flight)->check(CLI::PositiveNumber);
        app.add_option("--threads", threads)->check(CLI::PositiveNumber);
        app.add_option("--warm-up", warm_up, "seconds");
        app.add_option("--seconds", seconds);
    }

    [[nodiscard]] std::string key(unsigned object) const
    {
        return std::to_string(size) + "/" + std::to_string(object);
    }
    /** How many requests one of the threads keeps in flight. */
    [[nodiscard]] unsigned lanes(unsigned thread) const
    {
        return in_flight / threads + (thread < in_flight % threads ? 1 : 0);
    }
};

/** What one thread did. */
struct tally {
    std::uint64_t requests = 0;
    std::vector<float> latencies; ///< seconds
    std::string failure;          ///< of the first request that failed; none may

    void add(clock::time_point began)
    {
        ++requests;
        latencies.push_back(std::chrono::duration<float>(clock::now() - began).count());
    }
};

/** Memory to receive into, as a cache's staging is: there before it is needed, every page of it. */
class buffers {
public:
    buffers(unsigned count, std::uint64_t size) : size_(size), bytes_(count * size, std::byte{1}) {}
    [[nodiscard]] objectcache::byte_span operator[](unsigned lane)
    {
        return objectcache::byte_span(bytes_).subspan(lane * size_, size_);
    }

private:
    std::uint64_t size_;
    std::vector<std::byte> bytes_;
};

/** Which object is next, on one thread of several. */
class turn {
public:
    turn(const load& what, unsigned thread) : objects_(what.objects), step_(what.threads), next_(thread) {}
    unsigned operator()() noexcept
    {
        const unsigned object = next_ % objects_;
        next_ += step_;
        return object;
    }

private:
    unsigned objects_, step_, next_;
};

struct cpu_seconds {
    double user = 0, system = 0;

    static cpu_seconds now()
    {
        rusage used{};
        getrusage(RUSAGE_SELF, &used);
        const auto seconds = [](const timeval& t) {
            return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
        };
        return {seconds(used.ru_utime), seconds(used.ru_stime)};
    }
};

/** Run `Client(what, thread)` on each thread, once to warm up and once measured, and print one line of JSON.

    @tparam Client Has `run(clock::time_point until, tally&)`: begins no request after `until`, returns when all have ended. */
template <class Client, class... Options>
int measure(const load& what, const Options&... options)
{
    std::vector<std::unique_ptr<Client>> clients;
    for (unsigned i = 0; i < what.threads; ++i)
        clients.push_back(std::make_unique<Client>(what, i, options...));

    std::vector<tally> tallies;
    const auto run = [&](double seconds) {
        tallies.assign(what.threads, tally());
        for (tally& t : tallies)
            t.latencies.reserve(1 << 16);
        const auto until = clock::now() + std::chrono::duration_cast<clock::duration>(
                                              std::chrono::duration<double>(seconds));
        std::vector<std::thread> others;
        for (unsigned i = 1; i < what.threads; ++i)
            others.emplace_back([&, i] { clients[i]->run(until, tallies[i]); });
        clients[0]->run(until, tallies[0]);
        for (std::thread& other : others)
            other.join();
        for (const tally& t : tallies)
            if (!t.failure.empty())
                throw std::runtime_error(t.failure);
    };

    run(what.warm_up);
    const cpu_seconds before = cpu_seconds::now();
    const auto began = clock::now();
    run(what.seconds);
    const double took = std::chrono::duration<double>(clock::now() - began).count();
    const cpu_seconds after = cpu_seconds::now();

    std::uint64_t requests = 0;
    std::vector<float> latencies;
    for (const tally& t : tallies) {
        requests += t.requests;
        latencies.insert(latencies.end(), t.latencies.begin(), t.latencies.end());
    }
    if (requests == 0)
        throw std::runtime_error("no request was carried out");
    std::sort(latencies.begin(), latencies.end());
    const auto quantile = [&](double q) {
        return 1e3 * latencies[static_cast<std::size_t>(q * static_cast<double>(latencies.size() - 1))];
    };
    std::printf(
        "{\"requests\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"cpu_user\": %.6f, \"cpu_system\": %.6f, "
        "\"p50_ms\": %.4f, \"p99_ms\": %.4f}\n",
        static_cast<unsigned long long>(requests), static_cast<unsigned long long>(requests * what.size),
        took, after.user - before.user, after.system - before.system, quantile(0.5), quantile(0.99));
    return 0;
}

/** `main` but for what can go wrong in it. */
template <class Main>
int guarded(Main&& body)
{
    try {
        return body();
    } catch (const CLI::ParseError&) {
        throw;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}

} // namespace bench
