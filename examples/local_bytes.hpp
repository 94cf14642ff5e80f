// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/bytes.hpp>
#include <objectcache/core/error.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace oc = objectcache;
namespace fs = std::filesystem;

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
        if (path != "-" && !there && errno != ENOENT)
            return failure(path); // a name that is too long, for one: better now than after the last byte
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
            if (n < 0) // EINTR too: it is Ctrl-C
                return failure(path_);
            rest = rest.subspan(static_cast<std::size_t>(n));
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
            if (n < 0) // EINTR too: it is Ctrl-C
                return failure(path);
            size += static_cast<std::size_t>(n);
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
