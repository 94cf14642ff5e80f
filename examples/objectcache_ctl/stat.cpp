// SPDX-License-Identifier: BSL-1.0
#include "commands.hpp"
#include "output.hpp"

#include <objectcache/kv/object_name.hpp>

#include <algorithm>
#include <optional>
#include <vector>

namespace {

/** The key prefix is whatever comes before the part that we know; of several ways to read a key there is at most one. */
std::optional<oc::object_name> read_key(const std::string& key)
{
    for (std::size_t at = key.find("oc1/"); at != key.npos; at = key.find("oc1/", at + 1))
        if (auto name = oc::parse_object_key(key.substr(0, at), key))
            return name;
    return std::nullopt;
}

struct description {
    std::string key;
    oc::s3::object_info info;
    oc::object_name name;
    std::optional<oc::object_header> header{};
    std::vector<oc::chunk_id> chunks{};
    std::string trouble{};
};

void print_json(const description& d)
{
    json_line line("object");
    line.add("key", d.key)
        .add("bytes", d.info.size)
        .add("modified", d.info.last_modified)
        .add("etag", d.info.etag);
    line.add("kind", oc::name(d.name.kind))
        .add("layout", oc::name(d.name.where()))
        .add("scope", d.name.scope);
    line.add(d.name.kind == oc::object_kind::segment ? "region" : "chunk", d.name.chunk.hex());
    if (d.name.kind == oc::object_kind::layer)
        line.add("layer", d.name.layer);
    if (d.name.kind == oc::object_kind::segment)
        line.add("offset", d.name.segment.offset).add("chunks", d.name.segment.chunks);
    if (d.header) {
        add_geometry(line, d.header->geometry);
        line.add("first_token", d.header->first_token).add("scope_id", d.header->scope.hex());
        line.add("previous", d.header->previous.hex());
    }
    std::vector<std::string> ids;
    for (const oc::chunk_id& id : d.chunks)
        ids.push_back(id.hex());
    if (!ids.empty())
        line.add_list("chunk_ids", ids);
    if (!d.trouble.empty())
        line.add("trouble", d.trouble);
    line.print();
}

void print_row(const char* label, const std::string& value)
{
    std::printf("%-12s %s\n", label, value.c_str());
}

void print_text(const description& d)
{
    print_row("key", d.key);
    print_row("size", std::to_string(d.info.size) + " bytes");
    print_row("modified", d.info.last_modified);
    std::string kind(oc::name(d.name.kind));
    if (d.name.kind == oc::object_kind::layer)
        kind += ' ' + std::to_string(d.name.layer);
    if (d.name.kind == oc::object_kind::segment)
        kind += " of " + std::to_string(d.name.segment.chunks) + " chunks, from place " +
                std::to_string(d.name.segment.offset) + " of its region on";
    print_row("kind", kind);
    print_row("scope", d.header ? d.header->scope.hex() : d.name.scope + "...");
    print_row(d.name.kind == oc::object_kind::segment ? "region" : "chunk", d.name.chunk.hex());
    if (d.header) {
        const auto& h = *d.header;
        print_row("geometry", geometry_text(h.geometry));
        print_row("tokens", std::to_string(h.first_token) + " to " +
                                std::to_string(h.first_token +
                                               std::uint64_t{h.chunks} * h.geometry.tokens_per_chunk - 1));
        print_row("previous", h.previous == h.scope ? "none: the sequence begins here" : h.previous.hex());
    }
    for (const oc::chunk_id& id : d.chunks)
        print_row("holds", id.hex());
    if (!d.trouble.empty())
        print_row("TROUBLE", d.trouble);
}

/** Header, and ids of a segment, into `d`: what is wrong with them is part of the description. */
asio::awaitable<oc::status> read_head(session& s, description& d)
{
    const std::uint64_t wanted = d.name.kind == oc::object_kind::segment
                                     ? oc::segment_head_bytes(d.name.segment.chunks)
                                     : oc::header_bytes;
    std::vector<std::byte> bytes(static_cast<std::size_t>(std::min(wanted, d.info.size)));
    if (!bytes.empty()) {
        const oc::byte_range range{0, bytes.size()};
        const auto got = co_await s.client.get(s.how.at.bucket, d.key, range, bytes);
        if (!got)
            co_return got.error();
    }
    const auto header = oc::decode_header(bytes);
    if (!header) {
        d.trouble = header.error().message();
        co_return oc::status();
    }
    d.header = *header;
    oc::status matches = oc::match_name(d.name, d.info.size, *header);
    if (matches.ok() && d.name.kind == oc::object_kind::segment) {
        auto head = oc::decode_segment_head(bytes);
        matches = head ? oc::match_name(d.name, d.info.size, *head) : head.error();
        if (head)
            d.chunks = std::move(head->chunks);
    }
    d.trouble = matches.message();
    co_return oc::status();
}

} // namespace

asio::awaitable<oc::status> stat(session& s)
{
    const std::string& key = s.how.at.name;
    auto name = read_key(key);
    if (!name)
        co_return oc::status(oc::errc::invalid_argument,
                             '"' + key + "\" is no key of objectcache's; `ls --scope` shows some");
    auto info = co_await s.client.head(s.how.at.bucket, key);
    if (!info)
        co_return info.error();
    description d{key, std::move(*info), std::move(*name)};
    if (d.name.kind != oc::object_kind::layer) {
        oc::status read = co_await read_head(s, d);
        if (!read.ok())
            co_return read;
    }
    if (s.how.json)
        print_json(d);
    else
        print_text(d);
    s.exit_code = d.trouble.empty() ? 0 : 1;
    co_return oc::status();
}
