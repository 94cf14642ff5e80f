// SPDX-License-Identifier: BSL-1.0
//
// How fast a prefix gets from an S3 server into the memory of a GPU through the whole cache: match and load, nothing computes.
// Beside it the bounds: plain copies from pinned memory to the device, and memcpy into pinned memory. Needs a GPU. A JSON
// line per cell into a file, a table on the output.
#include "support/gpu.hpp"
#include "support/store_side.hpp"

#include <objectcache/cuda/device.hpp>
#include <objectcache/cuda/kv_kernels.hpp>
#include <objectcache/cuda/pinned.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <cstring>
#include <functional>
#include <numeric>
#include <random>

namespace {

using namespace bench;

using cache_side = cache_side_of<oc::cuda::device>;

struct settings {
    std::uint64_t bytes = std::uint64_t{4} << 30;
    std::uint32_t layers = 32, chunk = 64, block = 64, depth = 4, max_requests = 64;
    std::vector<unsigned> io_threads{1, 2, 4, 8};
    unsigned at_once = 1, kernel_blocks = 8;
    std::size_t staging_mib = 1024;
    double seconds = 4;
    std::string layout = "segment_objects", json;
    bool whole = false, pace = true, bounds = true;
    store_settings store;
};

constexpr std::size_t piece = std::size_t{8} << 20; // of the bounds' copies

/** The KV of one sequence on the device, in blocks that are in no order. */
class paged_kv {
public:
    paged_kv(const oc::kv_geometry& g, std::size_t tokens, std::uint32_t block, unsigned seed)
        : geometry_(g)
        , block_(block)
        , table_(tokens / block)
        , plane_(tokens * g.row_bytes())
    {
        std::iota(table_.begin(), table_.end(), 0U);
        std::shuffle(table_.begin(), table_.end(), std::mt19937(seed));
        void* at = nullptr;
        gpu_ok(cudaMalloc(&at, bytes()), "memory of the device");
        at_ = static_cast<std::byte*>(at);
    }
    paged_kv(const paged_kv&) = delete;
    paged_kv& operator=(const paged_kv&) = delete;
    ~paged_kv() { (void)cudaFree(at_); }

    [[nodiscard]] std::size_t bytes() const { return planes() * plane_; }
    [[nodiscard]] std::byte* data() const { return at_; }
    [[nodiscard]] oc::kv_pages pages() const
    {
        std::vector<oc::kv_layer_memory> layers(geometry_.layers);
        for (std::size_t l = 0; l < layers.size(); ++l)
            layers[l] = {at_ + 2 * l * plane_, at_ + (2 * l + 1) * plane_};
        return oc::kv_pages::paged(geometry_, std::move(layers), block_, table_);
    }

    void fill(int byte)
    {
        gpu_ok(cudaMemset(at_, byte, bytes()), "filling");
        gpu_ok(cudaDeviceSynchronize(), "filling");
    }
    /** With bytes that repeat nowhere. */
    void fill_with_noise()
    {
        const auto host = gpu_made(oc::cuda::pinned_slab::create(0, plane_), "pinned memory");
        std::uint64_t x = 0x9e3779b97f4a7c15;
        for (std::size_t p = 0; p < planes(); ++p) {
            for (std::size_t i = 0; i < plane_; i += sizeof x) {
                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                std::memcpy(host.bytes().data() + i, &x, sizeof x);
            }
            gpu_ok(cudaMemcpy(at_ + p * plane_, host.bytes().data(), plane_, cudaMemcpyHostToDevice),
                   "filling");
        }
        gpu_ok(cudaDeviceSynchronize(), "filling");
    }
    /** Whether every token has the same bytes there, wherever its block is. */
    [[nodiscard]] bool same_as(const paged_kv& other) const
    {
        const auto host = gpu_made(oc::cuda::pinned_slab::create(0, 2 * plane_), "pinned memory");
        std::byte* const mine = host.bytes().data();
        std::byte* const theirs = mine + plane_;
        const std::size_t size = block_ * geometry_.row_bytes();
        for (std::size_t p = 0; p < planes(); ++p) {
            gpu_ok(cudaMemcpy(mine, at_ + p * plane_, plane_, cudaMemcpyDeviceToHost), "comparing");
            gpu_ok(cudaMemcpy(theirs, other.at_ + p * plane_, plane_, cudaMemcpyDeviceToHost), "comparing");
            for (std::size_t i = 0; i < table_.size(); ++i)
                if (std::memcmp(mine + table_[i] * size, theirs + other.table_[i] * size, size) != 0)
                    return false;
        }
        return true;
    }

private:
    [[nodiscard]] std::size_t planes() const { return std::size_t{2} * geometry_.layers; }

    oc::kv_geometry geometry_;
    std::uint32_t block_;
    std::vector<std::uint32_t> table_;
    std::size_t plane_; // K or V of a layer, bytes
    std::byte* at_ = nullptr;
};

class program {
public:
    explicit program(const settings& s)
        : s_(s)
        , server_(s.store)
        , beside_(0, store_server::cores_beside(s.store)) // whatever threads are made from now on
        , device_(gpu_made(oc::cuda::device::create({.kernel_blocks = s.kernel_blocks}), "CUDA"))
        , shape_{s.layers, 8, 128, oc::kv_dtype::bf16, oc::kv_form::separate, s.chunk} // Llama-3.1-8B
        , tokens_(whole_tokens())
        , prompt_(tokens_ + 1)
        , source_(shape_, tokens_, s.block, 1)
    {
        if (const auto ready = device_->use_kernels(checked(oc::cuda::runtime_kv_kernels::make(), "kernels"));
            !ready.ok())
            throw std::runtime_error("kernels: " + ready.message());
        std::mt19937 random(1);
        for (auto& t : prompt_)
            t = random() % 128256;
        where_.model = "llama-3.1-8b";
        where_.weights_revision = "random";
        where_.geometry = shape_;
        for (unsigned i = 0; i < s.at_once; ++i)
            into_.push_back(std::make_unique<paged_kv>(shape_, tokens_, s.block, 2 + i));
    }

    void run()
    {
        std::printf(
            "%s; %zu tokens, %.3f GB; %u layers, G = %u, blocks of %u tokens, %s; server: %u threads\n",
            device_name().c_str(), tokens_, gb(), s_.layers, s_.chunk, s_.block, s_.layout.c_str(),
            s_.store.server_threads);
        (void)options(); // refuses what is wrong before anything takes long
        source_.fill_with_noise();
        server_.set({0, 0});
        store();
        std::printf("%-44s %8s %8s %8s %6s  %8s %9s %8s\n", "GB/s", "median", "least", "most", "times",
                    "CPU s/GB", "requests", "match ms");
        if (s_.bounds)
            bounds();
        for (const unsigned threads : s_.io_threads)
            loads(threads);
    }

private:
    /** Whole chunks in whole blocks, as many as fit. */
    [[nodiscard]] std::size_t whole_tokens() const
    {
        const std::size_t unit = std::lcm(s_.chunk, s_.block);
        const std::size_t n = s_.bytes / (shape_.layers * shape_.parts() * shape_.row_bytes()) / unit * unit;
        if (n == 0)
            throw std::runtime_error("--bytes is less than a chunk");
        return n;
    }
    [[nodiscard]] double gb() const { return static_cast<double>(source_.bytes()) / 1e9; }
    [[nodiscard]] oc::cache_options options() const
    {
        oc::cache_options o;
        o.stored_as = oc::parse_layout(s_.layout);
        if (!o.stored_as)
            throw std::runtime_error("--layout " + s_.layout + ": no such one");
        o.staging_bytes = s_.staging_mib << 20;
        o.prefetch_depth = s_.depth;
        o.pace_layers = s_.pace;
        o.max_requests = s_.max_requests;
        o.max_writes = 16; // storing is not what is measured
        o.match_timeout = std::chrono::seconds(20);
        o.load_timeout = o.store_timeout = std::chrono::seconds(60);
        o.index_ttl = std::chrono::hours(1);
        return o;
    }

    void store()
    {
        cache_side side(server_, *device_, *std::max_element(s_.io_threads.begin(), s_.io_threads.end()),
                        options());
        const auto began = steady::now();
        const auto stored = side.get().store(where_, prompt_, source_.pages(), {}, asio::use_future).get();
        const double took = us_between(began, steady::now()) / 1e6;
        if (!stored.failed.ok())
            throw std::runtime_error("store: " + stored.failed.message());
        std::printf("stored once, in %.2f s: %.2f GB/s\n\n", took, gb() / took);
    }

    struct round {
        double seconds = 0, match_ms = 0;
        std::uint64_t requests = 0;
    };
    round load_once(cache_side& side)
    {
        round out;
        const auto began = steady::now();
        oc::load_options how;
        how.layer_by_layer = !s_.whole;
        std::vector<cache_side::cache::load_type> loads;
        for (const auto& into : into_) {
            const auto asked = steady::now();
            auto match = side.get().match(where_, prompt_, asio::use_future).get();
            out.match_ms += us_between(asked, steady::now()) / 1e3 / static_cast<double>(into_.size());
            if (match.tokens() != tokens_)
                throw std::runtime_error(std::to_string(match.tokens()) + " of " + std::to_string(tokens_) +
                                         " tokens were found: " + match.ended_by.message());
            loads.push_back(side.get().load(std::move(match), into->pages(), how));
        }
        for (auto& load : loads) {
            const auto report = load.finish(asio::use_future).get();
            if (!report.failed.ok() || report.usable_tokens != tokens_)
                throw std::runtime_error("load: " + report.failed.message());
            out.requests += report.requests;
        }
        out.seconds = us_between(began, steady::now()) / 1e6;
        return out;
    }

    void loads(unsigned threads)
    {
        cache_side side(server_, *device_, threads, options());
        (void)load_once(side); // connects, and learns what is stored
        for (const auto& into : into_)
            into->fill(0xee);
        (void)load_once(side);
        for (const auto& into : into_)
            if (!into->same_as(source_))
                throw std::runtime_error("what was loaded is not what was stored");
        std::vector<double> gbps, match_ms;
        const auto before = side.used();
        const auto began = steady::now();
        round last;
        do {
            last = load_once(side);
            gbps.push_back(gb() * s_.at_once / last.seconds);
            match_ms.push_back(last.match_ms);
        } while (gbps.size() < 3 || us_between(began, steady::now()) < 1e6 * s_.seconds);
        const auto after = side.used();
        const double moved = gb() * s_.at_once * static_cast<double>(gbps.size());
        const double cpu = (after.all - before.all) / moved;
        json_line line =
            cell("load", "the cache, " + std::to_string(threads) + " threads that receive", gbps);
        std::printf("  %8.3f %9llu %8.2f\n", cpu, static_cast<unsigned long long>(last.requests),
                    quantile(match_ms, 0.5));
        std::fflush(stdout);
        line.number("io_threads", threads)
            .number("cpu_s_per_gb", cpu)
            .number("pipeline_cpu_s_per_gb", (after.pipeline - before.pipeline) / moved)
            .number("requests", static_cast<double>(last.requests))
            .number("match_ms", quantile(match_ms, 0.5))
            .number("verified", 1)
            .append_to(s_.json);
    }

    /** What nothing that goes through pinned memory can beat. */
    void bounds()
    {
        const std::size_t size = std::min<std::size_t>(source_.bytes(), std::size_t{1} << 30) / piece * piece;
        if (size == 0)
            return;
        const auto pinned = gpu_made(oc::cuda::pinned_slab::create(0, size), "pinned memory");
        const std::vector<std::byte> ordinary(size, std::byte{1});
        const std::size_t pieces = source_.bytes() / piece;
        const double moved = static_cast<double>(pieces * piece) / 1e9;
        const auto measure = [&](const std::string& what, auto once) {
            std::vector<double> gbps;
            once();
            for (int i = 0; i < 5; ++i) {
                const auto began = steady::now();
                once();
                gbps.push_back(moved / (us_between(began, steady::now()) / 1e6));
            }
            const json_line line = cell("bound", what, gbps);
            std::printf("\n");
            std::fflush(stdout);
            line.append_to(s_.json);
        };
        const auto stream = gpu_made(oc::cuda::stream::create(0), "a stream");
        measure("bound: cudaMemcpyAsync, pinned, 8 MiB", [&] {
            for (std::size_t i = 0; i < pieces; ++i)
                gpu_ok(cudaMemcpyAsync(into_[0]->data() + i * piece, pinned.bytes().data() + i * piece % size,
                                       piece, cudaMemcpyHostToDevice, stream.native()),
                       "a copy");
            gpu_ok(stream.synchronize(), "copies");
        });
        std::vector<unsigned> counts = s_.io_threads;
        if (std::find(counts.begin(), counts.end(), 1U) == counts.end())
            counts.insert(counts.begin(), 1);
        for (const unsigned n : counts)
            measure("bound: memcpy into pinned, " + std::to_string(n) + " threads", [&] {
                std::vector<std::thread> threads;
                for (unsigned t = 0; t < n; ++t)
                    threads.emplace_back([&, t] {
                        for (std::size_t i = t; i < pieces; i += n)
                            std::memcpy(pinned.bytes().data() + i * piece % size,
                                        ordinary.data() + i * piece % size, piece);
                    });
                for (auto& thread : threads)
                    thread.join();
            });
    }

    /** Prints the beginning of a row. */
    [[nodiscard]] json_line cell(const char* part, const std::string& what,
                                 const std::vector<double>& gbps) const
    {
        const double median = quantile(gbps, 0.5), least = quantile(gbps, 0), most = quantile(gbps, 1);
        std::printf("%-44s %8.2f %8.2f %8.2f %6zu", what.c_str(), median, least, most, gbps.size());
        json_line line("s3_to_device");
        line.word("part", part)
            .word("what", what)
            .number("gbps", median)
            .number("gbps_min", least)
            .number("gbps_max", most)
            .number("times", static_cast<double>(gbps.size()))
            .number("bytes", static_cast<double>(source_.bytes()))
            .number("layers", s_.layers)
            .number("G", s_.chunk)
            .number("block", s_.block)
            .word("layout", s_.layout)
            .number("server_threads", s_.store.server_threads)
            .number("at_once", s_.at_once)
            .number("layer_by_layer", !s_.whole)
            .number("pace", s_.pace)
            .number("depth", s_.depth)
            .number("max_requests", s_.max_requests)
            .number("staging_mib", static_cast<double>(s_.staging_mib))
            .number("kernel_blocks", s_.kernel_blocks)
            .number("tls", s_.store.tls);
        return line;
    }

    const settings& s_;
    store_server server_;
    on_cores beside_;
    std::unique_ptr<oc::cuda::device> device_;
    oc::kv_geometry shape_;
    std::size_t tokens_;
    std::vector<std::uint32_t> prompt_;
    paged_kv source_;
    oc::scope where_;
    std::vector<std::unique_ptr<paged_kv>> into_;
};

} // namespace

int main(int argc, char** argv)
{
    settings s;
    CLI::App app("S3 to the memory of a GPU, through the whole cache");
    app.add_option("--io-threads", s.io_threads, "threads that receive, a measurement each")
        ->delimiter(',')
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    app.add_option("--server-threads", s.store.server_threads,
                   "of the S3 server in this process, on cores of its own")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    app.add_option("--bytes", s.bytes, "of a load (4g); as much device memory twice, and in the server")
        ->transform(CLI::AsSizeValue(false));
    app.add_option("--seconds", s.seconds, "of loads, for each number of threads; at least 3 loads")
        ->capture_default_str();
    app.add_option("--at-once", s.at_once, "loads side by side, each into memory of its own")
        ->check(CLI::Range(1, 16))
        ->capture_default_str();
    app.add_option("--block", s.block, "tokens of a block of the page pool")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--chunk-tokens,-G", s.chunk)->check(CLI::Range(1, 4096))->capture_default_str();
    app.add_option("--layers", s.layers)->check(CLI::Range(1, 256))->capture_default_str();
    app.add_option("--layout", s.layout)->capture_default_str();
    app.add_option("--depth", s.depth, "cache_options::prefetch_depth")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--max-requests", s.max_requests)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--staging-mib", s.staging_mib)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_option("--kernel-blocks", s.kernel_blocks)->check(CLI::PositiveNumber)->capture_default_str();
    app.add_flag("--whole", s.whole, "not layer by layer: load_options::layer_by_layer = false");
    app.add_flag("!--no-pace", s.pace, "cache_options::pace_layers = false");
    app.add_flag("!--no-bounds", s.bounds, "leave the bounds out");
    app.add_flag("--tls", s.store.tls);
    app.add_option("--json", s.json, "append a line for each row");
    CLI11_PARSE(app, argc, argv);
    return on_a_gpu("s3_to_device", [&] {
        program(s).run();
        return 0;
    });
}
