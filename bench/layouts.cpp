// SPDX-License-Identifier: BSL-1.0
//
// What the layouts cost: the KV of a long prefix is stored, found by a process that knows nothing, and brought back layer by
// layer, over the test kit's server with a shaped link. One JSON line per run; bench/layouts.sh makes the tables.
#include <objectcache/cache.hpp>
#include <objectcache/device/host_device.hpp>
#include <objectcache/plan/layout_policy.hpp>
#include <objectcache/store/measure_costs.hpp>
#include <objectcache/store/s3_tier.hpp>
#include <objectcache/testing/observed_tier.hpp>
#include <objectcache/testing/run_coroutine.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace oc = objectcache;
namespace asio = boost::asio;

namespace {

using steady = std::chrono::steady_clock;

double seconds_since(steady::time_point from)
{
    return std::chrono::duration<double>(steady::now() - from).count();
}

/** User and system time of all threads, the server's too. */
double cpu_seconds()
{
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto of = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
    return of(used.ru_utime) + of(used.ru_stime);
}

/** What a tier was asked for, and in how many rounds one after the other: a call belongs to the round behind that of the
    answers which it could have waited for. More calls than may be under way at once are several. */
struct request_counts {
    std::uint64_t gets = 0, puts = 0, heads = 0, lists = 0, rounds = 0, read = 0, written = 0;
    std::uint64_t answered = 0; // the latest round that an answer has come from

    std::uint64_t before(oc::testing::tier_call what, std::uint64_t bytes)
    {
        using call = oc::testing::tier_call;
        if (what == call::read)
            ++gets, read += bytes;
        else if (what == call::stat)
            ++heads;
        else if (what == call::list)
            ++lists;
        else if (what != call::remove && what != call::abort_upload) // these are free
            ++puts, written += bytes;
        rounds = std::max(rounds, answered + 1);
        return answered + 1;
    }
    void after(std::uint64_t round) { answered = std::max(answered, round); }
};
using counting_tier = oc::testing::observed_tier<oc::s3_tier, request_counts>;
static_assert(oc::tier<counting_tier>);

/** Its staging is there before the clock runs, as pinned memory is. */
struct resident_device : oc::host_device {
    [[nodiscard]] oc::result<oc::byte_span> allocate_staging(std::size_t bytes)
    {
        auto block = oc::host_device::allocate_staging(bytes);
        if (block)
            std::fill(block->begin(), block->end(), std::byte{1});
        return block;
    }
};

using kv_cache = oc::cache<resident_device, counting_tier>;

struct settings {
    std::uint32_t tokens_per_chunk = 64, layers = 4, context = 4096, rounds = 3, staging_mib = 256,
                  depth = oc::cache_options().prefetch_depth;
    double latency_ms = 10, mbit = 4000;
    std::string way = "segment_objects"; // or "slices": chunk objects, a GET per slice
    bool measured = false;
    oc::storage_costs prices;
};

/** One side: an executor, a client, a cache that knows nothing. */
struct side {
    side(const oc::testing::s3_server& server, const settings& s)
        : tier(oc::s3_tier(io.get_executor(),
                           oc::s3::client(io.get_executor(), *oc::s3::endpoint::parse(server.endpoint_url()),
                                          server.credentials()),
                           "layouts"),
               {})
        , kv(*kv_cache::create(tier, device, options(s)))
    {}
    static oc::cache_options options(const settings& s)
    {
        oc::cache_options o;
        o.stored_as = oc::parse_layout(s.way == "slices" ? "chunk_objects" : s.way).value();
        if (s.way == "slices")
            o.coalesce_bytes = 0;
        o.staging_bytes = std::size_t{s.staging_mib} << 20;
        o.prefetch_depth = s.depth;
        o.match_timeout = std::chrono::seconds(10);
        o.load_timeout = o.store_timeout = std::chrono::seconds(120);
        return o;
    }
    asio::io_context io{1};
    resident_device device;
    counting_tier tier;
    kv_cache kv;
};

struct memory {
    memory(const oc::kv_geometry& g, std::size_t tokens)
        : part(tokens * g.row_bytes())
        , bytes(g.layers * 2 * part)
    {
        std::vector<oc::kv_layer_memory> layers(g.layers);
        for (std::size_t l = 0; l < g.layers; ++l)
            layers[l] = {bytes.data() + 2 * l * part, bytes.data() + (2 * l + 1) * part};
        pages = oc::kv_pages::contiguous(g, std::move(layers), tokens);
    }
    /** Whether the first `size` bytes of every layer's K and V are the same. */
    [[nodiscard]] bool same(const memory& other, std::size_t size) const
    {
        for (std::size_t at = 0; at < bytes.size(); at += part)
            if (!std::equal(bytes.begin() + long(at), bytes.begin() + long(at + size),
                            other.bytes.begin() + long(at)))
                return false;
        return true;
    }
    std::size_t part;
    std::vector<std::byte> bytes;
    oc::kv_pages pages;
};

asio::awaitable<oc::store_report> store(kv_cache& kv, const oc::scope& where,
                                        const std::vector<oc::token_id>& tokens, memory& from)
{
    oc::store_report report = co_await kv.store(where, tokens, from.pages);
    co_return report;
}

asio::awaitable<oc::prefix_match> match(kv_cache& kv, const oc::scope& where,
                                        const std::vector<oc::token_id>& tokens)
{
    oc::prefix_match found = co_await kv.match(where, tokens);
    co_return found;
}

asio::awaitable<oc::load_report> load(kv_cache& kv, oc::prefix_match found, memory& into)
{
    auto loading = kv.load(std::move(found), into.pages);
    oc::load_report report = co_await loading.finish();
    co_return report;
}

/** What measure_costs() makes of the link, beside how it was shaped, and what choose_layout() makes of that. */
void measure(const oc::testing::s3_server& server, const settings& s, const oc::kv_geometry& geometry)
{
    asio::io_context io(1);
    oc::s3_tier tier(io.get_executor(),
                     oc::s3::client(io.get_executor(), *oc::s3::endpoint::parse(server.endpoint_url()),
                                    server.credentials()),
                     "layouts");
    oc::measure_options how;
    how.given = s.prices;
    const auto began = steady::now();
    const auto costs = oc::testing::run_to_end(io, oc::measure_costs(tier, how, asio::use_awaitable));
    if (!costs)
        throw std::runtime_error("measuring: " + costs.error().message());
    oc::storage_costs shaped = s.prices;
    shaped.request_seconds = s.latency_ms / 1e3;
    shaped.link_bytes_per_second = s.mbit * 1e6 / 8;
    const auto row = [&](const char* what, const oc::storage_costs& c) {
        std::fprintf(stderr, "%-10s %8.2f ms to the first byte %10.0f Mbit/s   suits: %s\n", what,
                     c.request_seconds * 1e3, c.link_bytes_per_second * 8 / 1e6,
                     std::string(oc::name(oc::choose_layout(geometry, c))).c_str());
    };
    row("shaped", shaped);
    row("measured", *costs);
    std::fprintf(stderr, "measured in %.2f s\n", seconds_since(began));
}

void one_run(const settings& s)
{
    oc::scope where;
    where.model = "bench", where.weights_revision = "1";
    where.geometry = {s.layers, 8, 128, oc::kv_dtype::bf16, oc::kv_form::separate, s.tokens_per_chunk};
    std::vector<oc::token_id> tokens(s.context + 1); // one is always computed
    std::iota(tokens.begin(), tokens.end(), 1);
    memory from(where.geometry, tokens.size()), into(where.geometry, tokens.size());
    for (std::size_t i = 0; i < from.bytes.size(); i += 64)
        from.bytes[i] = static_cast<std::byte>(i >> 6);

    oc::testing::s3_server_options how;
    how.buckets = {"layouts"};
    auto server = oc::testing::s3_server::start(how);
    if (!server)
        throw std::runtime_error(server.error().message());
    server->set_latency(
        std::chrono::duration_cast<oc::duration>(std::chrono::duration<double>(s.latency_ms / 1e3)));
    const auto rate = static_cast<std::uint64_t>(s.mbit * 1e6 / 8);
    server->set_bandwidth(rate, rate);
    if (s.measured)
        measure(*server, s, where.geometry);

    side writer(*server, s);
    auto began = steady::now();
    const auto stored = oc::testing::run_to_end(writer.io, store(writer.kv, where, tokens, from));
    const double store_seconds = seconds_since(began);
    if (!stored.failed.ok())
        throw std::runtime_error("store: " + stored.failed.message());
    const auto wrote = writer.tier.observer();

    // The first round does not count: it takes memory for sockets from the kernel, and a virtual machine may have to take that
    // from its host first, which has cost a load of 2 GB a tenth of its time.
    for (std::uint32_t round = 0; round <= s.rounds; ++round) {
        side reader(*server, s);
        // Nothing of the last round is left, and its pages are there before the clock runs.
        std::fill(into.bytes.begin(), into.bytes.end(), std::byte{1});
        began = steady::now();
        const auto found = oc::testing::run_to_end(reader.io, match(reader.kv, where, tokens));
        const double match_seconds = seconds_since(began);
        if (found.tokens() != s.context)
            throw std::runtime_error("not all of it was found");
        const auto asked = reader.tier.observer();
        reader.tier.observer() = {};
        const double cpu = cpu_seconds();
        began = steady::now();
        const auto loaded = oc::testing::run_to_end(reader.io, load(reader.kv, found, into));
        const double load_seconds = seconds_since(began);
        if (!loaded.failed.ok())
            throw std::runtime_error("load: " + loaded.failed.message());
        const double load_cpu = cpu_seconds() - cpu;
        if (loaded.usable_tokens != s.context)
            throw std::runtime_error("not all of it was loaded");
        if (!into.same(from, s.context * where.geometry.row_bytes()))
            throw std::runtime_error("what was loaded is not what was stored");
        if (round == 0)
            continue;
        const auto read = reader.tier.observer();
        const auto& p = s.prices;
        const double bytes = double(read.read);
        std::printf(
            "{\"way\": \"%s\", \"G\": %u, \"context\": %u, \"layers\": %u, \"latency_ms\": %g, \"mbit\": %g, "
            "\"runs\": %zu, \"store_requests\": %llu, \"store_bytes\": %llu, \"payload\": %llu, "
            "\"read_while_storing\": %llu, "
            "\"store_seconds\": %.4f, \"match_requests\": %llu, \"match_rounds\": %llu, \"match_ms\": %.2f, "
            "\"load_requests\": %llu, \"load_bytes\": %.0f, \"load_seconds\": %.5f, \"link\": %.4f, "
            "\"cpu_per_gb\": %.4f, "
            "\"store_dollars\": %.8f, \"match_dollars\": %.8f, \"load_dollars\": %.8f}\n",
            s.way.c_str(), s.tokens_per_chunk, s.context, s.layers, s.latency_ms, s.mbit, found.runs.size(),
            static_cast<unsigned long long>(wrote.puts), static_cast<unsigned long long>(wrote.written),
            static_cast<unsigned long long>(s.context * 2 * where.geometry.row_bytes() * s.layers),
            static_cast<unsigned long long>(wrote.read), store_seconds,
            static_cast<unsigned long long>(asked.heads + asked.lists),
            static_cast<unsigned long long>(asked.rounds), match_seconds * 1e3,
            static_cast<unsigned long long>(read.gets), bytes, load_seconds,
            bytes / load_seconds / (s.mbit * 1e6 / 8), load_cpu / bytes * 1e9,
            double(wrote.puts) * p.per_1000_puts / 1e3,
            double(asked.heads) * p.per_1000_gets / 1e3 + double(asked.lists) * p.per_1000_lists / 1e3,
            double(read.gets) * p.per_1000_gets / 1e3 + bytes / double(1 << 30) * p.per_gb_read);
        std::fflush(stdout);
    }
}

} // namespace

int main(int argc, char** argv)
{
    settings s;
    CLI::App app("one cell of bench/layouts.sh: a JSON line per round");
    app.add_option("--way", s.way,
                   "segment_objects, chunk_objects, layer_objects, or slices: a GET per slice")
        ->check(CLI::IsMember({"segment_objects", "chunk_objects", "layer_objects", "slices"}));
    app.add_option("--chunk-tokens,-G", s.tokens_per_chunk)->check(CLI::Range(1, 4096));
    app.add_option("--context", s.context, "tokens, a multiple of G")->check(CLI::Range(1, 1 << 20));
    app.add_option("--layers", s.layers, "of 4,096 bytes a token, as of Llama-3.1-8B's 32")
        ->check(CLI::Range(1, 128));
    app.add_option("--rounds", s.rounds,
                   "cold matches and loads of what was stored once, behind one that warms up")
        ->check(CLI::Range(1, 100));
    app.add_option("--staging-mib", s.staging_mib, "see cache_options")
        ->check(CLI::Range(1, 1 << 16))
        ->capture_default_str();
    app.add_option("--depth", s.depth, "cache_options::prefetch_depth")
        ->check(CLI::Range(1, 128))
        ->capture_default_str();
    app.add_option("--latency-ms", s.latency_ms);
    app.add_option("--mbit", s.mbit, "the link, each way");
    app.add_flag("--measured", s.measured,
                 "also measure the link as a host would, and say which layout suits it");
    app.add_option("--per-1000-puts", s.prices.per_1000_puts, "dollars")->capture_default_str();
    app.add_option("--per-1000-gets", s.prices.per_1000_gets, "dollars")->capture_default_str();
    app.add_option("--per-1000-lists", s.prices.per_1000_lists, "dollars")->capture_default_str();
    app.add_option("--per-gb-read", s.prices.per_gb_read, "dollars")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        one_run(s);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "error: %s\n", e.what());
        return 1;
    }
}
