// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <contract/harness.hpp>
#include <contract/tier_home.hpp>
#include <support/forged.hpp>

#include <objectcache/cache.hpp>
#include <objectcache/kv/hash_chain.hpp>

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

/** A store whose bytes anybody may have written, and a reader who must not believe them. */
namespace contract::adversary {

using bytes = std::vector<std::byte>;
using objects = std::map<std::string, bytes>;

inline constexpr std::size_t per_chunk = 1024, per_region = 4, layers = 3;

#ifdef __OPTIMIZE__
inline constexpr std::size_t thinned = 1;
#else
/** Sanitizers and debug builds take one attack of so many: bytes and hashes cost them fifty times as much. */
inline constexpr std::size_t thinned = 13; // has no divisor in common with the number of ways
#endif

/** Slices of 4 KiB; regions of four chunks. */
inline oc::kv_geometry shape()
{
    return {layers, 1, 2, oc::kv_dtype::int8, oc::kv_form::separate, per_chunk};
}
inline oc::scope scope(const oc::kv_geometry& g = shape(), const char* model = "ours")
{
    oc::scope s = kv_fixture::scope(g);
    s.model = model;
    return s;
}

/** Tokens of so many chunks, those from chunk `parts_at` on of another sequence. */
inline std::vector<oc::token_id> sequence(std::size_t chunks, std::size_t parts_at = SIZE_MAX)
{
    std::vector<oc::token_id> out = kv_fixture::tokens(chunks * per_chunk);
    for (std::size_t i = parts_at * per_chunk; parts_at < chunks && i < out.size(); ++i)
        out[i] += 1'000'000;
    return out;
}

/** The KV of a token: of no two tokens or layers the same. */
inline std::byte kv(oc::token_id token, oc::layer_id layer, bool v, std::size_t i)
{
    const std::uint32_t mixed =
        (token * 2654435761u) ^ (layer * 40503u + (v ? 7919u : 0u) + static_cast<std::uint32_t>(i) * 104729u);
    return static_cast<std::byte>(mixed >> 7 ^ mixed >> 19);
}
inline void fill(kv_fixture::memory& to, std::span<const oc::token_id> tokens)
{
    const std::size_t row = to.shape.row_bytes();
    for (oc::layer_id l = 0; l < to.shape.layers; ++l)
        for (std::size_t t = 0; t < tokens.size(); ++t)
            for (std::size_t i = 0; i < row; ++i) {
                to.k(l)[t * row + i] = kv(tokens[t], l, false, i);
                to.v(l)[t * row + i] = kv(tokens[t], l, true, i);
            }
}

/** Writes what a cache would write, with the encoders alone: also for scopes and at places where none would. */
struct author {
    author(oc::scope s, std::vector<oc::token_id> t)
        : where(std::move(s))
        , tokens(std::move(t))
        , id(*oc::scope_id(where))
        , chain(oc::hash_chain(id, tokens, where.geometry.tokens_per_chunk))
        , keys{"", id}
    {}

    [[nodiscard]] std::size_t record_size() const
    {
        return static_cast<std::size_t>(oc::record_bytes(where.geometry));
    }
    [[nodiscard]] bytes record(std::size_t chunk, oc::layer_id layer, oc::layout as) const
    {
        const oc::kv_geometry& g = where.geometry;
        bytes out(record_size());
        std::byte* to = out.data();
        for (const bool v : {false, true})
            for (std::size_t t = chunk * g.tokens_per_chunk; t < (chunk + 1) * g.tokens_per_chunk; ++t)
                for (std::size_t i = 0; i < g.row_bytes(); ++i)
                    *to++ = kv(tokens[t], layer, v, i);
        oc::seal_slice(out, layer, chain[chunk], as);
        return out;
    }
    [[nodiscard]] oc::object_header header(std::size_t first, std::size_t chunks, oc::layout as) const
    {
        oc::object_header h = kv_fixture::header(as, where.geometry, id, chain, first);
        h.chunks = static_cast<std::uint32_t>(chunks);
        return h;
    }
    [[nodiscard]] bytes manifest(std::size_t chunk, oc::layout as = oc::layout::layer_objects) const
    {
        bytes out(oc::header_bytes);
        oc::encode_header(oc::byte_span(out).first<oc::header_bytes>(), header(chunk, 1, as));
        return out;
    }
    [[nodiscard]] bytes chunk_object(std::size_t chunk) const
    {
        bytes out = manifest(chunk, oc::layout::chunk_objects);
        for (oc::layer_id l = 0; l < where.geometry.layers; ++l)
            append(out, record(chunk, l, oc::layout::chunk_objects));
        return out;
    }
    [[nodiscard]] bytes segment(std::size_t first, std::size_t chunks) const
    {
        bytes out(oc::segment_head_bytes(static_cast<std::uint32_t>(chunks)));
        oc::encode_segment_head(out, header(first, chunks, oc::layout::segment_objects),
                                std::span(chain).subspan(first, chunks));
        for (oc::layer_id l = 0; l < where.geometry.layers; ++l)
            for (std::size_t c = first; c < first + chunks; ++c)
                append(out, record(c, l, oc::layout::segment_objects));
        return out;
    }
    [[nodiscard]] std::string segment_key(std::size_t first, std::size_t chunks) const
    {
        const std::size_t region = first / per_region * per_region;
        return oc::segment_key(
            keys,
            oc::name_segment(where.geometry, std::span(chain).subspan(region, first + chunks - region),
                             static_cast<std::uint32_t>(first - region), static_cast<std::uint32_t>(chunks)));
    }
    /** All of the sequence, stored in one go. */
    [[nodiscard]] objects all(oc::layout as) const
    {
        objects out;
        for (std::size_t c = 0; c < chain.size(); ++c)
            if (as == oc::layout::chunk_objects) {
                out[oc::chunk_key(keys, chain[c])] = chunk_object(c);
            } else if (as == oc::layout::layer_objects) {
                out[oc::manifest_key(keys, chain[c])] = manifest(c);
                for (oc::layer_id l = 0; l < where.geometry.layers; ++l)
                    out[oc::layer_key(keys, chain[c], l)] = record(c, l, as);
            } else if (c % per_region == 0) {
                const std::size_t n = std::min(per_region, chain.size() - c);
                out[segment_key(c, n)] = segment(c, n);
            }
        return out;
    }

    static void append(bytes& to, const bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

    oc::scope where;
    std::vector<oc::token_id> tokens;
    oc::digest id;
    std::vector<oc::chunk_id> chain;
    oc::key_space keys;
};

/** How a reader reads. */
struct way {
    const char* name;
    std::uint64_t coalesce_bytes;
    bool layer_by_layer;
    std::size_t chunks_at_once; // of a segment
};
inline constexpr way ways[] = {{"layer by layer", 1, true, per_region},
                               {"layers together", 1 << 20, true, per_region},
                               {"all at once", 1 << 20, false, per_region},
                               {"parts of layers", 1, true, 2}};

inline oc::cache_options options_for(oc::layout as, const way& how)
{
    oc::cache_options o;
    o.stored_as = as;
    o.coalesce_bytes = how.coalesce_bytes;
    // Half of it is the largest request, a quarter a part of an upload.
    o.staging_bytes = how.chunks_at_once == per_region
                          ? std::size_t{1} << 20
                          : 2 * how.chunks_at_once * static_cast<std::size_t>(oc::record_bytes(shape()));
    return o;
}

/** What a load came to, and where it was put. */
struct loaded {
    oc::prefix_match match;
    oc::load_report report;
    std::vector<oc::error_code> layers;
    kv_fixture::memory* target = nullptr;
};

/** A reader and writer of one sequence over a store that others write to as well. */
template <class Tier>
struct reader {
    using cache = oc::cache<oc::testing::gated_device, Tier>;

    reader(environment& e, tier_home<Tier>& h, const oc::scope& s, std::vector<oc::token_id> t,
           oc::cache_options o, bool all_at_once = false)
        : env(e)
        , home(h)
        , where(s)
        , tokens(std::move(t))
        , options(std::move(o))
        , kv(*cache::create(home.tier, env.device, options))
        , source(memory())
    {
        how.layer_by_layer = !all_at_once;
        fill(source, tokens);
    }

    kv_fixture::memory& memory() { return env.memory.emplace_back(where.geometry, tokens.size() + 1); }
    /** Another process, which knows nothing of what this one found out. */
    void forget() { kv = *cache::create(home.tier, env.device, options); }

    oc::prefix_match match()
    {
        auto longer = tokens;
        longer.push_back(0); // the one that is always computed
        return await(env, kv.match(where, longer, asio::use_awaitable));
    }
    oc::store_report store()
    {
        return await(env, kv.store(where, tokens, source.pages(), {}, asio::use_awaitable));
    }
    loaded load(oc::prefix_match found)
    {
        loaded out;
        out.match = std::move(found);
        out.target = &scratch();
        out.target->clear();
        env.run(load(*this, out));
        check(out);
        return out;
    }
    loaded load() { return load(match()); }
    /** What is read after the first layer is what `change` leaves there. */
    template <class F>
    loaded load(oc::prefix_match found, F change)
    {
        loaded out;
        out.match = std::move(found);
        out.target = &scratch();
        out.target->clear();
        home.tier.hold_reads();
        {
            auto load = kv.load(out.match, out.target->pages(), how);
            env.settle();
            home.tier.release_reads();
            home.tier.hold_reads();
            env.run(fetch(load, out, 0, 1));
            env.settle();
            CHECK(home.tier.reads_waiting() > 0);
            change();
            home.tier.release_reads();
            env.run(fetch(load, out, 1, where.geometry.layers));
            env.run(finish(load, out));
        }
        check(out);
        return out;
    }

    /** Never wrong KV: what is usable is right, what is not is right or was not touched; a layer that is said to be
        there is. */
    void check(const loaded& l)
    {
        const std::size_t row = where.geometry.row_bytes(), part = per_chunk * row,
                          matched = l.match.chunks.size(), usable = l.report.usable_tokens / per_chunk;
        CHECK(l.report.usable_tokens % per_chunk == 0);
        CHECK(usable <= matched);
        CHECK(usable >= how.first_chunk);
        CHECK(l.report.failed.ok() == (usable == matched));
        std::size_t foreign = 0, missing = 0, lies = 0;
        bool failed = false;
        for (std::size_t layer = 0; layer < where.geometry.layers; ++layer) {
            failed = failed || l.layers[layer];
            for (std::size_t c = 0; c < tokens.size() / per_chunk; ++c)
                for (const bool v : {false, true}) {
                    const std::byte* is = (v ? l.target->v(layer) : l.target->k(layer)) + c * part;
                    const std::byte* right = (v ? source.v(layer) : source.k(layer)) + c * part;
                    const bool same = std::memcmp(is, right, part) == 0;
                    const bool untouched = *is == std::byte{0xee} && std::memcmp(is, is + 1, part - 1) == 0;
                    const bool wanted = c >= how.first_chunk && c < matched;
                    foreign += !(same && wanted) && !untouched;
                    missing += !same && wanted && c < usable;
                    lies += !same && wanted && !l.layers[layer];
                }
        }
        CHECK(foreign == 0);
        CHECK(missing == 0);
        CHECK(lies == 0);
        CHECK(failed == !l.report.failed.ok());
        CHECK(kv.staging_in_use() == 0);
    }

    environment& env;
    tier_home<Tier>& home;
    oc::scope where;
    std::vector<oc::token_id> tokens;
    oc::cache_options options;
    oc::load_options how;
    cache kv;
    kv_fixture::memory& source;

private:
    static asio::awaitable<void> load(reader& self, loaded& out)
    {
        auto load = self.kv.load(out.match, out.target->pages(), self.how);
        co_await fetch(load, out, 0, self.where.geometry.layers);
        co_await finish(load, out);
    }
    using load_type = typename cache::load_type;
    static asio::awaitable<void> fetch(load_type& load, loaded& out, oc::layer_id from, oc::layer_id to)
    {
        for (oc::layer_id l = from; l < to; ++l)
            out.layers.push_back(co_await load.fetch_layer(l));
    }
    static asio::awaitable<void> finish(load_type& load, loaded& out) { out.report = co_await load.finish(); }
    kv_fixture::memory& scratch()
    {
        if (scratch_ == nullptr)
            scratch_ = &memory();
        return *scratch_;
    }
    kv_fixture::memory* scratch_ = nullptr;
};

/** @name What is in the store, whoever wrote it. Nothing: it is not there. */
/** @{ */
inline std::optional<bytes> stored(environment&, tier_home<oc::testing::recording_tier>& home,
                                   const std::string& key)
{
    const bytes* found = home.tier.stored().find(key);
    return found == nullptr ? std::nullopt : std::optional(*found);
}
inline void put(environment& env, tier_home<oc::testing::recording_tier>& home, const std::string& key,
                const std::optional<bytes>& what)
{
    if (bytes* found = home.tier.stored().find(key); found != nullptr && what) {
        *found = *what;
        return;
    }
    using c = calls<oc::memory_tier>;
    CHECK((what ? await(env, c::write(home.tier.stored(), key, *what, oc::if_exists::replace))
                : await(env, c::remove(home.tier.stored(), key)))
              .ok());
}
inline std::optional<bytes> stored(environment&, tier_home<oc::s3_tier>& home, const std::string& key)
{
    auto found = home.server.read("bucket", key);
    return found ? std::optional(std::move(*found)) : std::nullopt;
}
inline void put(environment&, tier_home<oc::s3_tier>& home, const std::string& key,
                const std::optional<bytes>& what)
{
    CHECK((what ? home.server.put("bucket", key, *what) : home.server.erase("bucket", key)).ok());
}
template <class Tier>
void put(environment& env, tier_home<Tier>& home, const objects& all)
{
    for (const auto& [key, what] : all)
        put(env, home, key, what);
}
/** What differs between the two. */
template <class Tier>
void put(environment& env, tier_home<Tier>& home, const objects& before, const objects& after)
{
    for (const auto& [key, what] : before)
        if (const auto found = after.find(key); found == after.end())
            put(env, home, key, std::nullopt);
        else if (found->second != what)
            put(env, home, key, found->second);
    for (const auto& [key, what] : after)
        if (!before.contains(key))
            put(env, home, key, what);
}
/** @} */

} // namespace contract::adversary
