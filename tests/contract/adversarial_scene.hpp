// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <contract/adversarial_kinds.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

/** An attack on a reader, and what has to come of it. */
namespace contract::adversary {

inline constexpr std::size_t chunks = 11; // two regions and three chunks of the third

inline constexpr oc::layout layouts[] = {oc::layout::layer_objects, oc::layout::chunk_objects,
                                         oc::layout::segment_objects};

/** What a reader has to find, from the bytes alone and without the library's own checks: a record is right if it is the
    honest one. */
struct oracle {
    std::size_t matched = chunks;                    ///< by a reader that has to ask
    std::size_t usable = chunks;                     ///< if all chunks were matched
    std::set<std::size_t> bad;                       ///< chunks that are the first a request does not bring
    bool absent = false, cut = false, wrong = false; ///< what the reader may come across
    bool shifted = false; ///< wrong, in an object of another size: any bytes may lie where a record should

    oracle(oc::layout where, const objects& honest, const objects& now, const author& a, const way& how,
           oc::layer_id from)
    {
        const std::size_t record = a.record_size();
        const auto end_at = [](std::size_t& end, std::size_t chunk) { end = std::min(end, chunk); };
        const auto fail_at = [&](std::size_t chunk) {
            bad.insert(chunk);
            end_at(usable, chunk);
        };
        const auto read = [&](const std::string& key, std::size_t offset, std::size_t first, std::size_t n) {
            const auto found = now.find(key);
            if (found == now.end()) {
                absent = true;
                return fail_at(first);
            }
            if (found->second.size() < offset + n * record) {
                cut = true;
                return fail_at(first);
            }
            for (std::size_t i = 0; i < n; ++i) {
                const auto at = static_cast<std::ptrdiff_t>(offset + i * record);
                if (std::equal(found->second.begin() + at,
                               found->second.begin() + at + static_cast<std::ptrdiff_t>(record),
                               honest.at(key).begin() + at))
                    continue;
                wrong = true;
                shifted = shifted || found->second.size() != honest.at(key).size();
                return fail_at(first + i);
            }
        };
        const auto published = [&](const std::string& key, std::size_t first) {
            const auto found = now.find(key);
            if (found == now.end() || found->second.size() != honest.at(key).size())
                end_at(matched, first);
        };
        for (std::size_t c = 0; c < chunks; ++c) {
            if (where == oc::layout::chunk_objects) {
                const std::string key = oc::chunk_key(a.keys, a.chain[c]);
                published(key, c);
                for (std::size_t l = from; l < layers; ++l)
                    read(key, oc::header_bytes + l * record, c, 1);
            } else if (where == oc::layout::layer_objects) {
                published(oc::manifest_key(a.keys, a.chain[c]), c);
                for (oc::layer_id l = from; l < layers; ++l)
                    read(oc::layer_key(a.keys, a.chain[c], l), 0, c, 1);
            } else if (c % per_region == 0) {
                const std::size_t n = std::min(per_region, chunks - c);
                const std::string key = a.segment_key(c, n);
                const std::size_t head = 264 + 32 * n;
                published(key, c);
                for (std::size_t l = from; l < layers; ++l)
                    for (std::size_t i = 0; i < n; i += how.chunks_at_once)
                        read(key, head + (l * n + i) * record, c + i, std::min(how.chunks_at_once, n - i));
            }
        }
    }
};

/** What a tool says of the head of the attacked object. */
inline oc::status judge_head(const attack& a)
{
    const auto found = a.after.find(a.key);
    if (found == a.after.end() || a.at.what == thing::layer)
        return {};
    oc::object_header expected = a.who.ours.header(a.at.first(), a.chunks, a.at.where);
    if (a.at.what != thing::segment) {
        const auto header = oc::decode_header(found->second);
        return header ? oc::match_header(*header, expected) : header.error();
    }
    const auto head = oc::decode_segment_head(found->second);
    return head ? oc::match_header(head->header, expected) : head.error();
}

/** When the attack is made. */
enum class moment { before_match, before_load, behind_first_layer };

/** What was counted between two moments. */
struct counted {
    std::uint64_t corrupt = 0, absent = 0, unknown = 0;

    explicit counted(const oc::cache_stats& s)
        : corrupt(s.chunks_corrupt)
        , absent(s.chunks_absent)
        , unknown(s.chunks_unknown)
    {}
    [[nodiscard]] counted since(const counted& before) const
    {
        counted out = *this;
        out.corrupt -= before.corrupt;
        out.absent -= before.absent;
        out.unknown -= before.unknown;
        return out;
    }
    [[nodiscard]] std::uint64_t all() const { return corrupt + absent + unknown; }
};

/** One attack on a reader, and what the reader does after it. */
template <class Tier>
struct scene {
    environment& env;
    tier_home<Tier>& home;
    reader<Tier>& r;
    const attack& a;
    const objects& honest;
    const verdict& judged;
    const way& how;
    moment when;
    bool precise; ///< the reason is known to the code

    void play()
    {
        const oracle truth(a.at.where, honest, a.after, a.who.ours, how,
                           when == moment::behind_first_layer ? 1 : 0);
        const auto strike = [&] { put(env, home, honest, a.after); };
        oc::prefix_match match;
        if (when == moment::before_match)
            strike();
        match = r.match();
        if (when == moment::before_load)
            strike();
        CHECK(match.ended_by.ok());
        CHECK(match.chunks.size() == (when == moment::before_match ? truth.matched : chunks));

        const counted before(r.kv.stats());
        const loaded seen = load(std::move(match), strike);
        const counted found = counted(r.kv.stats()).since(before);
        const std::size_t usable = std::min(seen.match.chunks.size(), truth.usable);
        const bool failed = usable < seen.match.chunks.size();
        CAPTURE(seen.report.failed.message());
        CHECK(seen.report.usable_tokens == usable * per_chunk);
        CHECK(seen.report.failed.ok() == !failed);
        if (failed)
            check_reason(truth, seen, found);
        else
            CHECK(found.all() == 0);

        if (failed && judged.left_alone)
            left_alone(usable);
        else
            healed(failed, truth.matched == chunks && truth.usable == chunks);
    }

private:
    template <class F>
    loaded load(oc::prefix_match match, [[maybe_unused]] F strike)
    {
        if constexpr (std::is_same_v<Tier, oc::testing::recording_tier>)
            if (when == moment::behind_first_layer)
                return r.load(std::move(match), strike);
        return r.load(std::move(match));
    }

    void check_reason(const oracle& truth, const loaded& seen, const counted& found)
    {
        const oc::status& why = seen.report.failed;
        const bool absent = truth.absent && why == oc::condition::absent;
        const bool cut =
            truth.cut && (precise ? why == oc::errc::length_mismatch : why == oc::condition::corrupt);
        const bool wrong = truth.wrong && judged.why &&
                           (why == *judged.why || (truth.shifted && why == oc::errc::checksum_mismatch));
        CHECK((absent || cut || wrong));
        CHECK(found.all() >= 1);
        CHECK(found.all() <= truth.bad.size()); // each chunk once, and only those nearer to the start
        CHECK((found.absent != 0) == absent);
        CHECK((found.unknown != 0) == (why == oc::errc::unknown_version));
        CHECK((found.corrupt != 0) == (why == oc::condition::corrupt && why != oc::errc::unknown_version));
    }

    /** Nobody replaces what may be right for others; what lies before it stays usable. */
    void left_alone(std::size_t usable)
    {
        const loaded rest = r.load();
        CHECK(rest.report.failed.ok());
        CHECK(rest.report.usable_tokens <= usable * per_chunk);
        const oc::store_report kept = r.store();
        CHECK(kept.failed == oc::errc::unknown_version);
        CHECK(kept.dropped > 0);
        CHECK(kept.stored + kept.present + kept.dropped == chunks);
        CHECK(r.load().report.failed.ok());
        for (const auto& [key, what] : a.after)
            CHECK((stored(env, home, key) == what));
        r.forget();
        const loaded again = r.load();
        CHECK(again.report.failed == oc::errc::unknown_version);
        CHECK(again.report.usable_tokens == usable * per_chunk);
    }

    /** The next match does not fall for it again, and a store puts it right: for this process and for others. */
    void healed(bool failed, bool harmless)
    {
        if (failed && judged.objects == 1)
            CHECK(r.load().report.failed.ok());
        for (unsigned i = 0; i < judged.objects; ++i) {
            CHECK(r.store().failed.ok());
            (void)r.load();
        }
        complete();
        r.forget();
        (void)r.load();
        CHECK(r.store().failed.ok());
        complete();
        r.forget();
        complete();
        const objects& end = harmless ? a.after : honest;
        for (const auto& [key, what] : end)
            CHECK((stored(env, home, key) == what));
    }
    void complete()
    {
        const loaded all = r.load();
        CAPTURE(all.report.failed.message());
        CHECK(all.report.failed.ok());
        CHECK(all.report.usable_tokens == chunks * per_chunk);
    }
};

/** What a tool is told about the head. */
inline void judge(const attack& a, const verdict& judged)
{
    const oc::status said = judge_head(a);
    CAPTURE(said.message());
    if (!judged.head)
        return;
    CHECK(said == oc::condition::corrupt);
    CHECK(said == *judged.head);
}

template <class Tier>
void attacked(const attack& a, const objects& honest, const verdict& judged, const way& how, moment when)
{
    environment env;
    std::optional<tier_home<Tier>> home(std::in_place, env);
    put(env, *home, honest);
    {
        oc::cache_options options = options_for(a.at.where, how);
        if (when == moment::behind_first_layer)
            options.prefetch_depth = 1;
        reader<Tier> r(env, *home, scope(), sequence(chunks), options, !how.layer_by_layer);
        constexpr bool in_memory = std::is_same_v<Tier, oc::testing::recording_tier>;
        scene<Tier>{env, *home, r, a, honest, judged, how, when, in_memory}.play();
    }
    if constexpr (std::is_same_v<Tier, oc::s3_tier>) {
        const oc::testing::s3_server server(std::move(home->server)); // outlives the context
        home.reset();
        env.destroy_context();
    } else {
        home.reset();
        env.destroy_context();
    }
    CHECK(env.device.staging_allocated() == 0);
    CHECK_FALSE(env.device.any_gate_closed());
}

/** Where things are attacked: first, middle and last chunk, of whole regions and of the tail; every layer. */
inline std::vector<spot> spots(oc::layout where)
{
    std::vector<spot> out;
    const std::pair<std::size_t, oc::layer_id> places[] = {{0, 0}, {2, 1}, {5, 2}, {10, 1}};
    for (const auto& [victim, layer] : places)
        if (where == oc::layout::layer_objects) {
            out.push_back({where, thing::layer, victim, layer});
            out.push_back({where, thing::manifest, victim, layer});
        } else {
            out.push_back(
                {where, where == oc::layout::chunk_objects ? thing::chunk : thing::segment, victim, layer});
        }
    return out;
}

/** How many attacks there were, by kind and layout. */
struct tally {
    std::map<std::string, std::map<oc::layout, std::size_t>> scenes;

    void add(const kind& what, oc::layout where) { ++scenes[what.name][where]; }
    [[nodiscard]] std::string text() const
    {
        std::ostringstream out;
        std::map<oc::layout, std::size_t> of_layout;
        std::size_t pairs = 0, all = 0;
        for (const auto& [name, by_layout] : scenes) {
            out << "\n  " << name << ":";
            for (const auto& [where, n] : by_layout) {
                out << ' ' << oc::name(where) << ' ' << n;
                ++of_layout[where];
                ++pairs;
                all += n;
            }
        }
        std::ostringstream head;
        head << scenes.size() << " kinds, " << pairs << " kinds x layouts (";
        for (const auto& [where, n] : of_layout)
            head << ' ' << oc::name(where) << ' ' << n;
        head << " ), " << all << " attacks:";
        return head.str() + out.str();
    }
};

template <class Tier>
void play(const cast& who, const kind& what, const spot& at, const way& how, moment when, tally& count)
{
    CAPTURE(what.name);
    CAPTURE(oc::name(at.where));
    CAPTURE(static_cast<int>(at.what));
    CAPTURE(at.victim);
    CAPTURE(at.layer);
    CAPTURE(std::string(how.name));
    CAPTURE(static_cast<int>(when));
    const objects honest = who.ours.all(at.where);
    attack a(who, honest, at);
    const std::optional<verdict> judged = what.commit(a);
    if (!judged)
        return;
    count.add(what, at.where);
    judge(a, *judged);
    attacked<Tier>(a, honest, *judged, how, when);
}

} // namespace contract::adversary
