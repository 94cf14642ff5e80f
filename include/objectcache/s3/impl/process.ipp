// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/operation.hpp>
#include <objectcache/io/with_deadline.hpp>
#include <objectcache/s3/detail/process.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <tuple>

namespace objectcache::s3::detail {

/** A program of ours. One that is still running at the end is killed with all its group; none is left as a zombie. */
class child_process {
public:
    child_process() = default;
    child_process(const child_process&) = delete;
    child_process& operator=(const child_process&) = delete;
    ~child_process()
    {
        if (pid_ <= 0)
            return;
        ::kill(-pid_, SIGKILL);
        int ignored = 0;
        while (::waitpid(pid_, &ignored, 0) < 0 && errno == EINTR) // it is dead already, or as good as
            continue;
    }

    /** Starts it with `output` as its standard output. */
    [[nodiscard]] error_code start(const std::vector<std::string>& words, int output)
    {
        std::vector<char*> arguments;
        for (const std::string& word : words)
            arguments.push_back(const_cast<char*>(word.c_str()));
        arguments.push_back(nullptr);

        posix_spawn_file_actions_t files;
        posix_spawnattr_t how;
        ::posix_spawn_file_actions_init(&files);
        ::posix_spawnattr_init(&how);
        // In this order: `output` may be the 0 that is opened then.
        ::posix_spawn_file_actions_adddup2(&files, output, 1);
        ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
        ::posix_spawn_file_actions_addclosefrom_np(&files, 3); // not every file of the host is close-on-exec
#endif
        // What the host ignores or blocks (SIGPIPE, often) is not for its children.
        sigset_t none, all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_setsigmask(&how, &none);
        ::posix_spawnattr_setsigdefault(&how, &all);
        ::posix_spawnattr_setpgroup(&how, 0);
        ::posix_spawnattr_setflags(&how,
                                   POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        pid_t started = 0;
        const int failed = ::posix_spawnp(&started, arguments[0], &files, &how, arguments.data(), environ);
        ::posix_spawnattr_destroy(&how);
        ::posix_spawn_file_actions_destroy(&files);
        if (failed == 0)
            pid_ = started;
        return {failed, std::system_category()};
    }

    /** Its wait status, once it has ended. 0 where somebody else in this program waits for all children. */
    [[nodiscard]] std::optional<int> ended()
    {
        int how = 0;
        const pid_t got = ::waitpid(pid_, &how, WNOHANG);
        if (got == 0 || (got < 0 && errno == EINTR))
            return std::nullopt;
        pid_ = 0;
        return got < 0 ? 0 : how;
    }

private:
    pid_t pid_ = 0;
};

[[nodiscard]] OBJECTCACHE_DECL asio::awaitable<result<std::string>>
run_to_end(const std::vector<std::string>& words)
{
    constexpr std::size_t limit = 64 * 1024;
    co_await without_exceptions();
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        co_return status(error_code(errno, std::system_category()));
    asio::posix::stream_descriptor output(executor);
    boost::system::error_code ec;
    output.assign(ends[0], ec);
    if (ec) {
        ::close(ends[0]);
        ::close(ends[1]);
        co_return status(error_code(ec));
    }
    child_process child;
    const error_code failed = child.start(words, ends[1]);
    ::close(ends[1]);
    if (failed) // in our words: a program that is not there must not be taken for an object that is not
        co_return result<std::string>(errc::invalid_argument, "cannot be started: " + failed.message());

    std::string text;
    while (!ec) {
        // A cancellation that met a read which was just over has cancelled nothing.
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (cancellation.cancelled() != asio::cancellation_type::none)
            co_return result<std::string>(errc::cancelled);
        if (text.size() > limit)
            co_return result<std::string>(errc::malformed_response, "more than 64 KiB of output");
        char block[4096];
        std::size_t n = 0;
        std::tie(ec, n) =
            co_await output.async_read_some(asio::buffer(block), asio::as_tuple(asio::use_awaitable));
        text.append(block, n);
    }
    if (ec != asio::error::eof)
        co_return status(error_code(ec));

    // Who closes the output ends, as a rule, at once.
    timer pause(executor);
    duration delay = std::chrono::milliseconds(1);
    std::optional<int> how = child.ended();
    while (!how) {
        pause.expires_at(pause.now() + delay);
        const bool waited = co_await pause.wait();
        if (!waited)
            co_return result<std::string>(errc::cancelled);
        delay = std::min<duration>(2 * delay, std::chrono::milliseconds(50));
        how = child.ended();
    }
    if (WIFSIGNALED(*how))
        co_return result<std::string>(errc::access_denied,
                                      "ended by signal " + std::to_string(WTERMSIG(*how)));
    if (*how != 0)
        co_return result<std::string>(errc::access_denied,
                                      "ended with status " + std::to_string(WEXITSTATUS(*how)));
    co_return text;
}

OBJECTCACHE_DECL asio::awaitable<result<std::string>> run_process(std::vector<std::string> words,
                                                                  deadline until)
{
    asio::awaitable<result<std::string>> work = run_to_end(words);
    std::string nothing;
    result<std::string> got = co_await with_deadline(std::move(work), until, std::move(nothing));
    if (got)
        co_return got;
    std::string detail = words[0];
    if (!got.error().detail().empty())
        detail += ": " + got.error().detail();
    const bool cancelled = got.error() == condition::cancelled;
    co_return status(cancelled ? make_error_code(errc::cancelled) : got.code(), std::move(detail));
}

} // namespace objectcache::s3::detail
