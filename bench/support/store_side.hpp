// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/cache.hpp>
#include <objectcache/device/device.hpp>
#include <objectcache/io/reactor.hpp>
#include <objectcache/store/measure_costs.hpp>
#include <objectcache/store/s3_tier.hpp>
#include <objectcache/store/spread_tier.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include <pthread.h>
#include <sched.h>

#include <ctime>
#include <fstream>
#include <future>
#include <list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// An object store and a cache over it, in the process of a benchmark.
namespace bench {

namespace oc = objectcache;
namespace asio = boost::asio;

template <class T>
T checked(oc::result<T> r, const char* doing)
{
    if (!r)
        throw std::runtime_error(std::string(doing) + ": " + r.error().message());
    return std::move(*r);
}

/** Threads that are made while this lives run on these cores only. */
class on_cores {
public:
    on_cores(unsigned first, unsigned count)
    {
        sched_getaffinity(0, sizeof before_, &before_);
        cpu_set_t wanted;
        CPU_ZERO(&wanted);
        for (unsigned c = first; c < first + count; ++c)
            CPU_SET(c, &wanted);
        if (count != 0)
            sched_setaffinity(0, sizeof wanted, &wanted);
    }
    on_cores(const on_cores&) = delete;
    on_cores& operator=(const on_cores&) = delete;
    ~on_cores() { sched_setaffinity(0, sizeof before_, &before_); }

private:
    cpu_set_t before_{};
};

struct link_shape {
    double gbit = 100; ///< 0: not shaped
    double latency_ms = 1;

    friend bool operator==(const link_shape&, const link_shape&) = default;
};

struct store_settings {
    unsigned server_threads = 6; ///< each with a core of its own
    unsigned io_threads = 8;
    bool tls = false;
};

/** The S3 server of the test kit, on cores of its own, in this process; its link can be changed while it runs. */
class store_server {
public:
    explicit store_server(const store_settings& s)
    {
        oc::testing::s3_server_options how;
        how.threads = s.server_threads;
        how.buckets = {"kv-bench"};
        how.log_entries = 0;
        if (s.tls)
            how.tls = certificate_ =
                checked(oc::testing::self_signed_certificate("127.0.0.1"), "certificate");
        const unsigned others = cores_beside(s);
        how.poll = others != 0; // a core each is theirs, and the link is to be what it is said to be
        const on_cores apart(others, others != 0 ? s.server_threads : 0);
        server_.emplace(checked(oc::testing::s3_server::start(std::move(how)), "server"));
    }
    /** How many cores, the first ones, are not the server's; 0 where it has none of its own. */
    [[nodiscard]] static unsigned cores_beside(const store_settings& s)
    {
        const unsigned cores = std::thread::hardware_concurrency();
        return cores > s.server_threads + 1 ? cores - s.server_threads : 0;
    }
    void set(const link_shape& l)
    {
        const auto rate = static_cast<std::uint64_t>(l.gbit * 1e9 / 8);
        server_->set_bandwidth(rate, 0);
        server_->set_latency(std::chrono::duration_cast<oc::duration>(
            std::chrono::duration<double, std::milli>(l.latency_ms)));
    }
    [[nodiscard]] oc::s3::client client(asio::any_io_executor on) const
    {
        oc::s3::client_options how;
        if (certificate_) {
            const std::string file = "/tmp/objectcache-bench-ca.pem";
            std::ofstream(file) << certificate_->certificate_pem;
            how.connections.ca_file = file;
        }
        return {on, checked(oc::s3::endpoint::parse(server_->endpoint_url()), "endpoint"),
                server_->credentials(), std::move(how)};
    }

private:
    std::optional<oc::testing::certificate> certificate_;
    std::optional<oc::testing::s3_server> server_;
};

/** The cache of an engine: its own thread, and threads that receive. */
template <oc::device Device>
class cache_side_of {
public:
    using tier = oc::spread_tier<oc::s3_tier>;
    using cache = oc::cache<Device, tier>;

    cache_side_of(const store_server& server, Device& device, unsigned threads,
                  const oc::cache_options& options)
    {
        std::vector<oc::s3_tier*> ways;
        for (unsigned i = 0; i < threads; ++i) {
            auto& thread = threads_.emplace_back();
            ways.push_back(&tiers_.emplace_back(thread.get_executor(), server.client(thread.get_executor()),
                                                "kv-bench"));
        }
        tier_.emplace(own_.get_executor(), ways);
        cache_.emplace(checked(cache::create(*tier_, device, options), "cache"));
        clocks_.push_back(clock_of(own_));
        for (auto& thread : threads_)
            clocks_.push_back(clock_of(thread));
    }
    ~cache_side_of()
    {
        (void)cache_->close(asio::use_future).get();
        own_.stop();
        for (auto& thread : threads_)
            thread.stop();
    }

    [[nodiscard]] cache& get() noexcept { return *cache_; }
    [[nodiscard]] asio::any_io_executor executor() { return own_.get_executor(); }
    [[nodiscard]] tier& store() noexcept { return *tier_; }
    /** What the store costs over its link as it is now. */
    [[nodiscard]] oc::result<oc::storage_costs> costs()
    {
        return oc::measure_costs(*tier_, oc::measure_options(), asio::use_future).get();
    }
    /** Seconds that the cache's threads have worked, and its own among them. */
    struct cpu {
        double all = 0, pipeline = 0;
    };
    [[nodiscard]] cpu used() const
    {
        cpu out;
        for (std::size_t i = 0; i < clocks_.size(); ++i) {
            timespec t{};
            clock_gettime(clocks_[i], &t);
            const double s = static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
            out.all += s;
            if (i == 0)
                out.pipeline = s;
        }
        return out;
    }

private:
    static clockid_t clock_of(oc::reactor_thread& thread)
    {
        return asio::post(thread.get_executor(), asio::use_future([] {
                              clockid_t id{};
                              pthread_getcpuclockid(pthread_self(), &id);
                              return id;
                          }))
            .get();
    }

    oc::reactor_thread own_;
    std::list<oc::reactor_thread> threads_;
    std::list<oc::s3_tier> tiers_;
    std::optional<tier> tier_;
    std::optional<cache> cache_;
    std::vector<clockid_t> clocks_;
};

} // namespace bench
