// SPDX-License-Identifier: BSL-1.0
#include "safetensors.hpp"

#include <boost/json.hpp>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace llama::detail {
namespace {

namespace json = boost::json;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& cause)
{
    throw error(path.string() + ": " + cause);
}

float widen_f16(std::uint16_t half)
{
    const std::uint32_t sign = (half & 0x8000U) << 16;
    const std::uint32_t exponent = half >> 10 & 31U;
    const std::uint32_t fraction = half & 1023U;
    if (exponent == 0) { // zero or subnormal: fraction * 2^-24 is exact
        const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
        return sign != 0 ? -magnitude : magnitude;
    }
    const std::uint32_t rebased = exponent == 31 ? 255 : exponent + 112;
    return std::bit_cast<float>(sign | rebased << 23 | fraction << 13);
}

float widen_bf16(std::uint16_t half)
{
    return std::bit_cast<float>(std::uint32_t{half} << 16);
}

template <float Widen(std::uint16_t)>
void widen_all(std::span<const std::byte> bytes, float* out)
{
    for (std::size_t i = 0; i < bytes.size() / 2; ++i) {
        std::uint16_t half; // tensors may lie at odd addresses
        std::memcpy(&half, bytes.data() + 2 * i, sizeof half);
        out[i] = Widen(half);
    }
}

std::size_t bytes_per_element(std::string_view type)
{
    return type == "F32" ? 4 : type == "F16" || type == "BF16" ? 2 : 0;
}

std::uint64_t unsigned_value(const json::value& value, const std::filesystem::path& path,
                             const std::string& name)
{
    json::error_code ec;
    const auto number = value.to_number<std::uint64_t>(ec);
    if (ec || value.is_double())
        fail(path, "tensor '" + name + "' has a shape or an offset that is no unsigned integer");
    return number;
}

std::string shape_text(const std::vector<std::uint64_t>& shape)
{
    std::string out = "[";
    for (std::uint64_t extent : shape)
        out += (out.size() > 1 ? ", " : "") + std::to_string(extent);
    return out + "]";
}

} // namespace

mapped_file::mapped_file(std::filesystem::path path) : path_(std::move(path))
{
    const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail(path_, "cannot open: " + std::generic_category().message(errno));
    struct ::stat info {};
    if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0) {
        ::close(fd);
        fail(path_, "not a file, or an empty one");
    }
    const auto size = static_cast<std::size_t>(info.st_size);
    void* at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    const int cause = errno;
    ::close(fd);
    if (at == MAP_FAILED)
        fail(path_, "cannot map: " + std::generic_category().message(cause));
    bytes_ = {static_cast<const std::byte*>(at), size};
}

mapped_file::mapped_file(mapped_file&& other) noexcept
    : path_(std::move(other.path_))
    , bytes_(std::exchange(other.bytes_, {}))
{}

mapped_file::~mapped_file()
{
    if (!bytes_.empty())
        ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

tensor_files::tensor_files(const std::filesystem::path& directory) : directory_(directory)
{
    const auto index_path = directory / "model.safetensors.index.json";
    if (std::filesystem::exists(directory / "model.safetensors") || !std::filesystem::exists(index_path)) {
        add_file(directory / "model.safetensors");
        return;
    }

    const mapped_file index(index_path);
    json::error_code ec;
    const json::value root = json::parse(index.text(), ec);
    const json::value* const map =
        ec || !root.is_object() ? nullptr : root.get_object().if_contains("weight_map");
    if (map == nullptr || !map->is_object())
        fail(index_path, "not JSON with a weight_map");
    std::set<std::string> names;
    for (const auto& [tensor_name, file] : map->get_object()) {
        const json::string* const name = file.if_string();
        if (name == nullptr || name->find('/') != json::string::npos || !name->ends_with(".safetensors"))
            fail(index_path, "weight_map names a file that is no .safetensors file of this directory");
        names.emplace(name->c_str());
    }
    for (const std::string& name : names)
        add_file(directory / name);
}

void tensor_files::add_file(const std::filesystem::path& path)
{
    const mapped_file& file = files_.emplace_back(path);
    const std::span<const std::byte> bytes = file.bytes();
    std::uint64_t header_size = 0;
    if (bytes.size() < sizeof header_size)
        fail(path, "truncated: no header length");
    for (std::size_t i = sizeof header_size; i-- > 0;)
        header_size = header_size << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    if (header_size > bytes.size() - sizeof header_size)
        fail(path, "truncated or not safetensors: the header of " + std::to_string(header_size) +
                       " bytes ends behind the file");
    json::error_code ec;
    const json::value root = json::parse(file.text().substr(sizeof header_size, header_size), ec);
    if (ec || !root.is_object())
        fail(path, "not safetensors: the header is no JSON object");
    const auto data = bytes.subspan(sizeof header_size + header_size);

    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    for (const auto& [key, value] : root.get_object()) {
        if (key == "__metadata__")
            continue;
        const std::string name(key);
        const json::object* const entry = value.if_object();
        const json::value* const type = entry != nullptr ? entry->if_contains("dtype") : nullptr;
        const json::value* const shape = entry != nullptr ? entry->if_contains("shape") : nullptr;
        const json::value* const offsets = entry != nullptr ? entry->if_contains("data_offsets") : nullptr;
        if (type == nullptr || !type->is_string() || shape == nullptr || !shape->is_array() ||
            offsets == nullptr || !offsets->is_array() || offsets->get_array().size() != 2)
            fail(path, "tensor '" + name + "' lacks dtype, shape or data_offsets");
        tensor t{files_.size() - 1, std::string(type->get_string()), {}, {}};
        for (const json::value& extent : shape->get_array())
            t.shape.push_back(unsigned_value(extent, path, name));
        const std::uint64_t begin = unsigned_value(offsets->get_array()[0], path, name);
        const std::uint64_t end = unsigned_value(offsets->get_array()[1], path, name);
        if (begin > end || end > data.size())
            fail(path, "truncated: tensor '" + name + "' ends behind the file");
        t.bytes = data.subspan(begin, end - begin);
        ranges.emplace_back(begin, end);
        if (!tensors_.emplace(name, std::move(t)).second)
            fail(path, "tensor '" + name + "' is there twice");
    }
    // The format allows neither gaps nor overlaps, so a wrong offset anywhere shows.
    std::sort(ranges.begin(), ranges.end());
    std::uint64_t at = 0;
    for (const auto& [begin, end] : ranges) {
        if (begin != at)
            fail(path, "tensors overlap or leave a gap at data offset " + std::to_string(begin));
        at = end;
    }
    if (at != data.size())
        fail(path, "bytes behind the last tensor");
}

tensor_files::stored_tensor tensor_files::find(const std::string& name,
                                               std::initializer_list<std::size_t> shape) const
{
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
        fail(directory_, "tensor '" + name + "' is missing");
    const tensor& t = found->second;
    const std::filesystem::path& path = files_[t.file].path();
    if (!std::equal(t.shape.begin(), t.shape.end(), shape.begin(), shape.end()))
        fail(path, "tensor '" + name + "' has shape " + shape_text(t.shape) + ", config.json needs " +
                       shape_text({shape.begin(), shape.end()}));
    const std::size_t width = bytes_per_element(t.type);
    if (width == 0)
        fail(path, "tensor '" + name + "' has type " + t.type + "; BF16, F16 and F32 are supported");
    std::size_t elements = 1;
    for (std::size_t extent : shape) {
        if (elements > t.bytes.size() / extent) // so the product cannot overflow either
            fail(path, "tensor '" + name + "' has fewer bytes than its shape needs");
        elements *= extent;
    }
    if (elements != t.bytes.size() / width || t.bytes.size() % width != 0)
        fail(path, "tensor '" + name + "' has " + std::to_string(t.bytes.size()) +
                       " bytes, its shape needs " + std::to_string(elements) + " times " +
                       std::to_string(width));
    return {t.type, t.bytes};
}

void tensor_files::append(const std::string& name, std::initializer_list<std::size_t> shape,
                          std::vector<float>& out) const
{
    const stored_tensor e = find(name, shape);
    const std::size_t at = out.size();
    out.resize(at + e.bytes.size() / bytes_per_element(e.type));
    if (e.type == "F32")
        std::memcpy(out.data() + at, e.bytes.data(), e.bytes.size());
    else if (e.type == "F16")
        widen_all<widen_f16>(e.bytes, out.data() + at);
    else
        widen_all<widen_bf16>(e.bytes, out.data() + at);
}

std::string tensor_files::fingerprint(const mapped_file& config) const
{
    const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                                XXH3_freeState);
    XXH3_128bits_reset(state.get());
    const auto add = [&](std::span<const std::byte> bytes) {
        const std::uint64_t size = bytes.size(); // so that no byte can move from one file to the next unseen
        XXH3_128bits_update(state.get(), &size, sizeof size);
        XXH3_128bits_update(state.get(), bytes.data(), bytes.size());
    };
    add(config.bytes());
    for (const mapped_file& file : files_)
        add(file.bytes());
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state.get()));
    std::string out;
    for (unsigned char byte : digest.digest)
        for (int shift : {4, 0})
            out += "0123456789abcdef"[byte >> shift & 15];
    return out;
}

} // namespace llama::detail
