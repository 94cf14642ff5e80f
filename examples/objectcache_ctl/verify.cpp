// SPDX-License-Identifier: BSL-1.0
#include "../progress_bar.hpp"
#include "commands.hpp"
#include "output.hpp"

#include <objectcache/io/byte_budget.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/kv/object_check.hpp>

#include <algorithm>
#include <optional>
#include <vector>

namespace {

/** Each request under way has so much memory. */
constexpr std::size_t window = std::size_t(4) << 20;

struct verification {
    verification(session& session, const asio::any_io_executor& executor)
        : s(session)
        , workers(executor)
        , slots(executor, session.how.parallel)
    {}

    session& s;
    std::uint64_t objects = 0, bytes = 0, corrupt = 0, gone = 0, unpublished = 0, unknown = 0, foreign = 0;
    oc::status failed; // what ends everything
    progress_bar bar{progress_bar::elsewhere::nothing};
    oc::task_group workers;
    oc::byte_budget slots;

    void report(const std::string& key, const oc::status& why)
    {
        bar.clear();
        const bool newer = why == oc::errc::unknown_version;
        ++(newer ? unknown : corrupt);
        if (s.how.json)
            json_line(newer ? "unknown_version" : "corrupt")
                .add("key", key)
                .add("reason", why.message())
                .print();
        else
            std::printf("%s  %s: %s\n", newer ? "unknown" : "CORRUPT", key.c_str(), why.message().c_str());
    }
    /** Damage is reported, what a collector took away meanwhile is counted, anything else ends it. */
    void judge(const std::string& key, const oc::status& why)
    {
        if (why == oc::condition::absent)
            ++gone;
        else if (why == oc::condition::corrupt)
            report(key, why);
        else if (!why.ok() && failed.ok())
            failed = why;
    }
};

/** One object from its first byte to its last, through one window. */
asio::awaitable<oc::status> read_object(verification& v, const oc::judged_object& o,
                                        std::vector<std::byte>& memory,
                                        std::optional<oc::object_header>* header = nullptr)
{
    oc::object_check check(*o.name, o.object.size);
    memory.resize(static_cast<std::size_t>(std::min<std::uint64_t>(window, o.object.size)));
    std::uint64_t at = 0;
    while (at < o.object.size && check.good()) {
        const oc::byte_range range{at, std::min<std::uint64_t>(memory.size(), o.object.size - at)};
        const oc::byte_span into = oc::byte_span(memory).first(static_cast<std::size_t>(range.size));
        const auto got = co_await v.s.client.get(v.s.how.at.bucket, o.object.key, range, into);
        if (!got)
            co_return got.error();
        check.update(into);
        at += range.size;
        v.bytes += range.size;
        v.bar.add(range.size);
    }
    v.bar.add(o.object.size - at);
    ++v.objects;
    if (header)
        *header = check.header();
    co_return check.finish();
}

/** A layer that its manifest promises and that is not there: unless both are gone by now. */
asio::awaitable<void> missing_layer(verification& v, const oc::judged_object& manifest, oc::layer_id layer)
{
    std::string key = manifest.object.key, digits = std::to_string(layer);
    key.replace(key.rfind('/') + 1, key.npos,
                std::string(4 - std::min<std::size_t>(4, digits.size()), '0') + digits);
    const auto there = co_await v.s.client.head(v.s.how.at.bucket, key);
    if (there)
        co_return; // it was written while we looked
    if (there.error() != oc::condition::absent) {
        v.judge(key, there.error());
        co_return;
    }
    const auto published = co_await v.s.client.head(v.s.how.at.bucket, manifest.object.key);
    if (published)
        v.report(manifest.object.key,
                 oc::status(oc::errc::length_mismatch, "layer " + digits + " is missing"));
    else
        v.judge(manifest.object.key, published.error());
}

asio::awaitable<void> check_layers(verification& v, oc::judged_group group, oc::byte_budget::ticket)
{
    std::vector<std::byte> memory;
    const oc::judged_object& manifest = group.objects.back();
    std::optional<oc::object_header> header;
    const oc::status promised = co_await read_object(v, manifest, memory, &header);
    v.judge(manifest.object.key, promised);
    oc::layer_id next = 0;
    for (std::size_t i = 0; i + 1 < group.objects.size() && v.failed.ok(); ++i, ++next) {
        const oc::judged_object& layer = group.objects[i];
        oc::status good = co_await read_object(v, layer, memory);
        if (good.ok() && header && layer.object.size != oc::record_bytes(header->geometry))
            good = oc::status(oc::errc::length_mismatch, "not of the size that its manifest says");
        if (good == oc::condition::absent)
            co_await missing_layer(v, manifest, layer.name->layer);
        else
            v.judge(layer.object.key, good);
        for (; promised.ok() && next < layer.name->layer; ++next)
            co_await missing_layer(v, manifest, next);
    }
    for (; promised.ok() && header && next < header->geometry.layers && v.failed.ok(); ++next)
        co_await missing_layer(v, manifest, next);
}

asio::awaitable<void> check_object(verification& v, oc::judged_group one, oc::byte_budget::ticket)
{
    std::vector<std::byte> memory;
    const oc::judged_object& o = one.objects.front();
    const oc::status good = co_await read_object(v, o, memory);
    v.judge(o.object.key, good);
}

using job = asio::awaitable<void> (*)(verification&, oc::judged_group, oc::byte_budget::ticket);

asio::awaitable<oc::status> start(verification& v, job what, oc::judged_group group)
{
    auto slot = co_await v.slots.acquire(1, oc::priority::load, oc::deadline::never());
    if (!slot)
        co_return slot.error();
    asio::awaitable<void> work = what(v, std::move(group), std::move(*slot));
    v.workers.spawn(std::move(work));
    co_return v.failed;
}

asio::awaitable<oc::status> check_group(verification& v, oc::judged_group group)
{
    const oc::judged_object& last = group.objects.back();
    if (!last.name) {
        ++(last.what == oc::verdict::foreign ? v.foreign : v.unknown);
        co_return oc::status();
    }
    if (last.name->where() == oc::layout::layer_objects) {
        if (last.name->kind == oc::object_kind::manifest)
            co_return co_await start(v, check_layers, std::move(group));
        v.unpublished += group.objects.size(); // no reader asks for them
        co_return oc::status();
    }
    for (oc::judged_object& o : group.objects) {
        oc::judged_group one;
        one.objects.push_back(std::move(o));
        oc::status began = co_await start(v, check_object, std::move(one));
        if (!began.ok())
            co_return began;
    }
    co_return oc::status();
}

/** The bar has to know how much there will be; nobody else does. */
asio::awaitable<oc::status> measure(verification& v)
{
    const auto add = [&](oc::judged_group group) -> asio::awaitable<oc::status> {
        const auto& last = group.objects.back().name;
        if (last && (last->where() != oc::layout::layer_objects || last->kind == oc::object_kind::manifest))
            for (const oc::judged_object& o : group.objects)
                v.bar.expect(o.object.size);
        co_return oc::status();
    };
    co_return co_await each_group(v.s, add);
}

void print_summary(const verification& v)
{
    if (v.s.how.json) {
        json_line("summary")
            .add("objects", v.objects)
            .add("bytes", v.bytes)
            .add("corrupt", v.corrupt)
            .add("unknown_version", v.unknown)
            .add("unpublished", v.unpublished)
            .add("gone", v.gone)
            .add("foreign", v.foreign)
            .print();
        return;
    }
    std::printf("%llu objects, %s verified; %llu corrupt", static_cast<unsigned long long>(v.objects),
                size_text(v.bytes).c_str(), static_cast<unsigned long long>(v.corrupt));
    for (const auto& [n, what] : {std::pair{v.unknown, "of an unknown version"},
                                  {v.unpublished, "layers never published (see gc)"},
                                  {v.gone, "gone before they were read"},
                                  {v.foreign, "not ours"}})
        if (n != 0)
            std::printf(", %llu %s", static_cast<unsigned long long>(n), what);
    std::printf("\n");
}

} // namespace

asio::awaitable<oc::status> verify(session& s)
{
    verification v(s, co_await asio::this_coro::executor);
    oc::status done;
    if (progress_bar::on_terminal())
        done = co_await measure(v);
    const auto check = [&](oc::judged_group group) { return check_group(v, std::move(group)); };
    if (done.ok())
        done = co_await each_group(s, check);
    if (!done.ok())
        v.workers.cancel();
    co_await v.workers.join();
    if (done.ok())
        done = v.failed;
    v.bar.end(done.ok());
    if (done.ok() && v.objects + v.corrupt + v.unknown + v.unpublished + v.gone == 0)
        co_return co_await nothing_there(s);
    print_summary(v);
    s.exit_code = v.corrupt == 0 ? 0 : 1;
    co_return done;
}
