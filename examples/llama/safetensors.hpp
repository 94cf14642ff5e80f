// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "llama.hpp"

#include <initializer_list>
#include <map>
#include <string_view>

namespace llama::detail {

/** A file in memory, read-only. Unmapped when destroyed. */
class mapped_file {
public:
    explicit mapped_file(std::filesystem::path path);
    mapped_file(mapped_file&& other) noexcept;
    mapped_file& operator=(mapped_file&&) = delete;
    ~mapped_file();

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::string_view text() const noexcept
    {
        return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
    }

private:
    std::filesystem::path path_;
    std::span<const std::byte> bytes_;
};

/** The tensors of a checkpoint directory by name, whichever file holds them.

    Nothing in the files is trusted: header length, offsets, shapes and file names are checked before they are used. */
class tensor_files {
public:
    /** @throws error for files that are missing, truncated or not safetensors. */
    explicit tensor_files(const std::filesystem::path& directory);

    /** Widens the tensor to f32 and appends it to `out`, which grows only after everything was found right.
        @throws error if it is absent, of another shape, or of a type other than BF16, F16 and F32. */
    void append(const std::string& name, std::initializer_list<std::size_t> shape,
                std::vector<float>& out) const;

    /** The tensor's elements as they are stored: `type` is BF16, F16 or F32, the bytes may lie at an odd address.
        @throws error as `append` does. */
    struct stored_tensor {
        std::string_view type;
        std::span<const std::byte> bytes;
    };
    [[nodiscard]] stored_tensor find(const std::string& name, std::initializer_list<std::size_t> shape) const;

    /** 32 hex digits that change with any byte of these files or of `config`. */
    [[nodiscard]] std::string fingerprint(const mapped_file& config) const;

private:
    struct tensor {
        std::size_t file;
        std::string type;
        std::vector<std::uint64_t> shape;
        std::span<const std::byte> bytes;
    };

    void add_file(const std::filesystem::path& path);

    std::filesystem::path directory_;
    std::vector<mapped_file> files_;
    std::map<std::string, tensor, std::less<>> tensors_;
};

} // namespace llama::detail
