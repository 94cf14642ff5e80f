// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/kv/hash_chain.hpp>
#include <objectcache/kv/pages.hpp>
#include <objectcache/kv/scope.hpp>
#include <objectcache/kv/segment.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

/** What the processes of a race store and load: every one of them, and who checks them, makes the same from the same seed. */
namespace race {

namespace oc = objectcache;

/** splitmix64: the value at any place without those before it. */
constexpr std::uint64_t mix(std::uint64_t x) noexcept
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/** The KV of one layer of a chunk, whoever computes it: a function of what the chunk's id stands for. */
inline void make_slice(const oc::chunk_id& chunk, oc::layer_id layer, std::span<std::byte> out)
{
    std::uint64_t seed;
    std::memcpy(&seed, chunk.bytes.data() + 8, sizeof seed);
    seed = mix(seed + layer);
    for (std::size_t at = 0; at < out.size(); at += sizeof seed) {
        const std::uint64_t word = mix(seed + at);
        std::memcpy(out.data() + at, &word, std::min(sizeof word, out.size() - at));
    }
}

/** Whether it is that. */
inline bool is_slice(const oc::chunk_id& chunk, oc::layer_id layer, std::span<const std::byte> found)
{
    std::vector<std::byte> expected(found.size());
    make_slice(chunk, layer, expected);
    return std::equal(found.begin(), found.end(), expected.begin());
}

/** A scope, and the tree of its sequences. */
struct world {
    std::string kind, name;
    oc::kv_geometry shape;
    std::vector<oc::layout> layouts; ///< that its writers choose from
    unsigned weight = 1;             ///< how often it is chosen

    struct sequence {
        std::vector<oc::token_id> tokens;
        std::vector<oc::chunk_id> chain;
        std::vector<std::size_t> stems; ///< chunks that it shares with those that branch off
        [[nodiscard]] std::size_t chunks() const noexcept { return chain.size(); }
    };
    std::vector<sequence> sequences;

    [[nodiscard]] oc::scope scope() const
    {
        oc::scope out;
        out.model = "race";
        out.weights_revision = name;
        out.geometry = shape;
        return out;
    }
    [[nodiscard]] std::uint32_t per_region() const { return oc::segment_chunks(shape); }
    [[nodiscard]] std::uint64_t payload() const { return shape.layers * shape.slice_bytes(); }
    /** Every how many chunks a segment's name tells what is in it: where sequences part it is not known more exactly. */
    [[nodiscard]] std::uint32_t stride() const { return std::max(1u, per_region() / 64); }
    /** In how many segments a chunk may lie: see plan_store(). */
    [[nodiscard]] unsigned most_copies() const
    {
        return static_cast<unsigned>(std::bit_width(per_region())) - 1 + 2;
    }

    /** Sequences that branch off one another: at any token, or at a stem that is often stored by itself. */
    void grow(std::uint64_t seed, std::size_t count, std::size_t most_chunks)
    {
        const std::size_t G = shape.tokens_per_chunk;
        const oc::digest id = *oc::scope_id(scope());
        std::mt19937_64 random(mix(seed + sequences.size() + shape.tokens_per_chunk));
        const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
        for (std::size_t s = 0; s < count; ++s) {
            sequence own;
            const std::size_t length = most_chunks / 4 + below(most_chunks - most_chunks / 4);
            if (s % 8 != 0) {
                sequence& from = sequences[s / 8 * 8 + below(s % 8)];
                std::size_t stem = 1 + below(from.chunks());
                if (!from.stems.empty() && below(2) == 0)
                    stem = from.stems[below(from.stems.size())]; // many continue from the same place
                from.stems.push_back(stem);
                const std::size_t inside = below(3) == 0 ? below(G) : 0;
                own.tokens.assign(from.tokens.begin(),
                                  from.tokens.begin() + static_cast<std::ptrdiff_t>(
                                                            std::min(stem * G + inside, from.tokens.size())));
            }
            for (std::size_t at = own.tokens.size(); at < (length + 1) * G; ++at)
                own.tokens.push_back(static_cast<oc::token_id>(mix(seed ^ (s + 1) << 32 ^ at)));
            own.tokens.resize(own.tokens.size() / G *
                              G); // the last chunk is never asked for: one token is computed
            own.chain = oc::hash_chain(id, std::span(own.tokens).first(own.tokens.size() - G),
                                       shape.tokens_per_chunk);
            sequences.push_back(std::move(own));
        }
    }
};

/** What is stored in one epoch of the race: when all have most of it, everybody goes on to something new. */
inline std::vector<world> make_worlds(std::uint64_t seed, std::size_t sequences, std::size_t epoch)
{
    using enum oc::layout;
    const auto small = [](std::uint32_t tokens_per_chunk) {
        return oc::kv_geometry{4, 2, 8, oc::kv_dtype::bf16, oc::kv_form::separate, tokens_per_chunk};
    };
    const auto large = oc::kv_geometry{3, 8, 128, oc::kv_dtype::bf16, oc::kv_form::separate, 64};
    std::vector<world> out;
    const auto add = [&](const char* kind, const oc::kv_geometry& shape, std::vector<oc::layout> layouts,
                         unsigned weight, std::size_t count, std::size_t most_chunks) {
        const std::string name = std::string(kind) + '-' + std::to_string(epoch);
        out.push_back({kind, name, shape, std::move(layouts), weight, {}});
        out.back().grow(mix(seed + 3 * epoch + out.size()), count, most_chunks);
    };
    add("segments", small(64), {segment_objects}, 8, sequences, 160); // two and a half regions of 64
    // More chunks than a search asks for one by one: each layout leaves holes in the others (plan/presence_search.hpp).
    add("mixed", small(16), {segment_objects, segment_objects, chunk_objects, layer_objects}, 6, sequences,
        160);
    // Segments of 24 MiB, which are uploaded in parts of the least size that S3 takes.
    if (epoch % 4 == 0)
        add("uploads", large, {segment_objects}, 1, 4, 40); // one and a quarter of 32
    return out;
}

/** An engine's KV memory for one sequence. */
class memory {
public:
    void prepare(const oc::kv_geometry& shape, std::size_t tokens)
    {
        shape_ = shape;
        rows_ = tokens;
        bytes_.resize(shape.layers * 2 * part());
        std::fill(bytes_.begin(), bytes_.end(), std::byte{0xee});
    }
    [[nodiscard]] oc::kv_pages pages()
    {
        std::vector<oc::kv_layer_memory> layers(shape_.layers);
        for (std::size_t l = 0; l < layers.size(); ++l)
            layers[l] = {bytes_.data() + 2 * l * part(), bytes_.data() + (2 * l + 1) * part()};
        return oc::kv_pages::contiguous(shape_, std::move(layers), rows_);
    }
    /** "Compute" the KV of chunk `index` of a sequence. */
    void compute(const oc::chunk_id& chunk, std::size_t index)
    {
        std::vector<std::byte> slice(shape_.slice_bytes());
        const std::size_t half = slice.size() / 2;
        for (oc::layer_id l = 0; l < shape_.layers; ++l) {
            make_slice(chunk, l, slice);
            std::memcpy(bytes_.data() + 2 * l * part() + index * half, slice.data(), half);
            std::memcpy(bytes_.data() + (2 * l + 1) * part() + index * half, slice.data() + half, half);
        }
    }
    [[nodiscard]] bool holds(const oc::chunk_id& chunk, std::size_t index) const
    {
        std::vector<std::byte> slice(shape_.slice_bytes());
        const std::size_t half = slice.size() / 2;
        for (oc::layer_id l = 0; l < shape_.layers; ++l) {
            std::memcpy(slice.data(), bytes_.data() + 2 * l * part() + index * half, half);
            std::memcpy(slice.data() + half, bytes_.data() + (2 * l + 1) * part() + index * half, half);
            if (!is_slice(chunk, l, slice))
                return false;
        }
        return true;
    }

private:
    [[nodiscard]] std::size_t part() const { return rows_ * shape_.row_bytes(); }

    oc::kv_geometry shape_;
    std::size_t rows_ = 0;
    std::vector<std::byte> bytes_;
};

} // namespace race
