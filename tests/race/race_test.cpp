// SPDX-License-Identifier: BSL-1.0
//
// Many processes store and load overlapping prefixes at once in one bucket, and some are killed. Afterwards somebody who
// took no part looks at all of it.
//
//     race_test [--seconds N] [--processes N] [--seed N] [--sequences N] [--kills no]
//
// Over a server of the test kit, or with RGW_URL in the environment (interop/rgw.sh) over Ceph's gateway. What must hold:
//   - what is loaded is, byte for byte, what belongs to that chunk of that sequence;
//   - what a process was told is stored is found by one that knows nothing, loads, and is right;
//   - every object in the bucket is whole, is called what it should be, and verifies;
//   - no chunk is in more than log2(N) + 2 segments, N being the chunks of a region.
#include <race/verdict.hpp>
#include <race/worker.hpp>

#include <objectcache/testing/s3_server.hpp>

#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <sys/wait.h>

namespace race {

namespace {

using steady = std::chrono::steady_clock;

struct settings {
    std::uint64_t seconds = 10, processes = 4, seed = std::random_device()(), sequences = 48;
    bool kills = true;
};

settings parse(int argc, char** argv)
{
    settings out;
    const std::map<std::string, std::uint64_t*> numbers = {{"--seconds", &out.seconds},
                                                           {"--processes", &out.processes},
                                                           {"--seed", &out.seed},
                                                           {"--sequences", &out.sequences}};
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        if (const auto found = numbers.find(name); found != numbers.end())
            *found->second = std::stoull(argv[i + 1]);
        else if (name == "--kills")
            out.kills = std::string(argv[i + 1]) != "no";
        else
            throw failure(name + ": unknown");
    }
    check(argc % 2 == 1 && out.processes > 0 && out.sequences > 1, "see the head of race_test.cpp");
    return out;
}

/** The processes, and what they say. */
class field {
public:
    field(const char* self, const settings& s, const place& where, const schedule& when)
        : self_(self)
        , settings_(s)
        , where_(where)
        , when_(when)
        , random_(mix(s.seed + 99))
    {}
    field(const field&) = delete;
    field& operator=(const field&) = delete;
    ~field() // of a race that failed
    {
        for (runner& r : runners_)
            if (r.pid > 0) {
                ::kill(r.pid, SIGKILL);
                ::waitpid(r.pid, nullptr, 0);
            }
    }

    void run()
    {
        runners_.resize(settings_.processes);
        for (runner& r : runners_)
            start(r);
        time_t progress = 0;
        auto next_kill = steady::now() + a_while();
        while (std::any_of(runners_.begin(), runners_.end(), [](const runner& r) { return r.pid > 0; })) {
            const auto now = steady::now();
            if (settings_.kills && now >= next_kill && now < when_.until) {
                kill_one();
                next_kill = now + a_while();
            }
            listen(now < when_.until ? next_kill : now + std::chrono::seconds(1));
            // On a terminal a line that moves, elsewhere one now and then.
            const bool terminal = ::isatty(STDERR_FILENO) != 0;
            const auto second = std::chrono::duration_cast<std::chrono::seconds>(now - when_.from).count();
            if (second >= progress + (terminal ? 1 : 20)) {
                progress = second;
                std::fprintf(stderr,
                             "%s%4lld s: %" PRIu64 " requests of engines, %" PRIu64
                             " chunks stored, %u killed%s",
                             terminal ? "\r" : "", static_cast<long long>(second), sum.of[totals::stores],
                             sum.of[totals::stored], kills, terminal ? "" : "\n");
            }
        }
        if (::isatty(STDERR_FILENO) != 0)
            std::fputc('\n', stderr);
    }

    totals sum;
    promises told;
    unsigned kills = 0, lives = 0;

private:
    struct runner {
        pid_t pid = -1;
        int from = -1;
        bool killed = false;
        std::string rest; ///< of a line
    };

    [[nodiscard]] steady::duration a_while() { return std::chrono::milliseconds(200 + random_() % 1200); }

    void start(runner& r)
    {
        int ends[2];
        check(::pipe2(ends, O_CLOEXEC) == 0, "pipe");
        const std::string arguments[] = {"--worker",
                                         where_.server.url,
                                         where_.server.key,
                                         where_.server.secret,
                                         where_.prefix,
                                         std::to_string(++lives),
                                         std::to_string(when_.seed),
                                         std::to_string(when_.sequences),
                                         std::to_string(when_.from.time_since_epoch().count()),
                                         std::to_string(when_.until.time_since_epoch().count())};
        std::vector<char*> argv = {const_cast<char*>(self_)};
        for (const std::string& argument : arguments)
            argv.push_back(const_cast<char*>(argument.c_str()));
        argv.push_back(nullptr);
        r = {::fork(), ends[0], false, {}};
        check(r.pid >= 0, "fork");
        if (r.pid == 0) {
            ::dup2(ends[1], STDOUT_FILENO);
            ::execv("/proc/self/exe", argv.data());
            ::_exit(127);
        }
        ::close(ends[1]);
    }
    void kill_one()
    {
        runner& r = runners_[random_() % runners_.size()];
        if (r.pid < 0 || r.killed)
            return;
        r.killed = true;
        ++kills;
        ::kill(r.pid, SIGKILL);
    }
    void listen(steady::time_point until)
    {
        std::vector<pollfd> all;
        for (const runner& r : runners_)
            all.push_back({r.from, POLLIN, 0});
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - steady::now()).count();
        const int ready =
            ::poll(all.data(), all.size(), static_cast<int>(std::clamp<long long>(left, 0, 1000)));
        check(ready >= 0 || errno == EINTR, "poll");
        for (std::size_t i = 0; ready > 0 && i < all.size(); ++i) {
            if (all[i].revents == 0)
                continue;
            char text[4096];
            const ssize_t n = ::read(all[i].fd, text, sizeof text);
            check(n >= 0, "read");
            if (n == 0)
                ended(runners_[i]);
            else
                hear(runners_[i], std::string_view(text, static_cast<std::size_t>(n)));
        }
    }
    void hear(runner& r, std::string_view text)
    {
        r.rest += text;
        for (std::size_t end; (end = r.rest.find('\n')) != std::string::npos; r.rest.erase(0, end + 1)) {
            std::istringstream line(r.rest.substr(0, end));
            std::string name;
            std::size_t sequence = 0, chunks = 0;
            totals more;
            line >> name >> sequence >> chunks;
            for (std::uint64_t& n : more.of)
                line >> n;
            check(bool(line), "a process says: " + r.rest.substr(0, end));
            sum += more;
            std::size_t& most = told[{name, sequence}];
            most = std::max(most, chunks);
        }
    }
    void ended(runner& r)
    {
        int status = 0;
        check(::waitpid(r.pid, &status, 0) == r.pid, "waitpid");
        ::close(r.from);
        const bool killed = r.killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        r = {};
        check(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0),
              "a process failed: " + std::to_string(status));
        if (killed && steady::now() < when_.until)
            start(r);
    }

    const char* self_;
    const settings& settings_;
    const place& where_;
    const schedule& when_;
    std::mt19937_64 random_;
    std::vector<runner> runners_;
};

double mib(std::uint64_t bytes)
{
    return static_cast<double>(bytes) / (1 << 20);
}
double ratio(std::uint64_t a, std::uint64_t b)
{
    return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
}

void report(const settings& s, const field& all, const verdict& left)
{
    const auto& n = all.sum.of;
    std::printf("%" PRIu64 " processes for %" PRIu64 " s, %u killed; %" PRIu64 " matches, %" PRIu64
                " loads, %" PRIu64 " stores\n",
                s.processes, s.seconds, all.kills, n[totals::matches], n[totals::loads], n[totals::stores]);
    std::printf("chunks: %" PRIu64 " asked for, %" PRIu64 " found and loaded, %" PRIu64 " stored, %" PRIu64
                " merged, %" PRIu64 " there already\n",
                n[totals::asked], n[totals::matched], n[totals::stored], n[totals::merged],
                n[totals::present]);
    std::printf("requests: %" PRIu64 " (%" PRIu64 " GET, %" PRIu64 " PUT, %" PRIu64 " HEAD, %" PRIu64
                " LIST); %.0f MiB read, %.0f MiB sent\n\n",
                all.sum.requests(), n[totals::gets], n[totals::puts], n[totals::heads], n[totals::lists],
                mib(n[totals::read]), mib(n[totals::written]));
    std::printf("%-9s %4s %9s %8s %8s %9s %9s %6s %9s %6s %12s\n", "", "N", "promised", "found", "objects",
                "KV MiB", "different", "factor", "segments", "copies", "most/allowed");
    for (const auto& [kind, of] : left.kinds) {
        const std::string most = std::to_string(of.most_copies) + "/" + std::to_string(of.allowed);
        std::printf("%-9s %4u %9zu %8zu %8" PRIu64 " %9.1f %9.1f %6.2f %9" PRIu64 " %6.2f %12s\n",
                    kind.c_str(), of.per_region, of.promised, of.found, of.objects, mib(of.payload),
                    mib(of.unique), ratio(of.payload, of.unique), of.segments, ratio(of.copies, of.chunks),
                    most.c_str());
    }
    std::printf("\nleft by the killed: %" PRIu64 " uploads, %" PRIu64 " layers without a manifest, %" PRIu64
                " chunks behind a hole\n",
                left.uploads, left.leftovers, left.unreachable);
}

void judge(const settings& s, const field& all, const verdict& left)
{
    for (const auto& [kind, of] : left.kinds) {
        check(of.promised > 0, kind + ": nothing happened");
        check(of.most_copies <= of.allowed, kind + ": a chunk in too many segments");
    }
    check(s.kills || left.uploads + left.leftovers + left.unreachable == 0, "garbage, and nobody was killed");
    check(!s.kills || s.seconds < 5 || all.kills > 0, "nobody was killed");
    check(all.sum.of[totals::loads] > 0 && all.sum.of[totals::merged] > 0, "too little happened");
}

int work(char** argv)
{
    const place where{{argv[2], argv[3], argv[4]}, argv[5]};
    const auto moment = [](const char* text) {
        return steady::time_point(steady::duration(std::stoll(text)));
    };
    const schedule when{std::stoull(argv[7]), std::stoull(argv[8]), moment(argv[9]), moment(argv[10])};
    worker(where, when, std::stoull(argv[6])).run();
    return 0;
}

int hold_the_race(int argc, char** argv)
{
    const settings s = parse(argc, argv);
    std::printf("seed %" PRIu64 "\n", s.seed);
    std::fflush(stdout);
    support::s3_site site(2);
    const place where{site.where(), std::to_string(s.seed) + '-' + std::to_string(::getpid()) + '/'};
    where.server.make_bucket(bucket);
    const auto now = steady::now();
    const schedule when{s.seed, s.sequences, now, now + std::chrono::seconds(s.seconds)};
    field all(argv[0], s, where, when);
    all.run();
    std::fprintf(stderr, "looking at what is left ...\n");
    const verdict left = inspector(where, when.worlds()).run(all.told);
    report(s, all, left);
    judge(s, all, left);
    return 0;
}

} // namespace

} // namespace race

int main(int argc, char** argv)
try {
    return argc == 11 && std::string(argv[1]) == "--worker" ? race::work(argv)
                                                            : race::hold_the_race(argc, argv);
} catch (const std::exception& e) {
    std::fprintf(stderr, "race_test: %s\n", e.what());
    return 1;
}
