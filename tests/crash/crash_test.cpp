// SPDX-License-Identifier: BSL-1.0
//
// A writer is killed after every one of its requests in turn, and while it is on the way; what it leaves is read by others.
//
//     crash_test [LAYOUT ...]     a server of the test kit, or with RGW_URL in the environment (rgw.sh) Ceph's gateway
//
// After each kill: a process that knows nothing matches and loads the prefix; every byte of what matched must be right, and
// the match must not promise more than the load brings. Another writer stores the prefix again, then all of it is there.
// What is in the bucket beside that must be of a kind that a collector can tell from what is alive, and when it is removed
// the prefix is there still.
#include "killing_tier.hpp"

#include <objectcache/cache.hpp>
#include <objectcache/device/host_device.hpp>
#include <objectcache/store/collector.hpp>
#include <objectcache/testing/s3_server.hpp>

#include <support/kv_fixture.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <vector>

namespace {

namespace oc = objectcache;
namespace asio = boost::asio;

struct failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};
void check(bool holds, const std::string& what)
{
    if (!holds)
        throw failure(what);
}

/** Where the server is and who we are; a child gets it as arguments. */
struct place {
    std::string url, key, secret;
};

/** What is stored: small chunks, or segments of 24 MiB that need several parts of S3's least size. */
struct work {
    explicit work(oc::layout l) : where(l)
    {
        if (where == oc::layout::segment_objects) {
            shape.layers = 3, shape.kv_heads = 8, shape.head_size = 128, shape.tokens_per_chunk = 64;
            chunks = oc::segment_chunks(shape) + 3; // a region and a bit
        }
        named.geometry = shape;
        tokens = kv_fixture::tokens(chunks * shape.tokens_per_chunk + 1);
    }
    [[nodiscard]] oc::cache_options options(const std::string& prefix) const
    {
        oc::cache_options o;
        o.key_prefix = prefix;
        o.stored_as = where;
        o.part_bytes = 5 << 20;
        o.max_writes = 2;
        o.match_timeout = o.load_timeout = o.store_timeout = std::chrono::seconds(20);
        return o;
    }
    void fill(kv_fixture::memory& memory) const
    {
        std::uint64_t x = 88172645463325252;
        for (std::byte& b : memory.bytes) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            b = static_cast<std::byte>(x);
        }
    }
    oc::layout where;
    oc::kv_geometry shape = kv_fixture::geometry();
    std::size_t chunks = 6;
    oc::scope named = kv_fixture::scope();
    std::vector<oc::token_id> tokens;
};

oc::s3::client connect(asio::io_context& io, const place& at)
{
    oc::s3::credentials who;
    who.access_key_id = at.key;
    who.secret_access_key = at.secret;
    return oc::s3::client(io.get_executor(), *oc::s3::endpoint::parse(at.url), who);
}

template <class T>
T run(asio::io_context& io, asio::awaitable<T> todo)
{
    std::optional<T> out;
    asio::co_spawn(io, std::move(todo), [&](std::exception_ptr e, T value) {
        if (e)
            std::rethrow_exception(e);
        out = std::move(value);
    });
    io.restart();
    io.run();
    return std::move(*out);
}

template <class Tier>
asio::awaitable<oc::store_report> store(oc::cache<oc::host_device, Tier>& kv, const work& w,
                                        kv_fixture::memory& from)
{
    oc::store_report report = co_await kv.store(w.named, w.tokens, from.pages());
    (void)co_await kv.close();
    co_return report;
}

/** In a process of its own: store everything, unless request k comes first. */
int writer(const work& w, const place& at, const std::string& prefix, unsigned k, crash::death::when when)
{
    asio::io_context io(1);
    crash::killing_tier tier(oc::s3_tier(io.get_executor(), connect(io, at), "crash"),
                             crash::death(io.get_executor(), k, when));
    oc::host_device device;
    auto kv = oc::cache<oc::host_device, crash::killing_tier>::create(tier, device, w.options(prefix));
    check(kv.ok(), "no cache");
    kv_fixture::memory from(w.shape, w.tokens.size());
    w.fill(from);
    const oc::store_report report = run(io, store(*kv, w, from));
    return report.failed.ok() ? 0 : 1;
}

struct reading {
    std::size_t matched = 0, usable = 0;
    oc::status failed;
};

using reader_cache = oc::cache<oc::host_device, oc::s3_tier>;

asio::awaitable<reading> read(reader_cache& kv, const work& w, kv_fixture::memory& into)
{
    reading out;
    const oc::prefix_match match = co_await kv.match(w.named, w.tokens);
    check(match.ended_by.ok(), "match: " + match.ended_by.message());
    out.matched = match.chunks.size();
    auto load = kv.load(match, into.pages());
    const oc::load_report report = co_await load.finish();
    out.failed = report.failed;
    out.usable = report.usable_tokens / w.shape.tokens_per_chunk;
    (void)co_await kv.close();
    co_return out;
}

/** As a process that knows nothing would. Every byte of what it says is usable is looked at. */
reading fresh_reader(const work& w, const place& at, const std::string& prefix, kv_fixture::memory& expected)
{
    asio::io_context io(1);
    oc::s3_tier tier(io.get_executor(), connect(io, at), "crash");
    oc::host_device device;
    auto kv = reader_cache::create(tier, device, w.options(prefix));
    kv_fixture::memory into(w.shape, w.tokens.size());
    into.clear();
    const reading out = run(io, read(*kv, w, into));
    for (oc::layer_id layer = 0; layer < w.shape.layers; ++layer) {
        const std::size_t rows = out.usable * w.shape.tokens_per_chunk;
        check(into.rows_of(layer, rows) == expected.rows_of(layer, rows), "wrong KV");
    }
    return out;
}

/** As `objectcache_ctl gc --delete` would, but without any grace: the writer is known to be dead. */
std::size_t collect(const place& at, const std::string& prefix)
{
    asio::io_context io(1);
    oc::collector_options how;
    how.remove = true;
    how.grace = how.settle = {};
    const oc::collector_report done = run(io, oc::collect_garbage(connect(io, at), "crash", prefix, how));
    check(done.failed.ok(), "collector: " + done.failed.message());
    check(done.of(oc::verdict::foreign).objects == 0, "a key that is none of ours");
    check(done.of(oc::verdict::young).objects == 0, "something is young without a grace");
    check(done.retracted == 0 && done.spared == 0, "somebody else is at work");
    return static_cast<std::size_t>(done.removed.objects + done.uploads_aborted);
}

/** Run the writer as a process; how it ended. */
int spawn_writer(const char* self, const work& w, const place& at, const std::string& prefix, unsigned k,
                 int when)
{
    const pid_t child = ::fork();
    check(child >= 0, "fork");
    if (child == 0) {
        const std::string layout(oc::name(w.where)), number = std::to_string(k),
                                                     moment = std::to_string(when);
        ::execl("/proc/self/exe", self, "--writer", layout.c_str(), at.url.c_str(), at.key.c_str(),
                at.secret.c_str(), prefix.c_str(), number.c_str(), moment.c_str(), nullptr);
        ::_exit(127);
    }
    int status = 0;
    check(::waitpid(child, &status, 0) == child, "waitpid");
    return status;
}

struct totals {
    unsigned points = 0, complete = 0, part = 0, empty = 0;
    std::size_t collected = 0;
};

void survive(const char* self, const work& w, const place& at, bool at_once, totals& sum)
{
    kv_fixture::memory expected(w.shape, w.tokens.size());
    w.fill(expected);
    for (int when = 0; when < 2; ++when)
        for (unsigned k = 1;; ++k) {
            const std::string prefix =
                std::string(oc::name(w.where)) + '-' + std::to_string(when) + '-' + std::to_string(k) + '/';
            const int ended = spawn_writer(self, w, at, prefix, k, when);
            const bool killed = WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL;
            check(killed || (WIFEXITED(ended) && WEXITSTATUS(ended) == 0),
                  prefix + ": the writer failed by itself: " + std::to_string(ended));
            const reading left = fresh_reader(w, at, prefix, expected);
            check(left.failed.ok(), prefix + ": " + left.failed.message());
            check(left.usable == left.matched, prefix + ": a match that cannot be loaded");
            if (!killed) {
                check(left.matched == w.chunks, prefix + ": stored, and not found");
                break;
            }
            ++sum.points;
            ++(left.matched == w.chunks ? sum.complete : left.matched == 0 ? sum.empty : sum.part);
            const auto clean = [&] { sum.collected += collect(at, prefix); };
            // Before anybody stores it again, too; but not where the last request of the dead may still be at work: a
            // collector that gives no grace would take its layers away under it.
            if (at_once && k % 2 == 0) {
                clean();
                check(fresh_reader(w, at, prefix, expected).usable >= left.usable,
                      prefix + ": collected too much");
            }
            const int again = spawn_writer(self, w, at, prefix, 0, 0);
            check(WIFEXITED(again) && WEXITSTATUS(again) == 0, prefix + ": the second writer failed");
            check(fresh_reader(w, at, prefix, expected).usable == w.chunks, prefix + ": not mended");
            clean();
            check(fresh_reader(w, at, prefix, expected).usable == w.chunks, prefix + ": collected too much");
        }
}

asio::awaitable<oc::status> make_bucket(oc::s3::client c)
{
    oc::status s = co_await c.create_bucket("crash");
    co_return s == oc::errc::already_exists ? oc::status() : s;
}

} // namespace

int main(int argc, char** argv)
try {
    if (argc == 9 && std::string(argv[1]) == "--writer")
        return writer(work(*oc::parse_layout(argv[2])), {argv[3], argv[4], argv[5]}, argv[6],
                      static_cast<unsigned>(std::stoul(argv[7])),
                      static_cast<crash::death::when>(std::stoi(argv[8])));

    std::vector<oc::layout> layouts;
    for (int i = 1; i < argc; ++i)
        layouts.push_back(oc::parse_layout(argv[i]).value());
    if (layouts.empty())
        layouts = {oc::layout::segment_objects, oc::layout::chunk_objects, oc::layout::layer_objects};

    place at;
    std::optional<oc::testing::s3_server> server;
    if (const char* url = std::getenv("RGW_URL")) {
        at = {url, std::getenv("AWS_ACCESS_KEY_ID"), std::getenv("AWS_SECRET_ACCESS_KEY")};
    } else {
        server.emplace(std::move(*oc::testing::s3_server::start({})));
        at = {server->endpoint_url(), server->credentials().access_key_id,
              server->credentials().secret_access_key};
    }
    {
        asio::io_context io(1);
        const oc::status made = run(io, make_bucket(connect(io, at)));
        check(made.ok(), made.message());
    }
    for (const oc::layout layout : layouts) {
        totals sum;
        survive(argv[0], work(layout), at, server.has_value(), sum);
        std::printf("%-16s %3u kill points survived: %u left everything, %u a part, %u nothing; %zu "
                    "leftovers collected\n",
                    std::string(oc::name(layout)).c_str(), sum.points, sum.complete, sum.part, sum.empty,
                    sum.collected);
        std::fflush(stdout);
        check(sum.points > 10, "that few kill points test nothing");
        check(sum.empty > 0 && sum.complete > 0, "kills that all left the same test nothing");
    }
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "crash_test: %s\n", e.what());
    return 1;
}
