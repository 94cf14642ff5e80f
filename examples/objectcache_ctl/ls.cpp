// SPDX-License-Identifier: BSL-1.0
#include "../progress_bar.hpp"
#include "commands.hpp"
#include "output.hpp"

#include <objectcache/kv/object_name.hpp>

#include <array>
#include <optional>
#include <vector>

namespace {

struct scope_line {
    std::string scope;
    std::vector<std::string_view> layouts;
    std::optional<oc::object_header> header;
};

/** Of the first object of each layout; objects that say nothing are for `verify`. */
asio::awaitable<oc::status> look_into(session& s, scope_line& line)
{
    for (const auto& [folder, layout] : {std::pair{"c/", oc::layout::chunk_objects},
                                         {"l/", oc::layout::layer_objects},
                                         {"s/", oc::layout::segment_objects}}) {
        oc::s3::list_options one;
        one.max_keys = 1;
        const std::string below = s.how.at.name + "oc1/" + line.scope + '/' + folder;
        const auto first = co_await s.client.list(s.how.at.bucket, below, one);
        if (!first)
            co_return first.error();
        if (first->objects.empty())
            continue;
        line.layouts.push_back(name(layout));
        if (line.header)
            continue;
        std::string key = first->objects.front().key;
        if (layout == oc::layout::layer_objects)
            key.replace(key.rfind('/') + 1, key.npos, "manifest");
        std::array<std::byte, oc::header_bytes> bytes{};
        const oc::byte_range range{0, bytes.size()};
        const auto got = co_await s.client.get(s.how.at.bucket, key, range, bytes);
        if (const auto header = oc::decode_header(bytes); got && header)
            line.header = *header;
    }
    co_return oc::status();
}

void print(const scope_line& line, bool json)
{
    if (json) {
        json_line out("scope");
        out.add("scope", line.scope).add_list("layouts", line.layouts);
        if (line.header)
            add_geometry(out, line.header->geometry);
        out.print();
        return;
    }
    std::string layouts;
    for (const std::string_view layout : line.layouts)
        layouts += (layouts.empty() ? "" : " ") + std::string(layout);
    std::printf("%s  %-15s  %s\n", line.scope.c_str(), layouts.c_str(),
                line.header ? geometry_text(line.header->geometry).c_str() : "(no readable header)");
}

asio::awaitable<oc::status> scopes(session& s)
{
    const std::string root = s.how.at.name + "oc1/";
    std::size_t found = 0;
    oc::s3::listing pages = folders(s, root);
    while (const oc::s3::list_page* page = co_await pages.next())
        for (const std::string& folder : page->common_prefixes) {
            scope_line line;
            line.scope = folder.substr(root.size(), folder.size() - root.size() - 1);
            oc::status seen = co_await look_into(s, line);
            if (!seen.ok())
                co_return seen;
            if (line.layouts.empty())
                continue; // not ours, or gone by now
            ++found;
            print(line, s.how.json);
        }
    if (!pages.outcome().ok())
        co_return pages.outcome();
    if (found == 0)
        co_return co_await nothing_there(s);
    co_return oc::status();
}

void print(const oc::judged_object& o, bool json, std::size_t root)
{
    const std::string verdict = o.what == oc::verdict::keep        ? ""
                                : o.what == oc::verdict::undecided ? "superseded?"
                                                                   : std::string(name(o.what));
    if (!json) {
        std::printf("%10s  %-20s  %-8s  %-11s  %s\n", size_text(o.object.size).c_str(),
                    time_text(o.object.modified).c_str(),
                    o.name ? std::string(name(o.name->kind)).c_str() : "?", verdict.c_str(),
                    o.object.key.c_str() + root);
        return;
    }
    json_line line("object");
    line.add("key", o.object.key).add("bytes", o.object.size).add("modified", time_text(o.object.modified));
    line.add("verdict", name(o.what));
    if (o.name) {
        line.add("kind", name(o.name->kind)).add("scope", o.name->scope);
        line.add(o.name->kind == oc::object_kind::segment ? "region" : "chunk", o.name->chunk.hex());
        if (o.name->kind == oc::object_kind::layer)
            line.add("layer", o.name->layer);
        if (o.name->kind == oc::object_kind::segment)
            line.add("offset", o.name->segment.offset).add("chunks", o.name->segment.chunks);
    }
    line.print();
}

} // namespace

asio::awaitable<oc::status> ls(session& s)
{
    if (s.how.scope.empty())
        co_return co_await scopes(s);
    std::size_t found = 0;
    const auto show = [&](oc::judged_group group) -> asio::awaitable<oc::status> {
        found += group.objects.size();
        for (const oc::judged_object& o : group.objects)
            print(o, s.how.json, s.root().size());
        co_return oc::status();
    };
    oc::status done = co_await each_group(s, show);
    if (done.ok() && found == 0)
        co_return co_await nothing_there(s);
    co_return done;
}
