// SPDX-License-Identifier: BSL-1.0
#pragma once

// The half of s3_cp that is not S3: the command line, what goes where, work in parallel. local_bytes.hpp has the files.
#include "local_bytes.hpp"
#include "progress_bar.hpp"
#include "s3_session.hpp"

#include <objectcache/core/deadline.hpp>
#include <objectcache/core/error.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/s3/large_object.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

inline constexpr const char* examples = R"(Examples:
  s3_cp cp -r photos s3://bucket/photos       a folder; -r copies what is below it
  s3_cp cp s3://bucket/model.bin .            an object, in pieces side by side
  s3_cp cp -r s3://bucket/a s3://other/b      inside the store
  tar c photos | s3_cp cp - s3://bucket/photos.tar
  s3_cp ls s3://bucket/photos/
  s3_cp rm -r s3://bucket/photos              what is below photos/, but not photos.tar)";

struct settings : s3_settings {
    std::string job;
    place from, to;
    bool recursive = false;
    std::uint64_t piece_mib = 8;

    /** Ends the process after --help or a command line that makes no sense. */
    settings(int argc, char** argv)
    {
        CLI::App app(
            "cp, ls and rm for S3. An address is s3://bucket/key, a local path, or - for standard input or "
            "output.\nCredentials, region and endpoint: AWS_* variables and ~/.aws, as for the AWS tools.");
        std::string first, second;
        app.footer(examples);
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
        if (recursive && from.remote())
            from = from.as_folder();
    }

    [[nodiscard]] oc::status check() const
    {
        if (job == "cp" && !from.remote() && !to.remote())
            return {oc::errc::invalid_argument, "one side has to be s3://bucket/key"};
        for (const place* side : {&from, &to})
            if (recursive && job == "cp" && !side->remote() && (side->name.empty() || side->name == "-"))
                return {oc::errc::invalid_argument, "-r wants a folder, not '" + side->name + "'"};
        if (job != "cp" && !from.remote())
            return {oc::errc::invalid_argument, "not s3://bucket/...: " + from.name};
        return {};
    }

    /** Bytes. Of an upload: S3 takes ten thousand parts, and none but the last below 5 MiB. */
    [[nodiscard]] std::uint64_t piece(std::uint64_t whole) const
    {
        return std::max({piece_mib << 20, std::uint64_t(5) << 20, whole / 10'000 + 1});
    }
};

/** A key may be anything; what follows a prefix becomes a file only if that file is below the folder, and no other's. */
inline bool is_path_below(const std::string& key)
{
    const fs::path path(key);
    return path.is_relative() && path.has_filename() && path.lexically_normal().native() == key &&
           *path.begin() != ".." && key != "." && key.find('\0') == key.npos;
}

/** One object or file, which is to be another. */
struct copy {
    place from, to;
    std::uint64_t size;
};

/** What the commands work with: the user's wishes, a client, and what is to be copied. */
struct session {
    settings how;
    oc::s3::client store;
    std::deque<copy> copies{};
    progress_bar bar{};
    oc::deadline until{std::chrono::steady_clock::now()}; // of all copies

    void add(place from, place to, std::uint64_t size)
    {
        copies.push_back({std::move(from), std::move(to), size});
        bar.expect(size);
    }

    /** Just this one: into a folder, or to the name that the user gave. */
    void add_one(std::uint64_t size)
    {
        std::error_code ec;
        place to = how.to;
        const bool folder = to.name.empty() || to.name.ends_with('/');
        const bool pipe = !how.from.remote() && how.from.name == "-";
        if (!pipe && (folder || (!to.remote() && fs::is_directory(to.name, ec))))
            to = to.child(fs::path(how.from.name).filename().native());
        add(how.from, std::move(to), size);
    }

    /** Objects below the prefix: each has the same name below the destination. */
    [[nodiscard]] oc::status add_below(const std::vector<oc::s3::list_entry>& objects)
    {
        for (const auto& [key, size, etag, modified] : objects) {
            const std::string name = key.substr(how.from.name.size());
            if (size == 0 && (name.empty() || name.ends_with('/')))
                continue; // how consoles mark an empty folder
            if (!how.to.remote() && !is_path_below(name))
                return {oc::errc::invalid_argument, "no file can have this name: " + key};
            add(how.from.sibling(key), how.to.child(name), size);
        }
        return {};
    }

    /** The local file, or all files below the folder. */
    [[nodiscard]] oc::status add_files()
    {
        std::error_code ec;
        if (!how.recursive) {
            const auto size = fs::file_size(how.from.name, ec); // no file, or none: seen when it is opened
            add_one(ec ? 0 : size);
            return {};
        }
        for (fs::recursive_directory_iterator it(how.from.name, ec), end; !ec && it != end;
             it.increment(ec)) {
            const bool regular = it->is_regular_file(ec);
            if (ec == std::errc::no_such_file_or_directory) {
                ec.clear(); // a link to nothing
                continue;
            }
            const std::uint64_t size = !ec && regular ? it->file_size(ec) : 0;
            if (ec)
                return {ec, it->path().native()};
            const auto name = it->path().lexically_relative(how.from.name).native();
            if (regular)
                add(place(it->path().native()), how.to.child(name), size);
        }
        return {ec, how.from.name};
    }

    /** Half a minute, and as long as a link of 0.5 MB/s takes for so many bytes; and as long as for all copies, which may be
        in front. */
    [[nodiscard]] oc::deadline patience(std::uint64_t bytes) const
    {
        constexpr std::uint64_t most = std::uint64_t(1) << 50; // of what a store says of an object
        const auto seconds = std::chrono::seconds(30 + std::min(bytes, most) / 500'000);
        return std::max(until, oc::deadline(std::chrono::steady_clock::now() + seconds),
                        [](const oc::deadline& a, const oc::deadline& b) { return a.at() < b.at(); });
    }

    /** How to move so many bytes. */
    [[nodiscard]] oc::s3::parallel_options options(std::uint64_t bytes)
    {
        return {how.piece(bytes), how.parallel, patience(bytes),
                [this](std::size_t moved) { bar.add(moved); }};
    }

    /** Make all copies, `parallel` at a time and in order; the first that fails ends the others.

        @param act `asio::awaitable<oc::status>(session&, const copy&)` */
    template <class Act>
    asio::awaitable<oc::status> each_copy(Act act)
    {
        oc::status failed;
        std::size_t begun = 0, ended = 0;
        std::uint64_t bytes = 0;
        for (const copy& c : copies)
            bytes += std::min(c.size, std::numeric_limits<std::uint64_t>::max() - bytes);
        until = patience(bytes);
        oc::task_group workers(co_await asio::this_coro::executor);
        const auto work = [&]() -> asio::awaitable<void> {
            while (failed.ok() && !copies.empty()) {
                const copy next = std::move(copies.front());
                copies.pop_front();
                ++begun;
                oc::status s = co_await act(*this, next);
                ++ended;
                if (s.ok() && next.from.remote() && next.to.remote())
                    bar.add(next.size); // which the store moved by itself
                if (s.ok() || !failed.ok())
                    continue;
                failed = std::move(s);
                workers.cancel();
            }
        };
        for (std::size_t i = 0; i < how.parallel && !copies.empty(); ++i)
            workers.spawn(work());
        co_await workers.join();
        if (failed.ok() && ended < begun) // it threw
            failed = oc::status(oc::errc::exhausted, "a copy");
        bar.end(failed.ok());
        co_return failed;
    }
};

struct commands {
    using command = asio::awaitable<oc::status> (*)(session&);
    command cp, ls, rm;
};

/** What the user asks for, from the command line to the exit status. */
inline int run(int argc, char** argv, const commands& all)
{
    const settings how(argc, argv);
    const commands::command job = how.job == "cp" ? all.cp : how.job == "ls" ? all.ls : all.rm;
    const auto carry_out = [&](oc::s3::client store) -> asio::awaitable<oc::status> {
        session s{how, std::move(store)};
        co_return co_await job(s);
    };
    oc::status done = how.check();
    if (done.ok())
        done = run_with_client(how, carry_out);
    if (done.ok() && std::fflush(stdout) != 0)
        done = oc::status(std::error_code(errno, std::generic_category()), "standard output");
    if (!done.ok())
        std::fprintf(stderr, "s3_cp: %s\n", done.message().c_str());
    return done.ok() ? 0 : 1;
}
