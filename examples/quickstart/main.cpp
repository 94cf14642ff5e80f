// SPDX-License-Identifier: BSL-1.0
//
// One prompt through everything: process A prefills a shared text and stores its KV (`prefill`); process B, which has never
// seen it, answers a longer prompt (`answer`) without a cache, with load-everything-then-compute, and layer by layer, and
// checks that the three texts are the same. `damage` flips one stored byte, to see that nothing but time is lost.
#include "answer.hpp"
#include "text.hpp"

#include <objectcache/kv/hash_chain.hpp>
#include <objectcache/kv/object_key.hpp>
#include <objectcache/s3/default_credentials_provider.hpp>
#include <objectcache/s3/endpoint.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <cstdio>
#include <exception>
#include <string>

namespace asio = boost::asio;
using namespace quickstart;

namespace {

struct settings {
    std::filesystem::path model = "examples/llama/checkpoint", prompt = "examples/llama/prompt.txt";
    std::string endpoint, bucket = "objectcache-quickstart", layout = "chunk_objects";
    std::uint32_t tokens_per_chunk = 64;
    double shared = 0.875;
    std::size_t generate = 96;
    std::uint32_t prefetch_depth = 4;
    // This model is tiny: so are its layers, and so must requests be for a layer to be a step of the pipeline.
    std::uint64_t coalesce_kib = 64;
    bool stream = false;
    std::size_t layer_slots = 2;
    double mbit = 0, latency_ms = 0;
};

/** One line, and the exit status says that it went wrong. */
struct complaint : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void check(const oc::status& s, const std::string& doing)
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

/** The store, and a cache over it for one way of answering: each begins without knowledge of the store. */
struct access {
    access(asio::io_context& io, const settings& s)
        : tier(io.get_executor(), client(io, s), s.bucket)
        , cache(checked(kv_cache::create(tier, device, options(s)), "cache"))
    {}

    /** As the environment says, and with the credentials that the AWS tools would find. */
    static oc::s3::client client(asio::io_context& io, const settings& s)
    {
        const auto where = s.endpoint.empty() ? checked(oc::s3::endpoint::from_env(), "endpoint")
                                              : checked(oc::s3::endpoint::parse(s.endpoint), "--endpoint");
        return oc::s3::client(io.get_executor(), where,
                              oc::s3::default_credentials_provider(io.get_executor()),
                              checked(oc::s3::client_options::from_env(where), "environment"));
    }

    static oc::cache_options options(const settings& s)
    {
        oc::cache_options o;
        o.coalesce_bytes = s.coalesce_kib << 10;
        o.prefetch_depth = s.prefetch_depth;
        const auto where = oc::parse_layout(s.layout);
        if (!where)
            throw complaint("--layout " + s.layout + ": chunk_objects or layer_objects");
        o.stored_as = *where;
        o.match_timeout = std::chrono::seconds(5);
        o.load_timeout = std::chrono::seconds(30);
        return o;
    }

    oc::host_device device;
    oc::s3_tier tier;
    kv_cache cache;
};

/** Run one coroutine to its end and hand out what it returns. */
template <class T>
T run(asio::io_context& io, asio::awaitable<T> body)
{
    std::optional<T> value;
    std::exception_ptr failure;
    asio::co_spawn(io, std::move(body), [&](std::exception_ptr f, T v) {
        failure = f;
        value.emplace(std::move(v));
    });
    io.restart();
    io.run();
    if (failure)
        std::rethrow_exception(failure);
    return std::move(*value);
}

std::size_t shared_tokens(const settings& s, std::size_t prompt)
{
    return static_cast<std::size_t>(static_cast<double>(prompt) * s.shared);
}

// ---------------------------------------------------------------------------------------------------------------------

asio::awaitable<oc::store_report> create_and_store(access& store, const llama::model& model, sequence& seq,
                                                   std::uint32_t tokens_per_chunk)
{
    // A bucket that exists is what we want; any other trouble with it shows in the store's report.
    const oc::status made = co_await store.tier.client().create_bucket(store.tier.bucket());
    (void)made;
    const oc::scope where = scope_of(model, tokens_per_chunk);
    oc::kv_pages pages = seq.own_pages(tokens_per_chunk);
    oc::store_report report = co_await store.cache.store(where, seq.tokens(), pages);
    (void)co_await store.cache.close();
    co_return report;
}

int prefill(const settings& s)
{
    const auto model = llama::model::load(s.model);
    auto prompt = llama::read_prompt(model.cfg(), s.prompt);
    prompt.resize(shared_tokens(s, prompt.size()));
    asio::io_context io;
    access store(io, s);

    sequence seq(model, prompt, 0, 0);
    const auto began = steady::now();
    {
        progress_bar bar("prefill: layers", model.cfg().layers);
        seq.begin_prefill(0);
        (void)seq.run([&](std::size_t done) { bar.at(done); });
    }
    const auto computed = steady::now();
    const auto report = run(io, create_and_store(store, model, seq, s.tokens_per_chunk));
    const double seconds = std::chrono::duration<double>(steady::now() - computed).count();
    check(report.failed, "cannot store (" + std::to_string(report.dropped) + " chunks dropped)");
    std::printf("process A: %zu tokens prefilled in %.0f ms; %zu chunks of %u tokens stored in %llu objects, "
                "%.2f MB, in %.0f "
                "ms (%s)\n",
                prompt.size(), std::chrono::duration<double>(computed - began).count() * 1e3,
                report.stored + report.present, s.tokens_per_chunk,
                static_cast<unsigned long long>(report.requests), static_cast<double>(report.bytes) / 1e6,
                seconds * 1e3, s.layout.c_str());
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------

using way = asio::awaitable<outcome> (*)(const question&, kv_cache&);

asio::awaitable<outcome> ask(way how, const question& q, access& store)
{
    outcome out = co_await how(q, store.cache);
    (void)co_await store.cache.close();
    co_return out;
}

outcome answer_with(asio::io_context& io, way how, const question& q, const settings& s)
{
    access store(io, s);
    return run(io, ask(how, q, store));
}

/** Nothing matched: is there anything of another model, or nothing at all? */
std::string why_nothing_matched(asio::io_context& io, const settings& s)
{
    access store(io, s);
    const auto until = oc::deadline(steady::now() + std::chrono::seconds(5));
    auto page = run(io, store.tier.list("oc1/", "", 1, until));
    if (!page)
        return page.error().message();
    return page->objects.empty()
               ? "the bucket holds no KV: run `prefill` first"
               : "the bucket holds KV only of other weights, chunk sizes or prompts than these";
}

link_rate rate_of(const settings& s, const outcome& loaded_whole)
{
    link_rate link;
    if (s.mbit > 0) {
        link.bytes_per_second = s.mbit * 1e6 / 8;
        link.latency = s.latency_ms / 1e3;
        return link;
    }
    link.measured = true;
    const auto& first = loaded_whole.load.layers.front();
    link.latency = std::chrono::duration<double>(first.ready - first.requested).count() / 2;
    link.bytes_per_second = static_cast<double>(loaded_whole.load.bytes) /
                            std::max(1e-6, loaded_whole.fetch_seconds() - link.latency);
    return link;
}

int answer(const settings& s)
{
    const auto model = llama::model::load(s.model);
    question q{model, llama::read_prompt(model.cfg(), s.prompt), s.tokens_per_chunk, s.generate,
               s.layer_slots};
    asio::io_context io;
    (void)access(io, s); // settings that cannot work are told before any work is done
    std::printf("process B: a prompt of %zu tokens, %zu layers, answered %s ways\n", q.prompt.size(),
                std::size_t{model.cfg().layers}, s.stream ? "four" : "three");

    std::vector<outcome> ways;
    ways.push_back(recompute(q));
    ways.push_back(answer_with(io, whole, q, s));
    ways.push_back(answer_with(io, layerwise, q, s));
    if (s.stream)
        ways.push_back(answer_with(io, stream_decode, q, s));

    const bool hit = ways[1].load.bytes > 0 && ways[2].load.bytes > 0;
    const link_rate link = hit ? rate_of(s, ways[1]) : link_rate();
    print_table(ways, hit ? model_ttft(ways[2], link) : 0, link);
    print_layers(ways[2]);
    if (s.stream && !ways[3].step_seconds.empty())
        print_stream(ways[3], ways[3].load.bytes / s.generate, link, s.layer_slots, model.cfg().layers);

    std::string text;
    for (const std::uint32_t token : ways[0].generated)
        text += llama::token_text(model.cfg(), token);
    print_text("generated, the same in every way:", text);

    for (const outcome& w : ways)
        if (w.generated != ways[0].generated)
            throw complaint("the text of `" + w.way + "` differs from the text without a cache");
    for (const outcome& w : ways)
        if (!w.trouble.ok()) {
            std::printf("\n  %s: %zu tokens recomputed, %llu corrupt chunks counted\n", w.way.c_str(),
                        w.computed_tokens, static_cast<unsigned long long>(w.corrupt_chunks));
            throw complaint("not everything came from the cache (" + w.way + "): " + w.trouble.message());
        }
    if (!hit)
        throw complaint("no chunk of this prompt was found: " + why_nothing_matched(io, s));
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------

asio::awaitable<oc::status> flip(oc::s3_tier& tier, std::string key)
{
    const auto until = oc::deadline(steady::now() + std::chrono::seconds(10));
    const auto found = co_await tier.stat(key, until);
    if (!found)
        co_return found.error();
    std::vector<std::byte> bytes(found->size);
    const oc::byte_range all{0, bytes.size()};
    oc::status s = co_await tier.read(key, all, bytes, until);
    if (!s.ok())
        co_return s;
    bytes[bytes.size() / 2] ^= std::byte{1};
    const oc::const_byte_span parts[] = {bytes};
    s = co_await tier.write(key, parts, oc::if_exists::replace, until);
    co_return s;
}

int damage(const settings& s)
{
    const auto model = llama::model::load(s.model);
    const auto prompt = llama::read_prompt(model.cfg(), s.prompt);
    asio::io_context io;
    access store(io, s);
    const auto id = checked(oc::scope_id(scope_of(model, s.tokens_per_chunk)), "scope");
    const auto chain = oc::hash_chain(id, prompt, s.tokens_per_chunk);
    const std::size_t victim = chain.size() / 2;
    const auto key =
        oc::record_key({"", id}, *oc::parse_layout(s.layout), chain[victim], model.cfg().layers / 2);
    check(run(io, flip(store.tier, key)), "cannot damage chunk " + std::to_string(victim));
    std::printf("one byte of chunk %zu (tokens %zu ...) flipped in the store: %s\n", victim,
                victim * s.tokens_per_chunk, key.c_str());
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    settings s;
    CLI::App app("objectcache, once through: store the KV of a prompt in S3, bring it back layer by layer");
    app.require_subcommand(1);
    app.add_option("--model", s.model, "a Hugging Face Llama checkpoint: config.json and safetensors")
        ->capture_default_str();
    app.add_option("--prompt", s.prompt,
                   "text for a byte-level model (256 tokens), decimal token ids otherwise")
        ->capture_default_str();
    app.add_option("--endpoint", s.endpoint, "URL of an S3 store (default: AWS_ENDPOINT_URL, AWS_REGION)");
    app.add_option("--bucket", s.bucket, "made if it does not exist")->capture_default_str();
    app.add_option("--layout", s.layout, "chunk_objects or layer_objects")->capture_default_str();
    app.add_option("--chunk-tokens", s.tokens_per_chunk, "tokens per chunk (G)")
        ->check(CLI::Range(1, 65536))
        ->capture_default_str();
    app.add_option("--shared", s.shared, "share of the prompt that process A has seen")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    app.add_option("--generate,-n", s.generate, "tokens to generate")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    app.add_option("--prefetch-depth", s.prefetch_depth, "layers under way at once")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--coalesce-kib", s.coalesce_kib,
                   "neighbouring layers of a chunk in one request up to this size")
        ->capture_default_str();
    app.add_flag(
        "--stream-decode", s.stream,
        "also decode with the prefix of only a few layers on the device, fetched again at every step");
    app.add_option("--layer-slots", s.layer_slots, "how many")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--mbit", s.mbit,
                   "what the link was shaped to, for the model's row (default: as measured)");
    app.add_option("--latency-ms", s.latency_ms, "and its time to first byte");
    app.fallthrough();
    int (*job)(const settings&) = nullptr;
    app.add_subcommand("prefill", "process A: prefill the shared part of the prompt and store its KV")
        ->callback([&] { job = prefill; });
    app.add_subcommand("answer", "process B: answer the prompt in three ways and compare")->callback([&] {
        job = answer;
    });
    app.add_subcommand("damage", "flip one stored byte of the prompt's KV")->callback([&] { job = damage; });
    CLI11_PARSE(app, argc, argv);
    try {
        return job(s);
    } catch (const std::exception& e) {
        std::fflush(stdout);
        std::fprintf(stderr, "error: %s\n", e.what());
        return 1;
    }
}
