// SPDX-License-Identifier: BSL-1.0
#include <objectcache/s3/detail/process.hpp>

#include <objectcache/io/operation.hpp>
#include <objectcache/s3/detail/files.hpp>

#include <unit/s3/credentials_fixture.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <support/run.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sched.h>
#include <sstream>
#include <sys/wait.h>

using namespace objectcache;
using namespace std::chrono_literals;
using s3::detail::run_process;

namespace process_test {

using credentials_fixture::has;
using support::run;

struct fixture : credentials_fixture::clean_environment {
    asio::io_context io;

    result<std::string> shell(const std::string& script, duration limit = 20s)
    {
        std::vector<std::string> words{"sh", "-c", script};
        return run(io, run_process(std::move(words), deadline(std::chrono::steady_clock::now() + limit)));
    }
    /** Dead, at the latest a little later: what was killed is init's now, which may take its time to bury it. */
    static bool is_gone(pid_t pid)
    {
        const auto limit = std::chrono::steady_clock::now() + 10s;
        while (std::chrono::steady_clock::now() < limit) {
            const std::string state = s3::detail::small_file("/proc/" + std::to_string(pid) + "/stat");
            if (state.empty() || has(state, ") Z ") || has(state, ") X "))
                return true;
            ::sched_yield();
        }
        return false;
    }
    static bool has_children() { return ::waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD; }
};

TEST_CASE_FIXTURE(fixture, "process: its output")
{
    CHECK(*shell("echo out") == "out\n");
    CHECK(shell("exec 1>&-; true")->empty());
    CHECK(shell("head -c 65536 /dev/zero")->size() == 65536);
    CHECK(*shell("cat; echo no input") == "no input\n");
    // A host that ignores SIGPIPE does not make its children ignore it.
    const auto before = std::signal(SIGPIPE, SIG_IGN);
    CHECK(shell("kill -s PIPE $$; echo survived").error().detail() == "sh: ended by signal 13");
    std::signal(SIGPIPE, before);
    CHECK_FALSE(has_children());
}

TEST_CASE_FIXTURE(fixture, "process: inherits nothing but the standard error")
{
    // A host's file without close-on-exec.
    const int kept = ::dup(2);
    const auto open = shell("ls /proc/self/fd | tr '\\n' ' '"); // the 3 is the folder itself
    ::close(kept);
    CHECK(*open == "0 1 2 3 ");
    const auto group = shell("cut -d' ' -f5 /proc/$$/stat; echo $$");
    REQUIRE(group);
    const auto first = std::stol(*group);
    CHECK(first == std::stol(group->substr(group->find('\n'))));
}

TEST_CASE_FIXTURE(fixture, "process: what goes wrong, without its output")
{
    CHECK(shell("echo SECRET; exit 3").error().message() == "sh: ended with status 3: access denied");
    CHECK(shell("echo SECRET; kill -9 $$").error().message() == "sh: ended by signal 9: access denied");
    CHECK(shell("head -c 70000 /dev/zero; sleep 1000").error() == errc::malformed_response);
    const auto start = [this](const std::string& name) {
        std::vector<std::string> words{name, "SECRET"};
        return run(io, run_process(std::move(words), deadline(std::chrono::steady_clock::now() + 20s)))
            .error();
    };
    CHECK(start("/nonexistent/tool") == condition::invalid);
    CHECK(start("/nonexistent/tool").detail() ==
          "/nonexistent/tool: cannot be started: No such file or directory");
    CHECK(start(write("not-executable", "x").string()) == condition::invalid);
    CHECK_FALSE(has_children());
}

TEST_CASE_FIXTURE(fixture, "process: a time limit ends it and all it began")
{
    const auto pid_file = write("pids", "");
    const std::string hangs =
        "sleep 1000 & echo $! > " + pid_file.string() + "; echo $$ >> " + pid_file.string() + "; ";
    SUBCASE("waiting")
    {
        CHECK(shell(hangs + "wait", 300ms).error() == condition::timeout);
    }
    SUBCASE("its output closed")
    {
        CHECK(shell(hangs + "exec 1>&-; wait", 300ms).error() == condition::timeout);
    }
    SUBCASE("writing without end")
    {
        CHECK(shell(hangs + "yes").error() == errc::malformed_response);
    }
    SUBCASE("cancelled")
    {
        asio::cancellation_signal stop;
        error_code ended;
        std::vector<std::string> words{"sh", "-c", hangs + "echo; wait"};
        const auto body = [](std::vector<std::string> what, error_code& to) -> asio::awaitable<void> {
            co_await without_exceptions();
            const deadline until(std::chrono::steady_clock::now() + 20s);
            const auto got = co_await run_process(std::move(what), until);
            to = got.code();
        };
        asio::co_spawn(io, body(words, ended), asio::bind_cancellation_slot(stop.slot(), asio::detached));
        REQUIRE(testing::run_until(io, [&] {
            const auto written = s3::detail::small_file(pid_file);
            return std::count(written.begin(), written.end(), '\n') == 2;
        }));
        stop.emit(asio::cancellation_type::total);
        REQUIRE(testing::run_until(io, [&] { return bool(ended); }));
        CHECK(ended == errc::cancelled);
    }
    SUBCASE("destroyed in flight")
    {
        auto own = std::make_unique<asio::io_context>();
        std::vector<std::string> words{"sh", "-c", hangs + "echo; wait"};
        asio::co_spawn(*own, run_process(std::move(words), deadline(std::chrono::steady_clock::now() + 20s)),
                       asio::detached);
        REQUIRE(testing::run_until(*own, [&] {
            const auto written = s3::detail::small_file(pid_file);
            return std::count(written.begin(), written.end(), '\n') == 2;
        }));
        own.reset();
    }
    CHECK_FALSE(has_children());
    std::istringstream pids(s3::detail::small_file(pid_file));
    int killed = 0;
    for (pid_t pid = 0; pids >> pid; ++killed)
        CHECK(is_gone(pid));
    CHECK(killed == 2);
}

} // namespace process_test
