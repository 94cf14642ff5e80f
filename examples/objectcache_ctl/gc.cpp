// SPDX-License-Identifier: BSL-1.0
#include "../progress_bar.hpp"
#include "commands.hpp"
#include "output.hpp"

#include <objectcache/store/collector.hpp>

namespace {

oc::duration seconds(double n)
{
    return std::chrono::duration_cast<oc::duration>(std::chrono::duration<double>(n));
}

void print(const oc::garbage& g, bool json)
{
    if (json) {
        json_line line("garbage");
        line.add("key", g.key).add("bytes", g.size).add("why", g.why).add("removed", g.removed);
        if (!g.failed.ok())
            line.add("failed", g.failed.message());
        line.print();
        return;
    }
    const char* const done = !g.failed.ok() ? "FAILED" : g.removed ? "removed" : "would go";
    std::printf("%-8s  %-10s  %10s  %s\n", done, std::string(g.why).c_str(), size_text(g.size).c_str(),
                g.key.c_str());
}

void print(const oc::collector_report& r, bool remove, bool json)
{
    json_line line("summary");
    line.add("dry_run", !remove)
        .add("removed_objects", r.removed.objects)
        .add("removed_bytes", r.removed.bytes);
    oc::collector_report::tally found;
    for (std::size_t i = 0; i < oc::verdicts; ++i) {
        const auto what = static_cast<oc::verdict>(i);
        const auto& t = r.of(what);
        line.add(std::string(name(what)) + "_objects", t.objects)
            .add(std::string(name(what)) + "_bytes", t.bytes);
        if (what != oc::verdict::superseded && what != oc::verdict::orphan && what != oc::verdict::broken)
            continue;
        found.objects += t.objects;
        found.bytes += t.bytes;
    }
    line.add("uploads", r.uploads)
        .add("uploads_aborted", r.uploads_aborted)
        .add("spared_groups", r.spared)
        .add("retracted_manifests", r.retracted)
        .add("unsettled_chunks", r.unsettled)
        .add("failures", r.failures);
    if (json) {
        line.print();
        return;
    }
    const auto n = [](std::uint64_t number) { return std::to_string(number); };
    std::string text = n(found.objects) + " objects of garbage, " + size_text(found.bytes) + ", and " +
                       n(r.uploads) + " unfinished uploads; " + n(r.of(oc::verdict::keep).objects) +
                       " objects stay";
    if (const auto& young = r.of(oc::verdict::young); young.objects != 0)
        text += ", " + n(young.objects) + " are too young to tell (--grace)";
    if (const auto& other = r.of(oc::verdict::other_version); other.objects != 0)
        text += ", " + n(other.objects) + " are of another format version";
    if (const auto& foreign = r.of(oc::verdict::foreign); foreign.objects != 0)
        text += ", " + n(foreign.objects) + " are not ours";
    text += '\n';
    if (remove)
        text += "removed " + n(r.removed.objects) + " objects, " + size_text(r.removed.bytes) + ", and " +
                n(r.uploads_aborted) + " uploads\n";
    else if (found.objects + r.uploads != 0)
        text += "nothing was removed; --delete does\n";
    if (r.spared != 0)
        text += n(r.spared) + " chunks were spared: a writer is at work with them\n";
    if (r.retracted != 0)
        text += n(r.retracted) + " manifests were taken back, which a writer published meanwhile\n";
    if (r.unsettled != 0)
        text +=
            n(r.unsettled) + " removed chunks were not looked after; run gc again once the grace is over\n";
    std::fputs(text.c_str(), stdout);
}

} // namespace

asio::awaitable<oc::status> gc(session& s)
{
    progress_count count("objects");
    oc::collector_options how;
    how.remove = s.how.remove;
    how.grace = seconds(s.how.grace_seconds);
    how.settle = seconds(s.how.settle_seconds);
    how.parallel = s.how.parallel;
    how.scope = s.how.scope;
    how.on_progress = [&](std::uint64_t objects) { count.show(objects); };
    how.on_garbage = [&](const oc::garbage& g) {
        count.clear();
        print(g, s.how.json);
    };
    const oc::collector_report done =
        co_await oc::collect_garbage(s.client, s.how.at.bucket, s.how.at.name, std::move(how));
    count.clear();
    std::uint64_t ours = done.uploads;
    for (std::size_t i = 0; i < oc::verdicts; ++i)
        if (static_cast<oc::verdict>(i) != oc::verdict::foreign)
            ours += done.seen[i].objects;
    if (ours == 0 && done.failed.ok())
        co_return co_await nothing_there(s);
    if (ours == 0) // not even a listing
        co_return done.failed;
    print(done, s.how.remove, s.how.json);
    co_return done.failed;
}
