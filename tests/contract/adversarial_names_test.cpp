// SPDX-License-Identifier: BSL-1.0
#include <contract/adversarial_scene.hpp>

/** Segments whose names lie, and damage in regions of several segments: which one is read is the reader's choice. */
namespace contract {

namespace adversary {

using memory_reader = reader<oc::testing::recording_tier>;
using memory_home = tier_home<oc::testing::recording_tier>;

/** A store of segments, and readers over it. */
struct library {
    ~library()
    {
        readers.clear();
        home.reset();
        env.destroy_context();
        CHECK(env.device.staging_allocated() == 0);
    }
    memory_reader& read(std::vector<oc::token_id> tokens, const way& how = ways[0], bool merge = true)
    {
        oc::cache_options o = options_for(oc::layout::segment_objects, how);
        o.merge_segments = merge;
        readers.push_back(
            std::make_unique<memory_reader>(env, *home, scope(), std::move(tokens), o, !how.layer_by_layer));
        return *readers.back();
    }
    void add(const objects& all) { put(env, *home, all); }
    objects everything()
    {
        objects out;
        const auto page = await(env, calls<oc::memory_tier>::list(home->tier.stored(), "", "", 1000));
        for (const oc::object_entry& object : page->objects)
            out[object.key] = *stored(env, *home, object.key);
        return out;
    }

    environment env;
    std::optional<memory_home> home{std::in_place, env};
    std::vector<std::unique_ptr<memory_reader>> readers;
};

void all_there(memory_reader& r)
{
    const loaded seen = r.load();
    CAPTURE(seen.report.failed.message());
    CHECK(seen.report.failed.ok());
    CHECK(seen.report.usable_tokens == r.tokens.size());
}

/** A store puts it right, also for those who know nothing of what is wrong. */
void put_right(memory_reader& r)
{
    CHECK(r.store().failed.ok());
    all_there(r);
    r.forget();
    all_there(r);
}

/** Two regions as they should be, nothing of the third. */
objects without_tail(const author& a)
{
    objects out = a.all(oc::layout::segment_objects);
    out.erase(a.segment_key(8, 3));
    return out;
}
std::string renamed(const author& a, std::size_t region, const oc::segment_name& name)
{
    oc::segment_name other = name;
    other.region = a.chain[region * per_region];
    return oc::segment_key(a.keys, other);
}
oc::segment_name name_of(const author& a, std::size_t first, std::size_t n)
{
    const std::size_t region = first / per_region * per_region;
    return oc::name_segment(a.where.geometry, std::span(a.chain).subspan(region, first + n - region),
                            static_cast<std::uint32_t>(first - region), static_cast<std::uint32_t>(n));
}

} // namespace adversary

TEST_CASE("marks that lie cost what they lie about")
{
    using namespace adversary;
    const author ours(scope(), sequence(chunks)), other(scope(), sequence(chunks, 9));
    const oc::segment_name honest = name_of(ours, 8, 3);
    oc::segment_name name = name_of(other, 8, 3);
    std::size_t claimed = 10;
    SUBCASE("one more chunk is said to be ours than is")
    {
        name.marks.replace(3, 3, honest.marks, 3, 3);
    }
    SUBCASE("two more are, of a segment that goes on behind them")
    {
        const author longer(scope(), sequence(12, 9));
        name = name_of(longer, 8, 4);
        name.marks.replace(3, 6, honest.marks, 3, 6);
        claimed = 11;
    }
    library l;
    l.add(without_tail(ours));
    l.add({{renamed(ours, 2, name),
            name.chunks == 4 ? author(scope(), sequence(12, 9)).segment(8, 4) : other.segment(8, 3)}});
    for (const way& how : ways) {
        CAPTURE(std::string(how.name));
        memory_reader& r = l.read(sequence(chunks), how);
        const oc::prefix_match match = r.match();
        CHECK(match.chunks.size() == claimed);
        CHECK(match.ended_by.ok());
        const loaded seen = r.load(match);
        CHECK(seen.report.failed == oc::errc::wrong_chunk);
        CHECK(seen.report.usable_tokens == 9 * per_chunk);
        CHECK(r.kv.stats().chunks_corrupt == 1);
    }
    put_right(*l.readers.back());
}

TEST_CASE("a name that contradicts itself is nobody's")
{
    using namespace adversary;
    const author ours(scope(), sequence(chunks));
    oc::segment_name name = name_of(ours, 8, 3);
    std::size_t found = 8;
    SUBCASE("its last chunk is ours, its marks are not")
    {
        name.marks[0] = name.marks[0] == 'A' ? 'B' : 'A';
    }
    SUBCASE("it begins one chunk later than it could")
    {
        ++name.offset;
        name.last = name_of(ours, 8, 2).last;
    }
    SUBCASE("more chunks than a region has")
    {
        name.chunks = per_region + 1;
        name.marks += "AAAAAA";
    }
    SUBCASE("the largest numbers there are")
    {
        name.offset = 255;
        name.chunks = 1;
        name.marks = "AAA";
    }
    SUBCASE("another region's name: the first chunk is said to be ours")
    {
        name = name_of(ours, 0, 3);
        found = 9;
    }
    library l;
    l.add(without_tail(ours));
    l.add({{renamed(ours, 2, name), bytes(oc::segment_bytes(shape(), name.chunks), std::byte{7})}});
    memory_reader& r = l.read(sequence(chunks));
    const loaded seen = r.load();
    CHECK(seen.match.chunks.size() == found);
    CHECK(seen.report.usable_tokens == 8 * per_chunk);
    CHECK(seen.report.failed.ok() == (found == 8));
    if (found != 8)
        CHECK(seen.report.failed == oc::errc::checksum_mismatch);
    put_right(r);
}

TEST_CASE("what is no segment's name is passed over, however much of it there is")
{
    using namespace adversary;
    const author ours(scope(), sequence(chunks));
    const std::string folder = oc::region_prefix(ours.keys, ours.chain[8]);
    library l;
    l.add(ours.all(oc::layout::segment_objects));
    for (const char* text : {"", "x", "000-003", "000-003.", "999-999..", "000-000..", "-", "\xff\xfe",
                             "../../x", "000-003.00000000000000000000000000000000", "manifest", "0000"})
        l.add({{folder + text, bytes(3)}});
    for (int i = 0; i < 3000; ++i) // several pages of a listing, in front of what is looked for
        l.add({{folder + "000-002." + std::to_string(i), bytes(1)}});
    memory_reader& r = l.read(sequence(chunks));
    all_there(r);
    CHECK(r.kv.stats().chunks_corrupt == 0);
}

TEST_CASE("of several segments with the same chunks any may be damaged, and all are put right in the end")
{
    using namespace adversary;
    std::size_t attacks = 0, seen = 0;
    std::vector<std::vector<oc::token_id>> writers, readers = {sequence(11), sequence(10), sequence(9)};
    bool merge = true;
    SUBCASE("a sequence that grew, and was merged")
    {
        writers = {sequence(9), sequence(10), sequence(11)};
    }
    SUBCASE("a sequence that grew, and was not merged")
    {
        writers = {sequence(9), sequence(10), sequence(11)};
        merge = false;
    }
    SUBCASE("sequences that branch off")
    {
        writers = {sequence(11), sequence(11, 6), sequence(11, 9)};
        readers.push_back(sequence(11, 6));
        readers.push_back(sequence(11, 9));
        readers.push_back(sequence(7, 6));
    }
    SUBCASE("a region that was stored in pieces and then as a whole")
    {
        writers = {sequence(5), sequence(6), sequence(7), sequence(8), sequence(11)};
    }
    objects before;
    {
        library l;
        for (const auto& tokens : writers)
            CHECK(l.read(tokens, ways[0], merge).store().failed.ok());
        before = l.everything();
    }
    const author stranger(scope(), sequence(chunks, 0));
    for (const auto& entry : before)
        for (int what = 0; what < 6; ++what)
            for (std::size_t turn = 0; turn < readers.size(); ++turn) {
                const std::string& key = entry.first;
                const bytes& honest = entry.second;
                CAPTURE(key);
                CAPTURE(what);
                CAPTURE(turn);
                objects now = before;
                bytes& is = now.at(key);
                if (what == 0)
                    std::fill(is.begin(), is.end(), std::byte{0});
                else if (what == 1)
                    is.resize(is.size() - 1);
                else if (what == 2)
                    is.back() ^= std::byte{1}; // the last chunk
                else if (what == 3)
                    is[is.size() / 2] ^= std::byte{1};
                else if (what == 4)
                    is[is.size() - stranger.record_size() * layers + 5] ^= std::byte{1};
                else
                    for (const auto& [other, bytes_of] : before)
                        if (other != key && bytes_of.size() == honest.size())
                            is = bytes_of;
                if (is == honest)
                    continue;
                if (++attacks % thinned != 0)
                    continue;
                library l;
                l.add(now);
                memory_reader& r = l.read(readers[turn], ways[attacks % std::size(ways)], merge);
                const loaded first = r.load();
                const bool met = first.report.usable_tokens != r.tokens.size();
                seen += met;
                CHECK(r.store().failed.ok());
                all_there(r);
                r.forget();
                all_there(r);
            }
    MESSAGE(attacks << " attacks, " << seen << " of them met by the reader");
    CHECK(seen > 0);
}

} // namespace contract
