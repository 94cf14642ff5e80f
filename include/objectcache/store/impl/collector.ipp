// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <objectcache/core/config.hpp>
#include <objectcache/io/byte_budget.hpp>
#include <objectcache/io/clock.hpp>
#include <objectcache/io/task_group.hpp>
#include <objectcache/s3/large_object.hpp>
#include <objectcache/s3/listing.hpp>
#include <objectcache/store/collector.hpp>

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace objectcache {

namespace detail::collecting {

/** One collection under way. Its workers refer to it, so it lives until all of them have ended. */
struct collection {
    collection(asio::any_io_executor ex, s3::client s, std::string b, std::string p, collector_options o)
        : executor(std::move(ex))
        , store(std::move(s))
        , bucket(std::move(b))
        , prefix(std::move(p))
        , how(std::move(o))
        , time(&clock::of(executor))
        , workers(executor)
        , slots(executor, std::max(1U, how.parallel))
    {}

    /** A chunk whose layers were removed, and when to look whether it was published meanwhile. */
    struct removal {
        std::string group;
        time_point due;
    };
    static constexpr std::size_t most_settling = 16384;

    asio::any_io_executor executor;
    s3::client store;
    std::string bucket, prefix;
    collector_options how;
    clock* time;
    std::chrono::system_clock::time_point old_until{};
    collector_report out;
    std::uint64_t judged = 0;
    std::vector<judged_object> superseded; // to be removed together
    std::deque<removal> settling;          // in the order of their times
    task_group workers;
    byte_budget slots;

    void fail(status why)
    {
        ++out.failures;
        if (out.failed.ok())
            out.failed = std::move(why);
    }
    void tell(const judged_object& o, bool removed, status failed)
    {
        if (removed)
            out.removed.add(o.object.size);
        if (!failed.ok())
            fail(failed);
        if (how.on_garbage)
            how.on_garbage({o.object.key, o.object.size, name(o.what), removed, std::move(failed)});
    }
    void count(const judged_group& group)
    {
        for (const judged_object& o : group.objects)
            out.seen[static_cast<std::size_t>(o.what)].add(o.object.size);
        judged += group.objects.size();
        if (how.on_progress)
            how.on_progress(judged);
    }
};

inline listed_object listed(s3::list_entry& entry)
{
    return {std::move(entry.key), entry.size, entry.modified};
}

/** The group as it is now; nothing if none of it is there any more. */
OBJECTCACHE_DECL asio::awaitable<result<std::optional<judged_group>>> list_again(collection& c,
                                                                                 std::string group)
{
    garbage_planner planner(c.prefix, c.old_until);
    std::optional<judged_group> found;
    s3::listing pages(c.store, c.bucket, group);
    while (s3::list_page* page = co_await pages.next())
        for (s3::list_entry& entry : page->objects) {
            auto next = planner.feed(listed(entry));
            if (!next)
                co_return next.error();
            if (*next && (*next)->prefix == group)
                found = std::move(*next);
        }
    if (!pages.outcome().ok())
        co_return pages.outcome();
    if (auto last = planner.finish(); last && last->prefix == group)
        found = std::move(last);
    co_return found;
}

/** Remove them with as few requests as will do, and tell of each. */
OBJECTCACHE_DECL asio::awaitable<void> remove_all(collection& c, std::vector<judged_object> objects)
{
    for (std::size_t first = 0; first < objects.size(); first += s3::most_keys_per_delete) {
        const std::size_t n = std::min(s3::most_keys_per_delete, objects.size() - first);
        std::vector<std::string> keys;
        for (std::size_t i = first; i < first + n; ++i)
            keys.push_back(objects[i].object.key);
        const deadline until;
        const auto kept = co_await s3::remove_objects(c.store, c.bucket, keys, until);
        std::unordered_map<std::string_view, const s3::delete_failure*> failures;
        if (kept)
            for (const s3::delete_failure& f : *kept)
                failures.emplace(f.key, &f);
        for (std::size_t i = first; i < first + n; ++i) {
            const judged_object& o = objects[i];
            status failed = kept.error();
            if (const auto f = failures.find(o.object.key); f != failures.end())
                failed = f->second->error();
            c.tell(o, failed.ok(), failed);
        }
    }
}

OBJECTCACHE_DECL asio::awaitable<void> remove_batch(collection& c, judged_group batch, byte_budget::ticket)
{
    co_await remove_all(c, std::move(batch.objects));
}

/** Layers without a manifest, or a manifest without its layers: as they are now, not as they were listed. */
OBJECTCACHE_DECL asio::awaitable<void> sweep(collection& c, judged_group group, byte_budget::ticket)
{
    auto again = co_await list_again(c, group.prefix);
    if (!again) {
        c.fail(again.error());
        co_return;
    }
    std::vector<judged_object> garbage;
    if (*again)
        for (judged_object& o : (*again)->objects)
            if (o.what == verdict::orphan || o.what == verdict::broken)
                garbage.push_back(std::move(o));
    if (garbage.empty()) {
        ++c.out.spared;
        co_return;
    }
    if (garbage.front().what == verdict::orphan) // before they go: also if nobody waits for the answer
        c.settling.push_back({group.prefix, c.time->now() + c.how.settle});
    co_await remove_all(c, std::move(garbage));
}

/** Whether a manifest that was published meanwhile says the truth; if not it is taken back. */
OBJECTCACHE_DECL asio::awaitable<void> settle_one(collection& c, judged_group group, byte_budget::ticket)
{
    auto again = co_await list_again(c, group.prefix);
    if (!again) {
        ++c.out.unsettled;
        c.fail(again.error());
        co_return;
    }
    if (!*again || (*again)->objects.back().name->kind != object_kind::manifest)
        co_return;
    judged_object& manifest = (*again)->objects.back();
    const std::size_t layers = (*again)->objects.size() - 1;
    std::array<std::byte, header_bytes> bytes{};
    const byte_range head{0, header_bytes}; // which tells of every version, however much follows it
    const auto got = co_await c.store.get(c.bucket, manifest.object.key, head, byte_span(bytes));
    if (got.error() == condition::absent)
        co_return;
    const auto header = decode_header(bytes);
    if (!got && !tells_of_damage(got.error())) {
        ++c.out.unsettled;
        c.fail(got.error());
        co_return;
    }
    if (got && header.error() == errc::unknown_version) {
        ++c.out.spared; // nobody's to judge, nor are its layers
        co_return;
    }
    if (got && header && got->size == header_bytes && header->geometry.layers == layers)
        co_return;
    manifest.what = verdict::broken;
    const status removed = co_await c.store.remove(c.bucket, manifest.object.key);
    if (removed.ok())
        ++c.out.retracted;
    else
        ++c.out.unsettled;
    c.tell(manifest, removed.ok(), removed);
}

using work = asio::awaitable<void> (*)(collection&, judged_group, byte_budget::ticket);

/** Work beside the listing, as soon as there is a slot. False after a cancellation. */
OBJECTCACHE_DECL asio::awaitable<bool> start(collection& c, work what, judged_group group)
{
    auto slot = co_await c.slots.acquire(1, priority::store, deadline::never());
    if (!slot)
        co_return false;
    asio::awaitable<void> job = what(c, std::move(group), std::move(*slot));
    c.workers.spawn(std::move(job));
    co_return true;
}

/** Look after the removals whose time has come, and wait for those in excess of `most`. */
OBJECTCACHE_DECL asio::awaitable<void> settle(collection& c, std::size_t most)
{
    while (!c.settling.empty()) {
        const time_point due = c.settling.front().due;
        if (due > c.time->now()) {
            if (c.settling.size() <= most)
                co_return;
            timer wait(c.executor);
            wait.expires_at(due);
            const bool came = co_await wait.wait();
            if (!came)
                co_return;
        }
        judged_group group{std::move(c.settling.front().group), {}};
        c.settling.pop_front();
        const bool began = co_await start(c, settle_one, std::move(group));
        if (!began) {
            ++c.out.unsettled;
            co_return;
        }
    }
}

OBJECTCACHE_DECL asio::awaitable<void> remove_superseded(collection& c, std::size_t least)
{
    if (c.superseded.size() < least || c.superseded.empty())
        co_return;
    judged_group batch;
    batch.objects.swap(c.superseded);
    (void)co_await start(c, remove_batch, std::move(batch));
}

/** Take what is superseded to where it is removed, or tell of it. */
OBJECTCACHE_DECL void put_aside(collection& c, judged_group& group)
{
    for (judged_object& o : group.objects) {
        const bool garbage =
            o.what == verdict::superseded || o.what == verdict::orphan || o.what == verdict::broken;
        if (garbage && !c.how.remove)
            c.tell(o, false, {});
        else if (o.what == verdict::superseded)
            c.superseded.push_back(std::move(o));
    }
}

OBJECTCACHE_DECL asio::awaitable<void> read_heads(collection& c, judged_group group, byte_budget::ticket)
{
    supersession open(group, c.old_until);
    while (const auto i = open.next()) {
        const judged_object larger = group.objects[*i];
        const auto head = co_await read_segment_head(c.store, c.bucket, larger);
        if (const status s = head.error();
            !s.ok() && s != condition::absent && (s != condition::corrupt || s == errc::malformed_response))
            c.fail(s);
        open.report(*i, head);
    }
    c.count(group);
    put_aside(c, group);
}

OBJECTCACHE_DECL asio::awaitable<void> act_on(collection& c, judged_group group)
{
    if (group.has(verdict::undecided)) {
        (void)co_await start(c, read_heads, std::move(group));
    } else {
        c.count(group);
        put_aside(c, group);
        if (c.how.remove && (group.has(verdict::orphan) || group.has(verdict::broken)))
            (void)co_await start(c, sweep, std::move(group));
    }
    co_await remove_superseded(c, s3::most_keys_per_delete);
    co_await settle(c, collection::most_settling);
}

/** Uploads of keys that are ours and that nobody will end. */
OBJECTCACHE_DECL asio::awaitable<void> collect_uploads(collection& c, std::string root)
{
    s3::upload_page page;
    const deadline until;
    do {
        auto next = co_await s3::list_uploads(c.store, c.bucket, root, std::move(page), until);
        if (!next) {
            c.fail(next.error());
            co_return;
        }
        const bool again =
            next->key_marker == page.key_marker && next->upload_id_marker == page.upload_id_marker;
        if (!next->key_marker.empty() && (again || next->key_marker < page.key_marker)) {
            c.fail(status(errc::malformed_response, "the listing of uploads does not get on"));
            co_return;
        }
        page = std::move(*next);
        for (const s3::pending_upload& upload : page.uploads) {
            using time = std::chrono::system_clock::time_point;
            if (!parse_object_key(c.prefix, upload.key) || upload.initiated > c.old_until ||
                upload.initiated == time::max())
                continue;
            ++c.out.uploads;
            status done;
            if (c.how.remove) {
                done = co_await s3::abort_upload(c.store, c.bucket, upload.key, upload.upload_id, until);
                if (done.ok())
                    ++c.out.uploads_aborted;
                else
                    c.fail(done);
            }
            if (c.how.on_garbage)
                c.how.on_garbage({upload.key, 0, "upload", c.how.remove && done.ok(), done});
            if (done == condition::cancelled)
                co_return;
        }
    } while (!page.key_marker.empty());
}

OBJECTCACHE_DECL asio::awaitable<status> collect_objects(collection& c, std::string root)
{
    std::optional<garbage_planner> planner;
    s3::listing pages(c.store, c.bucket, std::move(root));
    while (s3::list_page* page = co_await pages.next()) {
        if (!planner) {
            c.old_until = page->date.value_or(c.time->date()) - c.how.grace;
            planner.emplace(c.prefix, c.old_until);
        }
        for (s3::list_entry& entry : page->objects) {
            auto done = planner->feed(listed(entry));
            if (!done)
                co_return done.error();
            if (*done)
                co_await act_on(c, std::move(**done));
        }
    }
    if (!pages.outcome().ok())
        co_return pages.outcome();
    if (auto last = planner->finish())
        co_await act_on(c, std::move(*last));
    co_await c.workers.join(); // those that read heads have more to remove
    co_await remove_superseded(c, 1);
    co_return status();
}

} // namespace detail::collecting

OBJECTCACHE_DECL asio::awaitable<result<segment_head>> read_segment_head(s3::client store, std::string bucket,
                                                                         judged_object segment)
{
    const std::uint64_t size = segment_head_bytes(segment.name->segment.chunks);
    if (size > segment.object.size)
        co_return result<segment_head>(errc::length_mismatch, segment.object.key);
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    const byte_range range{0, size};
    const auto got = co_await store.get(bucket, segment.object.key, range, bytes);
    if (!got)
        co_return got.error();
    auto head = decode_segment_head(bytes);
    if (head)
        if (const status matches = match_name(*segment.name, got->size, *head); !matches.ok())
            co_return matches;
    co_return head;
}

OBJECTCACHE_DECL asio::awaitable<collector_report>
collect_garbage(s3::client store, std::string bucket, std::string key_prefix, collector_options options)
{
    detail::collecting::collection c(co_await asio::this_coro::executor, std::move(store), std::move(bucket),
                                     std::move(key_prefix), std::move(options));
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    std::string root = c.prefix;
    if (!c.how.scope.empty())
        root += "oc1/" + c.how.scope + '/';
    const status listed = co_await detail::collecting::collect_objects(c, root);
    if (!listed.ok())
        c.fail(listed);
    else
        co_await detail::collecting::collect_uploads(c, root);
    co_await c.workers.join();
    co_await detail::collecting::settle(c, 0); // also if the listing failed: what was removed was removed
    co_await c.workers.join();
    c.out.unsettled += c.settling.size();
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return std::move(c.out);
}

} // namespace objectcache
