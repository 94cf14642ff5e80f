// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "llama.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <stdlib.h>

namespace llama_test {

namespace fs = std::filesystem;

inline const fs::path data = LLAMA_TEST_DATA;
inline const fs::path example = LLAMA_EXAMPLE;

inline std::string read_file(const fs::path& path)
{
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
}

inline void write_file(const fs::path& path, const std::string& bytes)
{
    std::ofstream(path, std::ios::binary) << bytes;
}

inline boost::json::object read_json(const fs::path& path)
{
    return boost::json::parse(read_file(path)).as_object();
}

/** A copy of a checkpoint directory that a test may spoil; removed with the object. */
class checkpoint_copy {
public:
    explicit checkpoint_copy(const fs::path& original)
    {
        std::string name = (fs::temp_directory_path() / "llama-test-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
        fs::copy(original, path_, fs::copy_options::recursive);
    }
    checkpoint_copy(const checkpoint_copy&) = delete;
    checkpoint_copy& operator=(const checkpoint_copy&) = delete;
    ~checkpoint_copy() { fs::remove_all(path_); }

    [[nodiscard]] const fs::path& path() const { return path_; }

    template <class Change>
    void change_config(Change change) const
    {
        boost::json::object config = read_json(path_ / "config.json");
        change(config);
        write_file(path_ / "config.json", boost::json::serialize(config));
    }

private:
    fs::path path_;
};

/** What loading says, "" if it succeeds. */
inline std::string complaint(const fs::path& directory)
{
    try {
        (void)llama::model::load(directory);
    } catch (const llama::error& e) {
        return e.what();
    }
    return "";
}

/** K and V of a sequence, a buffer per layer, and the logits behind its last token. */
struct computed {
    std::vector<std::vector<float>> k, v;
    std::vector<float> logits;
};

inline std::vector<llama::kv_span> cut(const float* k, const float* v, std::size_t width, std::size_t tokens,
                                       const std::vector<std::size_t>& sizes)
{
    std::vector<llama::kv_span> spans;
    for (std::size_t at = 0, i = 0; at < tokens; ++i) {
        const std::size_t size = std::min(sizes[i % sizes.size()], tokens - at);
        spans.push_back({k + at * width, v + at * width, size});
        at += size;
    }
    return spans;
}

/** Prefills the sequence with its first `cached` tokens taken from `source`, cut into spans of `sizes`, each span moved
    to memory of its own at an address that is a multiple of 4 only. */
inline computed prefill(const llama::model& m, std::span<const std::uint32_t> tokens, std::size_t cached = 0,
                        const computed* source = nullptr, const std::vector<std::size_t>& sizes = {1U << 20})
{
    const llama::config& c = m.cfg();
    const std::size_t own = tokens.size() - cached, width = c.kv_width();
    computed out{std::vector(c.layers, std::vector<float>(own * width)), {}, {}};
    out.v = out.k;
    llama::forward_pass pass(m, tokens.subspan(cached), cached);
    for (std::uint32_t l = 0; l < c.layers; ++l) {
        std::vector<llama::kv_span> past;
        std::deque<std::vector<float>> moved;
        if (cached != 0)
            past = cut(source->k[l].data(), source->v[l].data(), width, cached, sizes);
        for (llama::kv_span& span : past) {
            for (const float** at : {&span.k, &span.v}) {
                std::vector<float>& buffer = moved.emplace_back(1);
                buffer.insert(buffer.end(), *at, *at + span.tokens * width);
                *at = buffer.data() + 1;
            }
        }
        pass.layer(l, past, out.k[l].data(), out.v[l].data());
    }
    const auto logits = pass.logits();
    out.logits.assign(logits.begin(), logits.end());
    return out;
}

inline bool same_bits(const float* a, const float* b, std::size_t n)
{
    return std::memcmp(a, b, n * sizeof(float)) == 0;
}

/** `part` computed the tokens of `whole` from `first` on, to the same bits. */
inline void check_same(const computed& whole, const computed& part, std::size_t first, std::size_t width)
{
    for (std::size_t l = 0; l < whole.k.size(); ++l) {
        CHECK(same_bits(whole.k[l].data() + first * width, part.k[l].data(), part.k[l].size()));
        CHECK(same_bits(whole.v[l].data() + first * width, part.v[l].data(), part.v[l].size()));
    }
    CHECK(same_bits(whole.logits.data(), part.logits.data(), whole.logits.size()));
}

inline std::vector<std::uint32_t> some_tokens(std::size_t count, std::uint32_t vocab)
{
    std::vector<std::uint32_t> tokens(count);
    for (std::uint32_t i = 0; i < count; ++i)
        tokens[i] = (i * i * 7 + i * 13 + 3) % vocab;
    return tokens;
}

} // namespace llama_test
