// SPDX-License-Identifier: BSL-1.0
//
// Writes objects of a sequence as files below a folder, a file per key: for the test of a reader that is not ours. Only
// the pure headers, so that every object is just as the caller wants it.
//
//     interop_prefix_writer FOLDER KEYPREFIX LAYOUT G OFFSET CHUNKS < tokens
//
// Chunks [OFFSET, OFFSET + CHUNKS) of the tokens, which are numbers on standard input; of segment_objects they are one
// segment. The scope is fixed; of its tokens per chunk G decides how large a region is.

#include <objectcache/kv/format.hpp>
#include <objectcache/kv/hash_chain.hpp>
#include <objectcache/kv/object_key.hpp>
#include <objectcache/kv/scope.hpp>
#include <objectcache/kv/segment.hpp>

#include <support/kv_fixture.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace oc = objectcache;

namespace {

struct writer {
    std::filesystem::path folder;
    oc::scope scope;
    oc::key_space keys;
    std::vector<oc::chunk_id> chain;

    const oc::kv_geometry& geometry() const { return scope.geometry; }

    void put(const std::string& key, const std::vector<std::byte>& bytes) const
    {
        const auto path = folder / key;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream out(path, std::ios::binary);
        out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        if (!out.flush())
            throw std::filesystem::filesystem_error("cannot write", path,
                                                    std::make_error_code(std::errc::io_error));
    }

    oc::object_header header(oc::layout where, std::size_t chunk) const
    {
        return kv_fixture::header(where, geometry(), keys.scope, chain, chunk);
    }

    void append_header(std::vector<std::byte>& out, oc::layout where, std::size_t chunk) const
    {
        out.resize(oc::header_bytes);
        oc::encode_header(std::span(out).first<oc::header_bytes>(), header(where, chunk));
    }

    void append_record(std::vector<std::byte>& out, oc::layout where, std::size_t chunk,
                       oc::layer_id layer) const
    {
        const std::size_t size = oc::record_bytes(geometry());
        out.resize(out.size() + size);
        const auto record = std::span(out).last(size);
        std::minstd_rand random(static_cast<unsigned>(1 + 1000 * chunk + layer));
        for (std::byte& b : record)
            b = static_cast<std::byte>(random() >> 8);
        oc::seal_slice(record, layer, chain[chunk], where);
    }

    void chunk_object(std::size_t chunk) const
    {
        std::vector<std::byte> out;
        append_header(out, oc::layout::chunk_objects, chunk);
        for (oc::layer_id layer = 0; layer < geometry().layers; ++layer)
            append_record(out, oc::layout::chunk_objects, chunk, layer);
        put(oc::chunk_key(keys, chain[chunk]), out);
    }

    void layer_objects(std::size_t chunk) const
    {
        for (oc::layer_id layer = 0; layer < geometry().layers; ++layer) {
            std::vector<std::byte> out;
            append_record(out, oc::layout::layer_objects, chunk, layer);
            put(oc::layer_key(keys, chain[chunk], layer), out);
        }
        std::vector<std::byte> manifest;
        append_header(manifest, oc::layout::layer_objects, chunk);
        put(oc::manifest_key(keys, chain[chunk]), manifest);
    }

    void segment(std::size_t first, std::size_t chunks) const
    {
        const std::size_t per_region = oc::segment_chunks(geometry()), offset = first % per_region;
        if (offset + chunks > per_region)
            throw std::out_of_range("a segment is of one region");
        const auto n = static_cast<std::uint32_t>(chunks);
        std::vector<std::byte> out(oc::segment_head_bytes(n));
        const std::span ids(chain);
        oc::encode_segment_head(out, header(oc::layout::segment_objects, first), ids.subspan(first, chunks));
        for (oc::layer_id layer = 0; layer < geometry().layers; ++layer)
            for (std::size_t chunk = first; chunk < first + chunks; ++chunk)
                append_record(out, oc::layout::segment_objects, chunk, layer);
        if (out.size() != oc::segment_bytes(geometry(), n))
            throw std::length_error("segment_bytes() says otherwise");
        put(oc::segment_key(keys, oc::name_segment(geometry(), ids.subspan(first - offset),
                                                   static_cast<std::uint32_t>(offset), n)),
            out);
    }
};

} // namespace

int main(int argc, char** argv)
try {
    const auto where = argc == 7 ? oc::parse_layout(argv[3]) : std::nullopt;
    if (!where) {
        std::cerr << "usage: interop_prefix_writer FOLDER KEYPREFIX LAYOUT G OFFSET CHUNKS < tokens\n";
        return 2;
    }
    const std::size_t first = std::stoul(argv[5]), chunks = std::stoul(argv[6]);
    writer w{argv[1], {}, {}, {}};
    w.scope.model = "interop";
    w.scope.weights_revision = "r\xc3\xa9vision 1";
    w.scope.geometry = {
        3, 2, 8, oc::kv_dtype::bf16, oc::kv_form::separate, static_cast<std::uint32_t>(std::stoul(argv[4]))};
    w.scope.shard = {2, 8, 1, 6};
    w.scope.config = "rope";
    w.scope.tenant_salt = "";
    const auto id = oc::scope_id(w.scope);
    if (!id) {
        std::cerr << id.error().message() << '\n';
        return 1;
    }
    w.keys = {argv[2], *id};
    const std::vector<oc::token_id> tokens{std::istream_iterator<oc::token_id>(std::cin), {}};
    w.chain = oc::hash_chain(*id, tokens, w.geometry().tokens_per_chunk);
    if (chunks == 0 || first + chunks > w.chain.size())
        throw std::out_of_range("no such chunks");
    if (*where == oc::layout::segment_objects)
        w.segment(first, chunks);
    else
        for (std::size_t chunk = first; chunk < first + chunks; ++chunk)
            *where == oc::layout::chunk_objects ? w.chunk_object(chunk) : w.layer_objects(chunk);
    return 0;
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
