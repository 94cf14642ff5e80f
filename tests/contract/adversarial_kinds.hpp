// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <contract/adversary.hpp>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/** What can be wrong with one object: a table. */
namespace contract::adversary {

enum class thing { chunk, layer, manifest, segment };

/** The object that is attacked, and where in it. */
struct spot {
    oc::layout where;
    thing what = thing::chunk;
    std::size_t victim = 0; ///< chunk
    oc::layer_id layer = 0;

    [[nodiscard]] std::size_t first() const
    {
        return what == thing::segment ? victim / per_region * per_region : victim;
    }
};

/** Who else writes: the same tokens in other scopes, and a sequence that branches off. */
struct cast {
    explicit cast(std::size_t chunks)
        : ours(scope(), sequence(chunks))
        , tenant(salted(), sequence(chunks))
        , twin(scope(twin_shape()), sequence(chunks))
        , taller(scope(taller_shape()), sequence(chunks))
    {}
    static oc::scope salted()
    {
        oc::scope s = scope();
        s.tenant_salt = "another tenant";
        return s;
    }
    /** Slices of the same size. */
    static oc::kv_geometry twin_shape()
    {
        oc::kv_geometry g = shape();
        std::swap(g.kv_heads, g.head_size);
        return g;
    }
    static oc::kv_geometry taller_shape()
    {
        oc::kv_geometry g = shape();
        ++g.layers;
        return g;
    }
    author ours, tenant, twin, taller;
};

/** One attack: the store as it was, and the object that is changed. */
struct attack {
    attack(const cast& w, const objects& honest, const spot& s) : who(w), at(s), after(honest)
    {
        const author& a = who.ours;
        chunks =
            at.what == thing::segment ? std::min(per_region, a.chain.size() - at.first()) : std::size_t{1};
        key = key_of(a, at.victim, at.layer);
    }

    [[nodiscard]] std::string key_of(const author& a, std::size_t chunk, oc::layer_id layer) const
    {
        switch (at.what) {
        case thing::chunk:
            return oc::chunk_key(a.keys, a.chain[chunk]);
        case thing::layer:
            return oc::layer_key(a.keys, a.chain[chunk], layer);
        case thing::manifest:
            return oc::manifest_key(a.keys, a.chain[chunk]);
        case thing::segment:
            break;
        }
        const std::size_t first = chunk / per_region * per_region;
        return a.segment_key(first, std::min(per_region, a.chain.size() - first));
    }
    /** The same object of another scope. */
    [[nodiscard]] bytes same_of(const author& a) const
    {
        switch (at.what) {
        case thing::chunk:
            return a.chunk_object(at.victim);
        case thing::layer:
            return a.record(at.victim, at.layer, at.where);
        case thing::manifest:
            return a.manifest(at.victim);
        case thing::segment:
            break;
        }
        return a.segment(at.first(), chunks);
    }
    [[nodiscard]] bytes& object() { return after.at(key); }
    [[nodiscard]] oc::byte_span header() { return oc::byte_span(object()).first(oc::header_bytes); }
    [[nodiscard]] std::size_t head() const
    {
        return at.what == thing::layer     ? 0
               : at.what == thing::segment ? oc::segment_head_bytes(static_cast<std::uint32_t>(chunks))
                                           : oc::header_bytes;
    }
    [[nodiscard]] std::size_t offset(std::size_t chunk, oc::layer_id layer) const
    {
        const std::size_t size = who.ours.record_size();
        return head() + (at.what == thing::segment ? layer * chunks + chunk - at.first()
                         : at.what == thing::chunk ? layer
                                                   : 0) *
                            size;
    }
    [[nodiscard]] oc::byte_span record(std::size_t chunk, oc::layer_id layer)
    {
        return oc::byte_span(object()).subspan(offset(chunk, layer), who.ours.record_size());
    }
    [[nodiscard]] oc::byte_span record() { return record(at.victim, at.layer); }
    [[nodiscard]] oc::byte_span trailer() { return forged::trailer_of(record()); }
    void replace_record(const bytes& by) { std::copy(by.begin(), by.end(), record().begin()); }
    /** Another chunk of the same object if it has one, else of the sequence. */
    [[nodiscard]] std::size_t other_chunk() const
    {
        return chunks > 1 ? (at.victim + 1 < at.first() + chunks ? at.victim + 1 : at.victim - 1)
               : at.victim + 1 < who.ours.chain.size() ? at.victim + 1
                                                       : at.victim - 1;
    }
    [[nodiscard]] oc::layer_id other_layer() const { return (at.layer + 1) % layers; }
    /** Make the checksums of the head right. */
    void reseal_head()
    {
        if (at.what == thing::segment)
            forged::reseal_head(object(), static_cast<std::uint32_t>(chunks));
        else
            forged::reseal_header(object());
    }

    const cast& who;
    spot at;
    objects after;
    std::string key;
    std::size_t chunks = 1;
};

/** What is known about the outcome beside what follows from the bytes. */
struct verdict {
    std::optional<oc::errc> why{};  ///< of a record that is not the right one
    std::optional<oc::errc> head{}; ///< of decoding the head and comparing it; nothing: it is right
    bool left_alone = false;        ///< a store does not replace it
    unsigned objects = 1;           ///< that are damaged
};

struct kind {
    std::string name;
    std::vector<thing> of;
    std::function<std::optional<verdict>(attack&)> commit; ///< nothing: there is no such thing at this spot
};

namespace kinds {

using oc::errc;

inline const std::vector<thing> all = {thing::chunk, thing::layer, thing::manifest, thing::segment},
                                with_records = {thing::chunk, thing::layer, thing::segment},
                                with_head = {thing::chunk, thing::manifest, thing::segment},
                                many_records = {thing::chunk, thing::segment}, segments = {thing::segment};

inline void sizes(std::vector<kind>& out)
{
    const auto size = [&](const char* name, const std::vector<thing>& of, auto where) {
        out.push_back({name, of, [where](attack& a) -> std::optional<verdict> {
                           a.object().resize(where(a));
                           verdict v;
                           if (a.at.what != thing::layer && a.object().size() < a.head())
                               v.head = errc::length_mismatch;
                           return v;
                       }});
    };
    size("empty", all, [](attack&) { return 0; });
    size("one byte", all, [](attack&) { return 1; });
    size("cut inside the header", with_head, [](attack&) { return 128; });
    size("cut one byte before the header's end", with_head, [](attack&) { return 255; });
    size("cut behind the header", many_records, [](attack&) { return 256; });
    size("cut inside the ids", segments, [](attack&) { return 256 + 40; });
    size("cut before the checksum of the ids", segments, [](attack& a) { return a.head() - 8; });
    size("cut behind the head", many_records, [](attack& a) { return a.head(); });
    size("cut inside a slice", with_records,
         [](attack& a) { return a.offset(a.at.victim, a.at.layer) + 100; });
    size("cut before a trailer", with_records,
         [](attack& a) { return a.offset(a.at.victim, a.at.layer) + a.who.ours.record_size() - 32; });
    size("cut inside a trailer", with_records,
         [](attack& a) { return a.offset(a.at.victim, a.at.layer) + a.who.ours.record_size() - 15; });
    size("cut behind a record", many_records,
         [](attack& a) { return a.offset(a.at.victim, a.at.layer) + a.who.ours.record_size(); });
    size("one byte short", with_records, [](attack& a) { return a.object().size() - 1; });
    size("one byte too long", all, [](attack& a) { return a.object().size() + 1; });
    size("one record too long", with_records,
         [](attack& a) { return a.object().size() + a.who.ours.record_size(); });
    out.push_back({"removed", all, [](attack& a) -> std::optional<verdict> {
                       a.after.erase(a.key);
                       return verdict();
                   }});
}

inline void records(std::vector<kind>& out)
{
    // The change is made to one record; `sealed`: its checksum is put right.
    const auto record = [&](const char* name, errc why, bool sealed, auto change) {
        out.push_back({name, with_records, [=](attack& a) -> std::optional<verdict> {
                           change(a);
                           if (sealed)
                               forged::reseal(a.record());
                           return verdict{why, {}, why == errc::unknown_version};
                       }});
    };
    record("a flipped bit in a slice", errc::checksum_mismatch, false,
           [](attack& a) { a.record()[77] ^= std::byte{8}; });
    record("a flipped bit in a checksum", errc::checksum_mismatch, false,
           [](attack& a) { a.trailer()[3] ^= std::byte{8}; });
    record("a flipped bit in a record's chunk", errc::checksum_mismatch, false,
           [](attack& a) { a.trailer()[20] ^= std::byte{8}; });
    record("a record of zeros", errc::checksum_mismatch, false,
           [](attack& a) { std::ranges::fill(a.record(), std::byte{0}); });
    record("a slice of zeros under its trailer", errc::checksum_mismatch, false, [](attack& a) {
        std::ranges::fill(a.record().first(a.record().size() - oc::trailer_bytes), std::byte{0});
    });
    record("another chunk's slice under this one's trailer", errc::checksum_mismatch, false, [](attack& a) {
        bytes other = a.who.ours.record(a.other_chunk(), a.at.layer, a.at.where);
        std::ranges::copy(a.trailer(), forged::trailer_of(other).begin());
        a.replace_record(other);
    });
    record("this slice under another chunk's trailer", errc::checksum_mismatch, false, [](attack& a) {
        bytes other = a.who.ours.record(a.other_chunk(), a.at.layer, a.at.where);
        std::ranges::copy(forged::trailer_of(other), a.trailer().begin());
    });
    record("a record that moved by a byte", errc::checksum_mismatch, false, [](attack& a) {
        const auto r = a.record();
        std::rotate(r.begin(), r.begin() + 1, r.end());
    });

    record("a record of another chunk", errc::wrong_chunk, false,
           [](attack& a) { a.replace_record(a.who.ours.record(a.other_chunk(), a.at.layer, a.at.where)); });
    record("a record of another layer", errc::wrong_chunk, false,
           [](attack& a) { a.replace_record(a.who.ours.record(a.at.victim, a.other_layer(), a.at.where)); });
    record("a record of another tenant", errc::wrong_chunk, false,
           [](attack& a) { a.replace_record(a.who.tenant.record(a.at.victim, a.at.layer, a.at.where)); });
    record("a record of another geometry", errc::wrong_chunk, false,
           [](attack& a) { a.replace_record(a.who.twin.record(a.at.victim, a.at.layer, a.at.where)); });
    record("a record of another layout", errc::wrong_chunk, false, [](attack& a) {
        const bool chunk = a.at.where == oc::layout::chunk_objects;
        a.replace_record(a.who.ours.record(a.at.victim, a.at.layer,
                                           chunk ? oc::layout::segment_objects : oc::layout::chunk_objects));
    });
    record("a record that says another layer", errc::wrong_chunk, true,
           [](attack& a) { oc::store_le(a.trailer().data() + forged::trailer_layer, a.other_layer()); });
    record("a record that says layer 2^32 - 1", errc::wrong_chunk, true,
           [](attack& a) { oc::store_le(a.trailer().data() + forged::trailer_layer, UINT32_MAX); });
    record("a record whose chunk differs in the first bit", errc::wrong_chunk, true,
           [](attack& a) { a.trailer()[forged::trailer_chunk] ^= std::byte{128}; });
    record("a record whose chunk differs in the last bit", errc::wrong_chunk, true,
           [](attack& a) { a.trailer()[31] ^= std::byte{1}; });
    record("a record of no chunk", errc::wrong_chunk, true,
           [](attack& a) { std::ranges::fill(a.trailer().subspan(forged::trailer_chunk), std::byte{0}); });

    record("a record of version 2", errc::unknown_version, true,
           [](attack& a) { oc::store_le(a.trailer().data() + forged::trailer_version, std::uint16_t{2}); });
    record("a record of version 0", errc::unknown_version, true,
           [](attack& a) { oc::store_le(a.trailer().data() + forged::trailer_version, std::uint16_t{0}); });
    record("a record of version 2 of another chunk", errc::unknown_version, true, [](attack& a) {
        oc::store_le(a.trailer().data() + forged::trailer_version, std::uint16_t{2});
        a.trailer()[forged::trailer_chunk] ^= std::byte{128};
    });
    record("a record of layout 4", errc::unknown_version, true,
           [](attack& a) { a.trailer()[forged::trailer_layout] = std::byte{4}; });
    record("a record with a flag", errc::unknown_version, true,
           [](attack& a) { a.trailer()[forged::trailer_zero] = std::byte{1}; });
}

inline void several_records(std::vector<kind>& out)
{
    out.push_back({"two chunks of a layer exchanged", segments, [](attack& a) -> std::optional<verdict> {
                       const auto one = a.record(), other = a.record(a.other_chunk(), a.at.layer);
                       std::swap_ranges(one.begin(), one.end(), other.begin());
                       return verdict{errc::wrong_chunk};
                   }});
    out.push_back({"two layers of a chunk exchanged", many_records, [](attack& a) -> std::optional<verdict> {
                       const auto one = a.record(), other = a.record(a.at.victim, a.other_layer());
                       std::swap_ranges(one.begin(), one.end(), other.begin());
                       return verdict{errc::wrong_chunk};
                   }});
    out.push_back({"all records moved up by one", many_records, [](attack& a) -> std::optional<verdict> {
                       const auto from = a.object().begin() + static_cast<std::ptrdiff_t>(a.head());
                       std::rotate(from, from + static_cast<std::ptrdiff_t>(a.who.ours.record_size()),
                                   a.object().end());
                       return verdict{errc::wrong_chunk};
                   }});
    out.push_back(
        {"chunk-major where it should be layer-major", segments, [](attack& a) -> std::optional<verdict> {
             bytes to(a.object().begin(), a.object().begin() + static_cast<std::ptrdiff_t>(a.head()));
             for (std::size_t c = a.at.first(); c < a.at.first() + a.chunks; ++c)
                 for (oc::layer_id l = 0; l < layers; ++l)
                     author::append(to, a.who.ours.record(c, l, a.at.where));
             a.object() = std::move(to);
             return verdict{errc::wrong_chunk};
         }});
}

inline void whole_objects(std::vector<kind>& out)
{
    const auto content = [&](const char* name, const std::vector<thing>& of, errc why,
                             std::optional<errc> head, auto make) {
        out.push_back({name, of, [=](attack& a) -> std::optional<verdict> {
                           const bytes before = a.object();
                           make(a);
                           if (a.object() == before)
                               return std::nullopt;
                           return verdict{why, a.at.what == thing::layer ? std::nullopt : head};
                       }});
    };
    content("zeros", all, errc::checksum_mismatch, errc::checksum_mismatch,
            [](attack& a) { std::ranges::fill(a.object(), std::byte{0}); });
    content("ones", all, errc::checksum_mismatch, errc::checksum_mismatch,
            [](attack& a) { std::ranges::fill(a.object(), std::byte{0xff}); });
    content("a proxy's error page of the right size", all, errc::checksum_mismatch, errc::checksum_mismatch,
            [](attack& a) {
                const std::string page = "<html>502 Bad Gateway</html>\n";
                for (std::size_t i = 0; i < a.object().size(); ++i)
                    a.object()[i] = static_cast<std::byte>(page[i % page.size()]);
            });
    content("another tenant's object", all, errc::wrong_chunk, errc::wrong_chunk,
            [](attack& a) { a.object() = a.same_of(a.who.tenant); });
    content("an object of another geometry of the same size", all, errc::wrong_chunk, errc::wrong_geometry,
            [](attack& a) { a.object() = a.same_of(a.who.twin); });
    content("an object of another geometry", all, errc::wrong_chunk, errc::wrong_geometry,
            [](attack& a) { a.object() = a.same_of(a.who.taller); });
    content("another chunk's object", {thing::chunk, thing::layer, thing::manifest}, errc::wrong_chunk,
            errc::wrong_chunk,
            [](attack& a) { a.object() = a.after.at(a.key_of(a.who.ours, a.other_chunk(), a.at.layer)); });
    content("another layer's object", {thing::layer}, errc::wrong_chunk, errc::wrong_chunk,
            [](attack& a) { a.object() = a.after.at(a.key_of(a.who.ours, a.at.victim, a.other_layer())); });
    content("another region's segment", segments, errc::wrong_chunk, errc::wrong_chunk, [](attack& a) {
        a.object() = a.after.at(a.key_of(a.who.ours, a.at.first() == 0 ? per_region : 0, 0));
    });
    content("an object of another layout", all, errc::wrong_chunk, errc::wrong_chunk, [](attack& a) {
        const author& we = a.who.ours;
        a.object() = a.at.what == thing::chunk ? we.segment(a.at.victim, 1)
                     : a.at.what == thing::layer
                         ? we.record(a.at.victim, a.at.layer, oc::layout::chunk_objects)
                     : a.at.what == thing::manifest ? we.manifest(a.at.victim, oc::layout::chunk_objects)
                                                    : we.chunk_object(a.at.first());
    });
    content("the segment of a sequence that branches off here", segments, errc::wrong_chunk, std::nullopt,
            [](attack& a) {
                const author other(scope(), sequence(a.who.ours.chain.size(), a.at.victim));
                a.object() = other.segment(a.at.first(), a.chunks);
            });
    content("a shorter segment under a name of more chunks", segments, errc::checksum_mismatch,
            errc::wrong_chunk, [](attack& a) {
                const std::size_t size = a.object().size();
                a.object() = a.who.ours.segment(a.at.first(), a.chunks - 1);
                a.object().resize(size);
            });
    content("a longer segment under a name of fewer chunks", segments, errc::checksum_mismatch,
            errc::wrong_geometry, [](attack& a) {
                if (a.at.first() + a.chunks == a.who.ours.chain.size())
                    return;
                const std::size_t size = a.object().size();
                a.object() = a.who.ours.segment(a.at.first(), a.chunks + 1);
                a.object().resize(size);
            });

    const auto exchange = [](attack& a, const std::string& other) {
        std::swap(a.object(), a.after.at(other));
        return verdict{errc::wrong_chunk, {}, false, 2};
    };
    out.push_back({"two chunks' objects exchanged",
                   {thing::chunk, thing::layer},
                   [=](attack& a) -> std::optional<verdict> {
                       return exchange(a, a.key_of(a.who.ours, a.other_chunk(), a.at.layer));
                   }});
    out.push_back({"two layers' objects exchanged", {thing::layer}, [=](attack& a) -> std::optional<verdict> {
                       return exchange(a, a.key_of(a.who.ours, a.at.victim, a.other_layer()));
                   }});
    out.push_back({"two regions' segments exchanged", segments, [=](attack& a) -> std::optional<verdict> {
                       return exchange(a, a.key_of(a.who.ours, a.at.first() == 0 ? per_region : 0, 0));
                   }});
}

/** What a reader of a known sequence does not look at. Tools do, and are told. */
inline void heads(std::vector<kind>& out)
{
    const auto head = [&](std::string name, const std::vector<thing>& of, errc why, auto change) {
        out.push_back({"header: " + name, of, [=](attack& a) -> std::optional<verdict> {
                           change(a);
                           return verdict{{}, why};
                       }});
    };
    head("a flipped bit", with_head, errc::checksum_mismatch,
         [](attack& a) { a.object()[70] ^= std::byte{1}; });
    head("zeros", with_head, errc::checksum_mismatch,
         [](attack& a) { std::ranges::fill(a.header(), std::byte{0}); });
    const auto sealed = [&](std::string name, const std::vector<thing>& of, errc why, std::size_t at,
                            auto value) {
        head(std::move(name), of, why, [=](attack& a) {
            oc::store_le(a.object().data() + at, value);
            a.reseal_head();
        });
    };
    const auto flipped = [&](std::string name, const std::vector<thing>& of, errc why, std::size_t at) {
        head(std::move(name), of, why, [=](attack& a) {
            a.object()[at] ^= std::byte{1};
            a.reseal_head();
        });
    };
    using u8 = std::uint8_t;
    using u16 = std::uint16_t;
    using u32 = std::uint32_t;
    using u64 = std::uint64_t;
    flipped("another magic", with_head, errc::checksum_mismatch, 0);
    sealed("version 2", with_head, errc::unknown_version, forged::header_version, u16{2});
    sealed("layout 4", with_head, errc::unknown_version, forged::header_layout, u8{4});
    sealed("a flag", with_head, errc::unknown_version, forged::header_zero, u8{1});
    sealed("form 7", with_head, errc::wrong_geometry, forged::header_form, u8{7});
    sealed("no layers", with_head, errc::wrong_geometry, forged::header_layers, u32{0});
    sealed("one layer more", with_head, errc::wrong_geometry, forged::header_layers, u32{layers + 1});
    sealed("2^32 - 1 layers", with_head, errc::wrong_geometry, forged::header_layers, UINT32_MAX);
    sealed("2^31 heads", with_head, errc::wrong_geometry, forged::header_kv_heads, u32{1} << 31);
    sealed("slices of 2^63 bytes", with_head, errc::wrong_geometry, forged::header_slice, u64{1} << 63);
    flipped("slices of another size", with_head, errc::wrong_geometry, forged::header_slice + 1);
    sealed("a first token inside a chunk", with_head, errc::wrong_geometry, forged::header_first_token,
           u64{1});
    flipped("another scope", with_head, errc::wrong_chunk, forged::header_scope);
    flipped("another chunk", with_head, errc::wrong_chunk, forged::header_chunk + 31);
    flipped("another chunk before", with_head, errc::wrong_chunk, forged::header_previous);
    sealed("first token 2^63", {thing::chunk, thing::manifest}, errc::wrong_chunk, forged::header_first_token,
           u64{1} << 63);
    sealed("no chunks", with_head, errc::unknown_version, forged::header_chunks, u32{0});
    sealed("257 chunks", with_head, errc::unknown_version, forged::header_chunks, u32{257});
    sealed("2^32 - 1 chunks", with_head, errc::unknown_version, forged::header_chunks, UINT32_MAX);
    sealed("2^27 chunks", with_head, errc::unknown_version, forged::header_chunks, u32{1} << 27);
    sealed("two chunks in a chunk's object", {thing::chunk, thing::manifest}, errc::unknown_version,
           forged::header_chunks, u32{2});
    sealed("a segment of one", {thing::chunk, thing::manifest}, errc::wrong_chunk, forged::header_layout,
           u8{3});
    sealed("layout of layers in a chunk's object", {thing::chunk}, errc::wrong_chunk, forged::header_layout,
           u8{1});
    head("one chunk fewer than the segment has", segments, errc::checksum_mismatch, [](attack& a) {
        oc::store_le(a.object().data() + forged::header_chunks, static_cast<u32>(a.chunks - 1));
        forged::reseal_header(a.object());
    });
    head("a segment past the end of its region", segments, errc::wrong_geometry, [](attack& a) {
        oc::store_le(a.object().data() + forged::header_first_token, u64{per_chunk} * (per_region - 1));
        a.reseal_head();
    });
    head("a segment at the end of all tokens", segments, errc::wrong_geometry, [](attack& a) {
        oc::store_le(a.object().data() + forged::header_first_token, ~u64{per_chunk - 1});
        a.reseal_head();
    });
    head("a flipped bit in the ids", segments, errc::checksum_mismatch,
         [](attack& a) { a.object()[oc::header_bytes + 33] ^= std::byte{1}; });
    flipped("ids that contradict the header", segments, errc::wrong_chunk, oc::header_bytes);
}

/** What only whoever knows the sequence can tell is wrong with a head. */
inline void ids(std::vector<kind>& out)
{
    out.push_back(
        {"ids of other chunks, and right slices", segments, [](attack& a) -> std::optional<verdict> {
             for (std::size_t i = 1; i < a.chunks; ++i)
                 a.object()[oc::header_bytes + 32 * i] ^= std::byte{1};
             a.reseal_head();
             return verdict();
         }});
}

} // namespace kinds

inline std::vector<kind> all_kinds()
{
    std::vector<kind> out;
    kinds::sizes(out);
    kinds::records(out);
    kinds::several_records(out);
    kinds::whole_objects(out);
    kinds::heads(out);
    kinds::ids(out);
    return out;
}

} // namespace contract::adversary
