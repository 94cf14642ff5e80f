// SPDX-License-Identifier: BSL-1.0
//
// Time to first token on a GPU with a prefix in an object store, beside what else could be done with the prompt. One program
// runs a subset of the cells and appends a JSON line for each path of each cell; bench/ttft.py makes tables and plots.
#include "paths.hpp"

#include <objectcache/plan/admission.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <tuple>

namespace {

using namespace ttft;

struct settings {
    std::string model = "llama-3.1-8b", attention = "split_cudnn", json;
    std::vector<std::size_t> contexts{4096, 16384, 65536};
    std::vector<double> hits{12.5, 50, 87.5};
    std::vector<std::uint32_t> chunks{64};
    std::vector<std::string> paths{"recompute", "compute", "local-lw", "local-whole", "s3-whole", "s3-lw"};
    std::vector<double> gbits{100}, latencies{1};
    std::vector<std::string> layouts{"segment_objects"};
    std::vector<std::uint32_t> depths{oc::cache_options().prefetch_depth}, near{0};
    std::size_t staging_mib = 1024;
    unsigned runs = 5;
    double longest_s = 30; ///< of one cell: long runs are repeated less often
    unsigned kernel_blocks = 8;
    bool check = true;
    store_settings store;

    [[nodiscard]] bool wants(const char* path) const
    {
        return std::find(paths.begin(), paths.end(), path) != paths.end();
    }
};

template <class T>
T median(std::vector<T> v)
{
    if (v.empty())
        return {};
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

class program {
public:
    explicit program(const settings& s)
        : s_(s)
        , server_(s.store)
        , apart_(0, store_server::cores_beside(s.store))
        , device_(checked(oc::cuda::device::create({.kernel_blocks = s.kernel_blocks}), "CUDA"))
        , stream_(checked(oc::cuda::stream::create(0), "CUDA"))
        , weights_(torch_llama::model::random(torch_llama::named_config(s.model), 1, place))
        , most_(*std::max_element(s.contexts.begin(), s.contexts.end()))
        , kv_(weights_.cfg(), place, most_)
        , source_(weights_.cfg(), place, most_)
        , stalls_(weights_.cfg().layers)
    {
        if (const auto ready = device_->use_kernels(checked(oc::cuda::runtime_kv_kernels::make(), "kernels"));
            !ready.ok())
            throw std::runtime_error("kernels: " + ready.message());
        source_.fill(1);
        std::mt19937 random(1);
        prompt_.resize(most_);
        for (auto& t : prompt_)
            t = random() % weights_.cfg().vocab;
        const auto how = torch_llama::parse_attention(s.attention);
        if (!how)
            throw std::runtime_error("--attention " + s.attention + ": no such one");
        options_.how = *how;
        options_.stream = c10::cuda::getStreamFromExternal(stream_.native(), 0);
    }

    void run()
    {
        for (const std::uint32_t g : s_.chunks)
            for (const std::string& layout : s_.layouts)
                for (const std::uint32_t depth : s_.depths)
                    with_cache(g, layout, depth);
    }

private:
    static inline const torch_llama::placement place{at::Device(at::kCUDA, 0), at::kBFloat16};

    [[nodiscard]] host engine() { return {*device_, stream_, weights_, kv_, options_}; }
    [[nodiscard]] std::span<const std::uint32_t> prompt(std::size_t n) const
    {
        return std::span(prompt_).first(n);
    }
    [[nodiscard]] oc::cache_options options(const std::string& layout, std::uint32_t depth) const
    {
        oc::cache_options o;
        o.stored_as = oc::parse_layout(layout);
        if (!o.stored_as)
            throw std::runtime_error("--layout " + layout + ": no such one");
        o.staging_bytes = s_.staging_mib << 20;
        o.prefetch_depth = depth;
        o.match_timeout = std::chrono::seconds(20);
        o.load_timeout = o.store_timeout = std::chrono::seconds(300);
        o.index_ttl = std::chrono::hours(1);
        o.max_writes = 16;
        return o;
    }

    void with_cache(std::uint32_t g, const std::string& layout, std::uint32_t depth)
    {
        std::unique_ptr<cache_side> side;
        oc::scope where;
        where.model = s_.model;
        where.weights_revision = "random, " + layout; // no cache of one layout finds another's objects
        where.geometry = kv_.geometry(g);
        const bool loads = s_.wants("s3-lw") || s_.wants("s3-whole") || s_.wants("s3-both");
        if (loads || s_.wants("storing"))
            side =
                std::make_unique<cache_side>(server_, *device_, s_.store.io_threads, options(layout, depth));
        if (loads) {
            server_.set({0, 0});
            std::size_t longest = 0;
            for (const std::size_t context : s_.contexts)
                for (const double hit : s_.hits)
                    longest = std::max(longest, hit_tokens(context, hit));
            const auto began = steady::now();
            const auto stored =
                side->get().store(where, prompt(longest), source_.pages(g), {}, asio::use_future).get();
            if (!stored.failed.ok())
                throw std::runtime_error("store: " + stored.failed.message());
            std::printf("# G = %u: %zu tokens stored in %.1f s\n", g, longest, ms_since(began) / 1e3);
        }
        for (const std::size_t context : s_.contexts)
            for (const double hit : s_.hits)
                cells({g, context, hit_tokens(context, hit), hit, layout, depth, 0, {}}, side.get(), where);
    }

    /** Whole chunks of the largest G, so that every G loads the same. */
    [[nodiscard]] static std::size_t hit_tokens(std::size_t context, double hit)
    {
        return static_cast<std::size_t>(hit / 100 * static_cast<double>(context)) / 256 * 256;
    }

    struct cell {
        std::uint32_t chunk;
        std::size_t context, first;
        double hit;
        std::string layout;
        std::uint32_t depth, near; ///< layers: looked ahead; in front and in DRAM
        link_shape net;
        std::size_t computed = 0; ///< tokens of the hit, meanwhile
        double foretold_ms = 0;   ///< what `admit` says; 0: it was not asked
    };

    /** What to do about a hit, of what was measured: this link, and two prefills. */
    [[nodiscard]] oc::admission admission_of(const cell& c, cache_side& side, const oc::kv_geometry& geometry)
    {
        const host h = engine();
        const auto seconds = [&](std::size_t first) {
            (void)compute(h, prompt(c.context), first); // warms up
            return compute(h, prompt(c.context), first).ttft_ms / 1e3;
        };
        auto& whole = whole_seconds_[c.context];
        if (whole == 0)
            whole = seconds(0);
        oc::admission_costs costs;
        costs.store = checked(side.costs(), "measuring the link");
        costs.prefill =
            checked(oc::fit_prefill({0, c.context, whole}, {c.first, c.context - c.first, seconds(c.first)}),
                    "two prefills");
        return checked(oc::admit(costs, {geometry, c.first / c.chunk, c.context - c.first}), "admission");
    }

    void cells(cell c, cache_side* side, const oc::scope& where)
    {
        const host h = engine();
        const auto all = prompt(c.context);
        std::optional<local_store> local;
        if (s_.wants("local-lw") || s_.wants("local-whole") ||
            *std::max_element(s_.near.begin(), s_.near.end()) > 0)
            local.emplace(host{*device_, stream_, weights_, source_, options_}, c.first);
        for (const double gbit : s_.gbits)
            for (const double latency : s_.latencies) {
                c.net = {gbit, latency};
                server_.set(c.net);
                if (s_.wants("recompute") && !recomputed_[c.context]) {
                    recomputed_[c.context] = true;
                    report(c, "recompute",
                           rounds({{"recompute", 0, [&] { return compute(h, all, 0); }}}).front());
                }
                if (s_.wants("storing") && stored_while_[{c.chunk, c.context, c.layout, gbit}]++ == 0)
                    storing(c, *side, where, all);
                std::vector<way> paths;
                if (s_.wants("compute"))
                    paths.push_back({"compute", 0, [&] { return compute(h, all, c.first); }});
                if (s_.wants("local-lw"))
                    paths.push_back(
                        {"local-lw", 0, [&] { return local->run(h, all, c.first, true, stalls_); }});
                if (s_.wants("local-whole"))
                    paths.push_back(
                        {"local-whole", 0, [&] { return local->run(h, all, c.first, false, stalls_); }});
                if (s_.wants("s3-whole"))
                    paths.push_back(
                        {"s3-whole", 0, [&] {
                             return from_store(h, *side, where, all, {c.chunk, c.first, false}, stalls_);
                         }});
                for (const std::uint32_t near : s_.near)
                    if (s_.wants("s3-lw"))
                        paths.push_back({"s3-lw", near, [&, near] {
                                             return from_store(
                                                 h, *side, where, all,
                                                 {c.chunk, c.first, true, near ? &*local : nullptr, near},
                                                 stalls_);
                                         }});
                cell both = c;
                if (s_.wants("s3-both")) {
                    const auto what = admission_of(c, *side, where.geometry);
                    both.computed = what.first_chunk * c.chunk;
                    both.foretold_ms = what.seconds() * 1e3;
                    std::printf("# admission: %s; recompute %.1f, load %.1f, both %.1f ms\n",
                                what.way == oc::admission_way::both   ? "both"
                                : what.way == oc::admission_way::load ? "load"
                                                                      : "recompute",
                                what.recompute_seconds * 1e3, what.load_seconds * 1e3,
                                what.both_seconds * 1e3);
                    paths.push_back({"s3-both", 0, [&, chunks = what.first_chunk] {
                                         return from_store(h, *side, where, all,
                                                           {c.chunk, c.first, true, nullptr, 0, chunks},
                                                           stalls_);
                                     }});
                }
                // A kernel that is launched for the first time is loaded, which waits for a gate that is closed.
                (void)compute(h, all, c.first);
                const auto runs = rounds(paths);
                for (std::size_t i = 0; i < paths.size(); ++i) {
                    cell mine = paths[i].name == std::string("s3-both") ? both : c;
                    mine.near = paths[i].near;
                    report(mine, paths[i].name, runs[i]);
                }
                if (!s_.check)
                    continue;
                if (s_.wants("s3-lw"))
                    for (const std::uint32_t near : s_.near)
                        compare(h, *side, where, all,
                                {c.chunk, c.first, true, near ? &*local : nullptr, near});
                if (s_.wants("s3-both"))
                    compare(h, *side, where, all,
                            {c.chunk, c.first, true, nullptr, 0, both.computed / c.chunk});
            }
    }

    void storing(const cell& c, cache_side& side, const oc::scope& where, std::span<const std::uint32_t> all)
    {
        const host h = engine();
        double pause_ms = 1000;
        const auto once = [&] {
            oc::scope fresh = where; // nothing of it is there
            fresh.config = std::to_string(++scopes_);
            sample out = while_storing(h, side, fresh, all, source_.pages(c.chunk), pause_ms);
            pause_ms = out.load_ms;
            return out;
        };
        report(c, "storing", rounds({{"storing", 0, once}}).front());
    }

    /** Whether what comes is what was stored; of the head that is computed nothing is known but that it is computed. */
    void compare(const host& h, cache_side& side, const oc::scope& where, std::span<const std::uint32_t> all,
                 const store_read& what)
    {
        kv_.fill(0);
        (void)from_store(h, side, where, all, what, stalls_);
        const auto first = static_cast<std::int64_t>(what.first_chunk * what.tokens_per_chunk);
        for (std::size_t l = 0; l < h.layers(); ++l) {
            const auto mine = kv_.read(l, what.tokens), stored = source_.read(l, what.tokens);
            const auto tail = [&](const at::Tensor& rows) {
                return rows.slice(0, first, static_cast<std::int64_t>(what.tokens));
            };
            if (!at::equal(tail(mine.k), tail(stored.k)) || !at::equal(tail(mine.v), tail(stored.v)))
                throw std::runtime_error("what was loaded is not what was stored");
        }
    }

    struct way {
        const char* name;
        std::uint32_t near;
        std::function<sample()> run;
    };

    /** Every path once to warm up, then in turn: a GPU that gets warm becomes slower, for all of them alike. */
    [[nodiscard]] std::vector<std::vector<sample>> rounds(const std::vector<way>& paths) const
    {
        std::vector<std::vector<sample>> out(paths.size());
        const auto began = steady::now();
        for (std::size_t i = 0; i < paths.size(); ++i)
            out[i].push_back(paths[i].run());
        const double took = ms_since(began) / 1e3;
        const auto n = std::min(static_cast<unsigned>(s_.longest_s / took), s_.runs);
        if (n != 0) // else the only run counts, which nothing warmed up
            for (auto& runs : out)
                runs.clear();
        for (unsigned round = 0; round < n; ++round)
            for (std::size_t i = 0; i < paths.size(); ++i)
                out[i].push_back(paths[i].run());
        return out;
    }

    void report(const cell& c, const char* path, const std::vector<sample>& runs)
    {
        const auto of = [&](auto member) {
            std::vector<double> v;
            for (const sample& s : runs)
                v.push_back(static_cast<double>(s.*member));
            return v;
        };
        const auto ttft = of(&sample::ttft_ms);
        std::string line = "{\"path\": \"" + std::string(path) + "\", \"model\": \"" + s_.model +
                           "\", \"layers\": " + std::to_string(weights_.cfg().layers) +
                           ", \"attention\": \"" + s_.attention + "\"";
        const auto number = [&](const char* name, double value) {
            char text[64];
            std::snprintf(text, sizeof text, ", \"%s\": %.6g", name, value);
            line += text;
        };
        const auto list = [&](const char* name, const std::vector<double>& values) {
            line += ", \"" + std::string(name) + "\": [";
            for (std::size_t i = 0; i < values.size(); ++i) {
                char text[32];
                std::snprintf(text, sizeof text, "%s%.3f", i == 0 ? "" : ", ", values[i]);
                line += text;
            }
            line += "]";
        };
        number("context", static_cast<double>(c.context));
        number("hit", c.hit);
        number("first", static_cast<double>(c.first));
        if (path[0] == 's') {
            number("G", c.chunk);
            number("gbit", c.net.gbit);
            number("latency_ms", c.net.latency_ms);
            number("tls", s_.store.tls);
            number("depth", c.depth);
            number("near", c.near);
            if (c.foretold_ms != 0) {
                number("computed", static_cast<double>(c.computed));
                number("foretold_ms", c.foretold_ms);
            }
            number("io_threads", s_.store.io_threads);
            line += ", \"layout\": \"" + c.layout + "\"";
            number("match_ms", median(of(&sample::match_ms)));
            list("load_ms", of(&sample::load_ms));
            list("cpu_ms", of(&sample::cpu_ms));
            list("pipeline_cpu_ms", of(&sample::pipeline_cpu_ms));
            number("bytes", static_cast<double>(runs.front().bytes));
            number("requests", static_cast<double>(runs.front().requests));
        }
        list("ttft_ms", ttft);
        if (runs.front().alone_ms != 0)
            list("alone_ms", of(&sample::alone_ms));
        if (!runs.front().stalls_ms.empty()) { // by layer, of the median run
            std::size_t middle = 0;
            for (std::size_t i = 0; i < runs.size(); ++i)
                if (runs[i].ttft_ms == median(ttft))
                    middle = i;
            list("stalls_ms", runs[middle].stalls_ms);
        }
        line += "}\n";
        if (!s_.json.empty())
            std::ofstream(s_.json, std::ios::app) << line;
        const double stalls =
            runs.front().stalls_ms.empty()
                ? 0
                : std::accumulate(runs.front().stalls_ms.begin(), runs.front().stalls_ms.end(), 0.0);
        std::printf("%7zu %5.1f%% G=%-3u %4g Gb/s %3g ms  %-15s depth %-2u near %u %-11s %9.1f ms (%.1f ... "
                    "%.1f, %zu runs)  stalls "
                    "%.1f load %.1f cpu %.0f/%.0f ms\n",
                    c.context, c.hit, c.chunk, c.net.gbit, c.net.latency_ms, c.layout.c_str(), c.depth,
                    c.near, path, median(ttft), *std::min_element(ttft.begin(), ttft.end()),
                    *std::max_element(ttft.begin(), ttft.end()), runs.size(), stalls,
                    median(of(&sample::load_ms)), median(of(&sample::cpu_ms)),
                    median(of(&sample::pipeline_cpu_ms)));
        std::fflush(stdout);
    }

    const settings& s_;
    store_server server_;
    on_cores apart_; // from the server
    std::unique_ptr<oc::cuda::device> device_;
    oc::cuda::stream stream_;
    torch_llama::model weights_;
    std::size_t most_;
    torch_llama::kv_memory kv_, source_;
    stall_clock stalls_;
    torch_llama::pass_options options_;
    std::vector<std::uint32_t> prompt_;
    std::map<std::size_t, bool> recomputed_;      // contexts
    std::map<std::size_t, double> whole_seconds_; // prefills of contexts
    std::map<std::tuple<std::uint32_t, std::size_t, std::string, double>, int> stored_while_;
    unsigned scopes_ = 0;
};

} // namespace

int main(int argc, char** argv)
{
    settings s;
    CLI::App app("Time to first token with a prefix in an object store, on a GPU");
    app.add_option("--model", s.model, "random weights of this size")->capture_default_str();
    app.add_option("--context", s.contexts, "tokens of the prompt")->delimiter(',');
    app.add_option("--hit", s.hits, "per cent of it in the store")->delimiter(',');
    app.add_option("--chunk-tokens,-G", s.chunks)->delimiter(',');
    app.add_option("--path", s.paths,
                   "recompute, compute, local-lw, local-whole, s3-whole, s3-lw, s3-both: what `admit` says; "
                   "storing: recompute while another prompt's KV goes to the store")
        ->delimiter(',');
    app.add_option("--gbit", s.gbits, "the link; 0: not shaped")->delimiter(',');
    app.add_option("--latency-ms", s.latencies)->delimiter(',');
    app.add_option("--layout", s.layouts)->delimiter(',')->capture_default_str();
    app.add_option("--attention", s.attention)->capture_default_str();
    app.add_option("--depth", s.depths, "cache_options::prefetch_depth")
        ->delimiter(',')
        ->capture_default_str();
    app.add_option("--near", s.near, "layers in front that are in pinned DRAM, and not read from the store")
        ->delimiter(',')
        ->capture_default_str();
    app.add_option("--staging-mib", s.staging_mib)->capture_default_str();
    app.add_option("--kernel-blocks", s.kernel_blocks)->capture_default_str();
    app.add_option("--runs", s.runs, "of each path of each cell, after one that warms up")
        ->capture_default_str();
    app.add_option("--longest", s.longest_s, "seconds that the rounds of a cell may take, behind the first");
    app.add_option("--server-threads", s.store.server_threads)->capture_default_str();
    app.add_option("--io-threads", s.store.io_threads)->capture_default_str();
    app.add_flag("--tls", s.store.tls);
    app.add_flag("!--no-check", s.check, "do not compare what was loaded with what was stored");
    app.add_option("--json", s.json, "append a line for each path of each cell");
    CLI11_PARSE(app, argc, argv);
    try {
        const auto layers = torch_llama::named_config(s.model).layers;
        if (std::any_of(s.near.begin(), s.near.end(), [&](std::uint32_t n) { return n > layers; }))
            throw std::runtime_error("--near: the model has " + std::to_string(layers) + " layers");
        program(s).run();
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "error: %s\n", e.what());
        return 1;
    }
}
