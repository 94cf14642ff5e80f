// SPDX-License-Identifier: BSL-1.0
#include <objectcache/kv/object_check.hpp>

#include <objectcache/kv/hash_chain.hpp>

#include <support/kv_fixture.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace object_check_test {

using namespace objectcache;

/** Four objects, one of each kind, as a writer makes them. */
struct objects {
    scope of = kv_fixture::scope(kv_fixture::geometry(2));
    digest id = *scope_id(of);
    key_space space{"p/", id};
    std::vector<chunk_id> chain = hash_chain(id, kv_fixture::tokens(16 * 6), 16);

    struct object {
        object_name name;
        std::vector<std::byte> bytes;
    };
    std::vector<object> all{chunk(1), layer(1, 1), manifest(1), segment(2, 3)};

    [[nodiscard]] object_header header(layout where, std::size_t first) const
    {
        return kv_fixture::header(where, of.geometry, id, chain, first);
    }
    void append_record(std::vector<std::byte>& out, layout where, std::size_t c, layer_id l) const
    {
        const auto size = static_cast<std::size_t>(record_bytes(of.geometry));
        out.resize(out.size() + size);
        const byte_span record = byte_span(out).last(size);
        for (std::size_t i = 0; i < size; ++i)
            record[i] = static_cast<std::byte>(i * 7 + c * 31 + l);
        seal_slice(record, l, chain[c], where);
    }
    [[nodiscard]] object chunk(std::size_t c) const
    {
        std::vector<std::byte> out(header_bytes);
        encode_header(std::span(out).first<header_bytes>(), header(layout::chunk_objects, c));
        for (layer_id l = 0; l < of.geometry.layers; ++l)
            append_record(out, layout::chunk_objects, c, l);
        return {*parse_object_key("p/", chunk_key(space, chain[c])), out};
    }
    [[nodiscard]] object layer(std::size_t c, layer_id l) const
    {
        std::vector<std::byte> out;
        append_record(out, layout::layer_objects, c, l);
        return {*parse_object_key("p/", layer_key(space, chain[c], l)), out};
    }
    [[nodiscard]] object manifest(std::size_t c) const
    {
        std::vector<std::byte> out(header_bytes);
        encode_header(std::span(out).first<header_bytes>(), header(layout::layer_objects, c));
        return {*parse_object_key("p/", manifest_key(space, chain[c])), out};
    }
    [[nodiscard]] object segment(std::uint32_t first, std::uint32_t n) const
    {
        std::vector<std::byte> out(static_cast<std::size_t>(segment_head_bytes(n)));
        encode_segment_head(out, header(layout::segment_objects, first), std::span(chain).subspan(first, n));
        for (layer_id l = 0; l < of.geometry.layers; ++l)
            for (std::size_t c = first; c < first + n; ++c)
                append_record(out, layout::segment_objects, c, l);
        return {*parse_object_key("p/", segment_key(space, name_segment(of.geometry, chain, first, n))), out};
    }
};

status check(const object_name& name, const std::vector<std::byte>& bytes, std::size_t piece,
             std::uint64_t announced)
{
    object_check c(name, announced);
    for (const_byte_span rest(bytes); !rest.empty(); rest = rest.subspan(std::min(piece, rest.size())))
        c.update(rest.first(std::min(piece, rest.size())));
    return c.finish();
}
status check(const object_name& name, const std::vector<std::byte>& bytes, std::size_t piece = 1000)
{
    return check(name, bytes, piece, bytes.size());
}

TEST_CASE("what a writer makes is good, in pieces of every size")
{
    for (const auto& o : objects().all)
        for (const std::size_t piece :
             {std::size_t{1}, std::size_t{31}, std::size_t{32}, std::size_t{257}, o.bytes.size()}) {
            const status s = check(o.name, o.bytes, piece);
            CHECK_MESSAGE(s.ok(), s.message());
        }
}

TEST_CASE("every byte is looked at")
{
    for (auto& o : objects().all)
        for (std::size_t i = 0; i < o.bytes.size(); ++i) {
            o.bytes[i] ^= std::byte{1};
            const status s = check(o.name, o.bytes);
            o.bytes[i] ^= std::byte{1};
            if (s.code() != condition::corrupt)
                FAIL(name(o.name.kind) << ": byte " << i);
        }
}

TEST_CASE("an object of any other length is refused")
{
    for (const auto& o : objects().all)
        for (std::size_t n = 0; n < o.bytes.size(); n += n < 300 ? 1 : 97) {
            const std::vector<std::byte> part(o.bytes.begin(), o.bytes.begin() + static_cast<long>(n));
            CHECK(check(o.name, part).code() == condition::corrupt);
            CHECK(check(o.name, part, 1000, o.bytes.size()).code() ==
                  condition::corrupt); // it was cut in between
            CHECK(check(o.name, o.bytes, 1000, n).code() == condition::corrupt);
        }
}

TEST_CASE("an object under another's name is refused")
{
    const objects o;
    const std::vector<objects::object> others{o.chunk(2),    o.layer(1, 0),   o.layer(2, 1),
                                              o.manifest(2), o.segment(1, 3), o.segment(3, 3)};
    for (const auto& a : o.all)
        for (const auto& b : others)
            CHECK(check(b.name, a.bytes).code() == condition::corrupt);
}

TEST_CASE("an unknown version is told from damage")
{
    objects o;
    auto bytes = o.chunk(0);
    bytes.bytes[8] = std::byte{2};
    store_le(bytes.bytes.data() + 248, payload_hash(const_byte_span(bytes.bytes).first(248)));
    CHECK(check(bytes.name, bytes.bytes) == errc::unknown_version);
}

TEST_CASE("the header is there once it was read")
{
    const objects o;
    object_check c(o.all[0].name, o.all[0].bytes.size());
    CHECK_FALSE(c.header());
    c.update(const_byte_span(o.all[0].bytes).first(header_bytes));
    REQUIRE(c.header());
    CHECK(c.header()->geometry == o.of.geometry);
    CHECK(c.good());
}

} // namespace object_check_test
