// SPDX-License-Identifier: BSL-1.0
//
// How much does one cache's tier read, and at what cost in CPU, when it is spread over 1, 2, 4 ... threads? Lines of JSON, or a
// table. The server is one that is there, or ours in a process of its own.

#include "support/load.hpp"
#include "support/server_process.hpp"
#include "support/slices.hpp"

#include <objectcache/io/reactor.hpp>
#include <objectcache/store/s3_tier.hpp>
#include <objectcache/store/spread_tier.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <fstream>
#include <iterator>

namespace oc = objectcache;
namespace asio = boost::asio;

namespace {

struct settings {
    std::vector<unsigned> threads{1};
    unsigned server_threads = 1;
    double mbit = 0; // of our server's link
    int send_buffer = 0;
    std::string endpoint, ca_file, bucket = "bench";
    std::uint64_t size = std::uint64_t(8) << 20;
    std::uint64_t data = std::uint64_t(1) << 30;
    unsigned in_flight = 32;
    double seconds = 2, warm_up = 0.5;
    bool tls = false, verify = false, direct = false, keep = false, table = false;

    [[nodiscard]] unsigned objects() const
    {
        return static_cast<unsigned>(std::max<std::uint64_t>(data / size, 1));
    }
    [[nodiscard]] static std::string key(unsigned object) { return "tier_read/" + std::to_string(object); }
};

struct target {
    oc::s3::endpoint where;
    oc::s3::credentials who;
    std::string ca_file;
};

/** A reactor and a client of its own. */
struct way {
    way(const target& to, const std::string& bucket)
        : tier(thread.get_executor(), oc::s3::client(thread.get_executor(), to.where, to.who, options(to)),
               bucket)
    {}
    ~way() { thread.stop(); }
    static oc::s3::client_options options(const target& to)
    {
        oc::s3::client_options o;
        o.connections.ca_file = to.ca_file;
        return o;
    }
    oc::reactor_thread thread;
    oc::s3_tier tier;
};

struct measured {
    std::uint64_t requests = 0;
    double seconds = 0;
    bench::cpu_seconds cpu;
    double server_cpu = 0;
};

/** Reads that keep following one another; all of them begin and end on the caller's thread. */
template <class Tier>
class reads {
public:
    reads(Tier& tier, asio::io_context& io, const settings& how, const bench::slice_hashes& expected)
        : tier_(tier)
        , io_(io)
        , how_(how)
        , expected_(expected)
        , memory_(how.in_flight, how.size)
    {}
    std::uint64_t run(double seconds)
    {
        until_ = bench::clock::now() +
                 std::chrono::duration_cast<bench::clock::duration>(std::chrono::duration<double>(seconds));
        done_ = 0;
        for (unsigned i = 0; i < how_.in_flight; ++i)
            asio::co_spawn(io_, lane(*this, memory_[i]), asio::detached);
        io_.restart();
        io_.run();
        if (!failure_.empty())
            throw std::runtime_error(failure_);
        return done_;
    }

private:
    static asio::awaitable<void> lane(reads& self, oc::byte_span memory)
    {
        while (bench::clock::now() < self.until_ && self.failure_.empty()) {
            const unsigned object = self.next_++ % self.how_.objects();
            std::string key = settings::key(object);
            const oc::byte_range range{0, memory.size()};
            bench::slice_verifier seen(self.expected_, object, memory);
            oc::read_observer* const observer = self.how_.verify ? &seen : nullptr;
            oc::status s =
                co_await self.tier_.read(std::move(key), range, memory, oc::deadline::never(), observer);
            if (!s.ok())
                self.failure_ = s.message();
            else if (!seen.is_right())
                self.failure_ = settings::key(object) + " is not what was stored";
            ++self.done_;
        }
    }

    Tier& tier_;
    asio::io_context& io_;
    const settings& how_;
    const bench::slice_hashes& expected_;
    bench::buffers memory_;
    bench::clock::time_point until_;
    unsigned next_ = 0;
    std::uint64_t done_ = 0;
    std::string failure_;
};

template <class Tier>
measured measure(Tier& tier, asio::io_context& io, const settings& how, const bench::slice_hashes& expected,
                 const bench::server_process* server)
{
    reads<Tier> work(tier, io, how, expected);
    work.run(how.warm_up);
    measured out;
    const double server_before = server ? server->cpu() : 0;
    const auto before = bench::cpu_seconds::now();
    const auto began = bench::clock::now();
    out.requests = work.run(how.seconds);
    out.seconds = std::chrono::duration<double>(bench::clock::now() - began).count();
    const auto after = bench::cpu_seconds::now();
    out.cpu = {after.user - before.user, after.system - before.system};
    out.server_cpu = server ? server->cpu() - server_before : 0;
    return out;
}

/** Writes the objects, unless they are to be there, and says what their slices hash to. */
bench::slice_hashes fill(const target& to, const settings& how)
{
    bench::slice_hashes out;
    asio::io_context io(1);
    oc::s3_tier tier(io.get_executor(), oc::s3::client(io.get_executor(), to.where, to.who, way::options(to)),
                     how.bucket);
    oc::status failed;
    std::vector<std::byte> bytes(how.size);
    const oc::const_byte_span part(bytes);
    const auto body = [&](unsigned object) -> asio::awaitable<void> {
        oc::status s = co_await tier.write(settings::key(object), std::span(&part, 1), oc::if_exists::replace,
                                           oc::deadline::never());
        failed = std::move(s);
    };
    for (unsigned object = 0; object < how.objects() && failed.ok(); ++object) {
        std::uint64_t state = object + 1; // splitmix64
        for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
            std::uint64_t z = state += 0x9e3779b97f4a7c15;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
            z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
            z ^= z >> 31;
            std::memcpy(bytes.data() + at, &z, 8);
        }
        bench::add_hashes_of(bytes, out);
        if (how.keep)
            continue;
        asio::co_spawn(io, body(object), asio::detached);
        io.restart();
        io.run();
    }
    if (!failed.ok())
        throw std::runtime_error(failed.message());
    return out;
}

void print(const settings& how, unsigned threads, const measured& m)
{
    const double gb = static_cast<double>(m.requests) * static_cast<double>(how.size) * 1e-9;
    if (how.table) {
        std::printf("%8u %9.2f %11.3f %11.3f %11.3f %14.3f %9.0f\n", threads, gb / m.seconds,
                    (m.cpu.user + m.cpu.system) / gb, m.cpu.user / gb, m.cpu.system / gb, m.server_cpu / gb,
                    static_cast<double>(m.requests) / m.seconds);
    } else {
        std::printf(
            "{\"threads\": %u, \"spread\": %s, \"server_threads\": %u, \"size\": %llu, \"in_flight\": %u, "
            "\"tls\": %s, \"verify\": %s, \"seconds\": %.3f, \"requests\": %llu, \"gb_per_s\": %.3f, "
            "\"cpu_s_per_gb\": %.4f, \"user_s_per_gb\": %.4f, \"system_s_per_gb\": %.4f, "
            "\"server_cpu_s_per_gb\": %.4f}\n",
            threads, how.direct ? "false" : "true", how.server_threads,
            static_cast<unsigned long long>(how.size), how.in_flight, how.tls ? "true" : "false",
            how.verify ? "true" : "false", m.seconds, static_cast<unsigned long long>(m.requests),
            gb / m.seconds, (m.cpu.user + m.cpu.system) / gb, m.cpu.user / gb, m.cpu.system / gb,
            m.server_cpu / gb);
    }
    std::fflush(stdout);
}

int run(const settings& how)
{
    std::optional<bench::server_process> server;
    target to{{}, {}, how.ca_file};
    std::string url = how.endpoint;
    if (url.empty()) {
        server.emplace(bench::server_process::options{how.server_threads, how.bucket, how.tls, how.mbit,
                                                      how.send_buffer});
        url = server->url();
        to.ca_file = server->ca_file();
        to.who = server->credentials();
    } else {
        auto who = oc::s3::credentials::from_env();
        to.who = who ? std::move(*who) : oc::s3::credentials::anonymous();
    }
    auto where = oc::s3::endpoint::parse(url);
    if (!where)
        throw std::runtime_error(where.error().message());
    to.where = std::move(*where);
    const bench::slice_hashes expected = fill(to, how);
    const bench::slice_hashes nothing;

    if (how.table)
        std::printf("%8s %9s %11s %11s %11s %14s %9s\n", "threads", "GB/s", "CPU s/GB", "user", "system",
                    "server s/GB", "reads/s");
    for (const unsigned threads : how.direct ? std::vector<unsigned>{1} : how.threads) {
        const auto& hashes = how.verify ? expected : nothing;
        asio::io_context io(1);
        const auto* const beside = server ? &*server : nullptr;
        if (how.direct) {
            oc::s3_tier tier(io.get_executor(),
                             oc::s3::client(io.get_executor(), to.where, to.who, way::options(to)),
                             how.bucket);
            print(how, threads, measure(tier, io, how, hashes, beside));
            continue;
        }
        std::vector<std::unique_ptr<way>> ways;
        std::vector<oc::s3_tier*> tiers;
        for (unsigned i = 0; i < threads; ++i) {
            ways.push_back(std::make_unique<way>(to, how.bucket));
            tiers.push_back(&ways.back()->tier);
        }
        oc::spread_tier<oc::s3_tier> tier(io.get_executor(), tiers);
        print(how, threads, measure(tier, io, how, hashes, beside));
    }
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    settings how;
    CLI::App app("Reads objects through a tier that is spread over threads");
    app.add_option("--threads", how.threads, "threads that receive, one measurement each: 1,2,4")
        ->delimiter(',');
    app.add_option("--endpoint", how.endpoint,
                   "of a server that is there; credentials as AWS_ACCESS_KEY_ID ...");
    app.add_option("--ca-file", how.ca_file, "PEM, for https");
    app.add_option("--bucket", how.bucket)->capture_default_str();
    app.add_option("--server-threads", how.server_threads, "of our server, a process of its own")
        ->capture_default_str();
    app.add_option("--mbit", how.mbit, "of our server's link, Mbit/s; 0: unlimited");
    app.add_option("--server-send-buffer", how.send_buffer,
                   "bytes in the kernel, of each connection of our server")
        ->transform(CLI::AsSizeValue(false));
    app.add_flag("--tls", how.tls, "of our server");
    app.add_option("--size", how.size, "bytes of a read: 8m")->transform(CLI::AsSizeValue(false));
    app.add_option("--data", how.data, "bytes of all objects, which are read in turn: 1g")
        ->transform(CLI::AsSizeValue(false));
    app.add_option("--in-flight", how.in_flight)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--seconds", how.seconds)->capture_default_str();
    app.add_option("--warm-up", how.warm_up, "seconds")->capture_default_str();
    app.add_flag("--verify", how.verify, "XXH3 of each 256 KiB as they arrive");
    app.add_flag("--direct", how.direct, "not spread: one tier on the caller's thread");
    app.add_flag("--keep", how.keep, "the objects are there already");
    app.add_flag("--table", how.table, "for people");
    CLI11_PARSE(app, argc, argv);
    return bench::guarded([&] { return run(how); });
}
