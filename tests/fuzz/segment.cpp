// SPDX-License-Identifier: BSL-1.0
// What a listing and a GET say of segments. Input: "tokens per chunk, chunks known, offset, chunks" in a line, the name
// of a segment in the next, then a segment's head, which is read as it is and with its checksums put right.
#include "fuzz.hpp"

#include <objectcache/kv/object_check.hpp>
#include <objectcache/kv/segment.hpp>

#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

namespace objectcache::fuzz {

namespace segment_target {

std::uint32_t number(std::string_view text)
{
    std::uint32_t out = 0;
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
}

/** Ids that a fuzzer can guess: each byte is the place; those from `parts_at` on are of another sequence. */
std::vector<chunk_id> region_of(std::size_t chunks, std::size_t parts_at)
{
    std::vector<chunk_id> out(chunks);
    for (std::size_t i = 0; i < chunks; ++i)
        out[i].bytes.fill(static_cast<std::byte>(i < parts_at ? i : ~i));
    return out;
}

void any_name(const kv_geometry& geometry, const segment_name& name, std::span<const chunk_id> known)
{
    const std::uint32_t shared = shared_chunks(geometry, name, known);
    require(shared == 0 || (shared <= name.chunks && name.offset + shared <= known.size()),
            "nobody shares what is not there");
}

void text(const kv_geometry& geometry, std::string_view text, std::span<const chunk_id> known)
{
    const chunk_id region = known.empty() ? chunk_id{} : known.front();
    const auto name = parse_segment_name(region, text);
    if (!name)
        return;
    const key_space keys;
    const std::string prefix = region_prefix(keys, region);
    require(segment_key(keys, *name) == prefix + std::string(text), "written again it is the same");
    require(text.size() <= 255, "it is a name of a file");
    const auto object = parse_object_key("", prefix + std::string(text));
    require(object && object->segment == *name, "and so is its key");
    require(name->chunks > 0 && name->end() <= max_segment_chunks, "it is within a region");
    any_name(geometry, *name, known);
}

/** A name that we made, for readers whose sequence ends or parts at `place`. */
void own_name(const kv_geometry& geometry, std::uint32_t offset, std::uint32_t chunks, std::uint32_t place)
{
    const std::uint32_t per_region = segment_chunks(geometry), stride = (per_region + 63) / 64;
    offset %= per_region;
    chunks = 1 + chunks % (per_region - offset);
    const auto whole = region_of(per_region, per_region);
    const segment_name name = name_segment(geometry, whole, offset, chunks);
    const key_space keys;
    const std::string key = segment_key(keys, name);
    require(parse_segment_name(name.region, std::string_view(key).substr(key.rfind('/') + 1)) == name,
            "a name can be read");
    const std::uint32_t at = place % (per_region + 1),
                        truth = at <= offset ? 0 : std::min(at - offset, chunks);
    for (const std::uint32_t found : {shared_chunks(geometry, name, region_of(per_region, at)),
                                      shared_chunks(geometry, name, std::span(whole).first(at))})
        require(found <= truth && truth - found < stride && (truth < chunks || found == chunks),
                "all that is shared, but for less than a stride");
}

void head(const_byte_span bytes)
{
    const auto read = decode_segment_head(bytes);
    if (!read) {
        require(read.code() == condition::corrupt, "what is no head is refused as such");
        return;
    }
    require(read->chunks.size() == read->header.chunks && read->chunks.front() == read->header.chunk,
            "ids agree with the header");
    std::vector<std::byte> again(segment_head_bytes(read->header.chunks));
    encode_segment_head(again, read->header, read->chunks);
    require(std::equal(again.begin(), again.end(), bytes.begin()), "written again it is the same");
}

/** As an object of every kind, under the name that its header asks for: however it is cut, the verdict is the same. */
void object(const_byte_span bytes)
{
    const auto header = decode_header(bytes);
    object_name name;
    if (header) {
        name.scope = header->scope.hex().substr(0, 32);
        name.chunk = name.segment.region = header->chunk;
        name.segment.chunks = header->chunks;
    }
    name.segment.chunks = std::max(name.segment.chunks, std::uint32_t{1});
    for (const auto kind :
         {object_kind::chunk, object_kind::layer, object_kind::manifest, object_kind::segment}) {
        name.kind = kind;
        object_check whole(name, bytes.size()), cut(name, bytes.size());
        whole.update(bytes);
        for (const_byte_span rest = bytes; !rest.empty();
             rest = rest.subspan(std::min<std::size_t>(rest.size(), 7)))
            cut.update(rest.first(std::min<std::size_t>(rest.size(), 7)));
        const status verdict = whole.finish();
        require(verdict.code() == cut.finish().code(), "the pieces do not matter");
        require(verdict.ok() || verdict == condition::corrupt, "what is not good is corrupt");
    }
}

/** As whoever knows the checksums would have made it: behind them the numbers are judged. */
void forged_head(const_byte_span bytes)
{
    std::vector<std::byte> forged(bytes.begin(), bytes.end());
    if (forged.size() < header_bytes)
        return;
    std::transform(detail::header_magic.begin(), detail::header_magic.end(), forged.begin(),
                   [](char c) { return static_cast<std::byte>(c); });
    const std::size_t sum = header_bytes - sizeof(std::uint64_t);
    store_le(forged.data() + sum, payload_hash(const_byte_span(forged).first(sum)));
    const auto chunks = load_le<std::uint32_t>(forged.data() + detail::header_chunk_count);
    const std::uint64_t size = segment_head_bytes(chunks);
    if (size <= forged.size())
        store_le(forged.data() + size - sizeof(std::uint64_t), detail::hash_of_ids(forged, chunks));
    head(forged);
    object(forged);
}

} // namespace segment_target

void segment(std::string_view input)
{
    using namespace segment_target;
    std::string_view line = take_until(input, '\n');
    const std::uint32_t per_chunk = number(take_until(line, ' ')), known = number(take_until(line, ' ')),
                        offset = number(take_until(line, ' ')), chunks = number(take_until(line, ' '));
    const kv_geometry geometry{
        2, 1, 8, kv_dtype::bf16, kv_form::separate, 1 + per_chunk % kv_geometry::max_tokens_per_chunk};
    const auto ids = region_of(known % (max_segment_chunks + 2), max_segment_chunks);

    const std::string_view name = take_until(input, '\n');
    text(geometry, name, ids);
    segment_name wild; // as no parser would let it through
    wild.offset = offset, wild.chunks = chunks, wild.marks = name;
    any_name(geometry, wild, ids);
    own_name(geometry, offset, chunks, known);

    const auto bytes = std::as_bytes(std::span(input));
    head(bytes);
    object(bytes);
    forged_head(bytes);
}

} // namespace objectcache::fuzz
