// SPDX-License-Identifier: BSL-1.0
#pragma once

// The half of s3_cp that is not S3: the command line, local files as memory, work in parallel.
#include "s3_session.hpp"

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/io/task_group.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace fs = std::filesystem;

/** A key may be anything; what follows a prefix becomes a file only if that file is below the folder, and no other's. */
inline bool is_path_below(const std::string& key)
{
    const fs::path path(key);
    return path.is_relative() && path.has_filename() && path.lexically_normal().native() == key &&
           *path.begin() != ".." && key != "." && key.find('\0') == key.npos;
}

struct settings : s3_settings {
    std::string job;
    place from, to;
    bool recursive = false;
    std::uint64_t piece_mib = 8;

    /** Of an upload: S3 takes ten thousand parts, and none but the last below 5 MiB. */
    [[nodiscard]] std::uint64_t piece_bytes(std::uint64_t whole) const
    {
        return std::max({piece_mib << 20, std::uint64_t(5) << 20, whole / 10'000 + 1});
    }

    void parse(int argc, char** argv)
    {
        CLI::App app(
            "cp, ls and rm for S3. An address is s3://bucket/key, a local path, or - for standard input or "
            "output.\nCredentials, region and endpoint: AWS_* variables and ~/.aws, as for the AWS tools.");
        std::string first, second;
        app.require_subcommand(1);
        app.fallthrough();
        add_to(app);
        app.add_option("--piece-mib", piece_mib,
                       "larger objects go in pieces of this size; uploads in 5 MiB at least")
            ->check(CLI::Range(1, 4096))
            ->capture_default_str();
        auto* const cp =
            app.add_subcommand("cp", "copy an object or file; with -r all below a prefix or folder");
        cp->add_option("from", first)->required();
        cp->add_option("to", second)->required();
        cp->add_flag("-r,--recursive", recursive);
        auto* const ls = app.add_subcommand("ls", "sizes and keys of the objects whose keys begin so");
        ls->add_option("prefix", first, "s3://bucket/prefix")->required();
        auto* const rm = app.add_subcommand("rm", "remove an object; with -r all below a prefix");
        rm->add_option("what", first, "s3://bucket/key")->required();
        rm->add_flag("-r,--recursive", recursive);
        try {
            app.parse(argc, argv);
        } catch (const CLI::ParseError& e) {
            std::exit(app.exit(e));
        }
        job = app.get_subcommands().front()->get_name();
        from = place(first);
        to = place(second);
    }
};

/** Do all jobs, `parallel` at a time and in order; the first that fails ends the others. */
template <class Job, class Act>
asio::awaitable<oc::status> work_off(std::deque<Job>& jobs, std::size_t parallel, Act act)
{
    oc::status failed;
    oc::task_group workers(co_await asio::this_coro::executor);
    const auto work = [&]() -> asio::awaitable<void> {
        while (failed.ok() && !jobs.empty()) {
            Job next = std::move(jobs.front());
            jobs.pop_front();
            oc::status s = co_await act(std::move(next));
            if (s.ok() || !failed.ok())
                continue;
            failed = std::move(s);
            workers.cancel();
        }
    };
    for (std::size_t i = 0; i < parallel && !jobs.empty(); ++i)
        workers.spawn(work());
    co_await workers.join();
    co_return failed;
}

/** The bytes of a local file, mapped: what is sent leaves the page cache, what is received lands in it. Pipes and devices
    ("-": standard input or output) are read and written through memory.

    A file that is written has a temporary name until `publish()`, and is removed without it. */
class local_bytes {
public:
    local_bytes() = default;
    local_bytes(const local_bytes&) = delete;
    local_bytes& operator=(const local_bytes&) = delete;
    ~local_bytes() { discard(); }

    [[nodiscard]] oc::byte_span span() const noexcept { return span_; }

    [[nodiscard]] oc::status read(const std::string& path)
    {
        file_ = path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat about {};
        if (file_ < 0 || fstat(file_, &about) != 0)
            return failure(path);
        if (S_ISDIR(about.st_mode))
            return {std::make_error_code(std::errc::is_a_directory), path};
        return S_ISREG(about.st_mode) ? map(path, static_cast<std::uint64_t>(about.st_size), PROT_READ)
                                      : read_stream(path);
    }

    /** Room for `size` bytes that will be `path`. The space is taken now: a full disk met later, while the mapping is
        written, would be a signal instead of an error. */
    [[nodiscard]] oc::status create(const std::string& path, std::uint64_t size)
    {
        path_ = path;
        struct stat about {};
        const bool there = path != "-" && stat(path.c_str(), &about) == 0;
        if (there && S_ISDIR(about.st_mode))
            return {std::make_error_code(std::errc::is_a_directory), path};
        if (path == "-" || (there && !S_ISREG(about.st_mode))) {
            file_ = path == "-" ? dup(STDOUT_FILENO) : open(path.c_str(), O_WRONLY | O_CLOEXEC);
            return file_ < 0 ? failure(path) : allocate(size);
        }
        const fs::path folder = fs::path(path).parent_path();
        std::error_code ec;
        if (!folder.empty() && (fs::create_directories(folder, ec), ec))
            return {ec, path};
        temporary_ = folder / (".s3_cp-" + std::to_string(std::random_device()()) + ".part");
        file_ = open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file_ < 0) {
            temporary_.clear();
            return failure(path);
        }
        if (size != 0)
            if (const int error = posix_fallocate(file_, 0, static_cast<off_t>(size)); error != 0)
                return {std::error_code(error, std::generic_category()), path};
        return map(path, size, PROT_READ | PROT_WRITE);
    }

    /** What was created is complete: give it its name. */
    [[nodiscard]] oc::status publish()
    {
        for (oc::const_byte_span rest = memory_; !rest.empty();) {
            const ssize_t n = write(file_, rest.data(), rest.size());
            if (n < 0 && errno != EINTR)
                return failure(path_);
            rest = rest.subspan(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        }
        if (!temporary_.empty() && rename(temporary_.c_str(), path_.c_str()) != 0)
            return failure(path_);
        temporary_.clear();
        discard();
        return {};
    }

private:
    [[nodiscard]] static oc::status failure(const std::string& path)
    {
        return {std::error_code(errno, std::generic_category()), path};
    }

    [[nodiscard]] oc::status map(const std::string& path, std::uint64_t size, int access)
    {
        if (size == 0)
            return {};
        void* const at = mmap(nullptr, static_cast<std::size_t>(size), access, MAP_SHARED, file_, 0);
        if (at == MAP_FAILED)
            return failure(path);
        span_ = {static_cast<std::byte*>(at), static_cast<std::size_t>(size)};
        mapped_ = true;
        return {};
    }

    [[nodiscard]] oc::status allocate(std::uint64_t size)
    {
        memory_.resize(static_cast<std::size_t>(size));
        span_ = memory_;
        return {};
    }

    [[nodiscard]] oc::status read_stream(const std::string& path)
    {
        constexpr std::size_t step = 1 << 20;
        for (std::size_t size = 0;;) {
            memory_.resize(size + step);
            const ssize_t n = ::read(file_, memory_.data() + size, step);
            if (n < 0 && errno != EINTR)
                return failure(path);
            size += static_cast<std::size_t>(std::max<ssize_t>(n, 0));
            memory_.resize(size);
            span_ = memory_;
            if (n == 0)
                return {};
        }
    }

    void discard() noexcept
    {
        if (mapped_)
            munmap(span_.data(), span_.size());
        if (file_ >= 0)
            close(file_);
        if (!temporary_.empty())
            unlink(temporary_.c_str());
        mapped_ = false;
        span_ = {};
        file_ = -1;
    }

    std::string path_;
    fs::path temporary_;
    std::vector<std::byte> memory_;
    oc::byte_span span_;
    int file_ = -1;
    bool mapped_ = false;
};
