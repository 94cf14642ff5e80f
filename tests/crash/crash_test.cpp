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
#include <objectcache/kv/hash_chain.hpp>
#include <objectcache/kv/object_key.hpp>
#include <objectcache/store/collector.hpp>

#include <support/kv_fixture.hpp>
#include <support/s3_place.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <sys/wait.h>
#include <vector>

namespace {

namespace oc = objectcache;
namespace asio = boost::asio;

using oc::testing::run_to_end;
using support::check;
using place = support::s3_place;

/** What is stored: small chunks, or segments of 24 MiB that need several parts of S3's least size. */
struct work {
    explicit work(oc::layout l, std::size_t n = 6) : where(l), chunks(n)
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
    std::size_t chunks;
    oc::kv_geometry shape = kv_fixture::geometry();
    oc::scope named = kv_fixture::scope();
    std::vector<oc::token_id> tokens;
};

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
    crash::killing_tier tier(oc::s3_tier(io.get_executor(), at.client(io), "crash"),
                             crash::death(io.get_executor(), k, when));
    oc::host_device device;
    auto kv = oc::cache<oc::host_device, crash::killing_tier>::create(tier, device, w.options(prefix));
    check(kv.ok(), "no cache");
    kv_fixture::memory from(w.shape, w.tokens.size());
    w.fill(from);
    const oc::store_report report = run_to_end(io, store(*kv, w, from));
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
    oc::s3_tier tier(io.get_executor(), at.client(io), "crash");
    oc::host_device device;
    auto kv = reader_cache::create(tier, device, w.options(prefix));
    kv_fixture::memory into(w.shape, w.tokens.size());
    into.clear();
    const reading out = run_to_end(io, read(*kv, w, into));
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
    const oc::collector_report done =
        run_to_end(io, oc::collect_garbage(at.client(io), "crash", prefix, how));
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
        const std::string layout(oc::name(w.where)),
            chunks = std::to_string(w.chunks), number = std::to_string(k), moment = std::to_string(when);
        ::execl("/proc/self/exe", self, "--writer", layout.c_str(), chunks.c_str(), at.url.c_str(),
                at.key.c_str(), at.secret.c_str(), prefix.c_str(), number.c_str(), moment.c_str(), nullptr);
        ::_exit(127);
    }
    int status = 0;
    check(::waitpid(child, &status, 0) == child, "waitpid");
    return status;
}

bool was_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
bool succeeded(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct totals {
    unsigned points = 0, complete = 0, part = 0, empty = 0;
    std::size_t collected = 0;
};

/** What one writer leaves in one place, and what becomes of it. */
class scene {
public:
    scene(const char* self, const work& w, const place& at, kv_fixture::memory& expected, std::string prefix)
        : self_(self)
        , work_(w)
        , at_(at)
        , expected_(expected)
        , prefix_(std::move(prefix))
    {}

    [[nodiscard]] bool kill_writer(unsigned k, int when) const
    {
        const int ended = spawn_writer(self_, work_, at_, prefix_, k, when);
        demand(was_killed(ended) || succeeded(ended),
               "the writer failed by itself: " + std::to_string(ended));
        return was_killed(ended);
    }
    [[nodiscard]] reading look() const
    {
        const reading out = fresh_reader(work_, at_, prefix_, expected_);
        demand(out.failed.ok(), out.failed.message());
        demand(out.usable == out.matched, "a match that cannot be loaded");
        return out;
    }
    void clean(totals& sum) const { sum.collected += collect(at_, prefix_); }
    /** Somebody stores all of it again, and it is collected what nobody needs. */
    void mend(totals& sum) const
    {
        demand(succeeded(spawn_writer(self_, work_, at_, prefix_, 0, 0)), "the second writer failed");
        demand(look().usable == work_.chunks, "not mended");
        clean(sum);
        demand(look().usable == work_.chunks, "collected too much");
    }
    void demand(bool holds, const std::string& what) const { check(holds, prefix_ + ": " + what); }

private:
    const char* self_;
    const work& work_;
    const place& at_;
    kv_fixture::memory& expected_;
    std::string prefix_;
};

void survive(const char* self, const work& w, const place& at, bool at_once, totals& sum)
{
    kv_fixture::memory expected(w.shape, w.tokens.size());
    w.fill(expected);
    for (int when = 0; when < 2; ++when)
        for (unsigned k = 1;; ++k) {
            const scene here(self, w, at, expected,
                             std::string(oc::name(w.where)) + '-' + std::to_string(when) + '-' +
                                 std::to_string(k) + '/');
            const bool killed = here.kill_writer(k, when);
            const reading left = here.look();
            if (!killed) {
                here.demand(left.matched == w.chunks, "stored, and not found");
                break;
            }
            ++sum.points;
            ++(left.matched == w.chunks ? sum.complete : left.matched == 0 ? sum.empty : sum.part);
            // Before anybody stores it again, too; but not where the last request of the dead may still be at work: a
            // collector that gives no grace would take its layers away under it.
            if (at_once && k % 2 == 0) {
                here.clean(sum);
                here.demand(here.look().usable >= left.usable, "collected too much");
            }
            here.mend(sum);
        }
}

/** Many chunks, of which one is still on the way when the writer dies, and those behind it are stored. A reader that asked
    here and there would see nothing of the hole. */
unsigned survive_holes(const char* self, const work& w, const place& at, oc::testing::s3_server& server,
                       totals& sum)
{
    kv_fixture::memory expected(w.shape, w.tokens.size());
    w.fill(expected);
    const oc::digest scope = oc::scope_id(w.named).value();
    const auto chain = oc::hash_chain(scope, w.tokens, w.shape.tokens_per_chunk);
    unsigned holes = 0;
    for (const std::size_t hole : {1u, 25u, 44u}) {
        const std::string prefix = std::string(oc::name(w.where)) + "-hole-" + std::to_string(hole) + '/';
        const oc::key_space keys{prefix, scope};
        const auto key_of = [&](std::size_t chunk) {
            return w.where == oc::layout::chunk_objects ? oc::chunk_key(keys, chain[chunk])
                                                        : oc::manifest_key(keys, chain[chunk]);
        };
        const auto held = std::make_shared<std::atomic<bool>>(false);
        server.set_responder([key = key_of(hole), held](const oc::testing::s3_request& r) {
            using fault = oc::testing::s3_fault;
            const bool hold = r.method == "PUT" && r.key == key && !held->exchange(true);
            return hold ? fault::stall(fault::point::request_head) : fault();
        });
        const scene here(self, w, at, expected, prefix);
        const unsigned per_chunk = w.where == oc::layout::chunk_objects ? 1 : w.shape.layers + 1;
        here.demand(here.kill_writer(70 * per_chunk, 0), "the writer ended before it was killed");
        here.demand(*held, "nothing was held up");
        const reading left = here.look();
        here.demand(left.matched == hole,
                    "the prefix should end at the hole, and has " + std::to_string(left.matched) + " chunks");
        const auto objects = server.objects();
        const auto behind = std::count_if(objects.begin(), objects.end(), [&](const auto& object) {
            for (std::size_t chunk = hole + 1; chunk < chain.size(); ++chunk)
                if (object.key == key_of(chunk))
                    return true;
            return false;
        });
        here.demand(behind > 10, "too little behind the hole");
        here.mend(sum);
        ++holes;
    }
    server.set_responder(nullptr);
    return holes;
}

} // namespace

int main(int argc, char** argv)
try {
    if (argc == 10 && std::string(argv[1]) == "--writer")
        return writer(work(*oc::parse_layout(argv[2]), std::stoul(argv[3])), {argv[4], argv[5], argv[6]},
                      argv[7], static_cast<unsigned>(std::stoul(argv[8])),
                      static_cast<crash::death::when>(std::stoi(argv[9])));

    std::vector<oc::layout> layouts;
    for (int i = 1; i < argc; ++i)
        layouts.push_back(oc::parse_layout(argv[i]).value());
    if (layouts.empty())
        layouts = {oc::layout::segment_objects, oc::layout::chunk_objects, oc::layout::layer_objects};

    support::s3_site site;
    const place& at = site.where();
    at.make_bucket("crash");
    for (const oc::layout layout : layouts) {
        totals sum;
        survive(argv[0], work(layout), at, site.own() != nullptr, sum);
        std::printf("%-16s %3u kill points survived: %u left everything, %u a part, %u nothing; %zu "
                    "leftovers collected\n",
                    std::string(oc::name(layout)).c_str(), sum.points, sum.complete, sum.part, sum.empty,
                    sum.collected);
        std::fflush(stdout);
        check(sum.points > 10, "that few kill points test nothing");
        check(sum.empty > 0 && sum.complete > 0, "kills that all left the same test nothing");
    }
    for (const oc::layout layout : layouts) {
        if (layout == oc::layout::segment_objects || site.own() == nullptr)
            continue;
        totals sum;
        const unsigned holes = survive_holes(argv[0], work(layout, 100), at, *site.own(), sum);
        std::printf("%-16s %3u holes among 100 chunks survived\n", std::string(oc::name(layout)).c_str(),
                    holes);
        std::fflush(stdout);
    }
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "crash_test: %s\n", e.what());
    return 1;
}
