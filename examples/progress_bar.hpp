// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

/** Bytes moved, MB/s and the time left, on stderr: redrawn in place on a terminal, one line when done elsewhere. */
class progress_bar {
    using clock = std::chrono::steady_clock;

public:
    enum class elsewhere { one_line, nothing };

    explicit progress_bar(elsewhere without_terminal = elsewhere::one_line)
        : silent_(without_terminal == elsewhere::nothing && !on_terminal())
    {}

    [[nodiscard]] static bool on_terminal() { return isatty(STDERR_FILENO) == 1; }

    void expect(std::uint64_t bytes)
    {
        total_ += bytes;
        ++objects_;
    }
    void add(std::uint64_t bytes)
    {
        done_ += bytes;
        if (terminal_ && clock::now() - drawn_ > std::chrono::milliseconds(50))
            draw();
    }
    /** The line is full, or left so that an error begins one of its own. */
    void end(bool well)
    {
        if (well && !silent_)
            draw();
        if (drawn_ != clock::time_point())
            std::fputc('\n', stderr);
        drawn_ = clock::time_point();
    }
    /** Take the line away, so that something else can be printed; the next `add` draws it again. */
    void clear()
    {
        if (terminal_ && drawn_ != clock::time_point())
            std::fputs("\r\033[K", stderr);
        drawn_ = clock::time_point();
    }

private:
    void draw()
    {
        constexpr std::size_t width = 32;
        drawn_ = clock::now();
        total_ = std::max(total_, done_); // of a pipe nobody knew it
        const double share = total_ == 0 ? 1.0 : static_cast<double>(done_) / static_cast<double>(total_);
        const double seconds = std::max(1e-6, std::chrono::duration<double>(drawn_ - began_).count());
        std::string bar, left;
        for (std::size_t i = 0; terminal_ && i < width; ++i)
            bar += static_cast<double>(i) < share * width ? "█" : "░";
        if (terminal_ && done_ != 0 && done_ < total_)
            left =
                ", " + std::to_string(static_cast<std::uint64_t>(seconds / share - seconds) + 1) + " s left";
        std::fprintf(stderr, "%s%s%s%zu objects, %.1f of %.1f MB, %.1f MB/s%s", terminal_ ? "\r\033[K" : "",
                     bar.c_str(), terminal_ ? " " : "", objects_, static_cast<double>(done_) / 1e6,
                     static_cast<double>(total_) / 1e6, static_cast<double>(done_) / 1e6 / seconds,
                     left.c_str());
        std::fflush(stderr);
    }

    std::size_t objects_ = 0;
    std::uint64_t total_ = 0, done_ = 0;
    clock::time_point began_ = clock::now(), drawn_;
    bool terminal_ = on_terminal(), silent_;
};

/** How many so far, on a terminal only: for what has no known end. */
class progress_count {
    using clock = std::chrono::steady_clock;

public:
    explicit progress_count(std::string what) : what_(std::move(what)) {}
    ~progress_count() { clear(); }
    progress_count(const progress_count&) = delete;
    progress_count& operator=(const progress_count&) = delete;

    void show(std::uint64_t count)
    {
        if (!terminal_ || clock::now() - drawn_ < std::chrono::milliseconds(50))
            return;
        drawn_ = clock::now();
        const double seconds = std::max(1e-6, std::chrono::duration<double>(drawn_ - began_).count());
        std::fprintf(stderr, "\r\033[K%llu %s, %.0f/s", static_cast<unsigned long long>(count), what_.c_str(),
                     static_cast<double>(count) / seconds);
        std::fflush(stderr);
    }
    void clear()
    {
        if (drawn_ != clock::time_point())
            std::fputs("\r\033[K", stderr);
        drawn_ = clock::time_point();
    }

private:
    std::string what_;
    clock::time_point began_ = clock::now(), drawn_;
    bool terminal_ = progress_bar::on_terminal();
};
